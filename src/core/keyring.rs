//! Server keys: the first seals, the others still open.
//!
//! From each 32-byte server key HKDF-SHA256 derives one key per purpose, once, so that no key does two jobs.

use std::sync::Arc;

use aws_lc_rs::{hkdf, hmac};
use zeroize::ZeroizeOnDrop;

/// Names a server key in cookies and records, so that rotation can tell old from new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub u32);

/// One server key with the keys derived from it.
pub struct ServerKey {
    id: KeyId,
    ticket_tag: hmac::Key,
    index: hmac::Key,
    subject: hmac::Key,
    purposes: Purposes,
}

/// Derived keys that are used as bytes.
#[derive(ZeroizeOnDrop)]
struct Purposes {
    /// Salt of the session key: without it a ticket opens nothing.
    session: [u8; 32],
    metadata: [u8; 32],
    attempt: [u8; 32],
}

impl ServerKey {
    /// A key from 32 secret bytes.
    #[must_use]
    pub fn new(id: KeyId, secret: [u8; 32]) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"coatcheck server key v1").extract(&secret);
        Self {
            id,
            ticket_tag: hmac::Key::new(hmac::HMAC_SHA256, &derive(&root, b"ticket tag")),
            index: hmac::Key::new(hmac::HMAC_SHA256, &derive(&root, b"index")),
            subject: hmac::Key::new(hmac::HMAC_SHA256, &derive(&root, b"subject")),
            purposes: Purposes {
                session: derive(&root, b"session"),
                metadata: derive(&root, b"metadata"),
                attempt: derive(&root, b"attempt"),
            },
        }
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The tag of a ticket: HMAC-SHA256 over app and ticket, truncated to 128 bits.
    #[must_use]
    pub(super) fn ticket_tag(&self, app: &str, secret: &[u8; 32]) -> [u8; 16] {
        truncate(&self.ticket_mac(app, secret))
    }

    /// Compares in constant time.
    pub(super) fn verifies_ticket(&self, app: &str, secret: &[u8; 32], tag: &[u8]) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.ticket_tag(app, secret)[..], tag).into()
    }

    /// A keyed hash for the index: (purpose, issuer, name).
    #[must_use]
    pub fn index_hash(&self, parts: &[&str]) -> [u8; 16] {
        keyed_hash(&self.index, parts)
    }

    /// A keyed hash of a user for logs: it does not lead to the index either.
    pub(super) fn subject_hash(&self, issuer: &str, subject: &str) -> [u8; 16] {
        keyed_hash(&self.subject, &[issuer, subject])
    }

    pub(super) const fn session_salt(&self) -> &[u8; 32] {
        &self.purposes.session
    }

    pub(super) const fn metadata_key(&self) -> &[u8; 32] {
        &self.purposes.metadata
    }

    pub(super) const fn attempt_key(&self) -> &[u8; 32] {
        &self.purposes.attempt
    }

    fn ticket_mac(&self, app: &str, secret: &[u8; 32]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.ticket_tag);
        context.update(secret);
        context.update(app.as_bytes());
        context.sign()
    }
}

/// Prints the id only.
impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerKey({})", self.id.0)
    }
}

/// The server keys of a process: never empty, ids distinct.
#[derive(Debug, Clone)]
pub struct Keyring {
    primary: Arc<ServerKey>,
    all: Arc<[Arc<ServerKey>]>,
}

impl Keyring {
    /// A ring whose first key seals. `None` when there is no key, or an id stands twice.
    #[must_use]
    pub fn new(keys: Vec<ServerKey>) -> Option<Self> {
        let all: Vec<Arc<ServerKey>> = keys.into_iter().map(Arc::new).collect();
        let distinct = all.iter().enumerate().all(|(at, key)| all.iter().skip(at + 1).all(|other| other.id != key.id));
        let primary = Arc::clone(all.first()?);
        distinct.then(|| Self { primary, all: all.into() })
    }

    /// The key that seals.
    #[must_use]
    pub fn primary(&self) -> &ServerKey {
        &self.primary
    }

    /// The key with the lowest id: the same one on every replica, before, during and after a rotation, until it is
    /// taken out.
    pub(super) fn lowest(&self) -> &ServerKey {
        self.all.iter().min_by_key(|key| key.id).unwrap_or(&self.primary)
    }

    /// The key of a record or cookie.
    #[must_use]
    pub fn by_id(&self, id: KeyId) -> Option<&ServerKey> {
        self.all.iter().find(|key| key.id == id).map(AsRef::as_ref)
    }

    /// All keys, the one that seals first.
    pub fn iter(&self) -> impl Iterator<Item = &ServerKey> {
        self.all.iter().map(AsRef::as_ref)
    }
}

/// Expands a pseudo-random key into 32 bytes for one purpose.
fn derive(root: &hkdf::Prk, purpose: &[u8]) -> [u8; 32] {
    let mut key = [0_u8; 32];
    expand(root, purpose, &mut key);
    key
}

/// HKDF-Expand. Both errors of the library are lengths over 255 hashes; ours are at most two.
pub(super) fn expand(root: &hkdf::Prk, info: &[u8], out: &mut [u8]) {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let info = [info];
    #[expect(clippy::expect_used, reason = "the length is a constant far under the limit of HKDF")]
    root.expand(&info, Length(out.len())).and_then(|okm| okm.fill(out)).expect("HKDF of a short length");
}

/// Each part with its length, so that no two lists of parts are hashed alike.
fn keyed_hash(key: &hmac::Key, parts: &[&str]) -> [u8; 16] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part.as_bytes());
    }
    truncate(&context.sign())
}

fn truncate(tag: &hmac::Tag) -> [u8; 16] {
    let mut short = [0_u8; 16];
    short.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    short
}
