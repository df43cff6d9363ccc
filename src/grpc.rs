//! The gRPC edge: Envoy's external authorization service. The only code that touches `envoy-types`.

mod codec;
mod decode;
mod encode;
mod in_band;
mod timeout;
mod wire;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tower::Service;
use tracing::Instrument;

use self::codec::CheckCodec;
use crate::check::Checker;
use crate::core::answer;
use crate::core::request::Request as HttpRequest;
use crate::core::verdict::{Reason, Verdict};
use crate::telemetry::context::Tracing;

pub use in_band::LoginRoutes;

pub use envoy_types::pb::envoy::service::auth::v3::authorization_server::SERVICE_NAME;

/// The one method of the service.
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Where Envoy does not tell its timeout (`grpc-timeout`), a check takes at most this long.
const DEFAULT_BUDGET: Duration = Duration::from_secs(5);

/// We answer this much before Envoy gives up, so that the client gets our 503 and not Envoy's.
const MARGIN: Duration = Duration::from_millis(50);

/// A request with its body (`with_request_body`). Over this Envoy gets an error; the stock 4 MiB are soon reached.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// More checks than this at once are answered 503 right away.
const MAX_CHECKS: usize = 10_000;

type Answering<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The ext_authz service. Cheap to clone.
#[derive(Clone)]
pub struct AuthzService(Arc<Inner>);

struct Inner {
    checker: Arc<ArcSwap<Checker>>,
    login_routes: Arc<LoginRoutes>,
    tracing: Tracing,
    slots: Semaphore,
}

impl AuthzService {
    /// The service over its checker, which may be replaced at any time: each check takes the one it finds; and the login
    /// routes for apps in in-band mode.
    #[must_use]
    pub fn new(checker: Arc<ArcSwap<Checker>>, login_routes: Arc<LoginRoutes>, tracing: Tracing) -> Self {
        Self(Arc::new(Inner { checker, login_routes, tracing, slots: Semaphore::new(MAX_CHECKS) }))
    }
}

impl NamedService for AuthzService {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for AuthzService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() == CHECK {
                Ok(Grpc::new(CheckCodec).max_decoding_message_size(MAX_MESSAGE).unary(service, request).await)
            } else {
                Ok(Status::unimplemented("there is only Check").into_http())
            }
        })
    }
}

impl UnaryService<Bytes> for AuthzService {
    type Response = CheckResponse;
    type Future = Answering<Result<Response<CheckResponse>, Status>>;

    /// Never an error: Envoy takes a gRPC error for a failure of the service, which `failure_mode_allow` would let
    /// through.
    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let service = Arc::clone(&self.0);
        Box::pin(async move {
            let verdict = service.check(request.metadata(), request.get_ref()).await;
            Ok(Response::new(encode::response(verdict)))
        })
    }
}

impl Inner {
    async fn check(&self, metadata: &MetadataMap, message: &[u8]) -> Verdict {
        let checker = self.checker.load_full();
        let budget = timeout::of(metadata).unwrap_or(DEFAULT_BUDGET);
        let deadline = Instant::now() + budget.saturating_sub(MARGIN.min(budget / 4));
        let Ok(request) = decode::request(message) else {
            return checker.settle(None, answer::refused(&HttpRequest::default(), 400, Reason::Malformed));
        };
        if let Some(app) = checker.login_routes_of(&request) {
            let verdict = self.login_routes.answer(&request, &app, metadata, deadline).await;
            return checker.settle(Some(&app), verdict);
        }
        let Ok(_slot) = self.slots.try_acquire() else {
            return checker.settle(None, answer::retry_later(&request, Reason::Overload));
        };
        let span = self.tracing.check_span(metadata, request.headers.single("traceparent"));
        checker.check(&request, deadline).instrument(span).await
    }
}
