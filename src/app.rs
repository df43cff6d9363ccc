//! The one place where parts meet. `bind` fails the start, `run` owns every task.

mod checks;
mod generation;
mod listen;
mod process;
mod servers;
mod stage;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use self::generation::Generation;
use self::listen::Listener;
use self::process::Process;
use self::stage::Stage;
use crate::admin::probe;
use crate::admin::readiness::Readiness;
use crate::config::{Config, Environment, ShutdownConfig, Warnings};
use crate::telemetry::Telemetry;
use crate::telemetry::context::Tracing;
use crate::telemetry::metrics::Metrics;
use crate::{admin, http};

/// How often histograms are kept from growing between scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves until the process is told to stop (SIGTERM, SIGINT).
pub fn serve(config: Config, warnings: &Warnings, environment: &dyn Environment) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(&config.telemetry, &|name| environment.var(name))?;
    for warning in warnings.iter() {
        tracing::warn!("{warning}");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")?;
    let tracing = telemetry.tracing();
    let outcome = runtime.block_on(async move {
        let stopped = shutdown_signal()?;
        App::bind(config, &tracing).await?.run(stopped).await
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
    listeners: Listeners,
    stage: Arc<Stage>,
    readiness: Readiness,
    shutdown: ShutdownConfig,
}

struct Listeners {
    grpc: Listener,
    http: Listener,
    admin: Listener,
}

impl App {
    /// Opens the store's file, builds all parts, binds all addresses. Peers need not be reachable.
    pub async fn bind(config: Config, tracing: &Tracing) -> anyhow::Result<Self> {
        let (listen, shutdown) = (config.listen.clone(), config.shutdown.clone());
        let process = Process::open(&config.store, tracing)?;
        let first = Generation::build(config, &process)?;
        let readiness = Readiness::new(probe::parts(&first.providers), process.metrics.ready());
        let stage = Arc::new(Stage::new(process, first));
        let listeners = Listeners {
            grpc: Listener::bind("grpc", &listen.grpc).await?,
            http: Listener::bind("http", &listen.http).await?,
            admin: Listener::bind("admin", &listen.admin).await?,
        };
        Ok(Self { listeners, stage, readiness, shutdown })
    }

    /// Serves until `stopped`, then drains: not ready, wait, no new work, finish what is under way. The end of any
    /// task ends the process.
    pub async fn run(self, stopped: impl Future<Output = &'static str>) -> anyhow::Result<()> {
        let Self { listeners, stage, readiness, shutdown } = self;
        let process = &stage.process;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(checks::serve(listeners.grpc, Arc::clone(&stage), readiness.clone(), stop.clone()));
        tasks.spawn(servers::http(listeners.http, http::router(Arc::clone(&stage.web)), stop.clone()));
        let admin = admin::router(readiness.clone(), process.metrics.clone());
        // Answers until the very end, so that a probe sees why we are not ready.
        let admin_stop = CancellationToken::new();
        tasks.spawn(servers::http(listeners.admin, admin, admin_stop.clone()));
        let mut helpers = JoinSet::new();
        helpers.spawn(probe::watch(readiness.clone(), process.store.clone(), stage.current().providers.clone()));
        helpers.spawn(upkeep(process.metrics.clone()));
        let why = tokio::select! {
            why = stopped => why,
            Some(ended) = tasks.join_next() => {
                ended.context("a server panicked")??;
                anyhow::bail!("a server ended by itself");
            }
            Some(_) = helpers.join_next() => anyhow::bail!("a helper task ended by itself"),
        };
        tracing::info!(why, drain_delay_ms = shutdown.drain_delay.as_millis(), "draining");
        readiness.drain();
        sleep(shutdown.drain_delay).await;
        let limit = Instant::now() + shutdown.timeout;
        stop.cancel();
        let drained = timeout_at(limit, async {
            while tasks.len() > 1 {
                tasks.join_next().await;
            }
            // Refreshes under way store what the provider rotated.
            process.tracker.close();
            process.tracker.wait().await;
        });
        if drained.await.is_err() {
            tracing::warn!(
                left = process.tracker.len(),
                "the shutdown limit ended connections or refreshes that were under way"
            );
        }
        admin_stop.cancel();
        process.close().await;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn upkeep(metrics: Metrics) {
    let mut beat = interval(UPKEEP);
    loop {
        beat.tick().await;
        metrics.upkeep();
    }
}

/// SIGTERM (Kubernetes, systemd) or SIGINT (a person).
fn shutdown_signal() -> anyhow::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
