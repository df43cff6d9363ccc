//! The HTTP edge: the login routes of every app, on one listener.
//!
//! Requests come from the listener, or from Check in in-band mode, which hands them over as they would have come here.
//! The app is chosen by the host against the configured origins, the route by the app's own prefix. Nothing else of
//! a request chooses anything, and no URL is ever built from one.

mod callback;
mod login;
mod logout;
mod respond;
mod session;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::response::Response;
use http::header::{ALLOW, COOKIE, HOST};
use http::request::Parts;
use http::{HeaderMap, Method};
use tracing::Instrument;

use crate::clock::SharedClock;
use crate::core::app::{App, Apps, Origin};
use crate::core::client::client_ip;
use crate::core::in_band::{self, Extent, HandedOver};
use crate::core::page::Notice;
use crate::core::request::{Headers, Request};
use crate::core::visit::Visit;
use crate::login::Login;
use crate::logout::Logout;
use crate::store::vault::Vault;
use crate::telemetry::context::Tracing;
use crate::telemetry::metrics::Metrics;
use respond::Answer;

/// No request to us needs a body; one up to this size is read and ignored.
const BODY_LIMIT: usize = 64 * 1024;

/// A body that is not there by then is not waited for: a trickle would hold its stream for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// What the routes need.
pub struct Web {
    /// The protected sites.
    pub apps: Apps,
    /// The login flow.
    pub login: Login,
    /// The logout flow.
    pub logout: Logout,
    /// Sessions, for `/auth/session`.
    pub vault: Arc<Vault>,
    /// The time.
    pub clock: SharedClock,
    /// Counters.
    pub metrics: Metrics,
    /// Makes the spans of routes.
    pub tracing: Tracing,
}

/// The routes of all apps. Everything goes through one function, because prefixes differ from app to app. The state may
/// be replaced at any time: each request takes the one it finds, and keeps it.
pub fn router(state: Arc<ArcSwap<Web>>) -> Router {
    Router::new().fallback(dispatch).with_state(state)
}

/// Our routes under an app's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Login,
    Callback,
    Logout,
    LoggedOut,
    Session,
}

impl Route {
    const ALL: [Self; 5] = [Self::Login, Self::Callback, Self::Logout, Self::LoggedOut, Self::Session];

    fn of(path: &str, app: &App) -> Option<Self> {
        let rest = path.strip_prefix(app.login.prefix.as_str())?;
        Self::ALL.into_iter().find(|route| route.path() == rest)
    }

    /// Below the app's prefix.
    const fn path(self) -> &'static str {
        match self {
            Self::Login => "/login",
            Self::Callback => "/callback",
            Self::Logout => "/logout",
            Self::LoggedOut => "/logout/done",
            Self::Session => "/session",
        }
    }

    /// `HEAD` is not for login and callback: what only looks must not begin or finish anything.
    const fn allow(self) -> &'static str {
        match self {
            Self::Login | Self::Callback => "GET",
            Self::Logout => "GET, HEAD, POST",
            Self::LoggedOut | Self::Session => "GET, HEAD",
        }
    }
}

async fn dispatch(State(current): State<Arc<ArcSwap<Web>>>, request: http::Request<Body>) -> Response {
    let web = current.load_full();
    let (parts, body) = request.into_parts();
    let handed = parts.extensions.get::<HandedOver>();
    let fields = header_fields(&parts.headers);
    let request = read(&parts, fields, handed);
    let site = site(&web.apps, request.host).filter(|(app, _)| handed.is_none_or(|handed| handed.app == app.name));
    let Some((app, origin)) = site else {
        return Answer::notice(&request, None, &Notice::UNKNOWN_HOST, None).into_response(false);
    };
    let visit = Visit { app, origin, request };
    let answer = answer(&web, &visit, &parts, body).await;
    let answer = if parts.method == Method::HEAD { answer.without_body() } else { answer };
    answer.into_response(origin.as_str().starts_with("https://"))
}

async fn answer(web: &Web, visit: &Visit<'_>, parts: &Parts, body: Body) -> Answer {
    let Some(route) = Route::of(parts.uri.path(), visit.app) else {
        return Answer::told(visit, &Notice::NOT_FOUND, Some("/"));
    };
    if !route.allow().split(", ").any(|method| method == parts.method.as_str()) {
        return Answer::told(visit, &Notice::METHOD_NOT_ALLOWED, Some("/")).header(ALLOW, route.allow());
    }
    let span = web.tracing.route_span(&parts.headers, &parts.method, parts.uri.path());
    if span.is_none() {
        return routed(web, visit, parts, body, route).await;
    }
    span.record("app", &*visit.app.name);
    let answer = routed(web, visit, parts, body, route).instrument(span.clone()).await;
    let status = answer.status();
    span.record("http.response.status_code", status);
    if status >= 500 {
        // What a client did wrong is no failure of the server.
        span.record("error.type", status.to_string());
        span.record("otel.status_code", "ERROR");
    }
    answer
}

async fn routed(web: &Web, visit: &Visit<'_>, parts: &Parts, body: Body, route: Route) -> Answer {
    if parts.extensions.get::<HandedOver>().is_some_and(|handed| handed.body == Extent::Cut) {
        return Answer::told(visit, &Notice::TOO_LARGE, None);
    }
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => return Answer::told(visit, &Notice::TOO_LARGE, None),
        Err(_) => return Answer::told(visit, &Notice::TOO_SLOW, None),
    }
    let query = parts.uri.query().unwrap_or_default();
    match route {
        Route::Login => login::show(web, visit, query).await,
        Route::Callback => callback::show(web, visit, query).await,
        Route::Logout if parts.method == Method::POST => logout::act(web, visit).await,
        Route::Logout => logout::show(visit),
        Route::LoggedOut => logout::done(web, visit, query),
        Route::Session => session::show(web, visit).await,
    }
}

/// The app that a host names, and which of its origins.
fn site<'a>(apps: &'a Apps, host: &str) -> Option<(&'a Arc<App>, &'a Origin)> {
    let app = apps.by_host(host)?;
    let origin = app.origins.iter().find(|origin| origin.matches_host(host))?;
    Some((app, origin))
}

fn read<'a>(parts: &'a Parts, fields: Vec<(&'a str, &'a [u8])>, handed: Option<&HandedOver>) -> Request<'a> {
    let headers = Headers::new(fields);
    let cookies = parts.headers.get_all(COOKIE).iter().map(http::HeaderValue::as_bytes).collect();
    Request {
        method: parts.method.as_str(),
        target: parts.uri.path(),
        host: host(parts).unwrap_or_default(),
        cookies: in_band::cookies(cookies, handed, headers.sender()),
        headers,
        body: &[],
        app: None,
        policy: None,
        client: handed.map_or_else(|| client(&parts.headers), |handed| handed.client),
    }
}

/// The host of a request: `:authority` or an absolute target, else `Host`. Two that differ name none.
fn host(parts: &Parts) -> Option<&str> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().ok()?),
        (None, _) => None,
        (Some(_), Some(_)) => return None,
    };
    match (parts.uri.authority().map(http::uri::Authority::as_str), header) {
        (Some(authority), Some(header)) if !authority.eq_ignore_ascii_case(header) => None,
        (Some(authority), _) => Some(authority),
        (None, header) => header,
    }
}

fn header_fields(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

fn client(headers: &HeaderMap) -> Option<IpAddr> {
    let external = headers.get("x-envoy-external-address").map(http::HeaderValue::as_bytes);
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back().map(http::HeaderValue::as_bytes);
    client_ip(external, forwarded)
}
