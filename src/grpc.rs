//! The gRPC edge: Envoy's external authorization service. The only code that touches `envoy-types`.

mod admission;
mod decode;
mod encode;
mod in_band;
mod metadata;
mod timeout;
mod unary;
mod wire;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tower::Service;
use tracing::Instrument;

use self::unary::Unread;
use crate::check::Checker;
use crate::core::about::{About, Checked};
use crate::core::answer;
use crate::core::request::Request as HttpRequest;
use crate::core::verdict::Reason;
use crate::telemetry::context::Tracing;

use self::admission::Arrival;
pub use admission::{Admission, Capacity, ThreadLoad};
pub use in_band::LoginRoutes;

pub use envoy_types::pb::envoy::service::auth::v3::authorization_server::SERVICE_NAME;

/// The one method of the service.
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Where Envoy does not tell its timeout (`grpc-timeout`), a check takes at most this long.
const DEFAULT_BUDGET: Duration = Duration::from_secs(5);

/// We answer this much before Envoy gives up, so that the client gets our 503 and not Envoy's.
const MARGIN: Duration = Duration::from_millis(50);

/// A request's headers (60 KiB in Envoy, unless it is told otherwise) with its body, where Envoy sends one
/// (`with_request_body`; ours need 64 KiB). What is longer is answered 413.
const MAX_MESSAGE: usize = 1024 * 1024;

type Answering<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The ext_authz service. Cheap to clone.
#[derive(Clone)]
pub struct AuthzService(Arc<Inner>);

struct Inner {
    checker: Arc<ArcSwap<Checker>>,
    login_routes: Arc<LoginRoutes>,
    tracing: Tracing,
    admission: Admission,
    /// The answer to a check that is not taken on, made once.
    busy: Bytes,
    /// Whether a message that is too long was told on this thread: anybody may be able to send one.
    told: AtomicBool,
}

impl AuthzService {
    /// The service over its checker, which may be replaced at any time: each check takes the one it finds; and the login
    /// routes for apps in in-band mode.
    #[must_use]
    pub fn new(
        checker: Arc<ArcSwap<Checker>>,
        login_routes: Arc<LoginRoutes>,
        tracing: Tracing,
        admission: Admission,
    ) -> Self {
        let busy = framed(Checked { verdict: answer::busy(), about: About::default() });
        Self(Arc::new(Inner { checker, login_routes, tracing, admission, busy, told: AtomicBool::new(false) }))
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

    /// Called as soon as the head of a call is read; what it returns has to wait for its turn on the thread.
    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = Arc::clone(&self.0);
        let arrived = Instant::now();
        let arrival = service.admission.arrives(arrived);
        Box::pin(async move {
            if request.uri().path() == CHECK {
                Ok(unary::reply(service.answer(request, arrived, arrival).await))
            } else {
                Ok(Status::unimplemented("there is only Check").into_http())
            }
        })
    }
}

impl Inner {
    /// Never a gRPC error: Envoy takes one for a failure of the service, which `failure_mode_allow` would let through.
    async fn answer(&self, request: http::Request<Body>, arrived: Instant, arrival: Arrival) -> Bytes {
        let Some(_place) = self.admission.admit(arrival, Instant::now()) else {
            self.checker.load().shed();
            return self.busy.clone();
        };
        let (head, body) = request.into_parts();
        let metadata = MetadataMap::from_headers(head.headers);
        let budget = timeout::of(&metadata).unwrap_or(DEFAULT_BUDGET);
        let deadline = arrived + budget.saturating_sub(MARGIN.min(budget / 4));
        let checked = match timeout_at(deadline, unary::message(body, MAX_MESSAGE)).await {
            Ok(Ok(message)) => self.check(&metadata, &message, deadline).await,
            Ok(Err(Unread::Gone)) => return self.busy.clone(),
            Ok(Err(Unread::TooLong)) => {
                self.tell_too_long();
                self.refuse(413)
            }
            Ok(Err(Unread::Malformed)) => self.refuse(400),
            Err(_elapsed) => self.checker.load().settle(None, answer::busy()),
        };
        framed(checked)
    }

    async fn check(&self, metadata: &MetadataMap, message: &[u8], deadline: Instant) -> Checked {
        let Ok(request) = decode::request(message) else { return self.refuse(400) };
        let checker = self.checker.load_full();
        if let Some(app) = checker.login_routes_of(&request) {
            let verdict = self.login_routes.answer(&request, &app, metadata, deadline).await;
            return checker.settle(Some(&app), verdict);
        }
        let span = self.tracing.check_span(metadata, request.headers.single("traceparent"));
        checker.check(&request, deadline).instrument(span).await
    }

    fn tell_too_long(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(limit = MAX_MESSAGE, "a check was refused for its length; told once on each thread");
        }
    }

    fn refuse(&self, status: u16) -> Checked {
        self.checker.load().settle(None, answer::refused(&HttpRequest::default(), status, Reason::Malformed))
    }
}

/// The answer, with what is told of it behind: fields of a message may come in any order.
fn framed(checked: Checked) -> Bytes {
    let Checked { verdict, about } = checked;
    let reason = verdict.reason();
    unary::framed(&encode::response(verdict), |frame| metadata::encode(&about, reason, frame))
}
