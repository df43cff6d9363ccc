//! A login under way: what has to come back from the provider, sealed in a cookie of its own.
//!
//! Anonymous visitors cost the store nothing: state, nonce, PKCE verifier and return-to travel with the browser.
//! Each attempt has its own cookie, so that tabs do not disturb each other. The cookie's name begins with the
//! session cookie's name and a dot, and is cut from requests together with it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use aws_lc_rs::digest::{SHA256, digest};
use std::time::Duration;

use super::keyring::{KeyId, Keyring};
use super::proto;
use super::seal::{Bound, NonceBytes, Sealer};
use super::time::Timestamp;

/// Logins that one browser may have under way at once; the oldest gives way.
pub const AT_ONCE: usize = 5;

/// Cookies that one answer takes away: the rest follows with the next login.
const CLEARED_AT_ONCE: usize = 20;

/// Characters of the state's hash in a cookie's name.
const NAME_HASH: usize = 8;

/// One login under way.
#[derive(Clone)]
pub struct Attempt {
    /// The app it is for.
    pub app: String,
    /// The provider it went to: the answer must come from there (RFC 9700 §4.4).
    pub provider: String,
    /// The origin of the app that it began on.
    pub origin: String,
    /// `state` of the authorization request.
    pub state: String,
    /// `nonce` of the authorization request.
    pub nonce: String,
    /// The PKCE verifier.
    pub verifier: SecretString,
    /// Where the login lands: checked when the attempt began.
    pub return_to: String,
    /// When it began.
    pub created: Timestamp,
    /// The session that it replaces.
    pub previous: Option<[u8; 16]>,
}

/// Where attempts live: the app's cookie name and the keys.
#[derive(Clone, Copy)]
pub struct Drawer<'a> {
    /// The app's name.
    pub app: &'a str,
    /// The name of the app's session cookie.
    pub session_cookie: &'a str,
    /// How long a login may take.
    pub lifetime: Duration,
    /// The server keys.
    pub keyring: &'a Keyring,
}

impl Attempt {
    /// Whether it may still be finished at `now`.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp, lifetime: Duration) -> bool {
        now.since(self.created) <= lifetime
    }

    /// The cookie that holds it: name and value.
    #[must_use]
    pub fn cookie(&self, drawer: Drawer<'_>, nonce: NonceBytes) -> (String, String) {
        let name = drawer.cookie_name(&self.state);
        let key = drawer.keyring.primary();
        let sealed = Sealer::for_attempt(key).seal(nonce, drawer.bound(&name), &self.to_proto().encode_to_vec());
        let value = URL_SAFE_NO_PAD.encode([&key.id().0.to_be_bytes(), &sealed[..]].concat());
        (name, value)
    }

    fn to_proto(&self) -> proto::Attempt {
        proto::Attempt {
            app: self.app.clone(),
            provider: self.provider.clone(),
            state: self.state.clone(),
            nonce: self.nonce.clone(),
            verifier: self.verifier.expose_secret().to_owned(),
            return_to: self.return_to.clone(),
            created_ms: self.created.millis(),
            previous: self.previous.map(Vec::from).unwrap_or_default(),
            origin: self.origin.clone(),
        }
    }

    fn from_proto(read: proto::Attempt) -> Self {
        Self {
            previous: <[u8; 16]>::try_from(read.previous.as_slice()).ok(),
            app: read.app,
            provider: read.provider,
            origin: read.origin,
            state: read.state,
            nonce: read.nonce,
            verifier: read.verifier.into(),
            return_to: read.return_to,
            created: Timestamp::from_millis(read.created_ms),
        }
    }
}

