//! Sessions, put into a store by the library itself, as a login would.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coatcheck::clock::{Clock, SystemClock, random};
use coatcheck::core::claims::Claims;
use coatcheck::core::keyring::{KeyId, Keyring, ServerKey};
use coatcheck::core::session::{Binding, Identity, Session, Tokens};
use coatcheck::core::ticket::Ticket;
use coatcheck::store::SharedStore;
use coatcheck::store::vault::Vault;
use coatcheck::telemetry::metrics::Metrics;
use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use tokio::task::JoinSet;

use crate::Plan;
use crate::request;

const APP: &str = "shop";
const HOUR: Duration = Duration::from_secs(3600);

/// The server key of both sides.
pub(crate) const KEY: [u8; 32] = [0x5a; 32];

/// Checks with the cookies of sessions.
pub(crate) struct Sessions {
    /// With a token that is good for an hour.
    pub(crate) fresh: Vec<CheckRequest>,
    /// With a token that has just expired.
    pub(crate) expired: Vec<CheckRequest>,
}

/// A token of that many characters, as incompressible as a signed one.
pub(crate) fn token(length: usize) -> String {
    let bytes: [u8; 2_048] = random();
    let mut text = URL_SAFE_NO_PAD.encode(bytes);
    text.truncate(length);
    text
}

/// A cookie that looks like ours but was issued by nobody.
pub(crate) fn forged() -> String {
    let other = Keyring::new(vec![ServerKey::new(KeyId(1), [1; 32])]).unwrap();
    Ticket::issue(random(), &other).cookie_value(APP, &other).unwrap()
}

/// Fills a store.
pub(crate) async fn fill(store: SharedStore, issuer: &str, plan: &Plan) -> Sessions {
    let keyring = Keyring::new(vec![ServerKey::new(KeyId(1), KEY)]).unwrap();
    let vault = Arc::new(Vault::new(store, keyring, Arc::new(SystemClock), Metrics::new()));
    let fresh = create(&vault, issuer, plan.sessions, true).await;
    let expired = create(&vault, issuer, plan.refreshes * plan.rounds, false).await;
    Sessions { fresh, expired }
}

async fn create(vault: &Arc<Vault>, issuer: &str, count: usize, fresh: bool) -> Vec<CheckRequest> {
    let mut requests = Vec::with_capacity(count);
    let mut created = JoinSet::new();
    for number in 0..count {
        let (vault, session) = (Arc::clone(vault), session(issuer, number, fresh));
        created.spawn(async move {
            let began = SystemClock.now() - HOUR;
            let ticket = vault.create(&session, HOUR, began).await.unwrap().unwrap();
            ticket.cookie_value(APP, vault.keyring()).unwrap()
        });
        if created.len() >= 64 {
            requests.push(created.join_next().await.unwrap().unwrap());
        }
    }
    while let Some(cookie) = created.join_next().await {
        requests.push(cookie.unwrap());
    }
    requests.iter().map(|cookie| request::check("/products/42", Some(cookie))).collect()
}

fn session(issuer: &str, number: usize, fresh: bool) -> Session {
    let now = SystemClock.now();
    let (obtained, access_expires) = if fresh { (now, now + HOUR) } else { (now - HOUR, now) };
    let claims = [
        ("sub", format!("\"user-{number}\"")),
        ("name", "\"Maria Example\"".to_owned()),
        ("email", format!("\"user-{number}@example.com\"")),
        ("groups", "[\"staff\",\"buyers\"]".to_owned()),
    ];
    Session {
        app: APP.into(),
        provider: "main".into(),
        identity: Identity {
            issuer: issuer.to_owned(),
            subject: format!("user-{number}"),
            provider_session: Some(format!("sid-{number}-{fresh}")),
        },
        tokens: Tokens {
            access: token(1_700).into(),
            access_expires,
            refresh: Some(token(760).into()),
            id_token: Some(token(1_165).into()),
            id_token_expires: Some(access_expires),
            scope: Some("openid profile email offline_access".to_owned()),
        },
        claims: Claims::from_pairs(claims.map(|(name, json)| (name.to_owned(), json)).to_vec()),
        created: obtained,
        obtained,
        expires: now + 12 * HOUR,
        binding: Binding::default(),
        auth_time: None,
        client_hint: "Chrome, 192.0.2.0/24".to_owned(),
    }
}
