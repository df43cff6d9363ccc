//! An app: a protected site with its provider, cookie and rules. Built by `config`, read by all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::policy::Policy;
use super::request::Request;

/// One protected site.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name: in logs, sealed records and `context_extensions["app"]`.
    pub name: Arc<str>,
    /// Its public origins; the first is the one for absolute URLs where the host does not choose.
    pub origins: Vec<Origin>,
    /// The name of its provider.
    pub provider: Arc<str>,
    /// What an allowed request carries to the upstream.
    pub upstream: Upstream,
    /// The rules where no policy is named.
    pub default_policy: Policy,
    /// Rules by name, chosen by `context_extensions["policy"]`.
    pub policies: HashMap<String, Policy>,
    /// The session cookie.
    pub cookie: CookieSettings,
    /// Lifetimes and binding.
    pub session: SessionSettings,
    /// Refresh this long before the access token's expiry (at most a tenth of its lifetime).
    pub refresh_margin: Duration,
    /// The login routes.
    pub login: LoginSettings,
    /// The CSRF defence.
    pub csrf: CsrfSettings,
    /// Revoke tokens at the provider when the user signs out (RFC 7009).
    pub revoke_at_logout: bool,
}

/// A public origin: scheme, host and port, as a browser writes it (`https://shop.example.com`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    text: String,
    authority: String,
}

impl Origin {
    /// `text` is the serialised origin, lower case, without a default port and without a path; `config`
    /// made sure of that.
    #[must_use]
    pub fn new(text: String) -> Self {
        let authority = text.split_once("://").map_or("", |(_, rest)| rest).to_owned();
        Self { text, authority }
    }

    /// The origin as a browser writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and port as they stand in a `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether a `Host` header (any case, with or without the default port) names this origin.
    #[must_use]
    pub fn matches_host(&self, host: &str) -> bool {
        let default_port = if self.text.starts_with("https://") { ":443" } else { ":80" };
        let host = host.strip_suffix(default_port).unwrap_or(host);
        host.eq_ignore_ascii_case(&self.authority)
    }
}

/// What an allowed request carries to the upstream.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Which token `Authorization: Bearer` carries.
    pub authorization: Authorization,
    /// Headers (lower case) and the claim each shows.
    pub headers: Vec<ClaimHeader>,
}

/// Which token goes to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization {
    /// The access token.
    AccessToken,
    /// The ID token, for upstreams that take it as identity.
    IdToken,
    /// None: claim headers only. A client's own `Authorization` is removed all the same.
    Nothing,
}

/// One header made from one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimHeader {
    /// Lower-case header name.
    pub name: String,
    /// Claim name or dotted path.
    pub claim: String,
}

/// The session cookie.
#[derive(Debug, Clone)]
pub struct CookieSettings {
    /// Its name; carries a `__Host-` prefix unless configured otherwise.
    pub name: String,
    /// Its `SameSite` attribute.
    pub same_site: SameSite,
}

/// `SameSite` of the session cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Never sent on requests that another site started.
    Strict,
    /// Sent on top-level navigations from other sites.
    Lax,
}

/// Lifetimes and binding of a session.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The end of a session, counted from login.
    pub absolute: Duration,
    /// The end of a session that is not used.
    pub idle: Duration,
    /// Bind to `User-Agent`.
    pub bind_user_agent: bool,
    /// Bind to the client's address prefix.
    pub bind_ip_prefix: bool,
    /// What happens when the binding does not hold.
    pub on_bind_mismatch: BindMismatch,
}

/// The reaction to a session that shows up at another browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindMismatch {
    /// The user has to sign in again.
    Reauthenticate,
    /// A log line and a metric only.
    Log,
}

/// The login routes of an app.
#[derive(Debug, Clone)]
pub struct LoginSettings {
    /// Path prefix of our routes, without a trailing slash: `/auth`.
    pub prefix: String,
    /// Who brings requests for them to us.
    pub mode: LoginMode,
    /// How long a login may take.
    pub attempt_lifetime: Duration,
    /// Query parameters of `/auth/login` that go on to the provider.
    pub allow_params: Vec<String>,
    /// Scopes of the authorization request.
    pub scopes: Vec<String>,
    /// Complete the claims by the userinfo endpoint.
    pub userinfo: bool,
    /// Claims that `/auth/session` shows to the browser.
    pub session_claims: Vec<String>,
}

/// Who brings requests for the login routes to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginMode {
    /// A route in Envoy leads to our HTTP listener.
    Routed,
    /// Check itself answers them.
    InBand,
}

/// The CSRF defence (RFC 10017 §6.1.3.3).
#[derive(Debug, Clone)]
pub struct CsrfSettings {
    /// On unless the config says otherwise.
    pub enabled: bool,
    /// Other origins that may send unsafe requests with a session.
    pub trusted_origins: Vec<String>,
    /// A static header, name (lower case) and value, that every non-navigation request must carry.
    pub header: Option<(String, String)>,
}

impl App {
    /// The origin that a `Host` header names, else the first.
    #[must_use]
    pub fn origin_for(&self, host: &str) -> Option<&Origin> {
        self.origins.iter().find(|origin| origin.matches_host(host)).or_else(|| self.origins.first())
    }

    /// Where login starts, as a path on the app's origin.
    #[must_use]
    pub fn login_path(&self) -> String {
        format!("{}/login", self.login.prefix)
    }

    /// Where logout is posted to, as a path on the app's origin.
    #[must_use]
    pub fn logout_path(&self) -> String {
        format!("{}/logout", self.login.prefix)
    }
}

/// All apps of a process.
#[derive(Debug, Clone, Default)]
pub struct Apps {
    apps: Vec<Arc<App>>,
    in_band: bool,
}

impl Apps {
    /// Takes apps with distinct names and hosts; `config` made sure of that.
    #[must_use]
    pub fn new(apps: Vec<App>) -> Self {
        let in_band = apps.iter().any(|app| app.login.mode == LoginMode::InBand);
        Self { apps: apps.into_iter().map(Arc::new).collect(), in_band }
    }

    /// Whether Check answers the login routes of any app.
    #[must_use]
    pub const fn any_in_band(&self) -> bool {
        self.in_band
    }

    /// By name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<App>> {
        self.apps.iter().find(|app| &*app.name == name)
    }

    /// By `Host` header.
    #[must_use]
    pub fn by_host(&self, host: &str) -> Option<&Arc<App>> {
        self.apps.iter().find(|app| app.origins.iter().any(|origin| origin.matches_host(host)))
    }

    /// The app that a request is for: the one that Envoy names, else the one whose origin its host is.
    #[must_use]
    pub fn of(&self, request: &Request<'_>) -> Option<&Arc<App>> {
        request.app.map_or_else(|| self.by_host(request.host), |name| self.by_name(name))
    }

    /// In the order of the config.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.iter()
    }
}
