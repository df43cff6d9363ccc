//! `apps` as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OneOrMany, Span};

/// A protected site.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "app")]
pub(in crate::config) struct App {
    /// Its name: in logs, sealed records and Envoy's `context_extensions["app"]`. Letters, digits, `-`, `_`, `.`;
    /// at most 64. Changing it signs everybody out.
    #[schemars(required)]
    pub(in crate::config) name: Option<String>,
    /// Its public origin, or a list of them: scheme, host and port as a browser shows them, without a path.
    /// `http://` only for loopback hosts. A host belongs to one app.
    #[schemars(required)]
    pub(in crate::config) origin: Option<OneOrMany<String>>,
    /// The name of its provider.
    #[schemars(required)]
    pub(in crate::config) provider: Option<String>,
    /// What an allowed request carries to the upstream.
    #[serde(default)]
    pub(in crate::config) upstream: Upstream,
    /// Which requests need a session; the first match wins, and without a match a session is required.
    #[serde(default)]
    pub(in crate::config) rules: Vec<Rule>,
    /// Further sets of rules by name, chosen per route by Envoy's `context_extensions["policy"]`.
    #[serde(default)]
    pub(in crate::config) policies: BTreeMap<String, NamedPolicy>,
    /// The session cookie. It is always `Secure`, `HttpOnly`, `Path=/` and without a `Domain`.
    #[serde(default)]
    pub(in crate::config) cookie: Cookie,
    /// Lifetimes and binding of a session.
    #[serde(default)]
    pub(in crate::config) session: Session,
    /// When tokens are refreshed.
    #[serde(default)]
    pub(in crate::config) refresh: Refresh,
    /// The login routes.
    #[serde(default)]
    pub(in crate::config) login: Login,
    /// The defence against cross-site request forgery (RFC 10017 §6.1.3.3).
    #[serde(default)]
    pub(in crate::config) csrf: Csrf,
    /// Signing out.
    #[serde(default)]
    pub(in crate::config) logout: Logout,
}

/// What an allowed request carries to the upstream. These headers are removed from what the client sent, always.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "upstream")]
pub(in crate::config) struct Upstream {
    /// Which token `Authorization: Bearer` carries. A client's own `Authorization` is removed in any case.
    pub(in crate::config) authorization: Authorization,
    /// Further headers and the claim each shows: a claim's name, or a dotted path (`realm_access.roles`).
    pub(in crate::config) headers: BTreeMap<String, String>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self { authorization: Authorization::AccessToken, headers: BTreeMap::new() }
    }
}

/// Which token goes to the upstream.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum Authorization {
    /// The access token.
    AccessToken,
    /// The ID token, for upstreams that take it as identity.
    IdToken,
    /// No token.
    None,
}

/// One rule.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "rule")]
pub(in crate::config) struct Rule {
    /// The paths it is for, any of them. `*` stands for any characters within a segment; a last segment `**` for the
    /// path above it and everything below: `/admin/**` matches `/admin` and `/admin/a/b`. A trailing slash makes no
    /// difference, case does. Written decoded: `/my file`, not `/my%20file`.
    #[schemars(required, length(min = 1))]
    pub(in crate::config) paths: Option<Vec<String>>,
    /// The methods it is for, upper case; all methods without this key. `GET` includes `HEAD`.
    #[schemars(length(min = 1))]
    pub(in crate::config) methods: Option<Vec<String>>,
    /// Whether a session is needed.
    #[serde(default = "required")]
    pub(in crate::config) session: Need,
    /// Claims the session must hold, all of them; of each claim any of the values. Only with `session: required`.
    #[serde(default)]
    #[schemars(extend("minProperties" = 1))]
    pub(in crate::config) claims: BTreeMap<String, OneOrMany<ClaimValue>>,
}

fn required() -> Need {
    Need::Required
}

/// Whether a session is needed.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum Need {
    /// Without a session: login or 401.
    Required,
    /// With identity where there is a session, else without.
    Optional,
    /// Public: never with identity, and the store is not asked.
    None,
}

/// A value of a claim; numbers and booleans compare by their JSON text.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(in crate::config) enum ClaimValue {
    Text(String),
    Flag(bool),
    Whole(i64),
}

/// A named set of rules.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "policy")]
pub(in crate::config) struct NamedPolicy {
    /// The rules; the first match wins, and without a match a session is required.
    #[schemars(required)]
    pub(in crate::config) rules: Option<Vec<Rule>>,
}

/// The session cookie.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "cookie")]
pub(in crate::config) struct Cookie {
    /// Its name, at most 64 characters (RFC 6265 §4.1.1). Keep a `__Host-` prefix: without it a sibling domain can
    /// plant the cookie.
    pub(in crate::config) name: String,
    /// Its `SameSite` attribute.
    pub(in crate::config) same_site: SameSite,
}

