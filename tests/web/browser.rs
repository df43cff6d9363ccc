//! A small browser: a cookie jar, and an eye on everything that comes back.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Method, Request, StatusCode};
use tower::ServiceExt;
use url::Url;

use crate::bed::{Bed, COOKIE};
use crate::provider::{ISSUER, SECRETS};

#[derive(Clone)]
pub(crate) struct Browser<'a> {
    bed: &'a Bed,
    pub(crate) jar: BTreeMap<String, String>,
    pub(crate) origin: &'static str,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(bed: &'a Bed) -> Self {
        let headers = vec![("accept", "text/html"), ("user-agent", "Firefox/1")];
        Self { bed, jar: BTreeMap::new(), origin: "https://shop.example.com", headers }
    }

    pub(crate) async fn get(&mut self, target: &str) -> Seen {
        self.send(Method::GET, target, &[]).await
    }

    /// A form sent from our own page.
    pub(crate) async fn post(&mut self, target: &str) -> Seen {
        self.send(Method::POST, target, &[("sec-fetch-site", "same-origin")]).await
    }

    pub(crate) async fn send(&mut self, method: Method, target: &str, extra: &[(&str, &str)]) -> Seen {
        let host = self.origin.split_once("://").unwrap().1;
        let mut request = Request::builder().method(method).uri(target).header("host", host);
        for (name, value) in self.headers.iter().copied().chain(extra.iter().copied()) {
            request = request.header(name, value);
        }
        if !self.jar.is_empty() {
            let cookies: Vec<String> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", format!("theme=dark; {}", cookies.join("; ")));
        }
        let seen = send(self.bed, request.body(Body::empty()).unwrap()).await;
        self.take_cookies(&seen);
        seen
    }

    /// Begins a login; the path of the callback that a good provider would send the browser to.
    pub(crate) async fn begin(&mut self, target: &str) -> String {
        let seen = self.get(target).await;
        assert_eq!(seen.status, StatusCode::FOUND, "{seen:?}");
        let location = Url::parse(seen.location()).unwrap();
        assert_eq!(location.origin().ascii_serialization(), ISSUER);
        let state = location.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        format!("/auth/callback?code=canary-code&state={state}")
    }

    /// Signs in; the value of the session cookie.
    pub(crate) async fn sign_in(&mut self) -> String {
        let callback = self.begin("/auth/login").await;
        let seen = self.get(&callback).await;
        assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
        self.session().expect("a session cookie")
    }

    pub(crate) fn session(&self) -> Option<String> {
        self.jar.get(COOKIE).cloned()
    }

    pub(crate) fn attempts(&self) -> usize {
        self.jar.keys().filter(|name| name.starts_with(&format!("{COOKIE}.a."))).count()
    }

    fn take_cookies(&mut self, seen: &Seen) {
        for line in seen.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (pair, attributes) = line.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0;") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Seen {
    pub(crate) fn location(&self) -> &str {
        self.headers.get("location").expect("a location").to_str().unwrap()
    }

    pub(crate) fn cookies(&self) -> Vec<String> {
        self.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends one request and checks what every answer must fulfil.
pub(crate) async fn send(bed: &Bed, request: Request<Body>) -> Seen {
    let response = bed.router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    let seen = Seen { status: parts.status, headers: parts.headers, body };
    check_headers(&seen);
    check_cookies(&seen);
    let all = format!("{seen:?}");
    assert!(SECRETS.iter().all(|secret| !all.contains(secret)), "a secret came out: {all}");
    assert!(!seen.body.contains("<script"), "{}", seen.body);
    seen
}

fn check_headers(seen: &Seen) {
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(seen.header(name), value, "{name}: {seen:?}");
    }
    if seen.status != StatusCode::MISDIRECTED_REQUEST {
        assert_eq!(seen.header("strict-transport-security"), "max-age=31536000");
    }
    let policy = seen.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.contains("base-uri 'none'; frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let logout_page = seen.body.contains("<form");
    assert_eq!(policy.contains("form-action 'none'"), !logout_page, "{policy}");
    if seen.status == StatusCode::SERVICE_UNAVAILABLE {
        assert_eq!(seen.header("retry-after"), "5");
    }
}

fn check_cookies(seen: &Seen) {
    for cookie in seen.cookies() {
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert!(pair.starts_with(COOKIE), "{cookie}");
        assert!(pair.len() < 4096, "{cookie}");
        assert!(attributes.starts_with("Path=/; Secure; HttpOnly; SameSite="), "{cookie}");
        assert!(!attributes.contains("Domain"), "{cookie}");
    }
}
