//! The [`Provider`] over HTTP: puts discovery, keys, token requests and validation together.
//!
//! A token request is sent once and never again. Nothing that came from a token endpoint is used before its
//! ID token was validated; nothing that a refresh brought is lost because an ID token could not be.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openidconnect::core::CoreJsonWebKeySet;
use openidconnect::{ClientId, IssuerUrl};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use super::discovery::Metadata;
use super::http::{Endpoint, Http, HttpSetupError};
use super::id_token::{Invalid, Occasion, Presented, Rules, Verified};
use super::kept::{Kept, Renewal};
use super::refusal::{Refusal, UNSUPPORTED_TOKEN_TYPE};
use super::registration::Registration;
use super::token::TokenAnswer;
use super::{
    Authenticated, AuthorizeRequest, EndSession, Provider, ProviderError, Redemption, RefreshError, RefreshRequest,
    Refreshed, RefreshedIdToken, TokenKind, browser, jwks, userinfo,
};
use crate::clock::SharedClock;
use crate::config::ProviderConfig;
use crate::core::session::{Identity, Tokens};
use crate::core::time::Timestamp;
use crate::telemetry::metrics::Metrics;

/// The check of a refreshed ID token takes no longer: the tokens beside it wait to be stored.
const JUDGEMENT_BOUND: Duration = Duration::from_secs(3);

/// The client cannot be made from its configuration.
#[derive(Debug, thiserror::Error)]
#[error("provider {name}: {reason}")]
pub struct SetupError {
    name: String,
    reason: String,
}

/// An OpenID provider reached over HTTP.
pub struct OidcClient {
    name: String,
    client_id: ClientId,
    issuer: IssuerUrl,
    default_lifetime: Duration,
    registration: Registration,
    rules: Rules,
    http: Http,
    clock: SharedClock,
    metadata: Kept<Metadata>,
    keys: Kept<CoreJsonWebKeySet>,
}

/// What became of an ID token out of a refresh.
enum Judged {
    Valid(Verified),
    /// It could not be checked now: neither used nor held against the session.
    Unknown,
    Foreign(&'static str),
}

/// A token request that brought no tokens.
struct NoTokens {
    reached: bool,
    dead: bool,
    error: ProviderError,
}

impl OidcClient {
    /// Prepares a client. Nothing is sent before its first use.
    ///
    /// # Errors
    /// When the CA material holds no usable certificate (or the issuer is not a URL, which the
    /// configuration has ruled out).
    pub fn new(config: &ProviderConfig, clock: SharedClock, metrics: Metrics) -> Result<Self, SetupError> {
        let failed = |reason: String| SetupError { name: config.name.clone(), reason };
        let issuer = IssuerUrl::new(config.issuer.clone()).map_err(|_| failed("the issuer is not a URL".into()))?;
        let client_id = ClientId::new(config.client_id.clone());
        let http = Http::new(config, Arc::clone(&clock), metrics)
            .map_err(|error: HttpSetupError| failed(error.to_string()))?;
        Ok(Self {
            name: config.name.clone(),
            default_lifetime: config.default_token_lifetime,
            registration: Registration::new(config),
            rules: Rules::new(config, client_id.clone(), issuer.clone()),
            http,
            metadata: Kept::new("metadata", Arc::clone(&clock)),
            keys: Kept::new("keys", Arc::clone(&clock)),
            client_id,
            issuer,
            clock,
        })
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        self.metadata.get(Metadata::fetch(&self.http, &self.issuer)).await
    }

    /// The one token request of a redemption or refresh. `secrets` is what the form carries.
    async fn tokens(
        &self,
        metadata: &Metadata,
        form: &[(&str, &str)],
        secrets: &[&str],
    ) -> Result<TokenAnswer, NoTokens> {
        let request = self.registration.sign(self.http.post(metadata.token.url().as_str()), form);
        let answer = self.http.send(Endpoint::Token, request).await.map_err(|failure| NoTokens {
            reached: failure.reached,
            dead: false,
            error: failure.into(),
        })?;
        let mut secrets = secrets.to_vec();
        secrets.push(self.registration.secret());
        TokenAnswer::read(&answer, &secrets).map_err(|refusal| {
            self.http.failed(Endpoint::Token, refusal.kind);
            NoTokens { reached: true, dead: refusal.dead, error: refusal.error }
        })
    }

    /// Validates an ID token; where no key fits, once more with renewed keys. The inner error says that it
    /// is not valid, the outer one that this cannot be known now.
    async fn verify(
        &self,
        metadata: &Metadata,
        presented: &Presented<'_>,
    ) -> Result<Result<Verified, Invalid>, ProviderError> {
        let keys = self.keys.get(jwks::fetch(&self.http, &metadata.jwks)).await?;
        let first = self.rules.verify(presented, &keys, self.clock.now());
        match &first {
            Err(Invalid::NoKey(_) | Invalid::Signature(_)) => {}
            Ok(_) | Err(Invalid::Token(_)) => return Ok(first),
        }
        match self.keys.renew(&keys, jwks::fetch(&self.http, &metadata.jwks)).await? {
            Renewal::Newer(keys) => Ok(self.rules.verify(presented, &keys, self.clock.now())),
            Renewal::TooSoon => Ok(first),
        }
    }

    /// Judges the ID token of a refresh without ever losing what came with it: keys that cannot be had or
    /// are not published yet are no reason to end a session (Core §12.2 lets a provider leave the token out).
    async fn judge(&self, metadata: &Metadata, presented: &Presented<'_>, identity: &Identity) -> Judged {
        let why = match timeout(JUDGEMENT_BOUND, self.verify(metadata, presented)).await {
            Ok(Ok(Ok(verified))) => return Judged::Valid(verified),
            Ok(Ok(Err(Invalid::Signature(text) | Invalid::Token(text)))) => return Judged::Foreign(text),
            Ok(Ok(Err(Invalid::NoKey(text)))) => text.to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the provider's keys do not come".to_owned(),
        };
        if presented.names_another(identity) {
            return Judged::Foreign("the ID token names another user or issuer");
        }
        tracing::warn!(
            provider = self.name,
            reason = why,
            "the refreshed ID token cannot be checked; the old one is kept"
        );
        Judged::Unknown
    }

