//! The one place where parts meet. `bind` fails the start, `run` owns every task.

mod checks;
mod connections;
mod door;
mod generation;
mod greeting;
mod listen;
mod process;
mod reload;
mod restart;
mod servers;
mod stage;
mod stop;
mod watcher;
mod worker;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::door::Door;
use self::generation::Generation;
use self::process::Process;
use self::reload::Reloader;
use self::stage::Stage;
use self::stop::{Signals, Stop};
use crate::admin::probe;
use crate::admin::readiness::Readiness;
use crate::config::{Config, Origin, ShutdownConfig, Warnings};
use crate::telemetry::Telemetry;
use crate::telemetry::context::Tracing;
use crate::{admin, http};

/// Serves until the process is told to stop (SIGTERM, SIGINT). `origin`, where `config` came from, is read again when it
/// changes and at SIGHUP.
pub fn serve(config: Config, warnings: &Warnings, origin: Origin) -> anyhow::Result<()> {
    let mut telemetry = Telemetry::start(&config.telemetry, &|name| origin.environment.var(name))?;
    for warning in warnings.iter() {
        tracing::warn!("{warning}");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")?;
    let tracing = telemetry.tracing();
    let outcome = runtime.block_on(async {
        let signals = Signals::catch()?;
        // Without a handler it would end the process.
        let hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be handled")?;
        let app = App::bind(config, origin, &tracing).await?;
        telemetry.push(&app.stage.process.metrics)?;
        app.run(signals, hangup).await
    });
    if let Err(error) = &outcome {
        tracing::error!(error = format!("{error:#}"), "stopped");
    }
    // Flights that outlived the shutdown limit end here.
    runtime.shutdown_timeout(Duration::from_millis(100));
    telemetry.shutdown();
    outcome
}

/// A process that is bound but does not serve yet.
pub struct App {
    doors: Doors,
    stage: Arc<Stage>,
    readiness: Readiness,
    origin: Origin,
}

struct Doors {
    grpc: Door,
    http: Door,
    admin: Door,
}

impl App {
    /// Opens the store's file, builds all parts, binds all addresses. Peers need not be reachable.
    pub async fn bind(config: Config, origin: Origin, tracing: &Tracing) -> anyhow::Result<Self> {
        let (listen, places) = (config.listen.clone(), config.limits.connections);
        let process = Process::open(&config.store, tracing)?;
        let first = Generation::build(config, &process, None)?;
        let readiness = Readiness::new(probe::parts(&first.providers), process.metrics.ready());
        let stage = Arc::new(Stage::new(process, first, threads()));
        let doors = Doors {
            grpc: Door::open("grpc", &listen.grpc, places).await?,
            http: Door::open("http", &listen.http, places).await?,
            admin: Door::open("admin", &listen.admin, places).await?,
        };
        Ok(Self { doors, stage, readiness, origin })
    }

    /// Serves until told to stop, then drains: not ready, wait, no new work, finish what is under way. Told again, it
    /// ends at once. At `hangup` it reloads. The end of any task ends the process, as an error: after the same drain, since
    /// refreshes under way hold tokens that nobody else has.
    pub async fn run(self, mut signals: Signals, hangup: Signal) -> anyhow::Result<()> {
        let Self { doors, stage, readiness, origin } = self;
        let process = &stage.process;
        let stop = Stop::default();
        let mut servers = JoinSet::new();
        servers.spawn(checks::serve(doors.grpc, Arc::clone(&stage), readiness.clone(), stop.clone()));
        servers.spawn(servers::http(doors.http, http::router(Arc::clone(&stage.web)), stop.drain_token()));
        let mut helpers = JoinSet::new();
        let admin = admin::router(readiness.clone(), process.metrics.clone());
        // Answers until the very end, so that a probe sees why we are not ready.
        let admin_stop = CancellationToken::new();
        helpers.spawn(servers::http(doors.admin, admin, admin_stop.clone()));
        let (tell_providers, providers) = watch::channel(stage.current().providers.clone());
        let watching = probe::watch(readiness.clone(), process.store.clone(), providers);
        helpers.spawn(async {
            watching.await;
            anyhow::Ok(())
        });
        let reloader = Reloader::new(Arc::clone(&stage), readiness.clone(), origin, tell_providers);
        helpers.spawn(async move { match reloader.run(hangup).await {} });
        let (why, outcome) = tokio::select! {
            why = signals.next() => (why.to_owned(), Ok(())),
            Some(ended) = servers.join_next() => failed("a server", ended),
            Some(ended) = helpers.join_next() => failed("a helper task", ended),
        };
        let shutdown = stage.current().config.shutdown.clone();
        tokio::select! {
            () = drain(&why, (&readiness, &process.tracker), &shutdown, &stop, &mut servers) => {}
            why = signals.next() => tracing::warn!(why, "told to stop once more: what was under way is given up"),
        }
        stop.end();
        admin_stop.cancel();
        process.close().await;
        if outcome.is_ok() {
            tracing::info!("stopped");
        }
        outcome
    }
}

/// Why the process has to end when one of its tasks has: for the log, and as its outcome.
fn failed(what: &str, ended: Result<anyhow::Result<()>, JoinError>) -> (String, anyhow::Result<()>) {
    let error = match ended {
        Ok(Ok(())) => anyhow::anyhow!("{what} ended by itself"),
        Ok(Err(error)) => error.context(format!("{what} ended by itself")),
        Err(error) => anyhow::Error::new(error).context(format!("{what} panicked")),
    };
    (format!("{error:#}"), Err(error))
}

/// Until nothing is under way any more, or the limit is over.
async fn drain(
    why: &str,
    (readiness, tracker): (&Readiness, &TaskTracker),
    shutdown: &ShutdownConfig,
    stop: &Stop,
    servers: &mut JoinSet<anyhow::Result<()>>,
) {
    // Who never said that it takes checks has nobody to tell.
    let delay = if readiness.status().takes_checks() { shutdown.drain_delay } else { Duration::ZERO };
    tracing::info!(why, drain_delay_ms = delay.as_millis(), "draining");
    readiness.drain();
    sleep(delay).await;
    stop.drain();
    let drained = timeout(shutdown.timeout, async {
        while servers.join_next().await.is_some() {}
        // Refreshes under way store what the provider rotated.
        tracker.close();
        tracker.wait().await;
    });
    if drained.await.is_err() {
        tracing::warn!(left = tracker.len(), "the shutdown limit ended connections or refreshes that were under way");
    }
}

/// Threads that check: one per core.
fn threads() -> u32 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_by_itself_is_the_outcome_however_it_ends() {
        let told = |ended| failed("a helper task", ended);
        let (why, outcome) = told(Ok(Ok(())));
        assert_eq!((why.as_str(), outcome.is_err()), ("a helper task ended by itself", true));
        let (why, outcome) = told(Ok(Err(anyhow::anyhow!("no descriptors"))));
        assert_eq!((why.as_str(), outcome.is_err()), ("a helper task ended by itself: no descriptors", true));
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending::<anyhow::Result<()>>()).abort();
        let (why, outcome) = told(tasks.join_next().await.unwrap());
        assert!(why.starts_with("a helper task panicked: ") && outcome.is_err(), "{why}");
    }
}
