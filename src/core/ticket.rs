//! The ticket: the secret in the session cookie, and how it is written there.
//!
//! `base64url(key id ‖ ticket ‖ tag)`: the tag is a truncated HMAC over app and ticket under the server
//! key, so that anything malformed or made up is refused before the store is asked.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::ZeroizeOnDrop;

use super::keyring::{KeyId, Keyring};
use super::seal::session_id;

/// Bytes of a cookie value before base64url: key id, ticket, tag.
const LENGTH: usize = 4 + 32 + 16;

/// Characters of a cookie value.
pub const VALUE_LENGTH: usize = (LENGTH * 4).div_ceil(3);

/// A ticket that carries a good tag: 32 random bytes and the server key they were issued under.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Ticket {
    #[zeroize(skip)]
    key: KeyId,
    secret: [u8; 32],
    /// Derived once: a check asks for it several times.
    #[zeroize(skip)]
    id: [u8; 16],
}

impl Ticket {
    /// A new ticket from 32 bytes of the operating system's generator, issued under the ring's first key.
    #[must_use]
    pub fn issue(secret: [u8; 32], keyring: &Keyring) -> Self {
        Self::new(keyring.primary().id(), secret)
    }

    /// Reads a cookie value. `None` for anything that this keyring did not issue for this app.
    #[must_use]
    pub fn parse(value: &[u8], app: &str, keyring: &Keyring) -> Option<Self> {
        if value.len() != VALUE_LENGTH {
            return None;
        }
        let mut bytes = [0_u8; LENGTH];
        let decoded = URL_SAFE_NO_PAD.decode_slice(value, &mut bytes).ok()?;
        if decoded != LENGTH {
            return None;
        }
        let (key, rest) = bytes.split_first_chunk::<4>()?;
        let (secret, tag) = rest.split_first_chunk::<32>()?;
        let key = KeyId(u32::from_be_bytes(*key));
        let server_key = keyring.by_id(key)?;
        server_key.verifies_ticket(app, secret, tag).then(|| Self::new(key, *secret))
    }

    /// The cookie value. `None` when the key it was issued under has left the ring.
    #[must_use]
    pub fn cookie_value(&self, app: &str, keyring: &Keyring) -> Option<String> {
        let tag = keyring.by_id(self.key)?.ticket_tag(app, &self.secret);
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&self.key.0.to_be_bytes());
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(&tag);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The server key it was issued under.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// The key of its session in the store: HKDF of the ticket, which leads nowhere back.
    #[must_use]
    pub const fn session_id(&self) -> [u8; 16] {
        self.id
    }

    fn new(key: KeyId, secret: [u8; 32]) -> Self {
        let id = session_id(&secret);
        Self { key, secret, id }
    }

    /// The secret, for key derivation only.
    pub(super) const fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

/// Prints nothing of the secret.
impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket(key {})", self.key.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::keyring::ServerKey;

    fn ring() -> Keyring {
        Keyring::new(vec![ServerKey::new(KeyId(7), [7; 32]), ServerKey::new(KeyId(3), [3; 32])]).unwrap()
    }

    #[test]
    fn a_ticket_reads_back_for_its_own_app_only() {
        let ticket = Ticket::issue([9; 32], &ring());
        let value = ticket.cookie_value("shop", &ring()).unwrap();
        assert_eq!(value.len(), VALUE_LENGTH);
        assert_eq!(Ticket::parse(value.as_bytes(), "shop", &ring()).unwrap().secret, [9; 32]);
        assert!(Ticket::parse(value.as_bytes(), "other", &ring()).is_none());
    }

    #[test]
    fn a_ticket_of_a_key_that_left_the_ring_is_refused() {
        let value = Ticket::issue([9; 32], &ring()).cookie_value("shop", &ring()).unwrap();
        let other = Keyring::new(vec![ServerKey::new(KeyId(3), [3; 32])]).unwrap();
        assert!(Ticket::parse(value.as_bytes(), "shop", &other).is_none());
    }

    #[test]
    fn every_single_changed_character_is_noticed() {
        let value = Ticket::issue([9; 32], &ring()).cookie_value("shop", &ring()).unwrap().into_bytes();
        for position in 0..value.len() {
            let mut forged = value.clone();
            forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
            assert!(Ticket::parse(&forged, "shop", &ring()).is_none(), "position {position}");
        }
    }

    proptest! {
        #[test]
        fn made_up_values_are_refused_and_never_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Ticket::parse(&value, "shop", &ring()).is_none());
        }

        #[test]
        fn made_up_base64_of_the_right_length_is_refused(value in "[A-Za-z0-9_-]{70}") {
            prop_assert!(Ticket::parse(value.as_bytes(), "shop", &ring()).is_none());
        }
    }
}