impl Drawer<'_> {
    /// The name of the cookie for a state.
    #[must_use]
    pub fn cookie_name(&self, state: &str) -> String {
        let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, state.as_bytes()));
        let short: String = hash.chars().take(NAME_HASH).collect();
        format!("{}.a.{short}", self.session_cookie)
    }

    /// The attempt for a state among the request's cookies (name, value). `None`: this browser began no such
    /// login, or the cookie is damaged or of a key that has left the ring.
    pub fn find<'c>(&self, state: &str, mut cookies: impl Iterator<Item = (&'c [u8], &'c [u8])>) -> Option<Attempt> {
        let name = self.cookie_name(state);
        let (_, value) = cookies.find(|(known, _)| *known == name.as_bytes())?;
        let attempt = self.open(&name, value)?;
        bool::from(attempt.state.as_bytes().ct_eq(state.as_bytes())).then_some(attempt)
    }

    /// Which attempt cookies of a request to take away, so that one more fits: those that cannot be finished
    /// any more, then the oldest.
    pub fn evict<'c>(&self, cookies: impl Iterator<Item = (&'c [u8], &'c [u8])>, now: Timestamp) -> Vec<String> {
        let mut alive: Vec<(Timestamp, String)> = Vec::new();
        let mut gone: Vec<String> = Vec::new();
        for (name, value) in cookies {
            let Some(name) = self.attempt_name(name) else { continue };
            match self.open(&name, value).filter(|attempt| attempt.is_alive(now, self.lifetime)) {
                Some(attempt) => alive.push((attempt.created, name)),
                None => gone.push(name),
            }
        }
        alive.sort_unstable();
        let surplus = (alive.len() + 1).saturating_sub(AT_ONCE);
        // The oldest first: they must go even when there is much other litter.
        let mut names: Vec<String> = alive.into_iter().take(surplus).map(|(_, name)| name).chain(gone).collect();
        names.truncate(CLEARED_AT_ONCE);
        names
    }

    /// The name, if it is one that [`Drawer::cookie_name`] makes: only then may it be written into a header.
    fn attempt_name(&self, name: &[u8]) -> Option<String> {
        let name = std::str::from_utf8(name).ok()?;
        let hash = name.strip_prefix(self.session_cookie)?.strip_prefix(".a.")?;
        let written = hash.len() == NAME_HASH && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        written.then(|| name.to_owned())
    }

    fn open(&self, name: &str, value: &[u8]) -> Option<Attempt> {
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (id, sealed) = bytes.split_first_chunk::<4>()?;
        let key = self.keyring.by_id(KeyId(u32::from_be_bytes(*id)))?;
        let plain = Sealer::for_attempt(key).open(self.bound(name), sealed)?;
        let attempt = Attempt::from_proto(proto::Attempt::decode(plain.as_slice()).ok()?);
        (attempt.app == self.app).then_some(attempt)
    }

    /// Bound to the cookie's name: one attempt cannot stand in for another.
    const fn bound<'b>(&'b self, name: &'b str) -> Bound<'b> {
        Bound { app: self.app, id: name.as_bytes(), generation: 0 }
    }
}

