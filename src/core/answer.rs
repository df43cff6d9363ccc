//! Answers to requests that are not forwarded, each in the form that fits its kind of request.
//!
//! A person's navigation is sent to the login; a script, stream or prefetch gets 401 with a problem document
//! (RFC 9457); a posted form is told that it was not sent, because a redirect would turn it into a `GET`.

use std::borrow::Cow;
use std::fmt::Write;

use super::app::App;
use super::csrf;
use super::page::Page;
use super::request::Request;
use super::verdict::{Denial, Reason, Verdict};

/// The content security policy of our own pages: nothing but our own style, no script.
pub use super::page::CONTENT_SECURITY_POLICY;

/// Seconds after which a client may try again when the store or the provider does not answer.
const RETRY_AFTER: &str = "2";

/// What kind of client waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A person's browser loading a page.
    Navigation,
    /// A person's browser sending a form as a navigation.
    Form,
    /// gRPC: Envoy maps the HTTP status to `grpc-status` and the body to `grpc-message`.
    Grpc,
    /// Everything else: `fetch`, XHR, WebSocket, event stream, prefetch, subresource, command line.
    Script,
}

impl Kind {
    /// By content type, purpose, Fetch Metadata, and `Accept` where there is none.
    #[must_use]
    pub fn of(request: &Request<'_>) -> Self {
        let headers = &request.headers;
        let value = |name: &str| headers.single(name).unwrap_or_default();
        let safe = matches!(request.method, "GET" | "HEAD");
        let page = if safe { Self::Navigation } else { Self::Form };
        if value("content-type").starts_with("application/grpc") {
            return Self::Grpc;
        }
        let prefetch = value("sec-purpose").contains("prefetch") || value("purpose") == "prefetch";
        let stream = value("accept").starts_with("text/event-stream");
        let xhr = value("x-requested-with").eq_ignore_ascii_case("xmlhttprequest");
        if prefetch || stream || xhr || csrf::is_websocket(request) {
            return Self::Script;
        }
        match (headers.single("sec-fetch-mode"), headers.single("sec-fetch-dest")) {
            (Some("navigate"), Some("document") | None) => page,
            (Some(_), _) => Self::Script,
            (None, _) if accepts_html(value("accept")) => page,
            (None, _) => Self::Script,
        }
    }
}

/// Whether a request asks whether it may be sent later (CORS preflight): it never carries credentials.
#[must_use]
pub fn is_preflight(request: &Request<'_>) -> bool {
    request.method == "OPTIONS" && request.headers.has("origin") && request.headers.has("access-control-request-method")
}

/// A session is needed and there is none that counts.
#[must_use]
pub fn unauthenticated(request: &Request<'_>, app: &App, reason: Reason) -> Verdict {
    match Kind::of(request) {
        Kind::Navigation => {
            let location = format!("{}?return_to={}", own_url(request, app, &app.login_path()), escape(request.target));
            Verdict::Deny(Denial { status: 302, headers: with_location(location), body: String::new(), reason })
        }
        Kind::Form => page(401, &Page::form_not_sent(&app.login_path()), reason),
        Kind::Grpc => grpc(401, "sign in first", reason),
        Kind::Script => {
            let login = ("login_url", app.login_path());
            problem(
                401,
                "Sign in first",
                "This needs a session, and the request carries none that is valid.",
                Some(login),
                reason,
            )
        }
    }
}

/// A cross-site visit without cookie, where the cookie is SameSite=Strict: the page navigates to its own URL, now
/// as a same-site request, so that the cookie arrives. The second arrival has `Sec-Fetch-Site: same-origin`.
#[must_use]
pub fn bounce(request: &Request<'_>, app: &App) -> Verdict {
    page(200, &Page::navigate(&own_url(request, app, request.target)), Reason::Bounce)
}

