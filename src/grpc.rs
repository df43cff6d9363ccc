//! The gRPC edge: Envoy's external authorization service. The only code that touches `envoy-types`.

mod decode;
mod encode;
mod timeout;

use std::sync::Arc;
use std::time::Duration;

pub use envoy_types::pb::envoy::service::auth::v3::authorization_server::SERVICE_NAME;
use envoy_types::pb::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use tracing::Instrument;

use crate::check::Checker;
use crate::core::answer;
use crate::core::request::Request as HttpRequest;
use crate::core::verdict::Reason;
use crate::telemetry::context::Tracing;

/// Where Envoy does not tell its timeout (`grpc-timeout`), a check takes at most this long.
const DEFAULT_BUDGET: Duration = Duration::from_secs(5);

/// We answer this much before Envoy gives up, so that the client gets our 503 and not Envoy's.
const MARGIN: Duration = Duration::from_millis(50);

/// More checks than this at once are answered 503 right away.
const MAX_CHECKS: usize = 10_000;

/// The ext_authz service.
pub struct AuthzService {
    checker: Arc<Checker>,
    tracing: Tracing,
    slots: Arc<Semaphore>,
}

impl AuthzService {
    /// The service as tonic serves it.
    #[must_use]
    pub fn server(checker: Arc<Checker>, tracing: Tracing) -> AuthorizationServer<Self> {
        AuthorizationServer::new(Self { checker, tracing, slots: Arc::new(Semaphore::new(MAX_CHECKS)) })
    }

    async fn answer(&self, request: &HttpRequest<'_>, deadline: Instant) -> CheckResponse {
        let Ok(_slot) = self.slots.try_acquire() else {
            return encode::response(answer::retry_later(request, Reason::Overload));
        };
        encode::response(self.checker.check(request, deadline).await)
    }
}

#[tonic::async_trait]
impl Authorization for AuthzService {
    /// Never an error: Envoy takes a gRPC error for a failure of the service, which `failure_mode_allow` would let
    /// through. A request without HTTP attributes is answered by the empty app, that is refused.
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let budget = timeout::of(request.metadata()).unwrap_or(DEFAULT_BUDGET);
        let deadline = Instant::now() + budget.saturating_sub(MARGIN.min(budget / 4));
        let decoded = decode::request(request.get_ref());
        let span = self.tracing.check_span(request.metadata(), decoded.headers.single("traceparent"));
        let response = self.answer(&decoded, deadline).instrument(span).await;
        Ok(Response::new(response))
    }
}
