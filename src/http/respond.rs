//! Answers: every one leaves through here, with the headers that all of them carry.

use std::fmt::Display;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    SET_COOKIE, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use url::form_urlencoded;

use crate::clock::random;
use crate::core::answer::Kind;
use crate::core::app::App;
use crate::core::page::{self, Notice, Page};
use crate::core::request::Request;
use crate::core::return_to::ReturnTo;
use crate::core::set_cookie::SetCookie;
use crate::core::visit::Visit;

/// Seconds after which trying again makes sense.
const RETRY_AFTER_SECONDS: &str = "5";

/// A year: the browser comes back over TLS only.
const HSTS: &str = "max-age=31536000";

/// An answer to be.
pub(super) struct Answer {
    status: u16,
    policy: &'static str,
    headers: Vec<(HeaderName, String)>,
    cookies: Vec<SetCookie>,
    body: String,
}

impl Answer {
    /// A page.
    pub(super) fn page(status: u16, page: &Page) -> Self {
        Self::with(status, "text/html; charset=utf-8", page.render())
    }

    /// JSON of any kind.
    pub(super) fn json(status: u16, content_type: &str, body: String) -> Self {
        Self::with(status, content_type, body)
    }

    /// A redirect.
    pub(super) fn redirect(status: u16, location: String) -> Self {
        let mut answer = Self::with(status, "text/plain; charset=utf-8", String::new());
        answer.headers.push((LOCATION, location));
        answer
    }

    /// A notice in the form that fits who asks, logged under the same reference.
    pub(super) fn notice(request: &Request<'_>, app: Option<&App>, notice: &Notice, link: Option<&str>) -> Self {
        Self::explained(request, app, notice, link, None)
    }

    /// A notice without more to say in the log.
    pub(super) fn told(visit: &Visit<'_>, notice: &Notice, link: Option<&str>) -> Self {
        Self::explained(&visit.request, Some(visit.app), notice, link, None)
    }

    /// A notice with its cause, which is for the log only.
    pub(super) fn failed(visit: &Visit<'_>, notice: &Notice, link: Option<&str>, cause: &dyn Display) -> Self {
        Self::explained(&visit.request, Some(visit.app), notice, link, Some(cause))
    }

    /// Further cookies.
    pub(super) fn cookies(mut self, cookies: Vec<SetCookie>) -> Self {
        self.cookies.extend(cookies);
        self
    }

    /// A further header.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// For the page that needs another policy.
    pub(super) fn policy(self, policy: &'static str) -> Self {
        Self { policy, ..self }
    }

    /// The HTTP status.
    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    /// For `HEAD`.
    pub(super) fn without_body(self) -> Self {
        Self { body: String::new(), ..self }
    }

    /// With the headers that all answers carry. `secure`: on an `https` origin.
    pub(super) fn into_response(self, secure: bool) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(self.policy));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
        if secure {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
        }
        let cookies = self.cookies.iter().map(|cookie| (SET_COOKIE, cookie.header()));
        for (name, value) in self.headers.into_iter().chain(cookies) {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(name, value);
            } else {
                // Only a provider's URL could be such; its value stays out of the log.
                tracing::error!(http.header = %name, "a header could not be written");
            }
        }
        response
    }

    fn explained(
        request: &Request<'_>,
        app: Option<&App>,
        notice: &Notice,
        link: Option<&str>,
        cause: Option<&dyn Display>,
    ) -> Self {
        let reference = log(app, notice, cause);
        let answer = match Kind::of(request) {
            Kind::Navigation | Kind::Form => {
                Self::page(notice.status, &Page::notice(notice, link).reference(&reference))
            }
            Kind::Grpc | Kind::Script => {
                let login = app.filter(|_| notice.status == 401).map(App::login_path);
                let problem = page::problem(notice, login.as_deref(), &reference);
                Self::json(notice.status, "application/problem+json", problem)
            }
        };
        if notice.status == 503 { answer.header(RETRY_AFTER, RETRY_AFTER_SECONDS) } else { answer }
    }

    fn with(status: u16, content_type: &str, body: String) -> Self {
        Self {
            status,
            policy: page::CONTENT_SECURITY_POLICY,
            headers: vec![(CONTENT_TYPE, content_type.to_owned())],
            cookies: Vec::new(),
            body,
        }
    }
}

/// Where login starts, coming back to where somebody wanted to go.
pub(super) fn login_link(app: &App, return_to: Option<&ReturnTo>) -> String {
    let Some(target) = return_to.filter(|target| target.as_str() != "/") else { return app.login_path() };
    let target: String = form_urlencoded::byte_serialize(target.as_str().as_bytes()).collect();
    format!("{}?return_to={target}", app.login_path())
}

/// One event per notice, under a random reference that the person sees too.
fn log(app: Option<&App>, notice: &Notice, cause: Option<&dyn Display>) -> String {
    let reference = format!("{:08x}", u32::from_be_bytes(random()));
    let app = app.map_or("", |app| &*app.name);
    let cause = cause.map(tracing::field::display);
    if notice.status >= 500 {
        tracing::warn!(record.app = app, outcome = notice.name, reference, error = cause, "a web request failed");
    } else {
        tracing::info!(record.app = app, outcome = notice.name, reference, error = cause, "a web request was refused");
    }
    reference
}
