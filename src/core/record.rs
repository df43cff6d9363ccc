//! Sessions as at-rest records: the conversion to and from `proto/`, with nothing lost and nothing assumed.

use std::sync::Arc;

use prost::Message;
use secrecy::{ExposeSecret, SecretString};

use super::claims::Claims;
use super::proto;
use super::session::{Binding, Identity, Session, Tokens};
use super::time::Timestamp;

/// The layout that this version writes and the newest it reads.
pub const VERSION: u32 = 1;

/// A session as bytes, to be sealed.
#[must_use]
pub fn encode(session: &Session) -> Vec<u8> {
    let tokens = &session.tokens;
    proto::Session {
        app: session.app.to_string(),
        provider: session.provider.to_string(),
        issuer: session.identity.issuer.clone(),
        subject: session.identity.subject.clone(),
        provider_session: session.identity.provider_session.clone().unwrap_or_default(),
        access_token: tokens.access.expose_secret().to_owned(),
        access_expires_ms: tokens.access_expires.millis(),
        refresh_token: expose(tokens.refresh.as_ref()),
        id_token: expose(tokens.id_token.as_ref()),
        id_token_expires_ms: tokens.id_token_expires.map_or(0, Timestamp::millis),
        scope: tokens.scope.clone().unwrap_or_default(),
        claims: session
            .claims
            .pairs()
            .map(|(name, json)| proto::Claim { name: name.into(), json: json.into() })
            .collect(),
        created_ms: session.created.millis(),
        expires_ms: session.expires.millis(),
        user_agent_hash: session.binding.user_agent.map(Vec::from).unwrap_or_default(),
        ip_prefix_hash: session.binding.ip_prefix.map(Vec::from).unwrap_or_default(),
        auth_time_s: session.auth_time.unwrap_or_default(),
        obtained_ms: session.obtained.millis(),
        client_hint: session.client_hint.clone(),
    }
    .encode_to_vec()
}

/// Reads what [`encode`] made. `None` for bytes that are no session.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Session> {
    let record = proto::Session::decode(bytes).ok()?;
    if record.app.is_empty() || record.subject.is_empty() || record.access_token.is_empty() {
        return None;
    }
    Some(Session {
        app: Arc::from(record.app),
        provider: Arc::from(record.provider),
        identity: Identity {
            issuer: record.issuer,
            subject: record.subject,
            provider_session: non_empty(record.provider_session),
        },
        tokens: Tokens {
            access: record.access_token.into(),
            access_expires: Timestamp::from_millis(record.access_expires_ms),
            refresh: non_empty(record.refresh_token).map(SecretString::from),
            id_token: non_empty(record.id_token).map(SecretString::from),
            id_token_expires: (record.id_token_expires_ms > 0)
                .then(|| Timestamp::from_millis(record.id_token_expires_ms)),
            scope: non_empty(record.scope),
        },
        claims: Claims::from_pairs(record.claims.into_iter().map(|claim| (claim.name, claim.json)).collect()),
        created: Timestamp::from_millis(record.created_ms),
        obtained: Timestamp::from_millis(record.obtained_ms),
        expires: Timestamp::from_millis(record.expires_ms),
        binding: Binding {
            user_agent: record.user_agent_hash.try_into().ok(),
            ip_prefix: record.ip_prefix_hash.try_into().ok(),
        },
        auth_time: (record.auth_time_s > 0).then_some(record.auth_time_s),
        client_hint: record.client_hint,
    })
}

fn expose(secret: Option<&SecretString>) -> String {
    secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default()
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
