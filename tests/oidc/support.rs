//! What the tests share: a clock they set, a client of the hostile provider, a login and a refresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coatcheck::clock::Clock;
use coatcheck::config::{ClientAuth, ProviderConfig};
use coatcheck::core::session::Identity;
use coatcheck::core::time::Timestamp;
use coatcheck::oidc::client::OidcClient;
use coatcheck::oidc::{
    Authenticated, Provider as _, ProviderError, Redemption, RefreshError, RefreshRequest, Refreshed,
};
use coatcheck::telemetry::metrics::Metrics;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::hostile::{Hostile, Reply, TOKEN};
use crate::signer::Signer;

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const NONCE: &str = "the-nonce-of-this-attempt";
pub(crate) const ACCESS: &str = "the-access-token";
pub(crate) const VERIFIER: &str = "a-pkce-verifier-of-the-right-length-0123456789";
pub(crate) const SECRET: &str = "the-client-secret";

/// A clock that stands still until told otherwise.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub(crate) fn advance(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A client with its clock and metrics.
pub(crate) struct Relying {
    pub(crate) client: OidcClient,
    pub(crate) clock: TestClock,
    pub(crate) metrics: Metrics,
}

/// A configuration with patience: a busy machine must not look like a silent provider.
pub(crate) fn config(issuer: &str) -> ProviderConfig {
    ProviderConfig {
        name: "main".into(),
        issuer: issuer.into(),
        client_id: "shop".into(),
        client_secret: SECRET.into(),
        client_auth: ClientAuth::Basic,
        timeout: Duration::from_secs(20),
        clock_skew: Duration::from_secs(60),
        signing_algorithms: ["RS256", "PS256", "ES256", "EdDSA"].map(String::from).to_vec(),
        trusted_audiences: vec!["api".into()],
        ca: None,
        default_token_lifetime: Duration::from_secs(300),
    }
}

/// The configuration for `reply`: with little patience where nothing but the timeout ends the call.
pub(crate) fn config_for(reply: &Reply, issuer: &str) -> ProviderConfig {
    let config = config(issuer);
    if reply.hangs() { ProviderConfig { timeout: Duration::from_millis(700), ..config } } else { config }
}

/// A patient client and a hurried one.
pub(crate) struct Pair(Relying, Relying);

impl Pair {
    pub(crate) fn new(issuer: &str) -> Self {
        Self(relying(&config(issuer)), relying(&config_for(&Reply::Silence, issuer)))
    }

    /// The one that fits what the provider is going to answer, with discovery behind it.
    pub(crate) async fn awaiting(&self, reply: &Reply) -> &Relying {
        let relying = if reply.hangs() { &self.1 } else { &self.0 };
        for _ in 0..20 {
            if relying.client.ready().await.is_ok() {
                return relying;
            }
            relying.clock.advance(Duration::from_secs(1));
        }
        panic!("discovery does not succeed");
    }
}

pub(crate) fn relying(config: &ProviderConfig) -> Relying {
    let clock = TestClock(Arc::new(AtomicU64::new(NOW * 1000)));
    let metrics = Metrics::new();
    let client = OidcClient::new(config, Arc::new(clock.clone()), metrics.clone()).unwrap();
    Relying { client, clock, metrics }
}

/// Claims that are in order.
pub(crate) fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "sub": "u-1", "aud": "shop", "exp": NOW + 300, "iat": NOW, "nonce": NONCE,
        "auth_time": NOW - 5, "sid": "s-1", "email": "a@example.com",
    })
}

/// A token answer that is in order, with this ID token.
pub(crate) fn tokens(id_token: &str) -> Value {
    json!({
        "access_token": ACCESS, "token_type": "Bearer", "expires_in": 120, "refresh_token": "rt-2",
        "id_token": id_token, "scope": "openid email",
    })
}

/// Makes the token endpoint answer with these claims, signed.
pub(crate) fn offer(provider: &Hostile, signer: &Signer, claims: &Value) {
    provider.on(TOKEN, Reply::Json(200, tokens(&signer.sign(claims))));
}

impl Relying {
    pub(crate) async fn login(&self) -> Result<Authenticated, ProviderError> {
        self.redeem(false).await
    }

    pub(crate) async fn redeem(&self, userinfo: bool) -> Result<Authenticated, ProviderError> {
        let redemption = Redemption {
            code: "the-code".into(),
            redirect_uri: "https://shop.example.com/auth/callback".into(),
            nonce: NONCE.into(),
            verifier: VERIFIER.into(),
            userinfo,
        };
        self.client.redeem(redemption).await
    }

    pub(crate) async fn refresh(&self) -> Result<Refreshed, RefreshError> {
        let identity = Identity {
            issuer: self.client.issuer().into(),
            subject: "u-1".into(),
            provider_session: Some("s-1".into()),
        };
        let refresh_token = SecretString::from("rt-1");
        self.client.refresh(RefreshRequest { refresh_token, identity, auth_time: Some(NOW - 5) }).await
    }
}
