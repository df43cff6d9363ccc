//! The HTTP servers, for the login routes and for operators. Each ends when told to, after the connections it has.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::listen::Listener;

/// A dead peer is noticed after at most the sum of these.
pub(super) const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// A client has this long to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request's head: cookies of other apps can be large.
const HEAD_BYTES: usize = 64 * 1024;

/// More connections wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;

/// After an error of `accept` (mostly: out of file descriptors) the next try waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
pub(super) async fn accept(listener: &Listener) -> Result<super::listen::Stream, std::convert::Infallible> {
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
