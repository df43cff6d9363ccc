//! Takes over a changed configuration: reads, judges, builds and connects everything first, and only then swaps. What
//! cannot be taken over changes nothing; the log, a metric and `/readyz` say so.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::generation::Generation;
use super::restart;
use super::stage::Stage;
use super::watcher::Watcher;
use crate::admin::probe;
use crate::admin::readiness::Readiness;
use crate::config::{self, Config, ConfigErrors, Digest, Origin, Sources, Warnings};
use crate::oidc::SharedProvider;
use crate::store::redis::ConnectError;

/// A configuration that waits for its Redis is tried again after this time: nothing happens to the files when an
/// operator corrects the server.
const AGAIN: Duration = Duration::from_secs(5);

/// Reloads for as long as the process runs.
pub(super) struct Reloader {
    stage: Arc<Stage>,
    readiness: Readiness,
    origin: Origin,
    /// Tells the probes of new providers.
    providers: watch::Sender<Vec<SharedProvider>>,
    /// What the files said when they were refused, as far as they could be read, and why.
    refused: Option<(Option<Digest>, Refusal)>,
}

/// Why a configuration is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    /// SIGHUP: somebody wants an answer.
    Signal,
    Files,
    /// It was refused for a reason that may have passed.
    Again,
}

/// Why a configuration does not run.
enum Refusal {
    /// The files have mistakes.
    Mistakes(ConfigErrors),
    /// These keys changed.
    Restart(Vec<&'static str>),
    /// Something cannot be built from it.
    Parts(anyhow::Error),
    /// Redis does not take the new settings, yet.
    Redis(anyhow::Error),
}

impl Reloader {
    /// `providers` feeds the probes.
    pub(super) fn new(
        stage: Arc<Stage>,
        readiness: Readiness,
        origin: Origin,
        providers: watch::Sender<Vec<SharedProvider>>,
    ) -> Self {
        for outcome in ["applied", "refused", "unchanged"] {
            // A series that begins at zero shows its first step.
            stage.process.metrics.config_reload(outcome).absolute(0);
        }
        let reloader = Self { stage, readiness, origin, providers, refused: None };
        reloader.tell_running();
        reloader
    }

    /// Reloads at every SIGHUP, and whenever the files have changed and are at rest.
    pub(super) async fn run(mut self, mut hangup: Signal) -> Infallible {
        self.stage.seated().await;
        let mut watcher = Watcher::new(self.stage.current().config.sources.files.clone());
        loop {
            let waits = matches!(self.refused, Some((_, Refusal::Redis(_))));
            let trigger = tokio::select! {
                Some(()) = hangup.recv() => Trigger::Signal,
                () = watcher.changed() => Trigger::Files,
                () = sleep(AGAIN), if waits => Trigger::Again,
            };
            let seen = self.reload(trigger).await;
            watcher.follow(self.to_watch(seen.files));
        }
    }

    /// What runs, and what was refused: either may come back or be corrected.
    fn to_watch(&self, mut seen: Vec<PathBuf>) -> Vec<PathBuf> {
        seen.extend(self.stage.current().config.sources.files.iter().cloned());
        seen.sort();
        seen.dedup();
        seen
    }

    /// Looks at the files, and takes over what they say. Returns what was read.
    async fn reload(&mut self, trigger: Trigger) -> Sources {
        let origin = self.origin.clone();
        let loaded = spawn_blocking(move || config::load(&origin.path, &*origin.environment)).await;
        let Ok(loaded) = loaded else {
            self.tell_refused(None, Refusal::Parts(anyhow::anyhow!("reading it panicked")), trigger);
            return self.stage.current().config.sources.clone();
        };
        let sources = match &loaded {
            Ok((config, _)) => config.sources.clone(),
            Err(mistakes) => mistakes.sources().clone(),
        };
        if sources.digest == self.stage.current().config.sources.digest {
            self.tell_unchanged(trigger);
            return sources;
        }
        let digest = Some(sources.digest);
        let known = self.refused.as_ref().is_some_and(|(refused, _)| *refused == digest);
        if known && trigger == Trigger::Files {
            return sources;
        }
        match self.take_over(loaded).await {
            Ok(()) => self.refused = None,
            Err(refusal) => self.tell_refused(digest, refusal, trigger),
        }
        sources
    }

