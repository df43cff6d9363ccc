//! In-band mode: Check hands a request for a login route to the very router that the HTTP listener serves, and gives back
//! its response as the denied response.
//!
//! The request is made of method, target, host, fields and body only: what would have come to the listener. The routes run on
//! the process's main runtime, not on the thread of the check, and end when nobody waits any more, exactly as they do
//! when a browser leaves the listener; what must finish then is theirs to see to.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::metadata::MetadataMap;
use tower::ServiceExt;

use crate::core::answer;
use crate::core::app::App;
use crate::core::in_band::HandedOver;
use crate::core::request::Request;
use crate::core::verdict::{Denial, Reason, Verdict};

/// More logins at once than this are answered 503, and never more than half of the places of checks: each holds one for
/// as long as the provider takes.
const MAX_AT_ONCE: usize = 1_000;

/// No page of ours comes near it.
const MAX_ANSWER: usize = 1024 * 1024;

/// Fields that speak of a connection, not of a message (RFC 9110 §7.6.1), or of a framing that Envoy has undone.
const OF_THE_CONNECTION: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// The login routes, as Check reaches them.
pub struct LoginRoutes {
    router: Router,
    runtime: Handle,
    tasks: TaskTracker,
    slots: Semaphore,
}

/// Not a request that the HTTP listener would take either.
struct Unfit;

impl LoginRoutes {
    /// The routes of `router`, to be run on `runtime`; `tasks` owns what runs. There are `checks` places of checks.
    #[must_use]
    pub fn new(router: Router, runtime: Handle, tasks: TaskTracker, checks: usize) -> Self {
        Self { router, runtime, tasks, slots: Semaphore::new(slots(checks)) }
    }

    /// Answers a request for the app's login routes by `deadline`. `metadata` is that of the check: trace context.
    pub(super) async fn answer(
        &self,
        request: &Request<'_>,
        app: &App,
        metadata: &MetadataMap,
        deadline: Instant,
    ) -> Verdict {
        let Ok(_slot) = self.slots.try_acquire() else { return answer::retry_later(request, Reason::Overload) };
        let Ok(handed) = hand_over(request, app, metadata) else {
            return answer::refused(request, 400, Reason::Malformed);
        };
        let router = self.router.clone();
        let answering = async move {
            let Ok(response) = router.oneshot(handed).await;
            denial(response).await
        };
        let answering = AbortOnDropHandle::new(self.tasks.spawn_on(answering, &self.runtime));
        match timeout_at(deadline, answering).await {
            Ok(Ok(Some(denial))) => Verdict::Deny(denial),
            // A panic, which is logged where it happens, or an answer that is no text.
            Ok(Ok(None) | Err(_)) | Err(_) => answer::retry_later(request, Reason::Provider),
        }
    }
}

/// Nobody could sign in with none.
fn slots(checks: usize) -> usize {
    MAX_AT_ONCE.min(checks / 2).max(1)
}

fn hand_over(request: &Request<'_>, app: &App, metadata: &MetadataMap) -> Result<http::Request<Body>, Unfit> {
    let target = PathAndQuery::try_from(request.target).map_err(|_| Unfit)?;
    let mut handed = http::Request::new(Body::from(Bytes::copy_from_slice(request.body)));
    *handed.method_mut() = Method::from_bytes(request.method.as_bytes()).map_err(|_| Unfit)?;
    *handed.uri_mut() = Uri::from(target);
    *handed.headers_mut() = fields(request, metadata)?;
    handed.extensions_mut().insert(HandedOver::with(request, app));
    Ok(handed)
}

fn fields(request: &Request<'_>, metadata: &MetadataMap) -> Result<HeaderMap, Unfit> {
    let mut fields = HeaderMap::new();
    for (name, value) in request.headers.iter().filter(|(name, _)| !name.starts_with(':')) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Unfit)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Unfit)?;
        if !OF_THE_CONNECTION.contains(&name) {
            fields.try_append(name, value).map_err(|_| Unfit)?;
        }
    }
    put(&mut fields, HOST, request.host.as_bytes())?;
    // Envoy's own span is the nearer parent; the request's field is the client's.
    if let Some(parent) = metadata.get("traceparent") {
        put(&mut fields, HeaderName::from_static("traceparent"), parent.as_bytes())?;
        fields.remove("tracestate");
        if let Some(state) = metadata.get("tracestate") {
            put(&mut fields, HeaderName::from_static("tracestate"), state.as_bytes())?;
        }
    }
    Ok(fields)
}

/// Not `insert`, which panics where the map can hold no more.
fn put(fields: &mut HeaderMap, name: HeaderName, value: &[u8]) -> Result<(), Unfit> {
    let value = HeaderValue::from_bytes(value).map_err(|_| Unfit)?;
    fields.try_insert(name, value).map_err(|_| Unfit)?;
    Ok(())
}

/// The response as it stands, whatever its status: nothing of it lets a request through. `None` if it is no text, which an
/// ext_authz answer cannot carry.
async fn denial(response: Response) -> Option<Denial> {
    let (parts, body) = response.into_parts();
    let mut headers = Vec::with_capacity(parts.headers.len());
    for (name, value) in parts.headers.iter().filter(|(name, _)| **name != DATE && !OF_THE_CONNECTION.contains(name)) {
        let value = std::str::from_utf8(value.as_bytes()).ok()?;
        headers.push((name.as_str().to_owned().into(), value.to_owned()));
    }
    let body = String::from_utf8(to_bytes(body, MAX_ANSWER).await.ok()?.into()).ok()?;
    Some(Denial { status: parts.status.as_u16(), headers, body, reason: Reason::LoginRoute })
}

#[cfg(test)]
mod tests;
