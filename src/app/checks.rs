//! The gRPC server for Envoy: one thread with a runtime of its own per core, each connection at home on one of them.
//!
//! A check is short. Handing its pieces from core to core, as a work-stealing runtime does, costs about as much as the
//! check itself; Envoy opens a connection per worker, so connections spread the load well enough. Work that outlives a
//! check runs on the process's main runtime.

use std::sync::Arc;
use std::thread;

use anyhow::Context;
use futures_util::future::select_all;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use super::door::Door;
use super::stage::Stage;
use super::stop::Stop;
use super::worker::{self, Arrival};
use crate::admin::readiness::Readiness;
use crate::grpc::SERVICE_NAME;

/// Connections on their way to a worker; more wait in the listener's backlog.
const MAX_WAITING: usize = 64;

/// Serves Envoy's checks and gRPC health until told to stop.
pub(super) async fn serve(door: Door, stage: Arc<Stage>, readiness: Readiness, stop: Stop) -> anyhow::Result<()> {
    let (reporter, health) = health_reporter();
    let mut workers = Vec::new();
    let mut ends = JoinSet::new();
    for number in 0..stage.threads() {
        let (connections, arrivals) = mpsc::channel(MAX_WAITING);
        let (tell, end) = oneshot::channel();
        let (stage, health, stop) = (Arc::clone(&stage), health.clone(), stop.clone());
        let work = move || {
            let make = |load| stage.seat(load);
            // Nobody listens any more only when the process ends anyway.
            let _ = tell.send(worker::run(make, health, arrivals, &stop));
        };
        thread::Builder::new().name(format!("checks-{number}")).spawn(work).context("no thread for checks")?;
        workers.push(connections);
        ends.spawn(end);
    }
    tokio::select! {
        () = stop.draining() => {}
        () = distribute(&door, &workers) => anyhow::bail!("a thread for checks takes no connections"),
        () = tell_health(&reporter, readiness) => {}
        Some(_) = ends.join_next() => anyhow::bail!("a thread for checks ended by itself"),
    }
    drop((door, workers));
    while let Some(ended) = ends.join_next().await {
        ended?.context("a thread for checks panicked")??;
    }
    Ok(())
}

/// Hands out connections in turn. Returns when a worker is gone.
async fn distribute(door: &Door, workers: &[mpsc::Sender<Arrival>]) {
    for turn in (0..workers.len()).cycle() {
        let (stream, place) = door.accept().await;
        match stream.park() {
            Ok(parked) => {
                if hand_out(workers, turn, (parked, place)).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, "a connection was lost on its way to a thread for checks"),
        }
    }
}

/// A worker that takes nothing any more.
#[derive(Debug, PartialEq, Eq)]
struct Gone;

/// To the worker whose turn it is; one that is behind is passed over, so that it holds up no other. Waits when all are.
async fn hand_out<T>(workers: &[mpsc::Sender<T>], turn: usize, mut arrival: T) -> Result<(), Gone> {
    for worker in workers.iter().cycle().skip(turn).take(workers.len()) {
        match worker.try_send(arrival) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(back)) => arrival = back,
            Err(TrySendError::Closed(_)) => return Err(Gone),
        }
    }
    let (first_free, ..) = select_all(workers.iter().map(|worker| Box::pin(worker.reserve()))).await;
    first_free.map_err(|_| Gone)?.send(arrival);
    Ok(())
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_worker_that_is_behind_holds_up_no_other() {
        let (senders, mut receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| mpsc::channel(1)).unzip();
        for (arrival, to) in [(1, 1), (2, 2), (3, 0)] {
            hand_out(&senders, 1, arrival).now_or_never().unwrap().unwrap();
            assert_eq!(receivers[to].len(), 1, "{arrival}");
        }
        let mut waiting = Box::pin(hand_out(&senders, 1, 4));
        assert!((&mut waiting).now_or_never().is_none(), "all are full");
        assert_eq!(receivers[0].recv().await, Some(3));
        waiting.await.unwrap();
        assert_eq!(receivers[0].recv().await, Some(4), "the first that has room, not the one whose turn it was");
        drop(receivers);
        assert_eq!(hand_out(&senders, 0, 5).await, Err(Gone));
    }
}
