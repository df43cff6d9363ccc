//! Readiness: may traffic be sent here?
//!
//! A replica is ready once the store and every provider have been reached since its start, and until it drains. A
//! later outage does not take that back: public routes work without the store and signed-in users without the
//! provider, while replicas that all leave the load balancer at once leave Envoy to answer for us, and it would
//! deny everything. Such an outage is shown as `degraded`, in metrics and in the log.

use std::sync::Arc;

use metrics::Gauge;
use serde::Serialize;
use tokio::sync::watch;

/// What has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The session store.
    Store,
    /// An OpenID provider, by its configured name.
    Provider(String),
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store => f.write_str("store"),
            Self::Provider(name) => write!(f, "provider:{name}"),
        }
    }
}

/// The state of readiness, shared by those who set it and those who tell it. Cheap to clone.
#[derive(Clone)]
pub struct Readiness {
    status: Arc<watch::Sender<Status>>,
    gauge: Gauge,
}

impl Readiness {
    /// Nothing has been reached yet. `gauge` is `coatcheck_ready`.
    #[must_use]
    pub fn new(parts: Vec<Part>, gauge: Gauge) -> Self {
        let parts = parts.into_iter().map(|part| PartStatus { part, state: PartState::NotAsked }).collect();
        gauge.set(0.0);
        Self { status: Arc::new(watch::Sender::new(Status { draining: false, parts, config: None })), gauge }
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Tells every change, for the gRPC health service.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// A probe's outcome; the error says why, for operators.
    pub fn report(&self, part: &Part, outcome: &Result<(), String>) {
        self.change(|status| status.parts.iter_mut().filter(|each| each.part == *part).any(|each| each.take(outcome)));
    }

    /// From now on about these parts. What is known of a part that stays is kept. One that joins a ready replica is
    /// asked for, but takes nothing back: the other providers' users are served as before.
    pub fn follow(&self, parts: Vec<Part>) {
        self.change(|status| {
            let fresh = if status.reached() { PartState::Joined } else { PartState::NotAsked };
            let former = std::mem::take(&mut status.parts);
            let state = |part: &Part| former.iter().find(|each| each.part == *part).map(|each| each.state.clone());
            status.parts = parts
                .into_iter()
                .map(|part| PartStatus { state: state(&part).unwrap_or_else(|| fresh.clone()), part })
                .collect();
            true
        });
    }

    /// This configuration runs since `at` (RFC 3339), and it is what the files say.
    pub fn config_runs(&self, at: String) {
        self.change(|status| {
            status.config = Some(ConfigStatus { loaded_at: at, error: None });
            true
        });
    }

    /// The files say something else than what runs; the text says why they were refused. That takes no readiness.
    /// `None`: they say what runs again.
    pub fn config_refused(&self, why: Option<String>) {
        self.change(|status| {
            status.config.as_mut().is_some_and(|config| {
                let changed = config.error != why;
                config.error = why;
                changed
            })
        });
    }

    /// From now on not ready, for good: the process is about to stop.
    pub fn drain(&self) {
        self.change(|status| !std::mem::replace(&mut status.draining, true));
    }

    fn change(&self, edit: impl FnOnce(&mut Status) -> bool) {
        self.status.send_if_modified(|status| {
            let before = status.is_ready();
            let changed = edit(status);
            let ready = status.is_ready();
            if ready != before {
                self.gauge.set(if ready { 1.0 } else { 0.0 });
                tracing::info!(ready, "readiness changed");
            }
            changed
        });
    }
}

/// How things stand at one moment.
#[derive(Debug, Clone)]
pub struct Status {
    draining: bool,
    parts: Vec<PartStatus>,
    config: Option<ConfigStatus>,
}

impl Status {
    /// Whether traffic may be sent here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.draining && self.reached()
    }

    fn reached(&self) -> bool {
        self.parts.iter().all(PartStatus::reached)
    }

    /// Whether checks are worth sending here: the store was reached once. Sessions with valid tokens need no provider,
    /// so a replica that starts while a provider is down still takes checks.
    #[must_use]
    pub fn takes_checks(&self) -> bool {
        !self.draining && self.parts.iter().filter(|part| part.part == Part::Store).all(PartStatus::reached)
    }

    /// Whether the process is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// The body of `/readyz`.
    #[must_use]
    pub fn report(&self) -> Report {
        let draining = self.draining.then(|| Trouble { part: "draining".to_owned(), why: "shutting down".to_owned() });
        let missing = self.parts.iter().filter(|part| !part.reached()).filter_map(PartStatus::trouble);
        let degraded = self.parts.iter().filter(|part| part.reached()).filter_map(PartStatus::trouble);
        Report {
            ready: self.is_ready(),
            missing: draining.into_iter().chain(missing).collect(),
            degraded: degraded.collect(),
            config: self.config.clone(),
        }
    }
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
pub struct Report {
    ready: bool,
    /// What readiness waits for.
    missing: Vec<Trouble>,
    /// What was reached once, but does not answer now.
    degraded: Vec<Trouble>,
    /// Which configuration runs, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<ConfigStatus>,
}

/// The running configuration, and why the files' is another.
#[derive(Debug, Clone, Serialize)]
struct ConfigStatus {
    loaded_at: String,
    error: Option<String>,
}

/// A part and what is wrong with it.
#[derive(Debug, Serialize)]
pub struct Trouble {
    part: String,
    why: String,
}

#[derive(Debug, Clone)]
struct PartStatus {
    part: Part,
    state: PartState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PartState {
    /// The first probe is under way.
    NotAsked,
    /// Came with a reload after all others had been reached; the first probe is under way.
    Joined,
    /// Never reached since the start.
    Missing(String),
    /// Answers.
    Up,
    /// Was reached, but does not answer now.
    Degraded(String),
}

impl PartStatus {
    fn reached(&self) -> bool {
        match self.state {
            PartState::Joined | PartState::Up | PartState::Degraded(_) => true,
            PartState::NotAsked | PartState::Missing(_) => false,
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        let why = match &self.state {
            PartState::NotAsked | PartState::Joined => "not asked yet",
            PartState::Missing(why) | PartState::Degraded(why) => why,
            PartState::Up => return None,
        };
        Some(Trouble { part: self.part.to_string(), why: why.to_owned() })
    }

    /// Takes a probe's outcome; tells a change once in the log, and the caller whether it was one.
    fn take(&mut self, outcome: &Result<(), String>) -> bool {
        let next = match outcome {
            Ok(()) => PartState::Up,
            Err(why) if self.reached() => PartState::Degraded(why.clone()),
            Err(why) => PartState::Missing(why.clone()),
        };
        match (&self.state, &next) {
            (PartState::NotAsked, PartState::Missing(why)) | (PartState::Joined, PartState::Degraded(why)) => {
                tracing::warn!(part = %self.part, why, "not reached yet; asking again until it answers");
            }
            (PartState::Up, PartState::Degraded(why)) => {
                tracing::warn!(part = %self.part, why, "does not answer any more");
            }
            (
                PartState::NotAsked | PartState::Joined | PartState::Missing(_) | PartState::Degraded(_),
                PartState::Up,
            ) => {
                tracing::info!(part = %self.part, "reached");
            }
            // Told already: the text of an error may vary from probe to probe.
            (
                PartState::NotAsked
                | PartState::Joined
                | PartState::Missing(_)
                | PartState::Up
                | PartState::Degraded(_),
                _,
            ) => {}
        }
        let changed = self.state != next;
        self.state = next;
        changed
    }
}
