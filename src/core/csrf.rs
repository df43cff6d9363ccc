//! The CSRF defence: which requests may use the session they carry.
//!
//! RFC 10017 §6.1.3.3: SameSite alone does not stop a sibling subdomain. Fetch Metadata decides; without it
//! `Origin`, then `Referer`; a request that may change something and shows none of them is refused.

use super::app::App;
use super::request::Request;

/// Whether a request may act with its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It comes from the app itself, a trusted origin, or is a plain visit.
    Trusted,
    /// Another site made the browser send it.
    Untrusted,
}

/// Judges a request. Pure header reading; the session is not needed.
#[must_use]
pub fn judge(request: &Request<'_>, app: &App) -> Standing {
    if !app.csrf.enabled {
        return Standing::Trusted;
    }
    if lacks_static_header(request, app) {
        return Standing::Untrusted;
    }
    // A repeated or unknown value says nothing reliable: fall back as if it were absent.
    match request.headers.single("sec-fetch-site") {
        Some("same-origin") => Standing::Trusted,
        Some("none") if !acts(request) => Standing::Trusted,
        Some("same-site" | "cross-site") => judge_foreign(request, app),
        Some(_) | None => judge_by_origin(request, app),
    }
}

/// Whether a request may change something: unsafe methods (RFC 9110 §9.2.1) and WebSocket handshakes, which
/// have no preflight and cannot carry a custom header.
#[must_use]
pub fn acts(request: &Request<'_>) -> bool {
    !matches!(request.method, "GET" | "HEAD" | "OPTIONS" | "TRACE") || is_websocket(request)
}

/// Whether a request is a WebSocket handshake.
#[must_use]
pub fn is_websocket(request: &Request<'_>) -> bool {
    request.headers.single("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Whether a request is a visit: a top-level navigation as Fetch Metadata describes it.
#[must_use]
pub fn is_top_level_navigation(request: &Request<'_>) -> bool {
    matches!(request.method, "GET" | "HEAD")
        && request.headers.single("sec-fetch-mode") == Some("navigate")
        && request.headers.single("sec-fetch-dest") == Some("document")
}

fn judge_foreign(request: &Request<'_>, app: &App) -> Standing {
    let trusted = request.headers.single("origin").is_some_and(|origin| is_trusted(origin, app));
    if trusted || is_top_level_navigation(request) && !is_websocket(request) {
        return Standing::Trusted;
    }
    Standing::Untrusted
}

fn judge_by_origin(request: &Request<'_>, app: &App) -> Standing {
    let shown = if request.headers.has("origin") {
        // `Origin: null` (sandboxed frames, some redirects) and repeated fields are nobody's.
        Some(request.headers.single("origin").is_some_and(|origin| is_trusted(origin, app)))
    } else {
        request.headers.single("referer").map(|referer| is_trusted(origin_of(referer), app))
    };
    match shown {
        Some(true) => Standing::Trusted,
        // A safe request of an old browser may come from anywhere: links have a foreign Referer.
        Some(false) if !acts(request) && !request.headers.has("origin") => Standing::Trusted,
        None if !acts(request) => Standing::Trusted,
        Some(false) | None => Standing::Untrusted,
    }
}

fn is_trusted(origin: &str, app: &App) -> bool {
    app.origins.iter().any(|own| own.as_str() == origin) || app.csrf.trusted_origins.iter().any(|other| other == origin)
}

/// Scheme, host and port of an URL.
fn origin_of(url: &str) -> &str {
    let start = url.find("://").map_or(url.len(), |at| at + 3);
    let end = url.get(start..).and_then(|rest| rest.find(['/', '?', '#', '\\'])).map_or(url.len(), |at| start + at);
    url.get(..end).unwrap_or_default()
}

/// The optional static header is asked of every request but visits, `GET` included (RFC 10017 §6.1.3.3.2).
fn lacks_static_header(request: &Request<'_>, app: &App) -> bool {
    let Some((name, value)) = &app.csrf.header else { return false };
    let visit = is_top_level_navigation(request) || is_websocket(request);
    !visit && request.headers.single(name) != Some(value)
}

#[cfg(test)]
mod tests;
