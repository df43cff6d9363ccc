//! One thread of checks: a runtime of its own, and the HTTP/2 connections that are at home on it.
//!
//! Not tonic's own server: that keeps a connection for ever which says nothing, and knows no way to renew connections
//! without cutting what is under way.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tonic::body::Body;
use tonic_health::pb::health_server::{Health, HealthServer, SERVICE_NAME as HEALTH};
use tower::Service as _;

use super::greeting::Greeting;
use super::listen::Parked;
use super::servers::KEEPALIVE;
use super::stop::Stop;
use crate::clock::random;
use crate::grpc::{AuthzService, ThreadLoad};

/// Streams of one connection at once. Envoy opens another connection for more, which goes to another thread.
const MAX_STREAMS: u32 = 1024;

/// Envoy resets a stream when its timeout is over or the browser goes. The stock bound of 20 resets that wait for
/// acceptance would end the whole connection of an Envoy worker; this one is not reached by all its streams at once.
const MAX_PENDING_RESETS: usize = 16 * MAX_STREAMS as usize;

/// Fields of a check's own head. Not all of it is Envoy's: its tracer puts the client's `tracestate` there as it came. A
/// head over the limit would be refused before it is ours to answer, which `failure_mode_allow` lets through; so it is
/// as long as a message (`grpc`), far over the headers that Envoy takes from a client unless it is told otherwise.
const HEAD_BYTES: u32 = 1024 * 1024;

/// What a peer may send of one message, and of all, before we read it.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A connection is renewed after this time, and up to a fifth more so that they do not all come at once. Envoy then
/// connects anew without losing a check: behind an address that several replicas share, checks so reach new replicas.
const AGE: Duration = Duration::from_secs(300);

/// What is under way on a connection that is renewed may take this long: no check takes longer.
const GRACE: Duration = Duration::from_secs(60);

/// A connection on its way to a thread, and its place among all.
pub(super) type Arrival = (Parked, OwnedSemaphorePermit);

/// What a connection is served with.
trait Served:
    Service<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible, Future: Send + 'static>
    + Send
    + 'static
{
}

impl<S> Served for S where
    S: Service<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible, Future: Send + 'static>
        + Send
        + 'static
{
}

/// Runs a thread until told to stop. `make` is called on its runtime.
pub(super) fn run(
    make: impl FnOnce(Arc<ThreadLoad>) -> anyhow::Result<AuthzService>,
    health: HealthServer<impl Health>,
    arrivals: mpsc::Receiver<Arrival>,
    stop: &Stop,
) -> anyhow::Result<()> {
    let load = Arc::new(ThreadLoad::new(Instant::now()));
    let (parking, unparking) = (Arc::clone(&load), Arc::clone(&load));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || parking.parks(Instant::now()))
        .on_thread_unpark(move || unparking.unparks(Instant::now()))
        .build()?;
    runtime.block_on(async {
        let services = Services { checks: make(load)?, health };
        tokio::select! {
            () = serve(arrivals, services, stop) => {}
            // What is left goes with the runtime.
            () = stop.ended() => {}
        }
        anyhow::Ok(())
    })
}

/// Takes connections until told to stop, then waits for those that are there.
async fn serve<S: Served + Clone>(mut arrivals: mpsc::Receiver<Arrival>, services: S, stop: &Stop) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.draining() => break,
            Some(arrival) = arrivals.recv() => take(arrival, &services, stop, &mut connections),
            Some(_) = connections.join_next() => {}
        }
    }
    // What was accepted before is told to go like the others, not dropped; nothing is handed out any more.
    while let Some(arrival) = arrivals.recv().await {
        take(arrival, &services, stop, &mut connections);
    }
    while connections.join_next().await.is_some() {}
}

fn take<S: Served + Clone>((parked, place): Arrival, services: &S, stop: &Stop, connections: &mut JoinSet<()>) {
    match parked.wake() {
        Ok(stream) => {
            let connection = connection(stream, services.clone(), stop.clone(), age());
            connections.spawn(async move {
                connection.await;
                drop(place);
            });
        }
        Err(error) => tracing::warn!(%error, "a connection was lost on its way to a thread for checks"),
    }
}

/// One connection, until its peer closes it, it is of this age, or the process stops.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    services: impl Served,
    stop: Stop,
    age: Duration,
) {
    let connection = builder().serve_connection(TokioIo::new(Greeting::new(stream)), services);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = sleep(age) => None,
        () = stop.draining() => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        // A peer that ignores this is cut off; while the process stops, its own limit may come first.
        timeout(GRACE, connection).await.unwrap_or(Ok(()))
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a gRPC connection ended early");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_header_list_size(HEAD_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

fn age() -> Duration {
    let [dice] = random::<1>();
    AGE + AGE / 5 * u32::from(dice) / 256
}

/// The services of a connection, by path.
struct Services<H> {
    checks: AuthzService,
    health: HealthServer<H>,
}

impl<H> Clone for Services<H> {
    fn clone(&self) -> Self {
        Self { checks: self.checks.clone(), health: self.health.clone() }
    }
}

impl<H: Health> Service<http::Request<Incoming>> for Services<H> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let request = request.map(Body::new);
        let service = request.uri().path().strip_prefix('/').and_then(|path| path.split('/').next());
        if service == Some(HEALTH) { self.health.clone().call(request) } else { self.checks.clone().call(request) }
    }
}

#[cfg(test)]
mod tests;
