//! The three servers: gRPC for Envoy, HTTP for the login routes, HTTP for operators. Each ends when told to, after
//! the connections it has.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::health_reporter;

use super::listen::Listener;
use crate::admin::readiness::Readiness;
use crate::check::Checker;
use crate::grpc::{AuthzService, SERVICE_NAME};
use crate::telemetry::context::Tracing;

/// Envoy resets a stream when its timeout is over or the browser goes. The stock bound of 20 resets that wait for
/// acceptance would end the whole connection of an Envoy worker.
const MAX_PENDING_RESETS: usize = 4096;

/// A dead peer is noticed after at most the sum of these.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// A client has this long to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request's head: cookies of other apps can be large.
const HEAD_BYTES: usize = 64 * 1024;

/// More connections wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;

/// After an error of `accept` (mostly: out of file descriptors) the next try waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves Envoy's checks and gRPC health until told to stop.
pub(super) async fn grpc(
    listener: Listener,
    (checker, tracing): (Arc<Checker>, Tracing),
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (reporter, health) = health_reporter();
    let incoming = stream::unfold(listener, |listener| async move { Some((accept(&listener).await, listener)) });
    let serve = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .add_service(health)
        .add_service(AuthzService::new(checker, tracing))
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
    let tell_health = async move {
        let mut status = readiness.subscribe();
        loop {
            let serving = if status.borrow_and_update().takes_checks() {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            for service in ["", SERVICE_NAME] {
                reporter.set_service_status(service, serving).await;
            }
            if status.changed().await.is_err() {
                return std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        served = serve => Ok(served?),
        () = tell_health => Ok(()),
    }
}

/// Serves an axum router over HTTP/1.1 and HTTP/2 until told to stop.
pub(super) async fn http(listener: Listener, router: axum::Router, stop: CancellationToken) -> anyhow::Result<()> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX));
    let service = TowerToHyperService::new(router);
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (accept(&listener).await, slot)
        };
        let (stream, slot) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok(stream) = stream;
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service.clone()).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            let _slot = slot;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP connection ended early");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}

/// The next connection. Errors of `accept` pass by themselves and concern no listener for good.
async fn accept(listener: &Listener) -> Result<super::listen::Stream, std::convert::Infallible> {
    loop {
        match listener.accept().await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted; tried again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
