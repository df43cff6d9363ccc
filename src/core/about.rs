//! What may be told of a request to those who do not hold its secrets: Envoy's access log, its RBAC and rate limits.

use std::sync::Arc;

use super::app::App;
use super::keyring::Keyring;
use super::session::Identity;
use super::verdict::{Reason, Verdict};

/// The app, the session and the user of a request, as far as they are known. Neither a token nor a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The app's name.
    pub app: Option<Arc<str>>,
    /// The short hash by which logs and spans name the session whose ticket the request showed; it may be over.
    pub session: Option<String>,
    /// Who is signed in, when the answer was given to a session that holds: a keyed hash of issuer and subject.
    pub subject: Option<Subject>,
}

/// A keyed hash of (issuer, subject): the same for all sessions of a user, and of no use without the server key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject(pub [u8; 16]);

/// An answer, and what may be told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The answer.
    pub verdict: Verdict,
    /// Of what.
    pub about: About,
}

impl About {
    /// Nothing is known but the app, if that.
    #[must_use]
    pub fn of(app: Option<&App>) -> Self {
        Self { app: app.map(|app| Arc::clone(&app.name)), ..Self::default() }
    }
}

impl Subject {
    /// Under the key with the lowest id, so that a new key in the ring changes nothing, whichever seals.
    #[must_use]
    pub fn of(identity: &Identity, keyring: &Keyring) -> Self {
        Self(keyring.lowest().subject_hash(&identity.issuer, &identity.subject))
    }
}

impl Reason {
    /// Whether the answer was given to a signed-in user: only then may a user be told of it. A request that showed an
    /// ended session and was forwarded all the same is anonymous.
    #[must_use]
    pub const fn is_of_a_user(self) -> bool {
        matches!(self, Self::Session | Self::Claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::keyring::{KeyId, ServerKey};

    fn ring(ids: &[u32]) -> Keyring {
        let key = |id: &u32| ServerKey::new(KeyId(*id), [u8::try_from(*id).unwrap(); 32]);
        Keyring::new(ids.iter().map(key).collect()).unwrap()
    }

    fn identity(issuer: &str, subject: &str) -> Identity {
        Identity { issuer: issuer.into(), subject: subject.into(), provider_session: Some("s".into()) }
    }

    #[test]
    fn a_subject_stays_the_same_while_keys_come_and_until_the_lowest_goes() {
        let alice = identity("https://id", "alice");
        let first = Subject::of(&alice, &ring(&[1]));
        for ids in [&[1, 2][..], &[2, 1], &[3, 2, 1]] {
            assert_eq!(Subject::of(&alice, &ring(ids)), first, "{ids:?}");
        }
        assert_ne!(Subject::of(&alice, &ring(&[2])), first);
    }

    #[test]
    fn a_subject_is_of_one_issuer() {
        let ring = ring(&[1]);
        let alice = Subject::of(&identity("https://id", "alice"), &ring);
        assert_ne!(Subject::of(&identity("https://other", "alice"), &ring), alice);
        assert_ne!(Subject::of(&identity("https://i", "dalice"), &ring), alice);
        let elsewhere = Identity { provider_session: None, ..identity("https://id", "alice") };
        assert_eq!(Subject::of(&elsewhere, &ring), alice, "all sessions of a user");
    }
}