    async fn take_over(&self, loaded: Result<(Config, Warnings), ConfigErrors>) -> Result<(), Refusal> {
        let (config, warnings) = loaded.map_err(Refusal::Mistakes)?;
        let current = self.stage.current();
        let keys = restart::keys(&current.config, &config);
        if !keys.is_empty() {
            return Err(Refusal::Restart(keys));
        }
        let stage = Arc::clone(&self.stage);
        let built = spawn_blocking(move || Generation::build(config, &stage.process, Some(&stage.current()))).await;
        let next = built.context("the building panicked").and_then(|built| built).map_err(Refusal::Parts)?;
        let connections = self.stage.connect(&next).await.map_err(|error| match error {
            ConnectError::Setup(error) => Refusal::Parts(error.into()),
            ConnectError::Store(error) => Refusal::Redis(error.into()),
        })?;

        // From here on nothing fails.
        let (providers, changed) = (next.providers.clone(), next.changed_providers(&current));
        self.stage.swap(next, connections);
        for name in &changed {
            self.stage.process.refreshes.forgive(name);
        }
        self.readiness.follow(probe::parts(&providers));
        self.providers.send_replace(providers);
        for warning in warnings.iter() {
            tracing::warn!("{warning}");
        }
        tracing::info!(file = %self.origin.path.display(), "the new configuration is in use");
        self.tell_running();
        self.count("applied");
        Ok(())
    }

    /// The running configuration is what the files say, from now on.
    fn tell_running(&self) {
        let process = &self.stage.process;
        let now = process.clock.now();
        process.metrics.config_successful().set(1.0);
        process.metrics.config_success_time().set(Duration::from_millis(now.millis()).as_secs_f64());
        self.readiness.config_runs(now.to_string());
    }

    fn tell_unchanged(&mut self, trigger: Trigger) {
        let corrected = self.refused.take().is_some();
        if corrected {
            tracing::info!("the files say again what the running configuration says");
        } else if trigger == Trigger::Signal {
            tracing::info!("nothing to reload: the files say what the running configuration says");
        }
        if corrected || trigger == Trigger::Signal {
            self.stage.process.metrics.config_successful().set(1.0);
            self.readiness.config_refused(None);
            self.count("unchanged");
        }
    }

    /// Whoever changes a file or sends a signal gets an answer; what is only tried again is told when it fails otherwise.
    fn tell_refused(&mut self, digest: Option<Digest>, refusal: Refusal, trigger: Trigger) {
        let lines = refusal.lines();
        let known = self.refused.replace((digest, refusal)).is_some_and(|(_, known)| known.lines() == lines);
        if known && trigger == Trigger::Again {
            return;
        }
        for error in &lines {
            tracing::error!(error, "the new configuration was refused; the old one keeps running");
        }
        self.stage.process.metrics.config_successful().set(0.0);
        self.readiness.config_refused(short(&lines));
        self.count("refused");
    }

    /// Last of all: who sees it finds the rest as it is now.
    fn count(&self, outcome: &'static str) {
        self.stage.process.metrics.config_reload(outcome).increment(1);
    }
}

impl Refusal {
    /// What an operator has to know, a line each. Without secrets: the texts of mistakes quote none.
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Mistakes(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
            Self::Restart(keys) => {
                keys.iter().map(|key| format!("{key}: a change of this key needs a restart")).collect()
            }
            Self::Parts(error) => vec![format!("{error:#}")],
            Self::Redis(error) => {
                vec![format!("store: Redis does not accept the new settings ({error:#}); tried again until it does")]
            }
        }
    }
}

/// The first line, and where the others are.
fn short(lines: &[String]) -> Option<String> {
    let (first, others) = lines.split_first()?;
    Some(if others.is_empty() { first.clone() } else { format!("{first} (and {} more in the log)", others.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detail_is_one_line_that_leads_to_the_log() {
        let lines = |count: usize| (1..=count).map(|number| format!("mistake {number}")).collect::<Vec<_>>();
        assert_eq!(short(&lines(0)), None);
        assert_eq!(short(&lines(1)).unwrap(), "mistake 1");
        assert_eq!(short(&lines(3)).unwrap(), "mistake 1 (and 2 more in the log)");
    }
}
