//! Validates ID tokens (OpenID Connect Core §3.1.3.7 and §12.2).
//!
//! `openidconnect` does the signature, the algorithm allow-list, `iss`, `aud`, `exp` and calls us for `nonce`
//! and further audiences. It leaves to its user what is added here: clock skew, `iat`, `azp`, `at_hash`,
//! several keys that fit, the bounds of `sub`. Keys come from the provider's key set only: `jwk`, `jku`,
//! `x5c` and `x5u` in a header are never read. Errors are fixed texts: nothing of a token gets into them.

mod invalid;
mod payload;

use std::time::{Duration, UNIX_EPOCH};

use openidconnect::core::{
    CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm,
};
use openidconnect::{
    AccessToken, AccessTokenHash, ClientId, ClientSecret, IssuerUrl, JsonWebKey as _, JwsSigningAlgorithm as _, Nonce,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use self::invalid::Outcome;
use self::payload::Payload;
use crate::config::ProviderConfig;
use crate::core::claims::Claims;
use crate::core::session::Identity;
use crate::core::time::Timestamp;

pub(super) use self::invalid::Invalid;

/// An ID token of a login is not older than this (plus skew): it was made for this very answer.
const LONGEST_AGE: Duration = Duration::from_secs(600);

/// What every ID token of a provider has to satisfy.
pub(super) struct Rules {
    client_id: ClientId,
    issuer: IssuerUrl,
    algorithms: Vec<CoreJwsSigningAlgorithm>,
    audiences: Vec<String>,
    skew: Duration,
    /// The key of HS* signatures; present only where one is allowed by config.
    shared: Option<SecretString>,
}

/// An ID token as a token endpoint gave it.
pub(super) struct Presented<'a> {
    /// The token.
    pub(super) token: &'a SecretString,
    /// The access token beside it (`at_hash`).
    pub(super) access: &'a SecretString,
    /// What it has to match.
    pub(super) occasion: Occasion<'a>,
}

/// What an ID token has to match.
pub(super) enum Occasion<'a> {
    /// The answer to a login.
    Login {
        /// The nonce of the attempt.
        nonce: &'a str,
    },
    /// The answer to a refresh.
    Refresh {
        /// Who the session belongs to.
        identity: &'a Identity,
        /// The original `auth_time`.
        auth_time: Option<u64>,
    },
}

/// A validated ID token.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) subject: String,
    pub(super) provider_session: Option<String>,
    pub(super) expires: Timestamp,
    pub(super) auth_time: Option<u64>,
    pub(super) claims: Claims,
}

impl Presented<'_> {
    /// Whether a refreshed token names another user or issuer, its signature left aside: for when that
    /// cannot be checked. Only ever used to refuse.
    pub(super) fn names_another(&self, identity: &Identity) -> bool {
        Payload::read(self.token.expose_secret()).is_none_or(|payload| !payload.names(identity))
    }

    /// Constant time: the nonce is what keeps a stolen code from being used elsewhere.
    fn check_nonce(&self, found: Option<&Nonce>) -> Result<(), String> {
        match (&self.occasion, found) {
            (Occasion::Login { nonce }, Some(found)) if found.secret().as_bytes().ct_eq(nonce.as_bytes()).into() => {
                Ok(())
            }
            (Occasion::Login { .. }, _) => Err("not the attempt's".into()),
            // Core §12.2: it may be there; the attempt's is no longer known.
            (Occasion::Refresh { .. }, _) => Ok(()),
        }
    }
}

impl Rules {
    pub(super) fn new(config: &ProviderConfig, client_id: ClientId, issuer: IssuerUrl) -> Self {
        let algorithms: Vec<_> = config.signing_algorithms.iter().filter_map(|name| algorithm(name)).collect();
        let shared = algorithms.iter().any(CoreJwsSigningAlgorithm::uses_shared_secret);
        Self {
            client_id,
            issuer,
            algorithms,
            audiences: config.trusted_audiences.clone(),
            skew: config.clock_skew,
            shared: shared.then(|| config.client_secret.clone()),
        }
    }

    /// Checks an ID token in full.
    pub(super) fn verify(
        &self,
        presented: &Presented<'_>,
        keys: &CoreJsonWebKeySet,
        now: Timestamp,
    ) -> Result<Verified, Invalid> {
        let raw = presented.token.expose_secret();
        let token: CoreIdToken =
            raw.parse().map_err(|_| Invalid::Token("the ID token is not a signed JWT with the claims it needs"))?;
        let payload = Payload::read(raw).ok_or(Invalid::Token("the ID token's payload is not a JSON object"))?;
        self.with_some_key(&token, presented, keys, now)?;
        payload.check_party(&self.client_id)?;
        self.check_times(&payload, &presented.occasion, now)?;
        payload.into_verified(&presented.occasion)
    }

