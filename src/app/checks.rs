//! The gRPC server for Envoy: one thread with a runtime of its own per core, each connection at home on one of them.
//!
//! A check is short. Handing its pieces from core to core, as a work-stealing runtime does, costs about as much as the
//! check itself; Envoy opens a connection per worker, so connections spread the load well enough. Work that outlives a
//! check runs on the process's main runtime.

use std::sync::Arc;
use std::thread;

use anyhow::Context;
use futures_util::stream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::{HealthReporter, health_reporter};

use super::listen::{Listener, Parked};
use super::servers::{KEEPALIVE, accept};
use super::stage::Stage;
use crate::admin::readiness::Readiness;
use crate::grpc::SERVICE_NAME;

/// Envoy resets a stream when its timeout is over or the browser goes. The stock bound of 20 resets that wait for
/// acceptance would end the whole connection of an Envoy worker.
const MAX_PENDING_RESETS: usize = 4096;

/// Connections on their way to a worker; more wait in the listener's backlog.
const MAX_WAITING: usize = 64;

/// Serves Envoy's checks and gRPC health until told to stop.
pub(super) async fn serve(
    listener: Listener,
    stage: Arc<Stage>,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (reporter, health) = health_reporter();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut workers = Vec::new();
    let mut ends = JoinSet::new();
    for number in 0..threads {
        let (connections, waiting) = mpsc::channel(MAX_WAITING);
        let (tell, end) = oneshot::channel();
        let (stage, health, stop) = (Arc::clone(&stage), health.clone(), stop.clone());
        let work = move || {
            // Nobody listens any more only when the process ends anyway.
            let _ = tell.send(run_worker(&stage, threads, (waiting, health), stop));
        };
        thread::Builder::new().name(format!("checks-{number}")).spawn(work).context("no thread for checks")?;
        workers.push(connections);
        ends.spawn(end);
    }
    tokio::select! {
        () = stop.cancelled() => {}
        () = distribute(&listener, &workers) => anyhow::bail!("a thread for checks takes no connections"),
        () = tell_health(&reporter, readiness) => {}
        Some(_) = ends.join_next() => anyhow::bail!("a thread for checks ended by itself"),
    }
    drop((listener, workers));
    while let Some(ended) = ends.join_next().await {
        ended?.context("a thread for checks panicked")??;
    }
    Ok(())
}

/// Hands out connections in turn. Returns when a worker is gone.
async fn distribute(listener: &Listener, workers: &[mpsc::Sender<Parked>]) {
    for worker in workers.iter().cycle() {
        let Ok(stream) = accept(listener).await;
        match stream.park() {
            Ok(parked) => {
                if worker.send(parked).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, "a connection was lost on its way to a thread for checks"),
        }
    }
}

/// One thread: a runtime, and everything a check needs on it.
fn run_worker(
    stage: &Stage,
    threads: usize,
    (waiting, health): (mpsc::Receiver<Parked>, HealthServer<impl Health>),
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let incoming = stream::unfold(waiting, |mut waiting| async move {
        let stream = waiting.recv().await?.wake();
        Some((stream, waiting))
    });
    runtime.block_on(async {
        Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE.0))
            .http2_keepalive_timeout(Some(KEEPALIVE.1))
            .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
            .add_service(health)
            .add_service(stage.seat(threads)?)
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await
            .context("the gRPC server failed")
    })
}

/// Tells Envoy's health checks whether checks are worth sending here, for ever.
async fn tell_health(reporter: &HealthReporter, readiness: Readiness) {
    let mut status = readiness.subscribe();
    loop {
        let takes_checks = status.borrow_and_update().takes_checks();
        let serving = if takes_checks { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", SERVICE_NAME] {
            reporter.set_service_status(service, serving).await;
        }
        if status.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
