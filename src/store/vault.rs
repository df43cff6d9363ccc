//! The vault: seals sessions into a store and opens them again.
//!
//! A record that cannot be opened (damaged, foreign, of a newer version, sealed under a key that left the ring) is
//! "no session": counted, never a panic, never deleted.

use std::time::Duration;

use prost::Message;

use super::{IndexKey, IndexKind, NewSession, Replaced, SessionId, SharedStore, StoreError, Stored, Swap};
use crate::clock::{SharedClock, random};
use crate::core::keyring::{Keyring, ServerKey};
use crate::core::seal::{Bound, Sealer};
use crate::core::session::{Generation, Held, Identity, Session};
use crate::core::ticket::Ticket;
use crate::core::time::Timestamp;
use crate::core::{proto, record};
use crate::telemetry::metrics::Metrics;

/// Seals and opens sessions in a store.
pub struct Vault {
    store: SharedStore,
    keyring: Keyring,
    clock: SharedClock,
    metrics: Metrics,
}

impl Vault {
    /// A vault over a store.
    #[must_use]
    pub fn new(store: SharedStore, keyring: Keyring, clock: SharedClock, metrics: Metrics) -> Self {
        Self { store, keyring, clock, metrics }
    }

    /// The same vault over another way to the same store.
    #[must_use]
    pub fn over(&self, store: SharedStore) -> Self {
        let (keyring, clock, metrics) = (self.keyring.clone(), SharedClock::clone(&self.clock), self.metrics.clone());
        Self { store, keyring, clock, metrics }
    }

    /// The server keys.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The store underneath, for leases and marks.
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// The session behind a ticket. `None`: there is none, or its record cannot be opened (counted).
    pub async fn open(&self, ticket: &Ticket, app: &str) -> Result<Option<Held>, StoreError> {
        let id = id_of(ticket);
        let Some(stored) = self.store.load(id).await? else { return Ok(None) };
        let held = self.unseal(ticket, app, id, &stored);
        if held.is_none() {
            self.metrics.record_unreadable();
            tracing::warn!(session.tag = %id.tag(), "a session record could not be opened; treated as no session");
        }
        Ok(held)
    }

    /// Writes a new session under a new ticket. `None`: the user or the provider's session was logged out everywhere
    /// after `login_began`, so the session does not survive.
    pub async fn create(
        &self,
        session: &Session,
        idle: Duration,
        login_began: Timestamp,
    ) -> Result<Option<Ticket>, StoreError> {
        let ticket = Ticket::issue(random(), &self.keyring);
        let id = id_of(&ticket);
        let now = self.clock.now();
        let index = index_keys(self.keyring.primary(), &session.identity);
        let lifetime = session.expires.since(now);
        self.store
            .create(NewSession {
                id,
                payload: self.seal(&ticket, id, session, 1),
                index: index.clone(),
                now,
                ttl: idle.min(lifetime),
                index_ttl: lifetime,
            })
            .await?;
        // Whichever comes last sees the other: an end-all writes its tombstone before it reads the index, we
        // read the tombstones after we wrote the session.
        for key in self.index_under_all_keys(&session.identity) {
            if self.store.tombstone(key).await?.is_some_and(|at| at >= login_began) {
                self.store.delete(id, &index).await?;
                return Ok(None);
            }
        }
        Ok(Some(ticket))
    }

    /// Replaces a session's tokens if its record still stands at `expected`. Lifetimes stay.
    pub async fn replace(
        &self,
        ticket: &Ticket,
        session: &Session,
        expected: Generation,
    ) -> Result<Replaced, StoreError> {
        let id = id_of(ticket);
        let payload = self.seal(ticket, id, session, expected + 1);
        self.store.replace(Swap { id, expected, payload, ttl: None }).await
    }

    /// Deletes a session with its index entries. Idempotent.
    pub async fn delete(&self, ticket: &Ticket, session: &Session) -> Result<bool, StoreError> {
        let index: Vec<IndexKey> = self.index_under_all_keys(&session.identity).collect();
        self.store.delete(id_of(ticket), &index).await
    }

    /// Deletes a session of which only the key is known; its index entries run out by themselves.
    pub async fn delete_id(&self, id: SessionId) -> Result<bool, StoreError> {
        self.store.delete(id, &[]).await
    }

    /// Index keys of a user or provider session under every server key: a session may have been listed under a key
    /// that is no longer the first.
    fn index_under_all_keys(&self, identity: &Identity) -> impl Iterator<Item = IndexKey> {
        self.keyring.iter().flat_map(|key| index_keys(key, identity)).collect::<Vec<_>>().into_iter()
    }

    fn seal(&self, ticket: &Ticket, id: SessionId, session: &Session, generation: Generation) -> Vec<u8> {
        // A ticket whose key left the ring cannot be opened later either; the first key then only keeps it sealed.
        let key = self.keyring.by_id(ticket.key()).unwrap_or_else(|| self.keyring.primary());
        let bound = Bound { app: &session.app, id: &id.0, generation };
        let metadata = proto::Metadata {
            app: session.app.to_string(),
            issuer: session.identity.issuer.clone(),
            subject: session.identity.subject.clone(),
            provider_session: session.identity.provider_session.clone().unwrap_or_default(),
            created_ms: session.created.millis(),
            expires_ms: session.expires.millis(),
            client_hint: session.client_hint.clone(),
        };
        proto::Envelope {
            version: record::VERSION,
            key_id: key.id().0,
            sealed_session: Sealer::for_session(ticket, key).seal(random(), bound, &record::encode(session)),
            sealed_metadata: Sealer::for_metadata(key).seal(random(), bound, &metadata.encode_to_vec()),
        }
        .encode_to_vec()
    }

    fn unseal(&self, ticket: &Ticket, app: &str, id: SessionId, stored: &Stored) -> Option<Held> {
        let envelope = proto::Envelope::decode(stored.payload.as_slice()).ok()?;
        if envelope.version != record::VERSION || envelope.key_id != ticket.key().0 {
            return None;
        }
        let key = self.keyring.by_id(ticket.key())?;
        let bound = Bound { app, id: &id.0, generation: stored.generation };
        let plain = Sealer::for_session(ticket, key).open(bound, &envelope.sealed_session)?;
        let session = record::decode(&plain).filter(|session| &*session.app == app)?;
        Some(Held { session, generation: stored.generation, last_seen: stored.last_seen })
    }
}

/// The store's key of a ticket's session.
#[must_use]
pub fn id_of(ticket: &Ticket) -> SessionId {
    SessionId(ticket.session_id())
}

/// Where a session is listed: under its user, and under its session at the provider.
fn index_keys(key: &ServerKey, identity: &Identity) -> Vec<IndexKey> {
    let subject = key.index_hash(&["subject", &identity.issuer, &identity.subject]);
    let mut keys = vec![IndexKey { kind: IndexKind::Subject, hash: subject }];
    if let Some(sid) = &identity.provider_session {
        let hash = key.index_hash(&["sid", &identity.issuer, sid]);
        keys.push(IndexKey { kind: IndexKind::ProviderSession, hash });
    }
    keys
}
