//! Sealing at rest: AES-256-GCM under keys that need the ticket and the server key together.
//!
//! A dump of the store, alone or with the server key, opens no token; a cookie without the server key opens
//! nothing either. The session id (the store's key) comes from the ticket alone, in one direction.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;

use super::keyring::{ServerKey, expand};
use super::ticket::Ticket;

/// Random bytes for one sealing; never used twice.
pub type NonceBytes = [u8; NONCE_LEN];

/// The key of one session in the store: HKDF of its ticket.
#[must_use]
pub(super) fn session_id(ticket: &[u8; 32]) -> [u8; 16] {
    let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"coatcheck session id v1").extract(ticket);
    let mut id = [0_u8; 16];
    expand(&root, b"id", &mut id);
    id
}

/// What a sealing belongs to: bound into it, so that a record cannot stand in for another.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    /// The app's name.
    pub app: &'a str,
    /// The key in the store, or nothing where there is none.
    pub id: &'a [u8],
    /// The generation of the record, or 0.
    pub generation: u64,
}

impl Bound<'_> {
    fn aad(&self) -> Vec<u8> {
        let mut aad = Vec::with_capacity(9 + self.id.len() + self.app.len());
        aad.push(1); // version of this layout
        aad.extend_from_slice(&self.generation.to_be_bytes());
        aad.extend_from_slice(self.id);
        aad.extend_from_slice(self.app.as_bytes());
        aad
    }
}

/// A key that seals and opens.
pub struct Sealer(LessSafeKey);

impl Sealer {
    /// For the tokens of a session: HKDF(ticket ‖ server key).
    #[must_use]
    pub fn for_session(ticket: &Ticket, key: &ServerKey) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, key.session_salt()).extract(ticket.secret());
        let mut bytes = [0_u8; 32];
        expand(&root, b"coatcheck session seal v1", &mut bytes);
        Self::from_bytes(&bytes)
    }

    /// For administration metadata: the server key only.
    #[must_use]
    pub fn for_metadata(key: &ServerKey) -> Self {
        Self::from_bytes(key.metadata_key())
    }

    /// For login attempts in the browser's cookie: the server key only.
    #[must_use]
    pub fn for_attempt(key: &ServerKey) -> Self {
        Self::from_bytes(key.attempt_key())
    }

    /// `nonce ‖ ciphertext ‖ tag`.
    ///
    /// # Panics
    /// For a plain text over 64 GiB, which no session is.
    #[must_use]
    pub fn seal(&self, nonce: NonceBytes, bound: Bound<'_>, plain: &[u8]) -> Vec<u8> {
        let mut sealed = plain.to_vec();
        #[expect(clippy::expect_used, reason = "AES-GCM seals anything under 64 GiB")]
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound.aad()), &mut sealed)
            .expect("sealing a short record");
        let mut out = Vec::with_capacity(NONCE_LEN + sealed.len());
        out.extend_from_slice(&nonce);
        out.append(&mut sealed);
        out
    }

    /// Opens what [`Sealer::seal`] made. `None`: not ours, not for this place, or damaged.
    #[must_use]
    pub fn open(&self, bound: Bound<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut buffer = ciphertext.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(bound.aad()), &mut buffer).ok()?.len();
        buffer.truncate(length);
        Some(buffer)
    }

    fn from_bytes(bytes: &[u8; 32]) -> Self {
        #[expect(clippy::expect_used, reason = "the key has the length of the algorithm")]
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("a 32-byte AES-256 key")))
    }
}
