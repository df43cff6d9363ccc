//! The payload of an ID token: read for what `openidconnect` does not check, and handed over as claims.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Map, Value};

use super::{Invalid, Occasion, Verified};
use crate::core::claims::Claims;
use crate::core::session::Identity;
use crate::core::time::Timestamp;
use crate::oidc::jwks::lenient_base64url;

/// Core §2: `sub` is at most 255 characters.
const LONGEST_SUBJECT: usize = 255;

/// Claims that only serve the protocol and are done with once they were checked.
const SPENT: [&str; 4] = ["at_hash", "c_hash", "s_hash", "nonce"];

/// The members of a payload.
pub(super) struct Payload(Map<String, Value>);

impl Payload {
    /// Reads the very bytes that the signature covers.
    pub(super) fn read(raw: &str) -> Option<Self> {
        let bytes = lenient_base64url().decode(raw.split('.').nth(1)?).ok()?;
        serde_json::from_slice(&bytes).ok().map(Self)
    }

    /// A NumericDate (RFC 7519 §2), which may have a fraction.
    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        let seconds = self.0.get(name)?.as_f64()?;
        let since = Duration::try_from_secs_f64(seconds).ok()?;
        Some(Timestamp::from_secs(since.as_secs()))
    }

    /// Whether it is about this user of this issuer.
    pub(super) fn names(&self, identity: &Identity) -> bool {
        self.text("iss") == Some(&identity.issuer) && self.text("sub") == Some(&identity.subject)
    }

    /// Core §3.1.3.7 items 4 and 5: `azp`, where it is given or needed, is us.
    pub(super) fn check_party(&self, client_id: &str) -> Result<(), Invalid> {
        let others = match self.0.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(|audience| audience.as_str() != Some(client_id)),
            Some(_) | None => false,
        };
        match self.0.get("azp").filter(|party| !party.is_null()) {
            Some(party) if party.as_str() == Some(client_id) => Ok(()),
            Some(_) => Err(Invalid::Token("the ID token's azp is another client")),
            None if others => Err(Invalid::Token("the ID token has several audiences and no azp")),
            None => Ok(()),
        }
    }

    /// Checks what is about the user, and hands the claims over.
    pub(super) fn into_verified(mut self, occasion: &Occasion<'_>) -> Result<Verified, Invalid> {
        let subject = self.text("sub").unwrap_or_default().to_owned();
        if subject.is_empty() || subject.chars().count() > LONGEST_SUBJECT || subject.chars().any(char::is_control) {
            return Err(Invalid::Token("the ID token's sub is empty, too long or not printable"));
        }
        let expires = self.time("exp").ok_or(Invalid::Token("the ID token's exp is not a time"))?;
        let auth_time = self.time("auth_time").map(Timestamp::secs);
        self.check_same_login(occasion, auth_time)?;
        let provider_session = self.text("sid").filter(|sid| !sid.is_empty()).map(str::to_owned);
        self.0.retain(|name, value| !value.is_null() && !SPENT.contains(&name.as_str()));
        Ok(Verified { subject, provider_session, expires, auth_time, claims: Claims::from_object(&self.0) })
    }

    /// Core §12.2: a refreshed ID token is about the user, issuer and login that the session began with.
    fn check_same_login(&self, occasion: &Occasion<'_>, auth_time: Option<u64>) -> Result<(), Invalid> {
        let Occasion::Refresh { identity, auth_time: original } = occasion else { return Ok(()) };
        if !self.names(identity) {
            return Err(Invalid::Token("the ID token names another user or issuer"));
        }
        match (original, auth_time) {
            (Some(original), Some(found)) if found != *original => {
                Err(Invalid::Token("the ID token's auth_time is another login's"))
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }
}
