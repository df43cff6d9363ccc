//! The check: from a request to a verdict, with the store and the refresh between the pure steps.
//!
//! Nothing that must finish runs in this future: Envoy may drop it at any moment.

mod ledger;
mod touch;

use std::sync::Arc;
use std::time::Duration;

use metrics::Histogram;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::Span;

use crate::clock::SharedClock;
use crate::core::about::{About, Checked, Subject};
use crate::core::answer;
use crate::core::app::{App, Apps};
use crate::core::decide::{self, Class, Decision, Guarded, Outcome, TicketRefusal};
use crate::core::in_band;
use crate::core::request::Request;
use crate::core::session::Held;
use crate::core::verdict::{Reason, Verdict};
use crate::refresh::Refresher;
use crate::store::SharedStore;
use crate::store::vault::{Vault, id_of};
use crate::telemetry::metrics::Metrics;
use ledger::{Ledger, NO_APP};
use touch::Touches;

/// Checks requests. Shared by all connections of a process.
pub struct Checker {
    apps: Arc<Apps>,
    vault: Arc<Vault>,
    refresher: Arc<Refresher>,
    clock: SharedClock,
    touches: Arc<Touches>,
    metrics: Metrics,
    ledger: Ledger,
    duration: Histogram,
}

/// What a checker works with.
pub struct Parts {
    /// The protected sites.
    pub apps: Arc<Apps>,
    /// Where sessions are read.
    pub vault: Arc<Vault>,
    /// Who refreshes them.
    pub refresher: Arc<Refresher>,
    /// The time.
    pub clock: SharedClock,
    /// What is counted.
    pub metrics: Metrics,
    /// Where uses are recorded.
    pub touched: SharedStore,
    /// Owns the idle touches that run beside the checks.
    pub tracker: TaskTracker,
    /// Where they run: not on the thread of the check.
    pub runtime: Handle,
}