    /// Without `kid`, or with one that several keys share, each key that fits is tried (Core §10.1).
    fn with_some_key(
        &self,
        token: &CoreIdToken,
        presented: &Presented<'_>,
        keys: &CoreJsonWebKeySet,
        now: Timestamp,
    ) -> Result<(), Invalid> {
        let outcome = self.check(token, presented, keys.clone(), now);
        if outcome != Err(Outcome::Ambiguous) {
            return outcome.map_err(Outcome::into_invalid);
        }
        for key in keys.keys() {
            match self.check(token, presented, CoreJsonWebKeySet::new(vec![key.clone()]), now) {
                Err(Outcome::Ambiguous | Outcome::Invalid(Invalid::NoKey(_) | Invalid::Signature(_))) => {}
                outcome => return outcome.map_err(Outcome::into_invalid),
            }
        }
        Err(Invalid::Signature("none of the provider's keys made the ID token's signature"))
    }

    fn check(
        &self,
        token: &CoreIdToken,
        presented: &Presented<'_>,
        keys: CoreJsonWebKeySet,
        now: Timestamp,
    ) -> Result<(), Outcome> {
        let verifier = self.verifier(keys, now);
        let claims =
            token.claims(&verifier, |nonce: Option<&Nonce>| presented.check_nonce(nonce)).map_err(Outcome::from)?;
        let Some(expected) = claims.access_token_hash() else { return Ok(()) };
        let found = access_token_hash(token, &verifier, presented.access);
        if found.is_some_and(|found| found.as_bytes().ct_eq(expected.as_bytes()).into()) {
            return Ok(());
        }
        Err(Outcome::Invalid(Invalid::Token("the ID token's at_hash is not the access token's")))
    }

    fn verifier(&self, keys: CoreJsonWebKeySet, now: Timestamp) -> CoreIdTokenVerifier<'_> {
        let (client_id, issuer) = (self.client_id.clone(), self.issuer.clone());
        let verifier = match &self.shared {
            Some(secret) => {
                let secret = ClientSecret::new(secret.expose_secret().to_owned());
                CoreIdTokenVerifier::new_confidential_client(client_id, secret, issuer, keys)
            }
            None => CoreIdTokenVerifier::new_public_client(client_id, issuer, keys),
        };
        // The crate accepts while `time < exp`: with the skew taken off, a token lives that much longer.
        let time = now - self.skew;
        verifier
            .set_allowed_algs(self.algorithms.iter().cloned())
            .set_other_audience_verifier_fn(|audience| self.audiences.iter().any(|trusted| *trusted == **audience))
            .set_time_fn(move || (UNIX_EPOCH + Duration::from_secs(time.secs())).into())
    }

    fn check_times(&self, payload: &Payload, occasion: &Occasion<'_>, now: Timestamp) -> Result<(), Invalid> {
        let issued = payload.time("iat").ok_or(Invalid::Token("the ID token's iat is not a time"))?;
        if issued > now + self.skew {
            return Err(Invalid::Token("the ID token was issued in the future"));
        }
        match occasion {
            Occasion::Login { .. } if now > issued + LONGEST_AGE + self.skew => {
                return Err(Invalid::Token("the ID token was issued too long ago"));
            }
            // Some providers answer a refresh with the ID token of the login; `exp` bounds it.
            Occasion::Login { .. } | Occasion::Refresh { .. } => {}
        }
        if payload.time("nbf").is_some_and(|from| from > now + self.skew) {
            return Err(Invalid::Token("the ID token is not valid yet"));
        }
        Ok(())
    }
}

/// What `at_hash` has to be (Core §3.1.3.6).
fn access_token_hash(
    token: &CoreIdToken,
    verifier: &CoreIdTokenVerifier<'_>,
    access: &SecretString,
) -> Option<AccessTokenHash> {
    let access = AccessToken::new(access.expose_secret().to_owned());
    let algorithm = token.signing_alg().ok()?;
    if algorithm.uses_shared_secret() {
        return AccessTokenHash::from_token(&access, algorithm, &CoreJsonWebKey::new_symmetric(Vec::new())).ok();
    }
    AccessTokenHash::from_token(&access, algorithm, token.signing_key(verifier).ok()?).ok()
}

/// A configured algorithm by its JWA name. `none` is not one, whatever the config says.
fn algorithm(name: &str) -> Option<CoreJwsSigningAlgorithm> {
    let known: Option<CoreJwsSigningAlgorithm> = serde_json::from_value(Value::from(name)).ok();
    known.filter(|algorithm| *algorithm != CoreJwsSigningAlgorithm::None)
}

#[cfg(test)]
mod tests;
