//! A cookie jar as a browser keeps it: by host, name and path, with expiry, `Secure`, `SameSite` and the
//! `__Host-` rules. Loopback counts as trustworthy, as in browsers. It never sends what a browser would not.

use std::time::{Duration, Instant};

use url::Url;

/// What a request says about where it came from, as far as cookies care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Typed, or from the same site.
    SameSite,
    /// A top-level `GET` navigation from another site: `Strict` cookies stay home.
    CrossSiteNavigation,
    /// Anything else from another site: only `SameSite=None` cookies travel.
    CrossSiteOther,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    Strict,
    Lax,
    None,
}

/// One stored cookie.
#[derive(Clone, Debug)]
pub struct Cookie {
    pub host: String,
    pub name: String,
    pub value: String,
    pub path: String,
    pub same_site: SameSite,
    pub http_only: bool,
    pub secure: bool,
    /// The attributes as they came, for tests that assert on them.
    pub attributes: String,
    expires: Option<Instant>,
}

/// All cookies of one browser.
#[derive(Default)]
pub struct Jar {
    cookies: Vec<Cookie>,
    /// Every value ever set, for the leak check.
    pub ever: Vec<String>,
}

impl Jar {
    /// Takes one `Set-Cookie` line from a response of `url`.
    pub fn take(&mut self, url: &Url, line: &str) {
        let host = url.host_str().unwrap_or_default().to_owned();
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let (name, value) = pair.trim().split_once('=').expect("a cookie has a name");
        let mut cookie = Cookie {
            host,
            name: name.to_owned(),
            value: value.to_owned(),
            path: default_path(url),
            same_site: SameSite::Lax,
            http_only: false,
            secure: false,
            attributes: attributes.trim().to_owned(),
            expires: None,
        };
        let domain = apply(&mut cookie, attributes);
        assert_prefix(&cookie, domain.as_deref(), line);
        self.ever.push(cookie.value.clone());
        self.cookies.retain(|old| !same_slot(old, &cookie));
        if cookie.expires.is_none_or(|at| at > Instant::now()) {
            self.cookies.push(cookie);
        }
    }

    /// The `Cookie` header for a request, or nothing.
    pub fn header(&self, url: &Url, context: Context) -> Option<String> {
        let host = url.host_str().unwrap_or_default();
        let now = Instant::now();
        let mut fitting: Vec<&Cookie> = self.cookies.iter().collect();
        fitting.retain(|cookie| cookie.host == host && cookie.expires.is_none_or(|at| at > now));
        fitting.retain(|cookie| path_matches(url.path(), &cookie.path));
        fitting.retain(|cookie| travels(cookie.same_site, context));
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> = fitting.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The live cookies of a host.
    pub fn of(&self, host: &str) -> Vec<Cookie> {
        let now = Instant::now();
        let live = |cookie: &&Cookie| cookie.host == host && cookie.expires.is_none_or(|at| at > now);
        self.cookies.iter().filter(live).cloned().collect()
    }

    /// Puts a cookie in by hand (an application's own, or a forged one).
    pub fn plant(&mut self, url: &Url, pair: &str) {
        self.take(url, &format!("{pair}; Path=/; Secure; HttpOnly; SameSite=Strict"));
    }
}

/// Applies the attributes; returns the domain attribute if there was one.
fn apply(cookie: &mut Cookie, attributes: &str) -> Option<String> {
    let mut domain = None;
    for attribute in attributes.split(';').map(str::trim) {
        let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        match key.to_ascii_lowercase().as_str() {
            "path" => value.clone_into(&mut cookie.path),
            "secure" => cookie.secure = true,
            "httponly" => cookie.http_only = true,
            "domain" => domain = Some(value.to_owned()),
            "max-age" => cookie.expires = Some(from_max_age(value)),
            "expires" if value.contains(" 1970 ") && cookie.expires.is_none() => {
                cookie.expires = Some(Instant::now());
            }
            "samesite" => cookie.same_site = same_site(value),
            _ => {}
        }
    }
    domain
}

fn from_max_age(value: &str) -> Instant {
    let seconds: i64 = value.parse().expect("Max-Age is a number");
    Instant::now() + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn same_site(value: &str) -> SameSite {
    match value.to_ascii_lowercase().as_str() {
        "strict" => SameSite::Strict,
        "none" => SameSite::None,
        _ => SameSite::Lax,
    }
}

/// A browser drops a cookie that breaks its prefix's rules; here that is a failed test.
fn assert_prefix(cookie: &Cookie, domain: Option<&str>, line: &str) {
    if cookie.name.starts_with("__Host-") {
        let fine = cookie.secure && cookie.path == "/" && domain.is_none();
        assert!(fine, "a browser refuses this __Host- cookie: {line}");
    }
    if cookie.name.starts_with("__Host-Http-") {
        assert!(cookie.http_only, "a browser refuses this __Host-Http- cookie: {line}");
    }
}

fn same_slot(old: &Cookie, new: &Cookie) -> bool {
    old.host == new.host && old.name == new.name && old.path == new.path
}

fn travels(same_site: SameSite, context: Context) -> bool {
    match context {
        Context::SameSite => true,
        Context::CrossSiteNavigation => same_site != SameSite::Strict,
        Context::CrossSiteOther => same_site == SameSite::None,
    }
}

fn path_matches(request: &str, cookie: &str) -> bool {
    match request.strip_prefix(cookie) {
        Some(rest) => rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

fn default_path(url: &Url) -> String {
    match url.path().rfind('/') {
        Some(0) | None => "/".to_owned(),
        Some(last) => url.path()[..last].to_owned(),
    }
}