/// Signed in, or not asked, but not allowed.
#[must_use]
pub fn forbidden(request: &Request<'_>, reason: Reason) -> Verdict {
    match Kind::of(request) {
        Kind::Navigation | Kind::Form => page(403, &Page::forbidden(), reason),
        Kind::Grpc => grpc(403, "not allowed", reason),
        Kind::Script => problem(403, "Not allowed", "This request is not allowed.", None, reason),
    }
}

/// A target that is no path, or a host that is no app's.
#[must_use]
pub fn refused(request: &Request<'_>, status: u16, reason: Reason) -> Verdict {
    match Kind::of(request) {
        Kind::Grpc => grpc(status, "refused", reason),
        Kind::Navigation | Kind::Form | Kind::Script => {
            problem(status, "Refused", "This request cannot be answered here.", None, reason)
        }
    }
}

/// Store or provider trouble: a denied response, never a gRPC error, which `failure_mode_allow` would let through.
#[must_use]
pub fn retry_later(request: &Request<'_>, reason: Reason) -> Verdict {
    let mut verdict = match Kind::of(request) {
        Kind::Navigation | Kind::Form => page(503, &Page::unavailable(), reason),
        Kind::Grpc => grpc(503, "try again later", reason),
        Kind::Script => {
            problem(503, "Try again later", "Your session is kept; it cannot be read just now.", None, reason)
        }
    };
    if let Verdict::Deny(denial) = &mut verdict {
        denial.headers.push(("retry-after".into(), RETRY_AFTER.to_owned()));
    }
    verdict
}

/// Too much is going on to look at the request, so this is for every kind: a line of text, which Envoy makes the
/// `grpc-message` of a gRPC client.
#[must_use]
pub fn busy() -> Verdict {
    let mut headers = base_headers("text/plain");
    headers.push(("retry-after".into(), RETRY_AFTER.to_owned()));
    let body = "Too much is going on here just now. Try again in a few seconds.".to_owned();
    Verdict::Deny(Denial { status: 503, headers, body, reason: Reason::Overload })
}

fn page(status: u16, page: &Page, reason: Reason) -> Verdict {
    let mut headers = base_headers("text/html; charset=utf-8");
    headers.push(("content-security-policy".into(), CONTENT_SECURITY_POLICY.to_owned()));
    Verdict::Deny(Denial { status, headers, body: page.render(), reason })
}

fn problem(status: u16, title: &str, detail: &str, extra: Option<(&str, String)>, reason: Reason) -> Verdict {
    let mut body = serde_json::json!({ "type": "about:blank", "title": title, "status": status, "detail": detail });
    if let (Some(members), Some((name, value))) = (body.as_object_mut(), extra) {
        members.insert(name.to_owned(), value.into());
    }
    let headers = base_headers("application/problem+json");
    Verdict::Deny(Denial { status, headers, body: body.to_string(), reason })
}

fn grpc(status: u16, message: &str, reason: Reason) -> Verdict {
    Verdict::Deny(Denial { status, headers: base_headers("text/plain"), body: message.to_owned(), reason })
}

fn with_location(location: String) -> Vec<(Cow<'static, str>, String)> {
    let mut headers = base_headers("text/plain");
    headers.push(("location".into(), location));
    headers
}

fn base_headers(content_type: &str) -> Vec<(Cow<'static, str>, String)> {
    vec![
        ("content-type".into(), content_type.to_owned()),
        ("cache-control".into(), "no-store".to_owned()),
        ("x-content-type-options".into(), "nosniff".to_owned()),
        ("referrer-policy".into(), "no-referrer".to_owned()),
    ]
}

/// An absolute URL on the app's configured origin: the request's host only chooses among several.
fn own_url(request: &Request<'_>, app: &App, target: &str) -> String {
    format!("{}{target}", app.origin_for(request.host).map_or("", |origin| origin.as_str()))
}

/// Percent-encodes a query value: all but unreserved characters and `/`.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 16);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn accepts_html(accept: &str) -> bool {
    accept.split(',').any(|part| {
        let kind = part.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
    })
}

#[cfg(test)]
mod tests;