impl Checker {
    /// A checker with its counters at zero.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { apps, vault, refresher, clock, metrics, touched, tracker, runtime } = parts;
        let ledger = Ledger::new(&apps, &metrics);
        let touches = Touches::new(touched, tracker, runtime);
        let duration = metrics.check_duration();
        Self { apps, vault, refresher, clock, touches, metrics, ledger, duration }
    }

    /// Answers one request by `deadline`, a little before Envoy gives up.
    pub async fn check(&self, request: &Request<'_>, deadline: Instant) -> Checked {
        let began = Instant::now();
        let checked = match decide::classify(request, &self.apps, self.vault.keyring()) {
            Class::Settled { app, verdict, refused } => {
                self.count_refused_ticket(refused);
                Checked { verdict, about: About::of(app.as_deref()) }
            }
            Class::Guarded(guarded) => self.check_guarded(request, &guarded, deadline).await,
        };
        self.duration.record(began.elapsed());
        let app = checked.about.app.as_deref().unwrap_or(NO_APP);
        self.ledger.tell(app, checked.verdict.reason(), self.clock.now());
        checked
    }

    /// The app whose login routes a request is for, if they are to be asked instead of a check (`login.mode: in_band`).
    #[must_use]
    pub fn login_routes_of(&self, request: &Request<'_>) -> Option<Arc<App>> {
        in_band::app_of(request, &self.apps).cloned()
    }

    /// Counts and tells an answer that no check gave: the login routes', or one before the request could be looked at.
    #[must_use]
    pub fn settle(&self, app: Option<&App>, verdict: Verdict) -> Checked {
        self.ledger.tell(app.map_or(NO_APP, |app| &app.name), verdict.reason(), self.clock.now());
        Checked { verdict, about: About::of(app) }
    }

    /// Counts and tells a check that was not taken on.
    pub fn shed(&self) {
        self.ledger.tell(NO_APP, Reason::Overload, self.clock.now());
    }

    async fn check_guarded(&self, request: &Request<'_>, guarded: &Guarded, deadline: Instant) -> Checked {
        let tag = id_of(&guarded.ticket).tag();
        let span = Span::current();
        if !span.is_none() {
            span.record("session.tag", &*tag);
        }
        let about = About { session: Some(tag), ..About::of(Some(&guarded.app)) };
        let Some(held) = self.load(guarded, deadline).await else {
            return Checked { verdict: answer::retry_later(request, Reason::Store), about };
        };
        let subject = held.as_ref().map(|held| Subject::of(&held.session.identity, self.vault.keyring()));
        let verdict = self.judge(request, guarded, held, deadline).await;
        let subject = subject.filter(|_| verdict.reason().is_of_a_user());
        Checked { verdict, about: About { subject, ..about } }
    }

    async fn judge(&self, request: &Request<'_>, guarded: &Guarded, held: Option<Held>, deadline: Instant) -> Verdict {
        let id = id_of(&guarded.ticket);
        let jitter = f64::from(id.0.first().copied().unwrap_or_default()) / 255.0;
        let now = self.clock.now();
        if held.as_ref().is_some_and(|held| decide::tells_bind_mismatch(request, &guarded.app, &held.session)) {
            self.metrics.bind_mismatch(&guarded.app.name);
            tracing::warn!(app = %guarded.app.name, session.tag = %id.tag(), "a session is used by another browser than it began in");
        }
        match (decide::decide(request, guarded, held.as_ref(), now, jitter), held) {
            (Decision::Settled(verdict), held) => {
                self.touch(&verdict, guarded, held.as_ref());
                verdict
            }
            (Decision::RefreshBeside(verdict), held) => {
                self.touch(&verdict, guarded, held.as_ref());
                if let Some(held) = held {
                    self.refresher.beside(&guarded.ticket, held);
                }
                verdict
            }
            (Decision::Refresh, held) => self.refresh(request, guarded, held, deadline).await,
        }
    }

    /// `None`: the store does not answer. Tokens that the store has not taken yet are served from memory.
    async fn load(&self, guarded: &Guarded, deadline: Instant) -> Option<Option<Held>> {
        let opened = timeout_at(deadline, self.vault.open(&guarded.ticket, &guarded.app.name)).await;
        match opened {
            Ok(Ok(held)) => Some(held),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a session could not be read");
                self.refresher.note_store_failure();
                self.refresher.unsaved(&guarded.ticket).map(|held| Some(Held::clone(&held)))
            }
            Err(_elapsed) => self.refresher.unsaved(&guarded.ticket).map(|held| Some(Held::clone(&held))),
        }
    }

    async fn refresh(
        &self,
        request: &Request<'_>,
        guarded: &Guarded,
        held: Option<Held>,
        deadline: Instant,
    ) -> Verdict {
        let Some(held) = held else { return answer::retry_later(request, Reason::Provider) };
        // An elapsed deadline drops the waiting, not the flight.
        let outcome = timeout_at(deadline, self.refresher.once(&guarded.ticket, held)).await.unwrap_or(Outcome::Later);
        let verdict = decide::conclude(request, guarded, &outcome, self.clock.now());
        if let Outcome::Refreshed(held) = &outcome {
            self.touch(&verdict, guarded, Some(held));
        }
        verdict
    }

    /// Records the use of a session, coarsely.
    fn touch(&self, verdict: &Verdict, guarded: &Guarded, held: Option<&Held>) {
        let (Some(held), Reason::Session) = (held, verdict.reason()) else { return };
        let now = self.clock.now();
        let idle = guarded.app.session.idle;
        if now.since(held.last_seen) >= touch_interval(idle) {
            self.touches.touch(id_of(&guarded.ticket), now, decide::idle_ttl(&held.session, idle, now));
        }
    }

    fn count_refused_ticket(&self, refused: Option<TicketRefusal>) {
        match refused {
            Some(TicketRefusal::Malformed) => self.metrics.ticket_refused("malformed"),
            Some(TicketRefusal::Ambiguous) => self.metrics.ticket_refused("ambiguous"),
            None => {}
        }
    }
}

/// A use is written at most once per tenth of the idle lifetime, and at most once a minute.
fn touch_interval(idle: Duration) -> Duration {
    (idle / 10).min(Duration::from_secs(60))
}
