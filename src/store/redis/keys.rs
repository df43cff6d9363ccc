//! How keys are spelled. The braces are Cluster hash tags: what one script touches shares a slot.
//!
//! ```text
//! {prefix}s:{id}       a session: generation ‖ last seen ‖ sealed envelope, both numbers u64 big endian
//! {prefix}l:{id}       its refresh lease: the owner
//! {prefix}i:u:{hash}   the sessions of a user, {prefix}i:s:{hash} those of a session at the provider:
//!                      a sorted set of ids by the server's time (ms) at which they end
//! {prefix}x:u:{hash}   the newest tombstone of the same (ms)
//! {prefix}o:{hash}     something that was used once
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::store::{IndexKey, IndexKind, OnceKey, SessionId};

/// Spells keys under the configured prefix.
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) const fn new(prefix: String) -> Self {
        Self { prefix }
    }

    pub(super) fn session(&self, id: SessionId) -> String {
        self.spell("s:", &id.0)
    }

    pub(super) fn lease(&self, id: SessionId) -> String {
        self.spell("l:", &id.0)
    }

    pub(super) fn once(&self, key: OnceKey) -> String {
        self.spell("o:", &key.0)
    }

    pub(super) fn index(&self, key: IndexKey) -> String {
        let kind = match key.kind {
            IndexKind::Subject => "i:u:",
            IndexKind::ProviderSession => "i:s:",
        };
        self.spell(kind, &key.hash)
    }

    pub(super) fn tombstone(&self, key: IndexKey) -> String {
        let kind = match key.kind {
            IndexKind::Subject => "x:u:",
            IndexKind::ProviderSession => "x:s:",
        };
        self.spell(kind, &key.hash)
    }

    fn spell(&self, kind: &str, hash: &[u8; 16]) -> String {
        // 22 characters of base64 and the braces.
        let mut key = String::with_capacity(self.prefix.len() + kind.len() + 24);
        key.push_str(&self.prefix);
        key.push_str(kind);
        key.push('{');
        URL_SAFE_NO_PAD.encode_string(hash, &mut key);
        key.push('}');
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_session_share_a_slot_and_indexes_share_one_with_their_tombstone() {
        let keys = Keys::new("coatcheck:".to_owned());
        let tag = |key: &str| key.split_once('{').unwrap().1.split_once('}').unwrap().0.to_owned();
        let id = SessionId([0xfb; 16]);
        assert_eq!(keys.session(id), "coatcheck:s:{-_v7-_v7-_v7-_v7-_v7-w}");
        assert_eq!(tag(&keys.session(id)), tag(&keys.lease(id)));
        for kind in [IndexKind::Subject, IndexKind::ProviderSession] {
            let key = IndexKey { kind, hash: [7; 16] };
            assert_eq!(tag(&keys.index(key)), tag(&keys.tombstone(key)));
            assert_ne!(keys.index(key), keys.tombstone(key));
        }
    }
}
