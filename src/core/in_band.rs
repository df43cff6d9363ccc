//! Login routes without a route in Envoy: which requests Check answers itself (`login.mode: in_band`), and what it hands to
//! the routes beside HTTP.

use std::net::IpAddr;
use std::sync::Arc;

use super::app::{App, Apps, LoginMode};
use super::cookie::{CookieText, Sender};
use super::path::Target;
use super::request::Request;

/// What only Check knows of a request that it hands to the login routes. No header can say it: a request from the network
/// comes without.
#[derive(Debug, Clone)]
pub struct HandedOver {
    /// The name of the app that it is for.
    pub app: Arc<str>,
    /// The client, as a check sees it.
    pub client: Option<IpAddr>,
    /// How the `Cookie` field was written.
    pub cookies: Lines,
    /// Whether the body is all there.
    pub body: Extent,
}

/// How repeated header fields reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Each line by itself (`encode_raw_headers`).
    Apart,
    /// Joined by commas.
    Joined,
}

/// How much of a body Envoy sent along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// As much as there is, or none because Envoy was not asked for it.
    Whole,
    /// Cut at Envoy's limit (`allow_partial_message`), or perhaps so.
    Cut,
}

impl HandedOver {
    /// What goes along with a request for an app's login routes.
    #[must_use]
    pub fn with(request: &Request<'_>, app: &App) -> Self {
        let cookies = if request.cookies.is_joined() { Lines::Joined } else { Lines::Apart };
        Self { app: Arc::clone(&app.name), client: request.client, cookies, body: extent(request) }
    }
}

/// The app whose login routes a request is for, if Check is to answer them. Only a path that is read in one way gets there;
/// any other is judged by the rules.
#[must_use]
pub fn app_of<'a>(request: &Request<'_>, apps: &'a Apps) -> Option<&'a Arc<App>> {
    // Spares every check a second search for its app where the mode is not used.
    if !apps.any_in_band() {
        return None;
    }
    let app = apps.of(request).filter(|app| app.login.mode == LoginMode::InBand)?;
    // Spares almost every request a second reading of its path.
    if !request.target.starts_with(&app.login.prefix) {
        return None;
    }
    let Some(Target::Plain(path)) = Target::parse(request.target) else { return None };
    let below = path.strip_prefix(&app.login.prefix)?;
    (below.is_empty() || below.starts_with('/')).then_some(app)
}

/// The cookies of a request to the login routes, by the rules of a check.
#[must_use]
pub fn cookies<'a>(lines: Vec<&'a [u8]>, handed: Option<&HandedOver>, sender: Sender) -> CookieText<'a> {
    match handed.map(|handed| handed.cookies) {
        Some(Lines::Joined) => lines.first().map(|line| CookieText::joined(line, sender)).unwrap_or_default(),
        Some(Lines::Apart) | None => CookieText::raw(lines),
    }
}

/// Envoy says `x-envoy-auth-partial-body: false` with a whole body. Whatever else stands there, a client's own field beside it
/// included, can only make the answer stricter.
fn extent(request: &Request<'_>) -> Extent {
    let name = "x-envoy-auth-partial-body";
    let cut = request.headers.has(name) && request.headers.single(name) != Some("false");
    if cut { Extent::Cut } else { Extent::Whole }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{app, request};
    use super::*;

    fn apps() -> Apps {
        let (mut shop, mut routed) = (app(), app());
        shop.login.mode = LoginMode::InBand;
        routed.name = "routed".into();
        routed.origins = vec![super::super::app::Origin::new("https://routed.example.com".into())];
        Apps::new(vec![shop, routed])
    }

    fn taken(line: &str, change: impl Fn(&mut Request<'_>)) -> bool {
        let mut request = request(line, &[]);
        change(&mut request);
        app_of(&request, &apps()).is_some()
    }

    #[test]
    fn the_prefix_and_what_is_below_it_is_answered_in_band() {
        for target in ["/auth", "/auth/", "/auth/login", "/auth/login?return_to=/../x", "/auth/no/such/route"] {
            assert!(taken(&format!("GET {target}"), |_| {}), "{target}");
            assert!(taken(&format!("POST {target}"), |_| {}), "{target}");
        }
        for target in ["/", "/authors", "/auth.", "/x/auth/login", "/Auth/login", "/aut", "auth/login", ""] {
            assert!(!taken(&format!("GET {target}"), |_| {}), "{target}");
        }
    }

    #[test]
    fn a_path_that_somebody_may_read_otherwise_is_never_in_band() {
        for target in [
            "/auth/../x",
            "/auth/%2e%2e/x",
            "/auth/./login",
            "/auth//login",
            "//auth/login",
            "/auth%2flogin",
            "/auth/%2flogin",
            "/auth/login;x",
            "/auth/l%6fgin",
            "/%61uth/login",
            "/auth/login\\x",
            "/auth/%00",
            "/auth/caf\u{e9}",
            "https://shop.example.com/auth/login",
        ] {
            assert!(!taken(&format!("GET {target}"), |_| {}), "{target}");
        }
    }

    #[test]
    fn the_app_is_the_one_that_a_check_finds() {
        assert!(!taken("GET /auth/login", |request| request.host = "routed.example.com"), "a routed app");
        assert!(!taken("GET /auth/login", |request| request.host = "nobody.example.com"));
        assert!(taken("GET /auth/login", |request| request.host = "SHOP.example.com:443"));
        assert!(!taken("GET /auth/login", |request| request.app = Some("routed")));
        assert!(!taken("GET /auth/login", |request| request.app = Some("nobody")));
        let named = |request: &mut Request<'_>| {
            request.app = Some("shop");
            request.host = "nobody.example.com";
        };
        assert!(taken("GET /auth/login", named), "and its routes then answer 421");
    }

    #[test]
    fn a_body_counts_as_cut_unless_envoy_says_that_it_is_whole() {
        let said = |values: &[&'static str]| {
            let headers: Vec<_> = values.iter().map(|value| ("x-envoy-auth-partial-body", *value)).collect();
            HandedOver::with(&request("POST /auth/logout", &headers), &app()).body
        };
        assert_eq!([said(&[]), said(&["false"])], [Extent::Whole; 2]);
        for values in [&["true"][..], &["true", "false"], &["false", "false"], &["true,false"], &["TRUE"], &[""]] {
            assert_eq!(said(values), Extent::Cut, "{values:?}");
        }
    }
}
