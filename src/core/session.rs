//! A session: what a ticket stands for.

use std::sync::Arc;

use secrecy::SecretString;

use super::claims::Claims;
use super::time::Timestamp;

/// Counts the writes of a record; every write after creation is compare-and-swap on it.
pub type Generation = u64;

/// A signed-in session, opened.
#[derive(Debug, Clone)]
pub struct Session {
    /// The app it belongs to; another app's name never opens it.
    pub app: Arc<str>,
    /// The configured name of the provider that signed the user in.
    pub provider: Arc<str>,
    /// Who is signed in.
    pub identity: Identity,
    /// The tokens that stand behind the ticket.
    pub tokens: Tokens,
    /// What the provider says about the user.
    pub claims: Claims,
    /// When the user signed in.
    pub created: Timestamp,
    /// When the tokens were obtained: at login, then at each refresh.
    pub obtained: Timestamp,
    /// The end, whatever happens (absolute lifetime).
    pub expires: Timestamp,
    /// What the session is bound to.
    pub binding: Binding,
    /// `auth_time` of the ID token, in seconds since the epoch.
    pub auth_time: Option<u64>,
    /// Browser family and address prefix at login, by which people recognise a session in a list.
    pub client_hint: String,
}

/// Who is signed in: (issuer, subject) is the identity, never an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `iss` of the ID token.
    pub issuer: String,
    /// `sub` of the ID token.
    pub subject: String,
    /// `sid` of the ID token: the session at the provider.
    pub provider_session: Option<String>,
}

/// The tokens of a session. `SecretString` prints as `[REDACTED]`.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The access token.
    pub access: SecretString,
    /// When the access token ends (RFC 6749 §5.1 `expires_in`, or the configured lifetime).
    pub access_expires: Timestamp,
    /// The refresh token, when the provider gave one.
    pub refresh: Option<SecretString>,
    /// The ID token, kept as hint for logout.
    pub id_token: Option<SecretString>,
    /// `exp` of the ID token.
    pub id_token_expires: Option<Timestamp>,
    /// The granted scope, when the provider told it.
    pub scope: Option<String>,
}

/// Optional binding of a session to its browser (`session.bind`): truncated SHA-256 hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binding {
    /// Hash of `User-Agent`.
    pub user_agent: Option<[u8; 16]>,
    /// Hash of the client's /24 (IPv4) or /64 (IPv6).
    pub ip_prefix: Option<[u8; 16]>,
}

/// An opened session as it stands in the store.
#[derive(Debug, Clone)]
pub struct Held {
    /// The session.
    pub session: Session,
    /// The generation of the record it was opened from.
    pub generation: Generation,
    /// The last recorded use (coarse: not a write per request).
    pub last_seen: Timestamp,
}
