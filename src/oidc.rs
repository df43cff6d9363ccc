//! The provider port: an OpenID provider in our terms. `openidconnect` stays behind it.
//!
//! An implementation promises:
//!
//! * **Deadlines and bounds.** Each call ends within the provider's configured timeout; answers over 1 MiB
//!   are refused; redirects are never followed.
//! * **Once.** `redeem` and `refresh` send exactly one token request; nothing is retried or probed.
//! * **Full validation.** What `redeem` and `refresh` return has been checked as OpenID Connect Core §3.1.3.7
//!   and §12.2 ask: signature, `iss`, `aud`, `azp`, `exp`, `iat`, `nonce`, `at_hash`, algorithm allow-list.
//! * **No secrets in errors.** Texts name the endpoint and the OAuth error code, never a token, code or secret.
//! * **Lazy.** Discovery happens on first use and is kept; a provider that is down at start costs nothing but
//!   the requests that need it.

mod browser;
pub mod client;
mod discovery;
mod http;
mod id_token;
mod jwks;
mod kept;
mod refusal;
mod registration;
pub(crate) mod revocation;
mod token;
mod userinfo;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::core::claims::Claims;
use crate::core::session::{Identity, Tokens};
use crate::core::time::Timestamp;

/// A provider shared by all flows of a process.
pub type SharedProvider = Arc<dyn Provider>;

/// The providers of a process by their configured names.
#[derive(Clone, Default)]
pub struct Providers(Arc<HashMap<Arc<str>, SharedProvider>>);

impl Providers {
    /// Takes providers with distinct names; `config` made sure of that.
    #[must_use]
    pub fn new(providers: Vec<SharedProvider>) -> Self {
        Self(Arc::new(providers.into_iter().map(|provider| (Arc::from(provider.name()), provider)).collect()))
    }

    /// By configured name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&SharedProvider> {
        self.0.get(name)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &SharedProvider> {
        self.0.values()
    }
}

/// An OpenID provider together with our registration there.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// The configured name.
    fn name(&self) -> &str;

    /// The configured issuer, exactly.
    fn issuer(&self) -> &str;

    /// The authorization request as an URL for the browser: code flow, PKCE S256, state, nonce.
    async fn authorize(&self, request: AuthorizeRequest) -> Result<String, ProviderError>;

    /// Whether the provider announces `authorization_response_iss_parameter_supported` (RFC 9207): then an
    /// authorization response without `iss` is refused.
    async fn sends_issuer(&self) -> Result<bool, ProviderError>;

    /// Redeems a code and validates the ID token in full. With `userinfo`, completes the claims by the userinfo
    /// endpoint, whose `sub` must be the ID token's.
    async fn redeem(&self, redemption: Redemption) -> Result<Authenticated, ProviderError>;

    /// Refreshes once. See [`RefreshError`] for the reactions.
    async fn refresh(&self, request: RefreshRequest) -> Result<Refreshed, RefreshError>;

    /// Revokes a token (RFC 7009); `Ok` without a call when the provider has no revocation endpoint.
    async fn revoke(&self, token: SecretString, kind: TokenKind) -> Result<(), ProviderError>;

    /// The provider's end-session URL with hint and state (RP-Initiated Logout 1.0 §2), or `None` when it has
    /// no such endpoint.
    async fn end_session(&self, request: EndSession) -> Result<Option<String>, ProviderError>;

    /// Whether discovery has succeeded, trying it when it has not: for readiness. Cheap once it has.
    async fn ready(&self) -> Result<(), ProviderError>;
}

/// An authorization request.
#[derive(Debug, Clone)]
pub struct AuthorizeRequest {
    /// Our callback, built from the app's configured origin.
    pub redirect_uri: String,
    /// `scope` values.
    pub scopes: Vec<String>,
    /// `state`, random per attempt.
    pub state: String,
    /// `nonce`, random per attempt.
    pub nonce: String,
    /// The PKCE verifier; the challenge is derived from it (S256).
    pub verifier: SecretString,
    /// Further parameters that the app allows (`prompt`, `login_hint`, …).
    pub extra: Vec<(String, String)>,
}