/// Prints app and age only: the rest is secret.
impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("app", &self.app).field("created", &self.created).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::keyring::ServerKey;

    const LIFETIME: Duration = Duration::from_secs(600);

    fn ring(ids: &[u8]) -> Keyring {
        Keyring::new(ids.iter().map(|id| ServerKey::new(KeyId(u32::from(*id)), [*id; 32])).collect()).unwrap()
    }

    fn drawer(keyring: &Keyring) -> Drawer<'_> {
        Drawer { app: "shop", session_cookie: "__Host-Http-coatcheck", lifetime: LIFETIME, keyring }
    }

    fn attempt(number: u64) -> Attempt {
        Attempt {
            app: "shop".into(),
            provider: "main".into(),
            origin: "https://shop.example.com".into(),
            state: format!("state-{number}"),
            nonce: "nonce".into(),
            verifier: "verifier".into(),
            return_to: "/orders?tab=2#z".into(),
            created: Timestamp::from_secs(1000 + number),
            previous: Some([7; 16]),
        }
    }

    fn jar(attempts: &[Attempt], drawer: Drawer<'_>) -> Vec<(String, String)> {
        attempts.iter().zip(1_u8..).map(|(attempt, nonce)| attempt.cookie(drawer, [nonce; 12])).collect()
    }

    fn pairs(jar: &[(String, String)]) -> impl Iterator<Item = (&[u8], &[u8])> {
        jar.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }

    #[test]
    fn an_attempt_comes_back_whole_to_the_state_it_was_made_for() {
        let keyring = ring(&[1]);
        let jar = jar(&[attempt(1), attempt(2)], drawer(&keyring));
        let found = drawer(&keyring).find("state-2", pairs(&jar)).unwrap();
        assert!(found.to_proto() == attempt(2).to_proto());
        assert!(drawer(&keyring).find("state-3", pairs(&jar)).is_none());
    }

    #[test]
    fn the_cookie_is_named_after_the_session_cookie_and_small() {
        let keyring = ring(&[1]);
        let full = Attempt { return_to: format!("/{}", "x".repeat(2047)), ..attempt(1) };
        let (name, value) = full.cookie(drawer(&keyring), [1; 12]);
        let hash = name.strip_prefix("__Host-Http-coatcheck.a.").unwrap();
        assert_eq!(hash.len(), 8);
        assert!(name.len() + value.len() < 4000, "{}", value.len());
    }

    #[test]
    fn a_cookie_under_another_name_app_or_key_does_not_open() {
        let keyring = ring(&[1]);
        let (name, value) = attempt(1).cookie(drawer(&keyring), [1; 12]);
        let other_name = drawer(&keyring).cookie_name("state-2");
        assert!(drawer(&keyring).open(&other_name, value.as_bytes()).is_none());
        assert!(Drawer { app: "other", ..drawer(&keyring) }.open(&name, value.as_bytes()).is_none());
        assert!(drawer(&ring(&[2])).open(&name, value.as_bytes()).is_none());
    }

    #[test]
    fn an_older_key_in_the_ring_still_opens() {
        let (name, value) = attempt(1).cookie(drawer(&ring(&[1])), [1; 12]);
        assert!(drawer(&ring(&[2, 1])).open(&name, value.as_bytes()).is_some());
    }

    #[test]
    fn the_sixth_login_takes_the_place_of_the_oldest() {
        let keyring = ring(&[1]);
        let attempts: Vec<Attempt> = [3, 1, 2, 5, 4].map(attempt).into();
        let drawer = drawer(&keyring);
        let now = Timestamp::from_secs(1010);
        assert_eq!(drawer.evict(pairs(&jar(&attempts, drawer)), now), [drawer.cookie_name("state-1")]);
        assert!(drawer.evict(pairs(&jar(&attempts[..4], drawer)), now).is_empty());
    }

    #[test]
    fn attempts_that_ran_out_or_cannot_be_read_are_taken_away() {
        let keyring = ring(&[1]);
        let drawer = drawer(&keyring);
        let mut jar = jar(&[attempt(1), attempt(900)], drawer);
        jar.push(("__Host-Http-coatcheck.a.AAAAAAAA".into(), "nonsense".into()));
        jar.push(("__Host-Http-coatcheck.a.bad; Domain=x".into(), "nonsense".into()));
        jar.push(("theme".into(), "dark".into()));
        let gone = drawer.evict(pairs(&jar), Timestamp::from_secs(1902));
        assert_eq!(gone, [drawer.cookie_name("state-1"), "__Host-Http-coatcheck.a.AAAAAAAA".to_owned()]);
    }

    #[test]
    fn the_lifetime_counts_from_the_beginning() {
        let begun = attempt(0);
        assert!(begun.is_alive(begun.created + LIFETIME, LIFETIME));
        assert!(!begun.is_alive(begun.created + LIFETIME + Duration::from_millis(1), LIFETIME));
    }

    proptest! {
        #[test]
        fn made_up_cookies_never_open_and_never_panic(value in proptest::collection::vec(any::<u8>(), 0..300)) {
            let keyring = ring(&[1]);
            prop_assert!(drawer(&keyring).open("__Host-Http-coatcheck.a.AAAAAAAA", &value).is_none());
            prop_assert!(drawer(&keyring).open("x", URL_SAFE_NO_PAD.encode(&value).as_bytes()).is_none());
        }

        #[test]
        fn whatever_is_evicted_is_a_plain_cookie_name(name in any::<Vec<u8>>(), tail in "[ -~]{0,12}") {
            let keyring = ring(&[1]);
            let close = format!("__Host-Http-coatcheck.a.{tail}");
            let cookies = [(name.as_slice(), &b"x"[..]), (close.as_bytes(), b"x")];
            for gone in drawer(&keyring).evict(cookies.into_iter(), Timestamp::default()) {
                prop_assert!(gone.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
            }
        }
    }
}
