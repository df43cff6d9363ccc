//! A provider that does what a test says.

use std::sync::Mutex;

use async_trait::async_trait;
use coatcheck::core::claims::Claims;
use coatcheck::core::session::{Identity, Tokens};
use coatcheck::core::time::Timestamp;
use coatcheck::oidc::{
    Authenticated, AuthorizeRequest, EndSession, Provider, ProviderError, Redemption, RefreshError, RefreshRequest,
    Refreshed, TokenKind,
};
use secrecy::{ExposeSecret, SecretString};

pub(crate) const ISSUER: &str = "https://id.example.com";

/// What must never leave the process through an answer or a log.
pub(crate) const SECRETS: [&str; 4] = ["canary-access", "canary-refresh", "canary-id", "canary-code"];

/// How the provider behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) authorize: Mood,
    pub(crate) redeem: Mood,
    pub(crate) sends_issuer: bool,
    /// No refresh token comes with a login.
    pub(crate) access_only: bool,
    pub(crate) end_session: EndSessionMood,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Fine,
    Down,
    Misconfigured,
    Rejects,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum EndSessionMood {
    #[default]
    Fine,
    None,
    Down,
    Hangs,
}

/// What the provider was asked.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) authorized: Vec<AuthorizeRequest>,
    pub(crate) redeemed: Vec<Redemption>,
    pub(crate) revoked: Vec<(TokenKind, String)>,
    pub(crate) ended: Vec<EndSession>,
}

#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) script: Mutex<Script>,
    pub(crate) seen: Mutex<Seen>,
    /// No redemption is answered while somebody holds it.
    pub(crate) gate: tokio::sync::Mutex<()>,
}

impl Scripted {
    pub(crate) fn play(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    pub(crate) fn redemptions(&self) -> usize {
        self.seen.lock().unwrap().redeemed.len()
    }

    fn script(&self) -> Script {
        self.script.lock().unwrap().clone()
    }
}

impl Mood {
    fn check(self) -> Result<(), ProviderError> {
        match self {
            Self::Fine => Ok(()),
            Self::Down => Err(ProviderError::Unavailable("token endpoint: no answer".into())),
            Self::Misconfigured => Err(ProviderError::Misconfigured("token endpoint: invalid_client".into())),
            Self::Rejects => Err(ProviderError::Rejected("id token: wrong nonce".into())),
        }
    }
}

#[async_trait]
impl Provider for Scripted {
    fn name(&self) -> &'static str {
        "main"
    }

    fn issuer(&self) -> &'static str {
        ISSUER
    }

    async fn authorize(&self, request: AuthorizeRequest) -> Result<String, ProviderError> {
        self.script().authorize.check()?;
        let url = format!("{ISSUER}/authorize?state={}&nonce={}", request.state, request.nonce);
        self.seen.lock().unwrap().authorized.push(request);
        Ok(url)
    }

    async fn sends_issuer(&self) -> Result<bool, ProviderError> {
        Ok(self.script().sends_issuer)
    }

    async fn redeem(&self, redemption: Redemption) -> Result<Authenticated, ProviderError> {
        let own = {
            let mut seen = self.seen.lock().unwrap();
            // PKCE and nonce: the code is only good together with what its own authorization request carried.
            let own = seen.authorized.iter().any(|asked| {
                asked.nonce == redemption.nonce
                    && asked.verifier.expose_secret() == redemption.verifier.expose_secret()
                    && asked.redirect_uri == redemption.redirect_uri
            });
            seen.redeemed.push(redemption);
            own
        };
        drop(self.gate.lock().await);
        let script = self.script();
        script.redeem.check()?;
        if !own {
            return Err(ProviderError::Rejected("token endpoint: invalid_grant".into()));
        }
        let mut alice = alice();
        alice.tokens.refresh.take_if(|_| script.access_only);
        Ok(alice)
    }

    async fn refresh(&self, _: RefreshRequest) -> Result<Refreshed, RefreshError> {
        let error = ProviderError::Unavailable("not part of these tests".into());
        Err(RefreshError::Transient { error, reached: false })
    }

    async fn revoke(&self, token: SecretString, kind: TokenKind) -> Result<(), ProviderError> {
        self.seen.lock().unwrap().revoked.push((kind, token.expose_secret().to_owned()));
        Ok(())
    }

    async fn end_session(&self, request: EndSession) -> Result<Option<String>, ProviderError> {
        match self.script().end_session {
            EndSessionMood::Fine => {
                let url = format!("{ISSUER}/end?state={}", request.state);
                self.seen.lock().unwrap().ended.push(request);
                Ok(Some(url))
            }
            EndSessionMood::None => Ok(None),
            EndSessionMood::Down => Err(ProviderError::Unavailable("discovery: no answer".into())),
            EndSessionMood::Hangs => std::future::pending().await,
        }
    }

    async fn ready(&self) -> Result<(), ProviderError> {
        Ok(())
    }
}

fn alice() -> Authenticated {
    let claims = serde_json::json!({ "sub": "alice", "name": "Alice <b>", "groups": ["staff"], "secret_claim": "x" });
    Authenticated {
        identity: Identity { issuer: ISSUER.into(), subject: "alice".into(), provider_session: Some("sid-1".into()) },
        tokens: Tokens {
            access: "canary-access".into(),
            access_expires: Timestamp::from_secs(9_999_999_999),
            refresh: Some("canary-refresh".into()),
            id_token: Some("canary-id".into()),
            id_token_expires: None,
            scope: None,
        },
        claims: Claims::from_object(claims.as_object().unwrap()),
        auth_time: None,
    }
}