impl Default for Cookie {
    fn default() -> Self {
        Self { name: "__Host-Http-coatcheck".into(), same_site: SameSite::Strict }
    }
}

/// `SameSite` of the session cookie.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum SameSite {
    /// Never sent on requests that another site started.
    Strict,
    /// Sent on top-level navigations from other sites. Accepted with a warning.
    Lax,
}

/// Lifetimes and binding of a session. The server decides them; the cookie has no `Max-Age`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "session")]
pub(in crate::config) struct Session {
    /// The end of a session, counted from login. `1s` to `365d`, at least `idle`.
    pub(in crate::config) absolute: Span,
    /// The end of a session that is not used. `1s` to `365d`.
    pub(in crate::config) idle: Span,
    /// What a session is bound to.
    pub(in crate::config) bind: Vec<Binding>,
    /// What happens when the binding does not hold.
    pub(in crate::config) on_bind_mismatch: BindMismatch,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            absolute: "12h".into(),
            idle: "30m".into(),
            bind: Vec::new(),
            on_bind_mismatch: BindMismatch::Reauthenticate,
        }
    }
}

/// What a session is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum Binding {
    /// The `User-Agent` header.
    UserAgent,
    /// The client's address prefix.
    IpPrefix,
}

/// The reaction to a session that shows up at another browser.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum BindMismatch {
    /// The user has to sign in again.
    Reauthenticate,
    /// A log line and a metric only.
    Log,
}

/// When tokens are refreshed.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "refresh")]
pub(in crate::config) struct Refresh {
    /// This long before the access token's expiry, at most a tenth of its lifetime. `0s` to `1h`.
    pub(in crate::config) margin: Span,
}

impl Default for Refresh {
    fn default() -> Self {
        Self { margin: "60s".into() }
    }
}

/// The login routes.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "login")]
pub(in crate::config) struct Login {
    /// Where they are on the app's origin: an absolute path without a trailing slash, not `/` itself.
    pub(in crate::config) prefix: String,
    /// Who brings requests for them to coatcheck.
    pub(in crate::config) mode: LoginMode,
    /// How long a login may take. `1s` to `10m`.
    pub(in crate::config) attempt_lifetime: Span,
    /// Query parameters of `<prefix>/login` that go on to the provider (OpenID Connect Core §3.1.2.1).
    pub(in crate::config) allow_params: Vec<LoginParam>,
    /// Complete the claims by the userinfo endpoint.
    pub(in crate::config) userinfo: bool,
    /// Claims that `<prefix>/session` shows to the browser.
    pub(in crate::config) session_claims: Vec<String>,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            prefix: "/auth".into(),
            mode: LoginMode::Routed,
            attempt_lifetime: "10m".into(),
            allow_params: Vec::new(),
            userinfo: false,
            session_claims: ["sub", "name", "email", "preferred_username"].map(str::to_owned).to_vec(),
        }
    }
}

/// Who brings requests for the login routes to coatcheck.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum LoginMode {
    /// A route in Envoy leads to `listen.http`.
    Routed,
    /// No route: Check itself answers them, as the response that Envoy gives in place of the application's.
    InBand,
}

/// A parameter of the authorization request.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum LoginParam {
    Prompt,
    LoginHint,
    AcrValues,
    MaxAge,
    UiLocales,
}

impl LoginParam {
    /// Its name in a query.
    pub(in crate::config) const fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::LoginHint => "login_hint",
            Self::AcrValues => "acr_values",
            Self::MaxAge => "max_age",
            Self::UiLocales => "ui_locales",
        }
    }
}

/// The defence against cross-site request forgery.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "csrf")]
pub(in crate::config) struct Csrf {
    /// Turning it off is accepted with a warning.
    pub(in crate::config) enabled: bool,
    /// Other origins that may send unsafe requests with a session. Written as `apps[].origin`.
    pub(in crate::config) trusted_origins: Vec<String>,
    /// A static header, `name: value`, that every request other than a navigation must carry too.
    pub(in crate::config) header: Option<String>,
}

impl Default for Csrf {
    fn default() -> Self {
        Self { enabled: true, trusted_origins: Vec::new(), header: None }
    }
}

/// Signing out.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "logout")]
pub(in crate::config) struct Logout {
    /// Revoke the tokens at the provider when the user signs out (RFC 7009), where it has an endpoint for that.
    pub(in crate::config) revoke: bool,
}

impl Default for Logout {
    fn default() -> Self {
        Self { revoke: true }
    }
}