    fn access_expires(&self, lifetime: Option<Duration>) -> Timestamp {
        self.clock.now() + lifetime.unwrap_or(self.default_lifetime)
    }
}

#[async_trait]
impl Provider for OidcClient {
    fn name(&self) -> &str {
        &self.name
    }

    fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    async fn authorize(&self, request: AuthorizeRequest) -> Result<String, ProviderError> {
        let metadata = self.metadata().await?;
        browser::authorize(&metadata, &self.client_id, &self.issuer, request)
    }

    async fn sends_issuer(&self) -> Result<bool, ProviderError> {
        Ok(self.metadata().await?.sends_issuer)
    }

    async fn redeem(&self, redemption: Redemption) -> Result<Authenticated, ProviderError> {
        let metadata = self.metadata().await?;
        let (code, pkce) = (redemption.code.expose_secret(), redemption.verifier.expose_secret());
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redemption.redirect_uri),
            ("code_verifier", pkce),
        ];
        let answer = self.tokens(&metadata, &form, &[code, pkce]).await.map_err(|no| no.error)?;
        let access_expires = self.access_expires(answer.lifetime);
        let id_token =
            answer.id_token.ok_or_else(|| ProviderError::Rejected("token: the answer holds no ID token".into()))?;
        let occasion = Occasion::Login { nonce: &redemption.nonce };
        let presented = Presented { token: &id_token, access: &answer.access, occasion };
        let verified = self.verify(&metadata, &presented).await?.map_err(|invalid| {
            self.http.failed(Endpoint::Token, "id_token");
            ProviderError::Rejected(invalid.text().into())
        })?;
        let mut claims = verified.claims;
        if redemption.userinfo {
            let endpoint = metadata.userinfo.as_ref();
            claims.complete(userinfo::fetch(&self.http, endpoint, &answer.access, &verified.subject).await?);
        }
        Ok(Authenticated {
            identity: Identity {
                issuer: self.issuer.to_string(),
                subject: verified.subject,
                provider_session: verified.provider_session,
            },
            tokens: Tokens {
                access: answer.access,
                access_expires,
                refresh: answer.refresh,
                id_token: Some(id_token),
                id_token_expires: Some(verified.expires),
                scope: answer.scope,
            },
            claims,
            auth_time: verified.auth_time,
        })
    }

    async fn refresh(&self, request: RefreshRequest) -> Result<Refreshed, RefreshError> {
        let metadata = self.metadata().await.map_err(|error| RefreshError::Transient { error, reached: false })?;
        let presented = request.refresh_token.expose_secret();
        let form = [("grant_type", "refresh_token"), ("refresh_token", presented)];
        let answer = self.tokens(&metadata, &form, &[presented]).await.map_err(|no| {
            if no.dead {
                RefreshError::Dead(no.error.to_string())
            } else {
                RefreshError::Transient { error: no.error, reached: no.reached }
            }
        })?;
        let access_expires = self.access_expires(answer.lifetime);
        let mut id_token = None;
        if let Some(token) = answer.id_token {
            let occasion = Occasion::Refresh { identity: &request.identity, auth_time: request.auth_time };
            let presented = Presented { token: &token, access: &answer.access, occasion };
            match self.judge(&metadata, &presented, &request.identity).await {
                Judged::Valid(Verified { expires, claims, .. }) => {
                    id_token = Some(RefreshedIdToken { token, expires, claims });
                }
                Judged::Unknown => {}
                Judged::Foreign(text) => {
                    self.http.failed(Endpoint::Token, "id_token");
                    return Err(RefreshError::Foreign(text.into()));
                }
            }
        }
        Ok(Refreshed { access: answer.access, access_expires, refresh: answer.refresh, id_token, scope: answer.scope })
    }

    async fn revoke(&self, token: SecretString, kind: TokenKind) -> Result<(), ProviderError> {
        let metadata = self.metadata().await?;
        let Some(endpoint) = &metadata.revocation else { return Ok(()) };
        let hint = match kind {
            TokenKind::Access => "access_token",
            TokenKind::Refresh => "refresh_token",
        };
        let form = [("token", token.expose_secret()), ("token_type_hint", hint)];
        let request = self.registration.sign(self.http.post(endpoint.url().as_str()), &form);
        let answer = self.http.send(Endpoint::Revocation, request).await?;
        // RFC 7009 §2.2: 200 for a token that is unknown or spent, too.
        if answer.status.is_success() {
            return Ok(());
        }
        let secrets = [token.expose_secret(), self.registration.secret()];
        let refusal = Refusal::read("revocation", answer.status, &answer.body, &secrets);
        if refusal.kind == UNSUPPORTED_TOKEN_TYPE {
            // A self-contained access token, mostly: nothing can be done, and nothing is wrong.
            return Ok(());
        }
        self.http.failed(Endpoint::Revocation, refusal.kind);
        Err(refusal.error)
    }

    async fn end_session(&self, request: EndSession) -> Result<Option<String>, ProviderError> {
        Ok(browser::end_session(&*self.metadata().await?, &self.client_id, &request))
    }

    async fn ready(&self) -> Result<(), ProviderError> {
        self.metadata().await.map(|_| ())
    }
}

/// Says who it is for, never what it holds.
impl std::fmt::Debug for OidcClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcClient").field("name", &self.name).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
