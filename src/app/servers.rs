//! The HTTP servers, for the login routes and for operators. Each ends when told to, after the connections it has.

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::door::Door;
use super::greeting::Greeting;

/// A dead peer is noticed after at most the sum of these.
pub(super) const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// A client has this long to send a request's head. For hyper that begins with the end of the request before, so it is
/// also how long a connection may be idle. Envoy's `idle_timeout` is shorter, so that it is Envoy who closes: a request
/// that it sent on a connection that we were just closing would fail.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a request's head: cookies of other apps can be large.
const HEAD_BYTES: usize = 64 * 1024;

/// Streams of one connection at once.
const MAX_STREAMS: u32 = 256;

/// Serves an axum router over HTTP/1.1 and HTTP/2 until told to stop.
pub(super) async fn http(door: Door, router: axum::Router, stop: CancellationToken) -> anyhow::Result<()> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX));
    let service = TowerToHyperService::new(router);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let (stream, place) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = door.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let stream = TokioIo::new(Greeting::new(stream));
        let connection = builder.serve_connection_with_upgrades(stream, service.clone()).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP connection ended early");
            }
        });
    }
    drop(door);
    graceful.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests;