/// A code to redeem.
#[derive(Debug, Clone)]
pub struct Redemption {
    /// The authorization code.
    pub code: SecretString,
    /// The redirect URI of the authorization request, exactly.
    pub redirect_uri: String,
    /// The attempt's `nonce`.
    pub nonce: String,
    /// The attempt's PKCE verifier.
    pub verifier: SecretString,
    /// Complete the claims by the userinfo endpoint.
    pub userinfo: bool,
}

/// Who signed in, with which tokens.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// (issuer, subject) and `sid`.
    pub identity: Identity,
    /// The tokens.
    pub tokens: Tokens,
    /// The claims of the ID token, completed by userinfo where asked for.
    pub claims: Claims,
    /// `auth_time`, in seconds since the epoch.
    pub auth_time: Option<u64>,
}

/// A refresh.
#[derive(Debug, Clone)]
pub struct RefreshRequest {
    /// The refresh token to present, once.
    pub refresh_token: SecretString,
    /// Who the session belongs to: a new ID token must name the same.
    pub identity: Identity,
    /// The original `auth_time`, when there was one.
    pub auth_time: Option<u64>,
}

/// What a refresh brought. What the provider left out is `None`: the old one is kept.
#[derive(Debug, Clone)]
pub struct Refreshed {
    /// The new access token.
    pub access: SecretString,
    /// When it ends: from `expires_in`, else the configured lifetime, counted from the answer.
    pub access_expires: Timestamp,
    /// A rotated refresh token.
    pub refresh: Option<SecretString>,
    /// A new ID token (validated) with its expiry and claims.
    pub id_token: Option<RefreshedIdToken>,
    /// The scope, when told.
    pub scope: Option<String>,
}

/// A validated ID token out of a refresh.
#[derive(Debug, Clone)]
pub struct RefreshedIdToken {
    /// The token.
    pub token: SecretString,
    /// Its `exp`.
    pub expires: Timestamp,
    /// Its claims.
    pub claims: Claims,
}

/// Which token is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// `token_type_hint=access_token`.
    Access,
    /// `token_type_hint=refresh_token`.
    Refresh,
}

/// A logout at the provider.
#[derive(Debug, Clone)]
pub struct EndSession {
    /// `id_token_hint`.
    pub id_token_hint: Option<SecretString>,
    /// `post_logout_redirect_uri`: fixed per app, registered at the provider.
    pub post_logout_redirect_uri: String,
    /// `state`, verified on return.
    pub state: String,
}

/// What went wrong at the provider. Each variant is a different reaction.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProviderError {
    /// No answer in time, no connection, 5xx, 429: try again later.
    #[error("the provider does not answer: {0}")]
    Unavailable(String),
    /// The provider refuses us: our registration (client, secret, redirect URI) or its metadata is wrong. An operator has to look.
    #[error("the provider refuses this client: {0}")]
    Misconfigured(String),
    /// This login cannot be completed (the code was refused, the ID token is not valid): start again.
    #[error("the provider's answer was not accepted: {0}")]
    Rejected(String),
}

/// What a failed refresh means for the session.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// `invalid_grant`: the refresh token is dead. The session ends unless somebody else refreshed meanwhile.
    #[error("the refresh token was refused: {0}")]
    Dead(String),
    /// The answer names another user or issuer, or carries an ID token that is not valid: the session ends.
    #[error("the refresh answer is not for this session: {0}")]
    Foreign(String),
    /// Anything else (timeout, 5xx, `invalid_client`, …): the session is kept. `reached` says whether the
    /// provider may have seen the token.
    #[error("the refresh failed: {error}")]
    Transient {
        /// What happened.
        error: ProviderError,
        /// `false` only when no byte of the request can have reached the provider.
        reached: bool,
    },
}
