//! The token endpoint's answer (RFC 6749 §5): read once, in our types.
//!
//! It is generous where providers differ (a number as text, a missing lifetime or type) because a rotated
//! refresh token that is not understood is lost, and strict about what ends up in a header.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::ProviderError;
use super::http::Answer;
use super::refusal::{Refusal, printable};

/// Longer lifetimes are taken for this one: no provider means it, and sums stay sane.
const LONGEST_LIFETIME: u64 = 365 * 24 * 3600;

/// What a token endpoint gave.
#[derive(Debug)]
pub(super) struct TokenAnswer {
    pub(super) access: SecretString,
    pub(super) refresh: Option<SecretString>,
    /// Not validated yet.
    pub(super) id_token: Option<SecretString>,
    /// `None`: the provider did not tell a lifetime, or none that makes sense.
    pub(super) lifetime: Option<Duration>,
    pub(super) scope: Option<String>,
}

#[derive(Deserialize)]
struct Wire {
    access_token: Option<SecretString>,
    refresh_token: Option<SecretString>,
    id_token: Option<SecretString>,
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    scope: Value,
}

impl TokenAnswer {
    /// Reads an answer. `secrets` is what the request carried; none of it gets into the refusal.
    pub(super) fn read(answer: &Answer, secrets: &[&str]) -> Result<Self, Refusal> {
        if !answer.status.is_success() {
            return Err(Refusal::read("token", answer.status, &answer.body, secrets));
        }
        let wire: Wire = serde_json::from_slice(&answer.body)
            .map_err(|_| Refusal::unreadable("token: the answer is not understood"))?;
        let Some(access) = wire.access_token else {
            return Err(Self::without_token(answer, secrets));
        };
        if !is_header_safe(access.expose_secret()) {
            return Err(Refusal::unreadable("token: the access token is empty or holds illegal characters"));
        }
        check_type(wire.token_type.as_deref())?;
        Ok(Self {
            access,
            refresh: wire.refresh_token.filter(is_given),
            id_token: wire.id_token.filter(is_given),
            lifetime: lifetime(&wire.expires_in),
            scope: scope(&wire.scope),
        })
    }

    /// Some providers report OAuth errors with status 200.
    fn without_token(answer: &Answer, secrets: &[&str]) -> Refusal {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if body.get("error").is_some_and(Value::is_string) {
            return Refusal::read("token", answer.status, &answer.body, secrets);
        }
        Refusal::unreadable("token: the answer holds no access token")
    }
}

/// RFC 6749 §7.1: a client must not use a token of a type it does not understand. An absent type is Bearer.
fn check_type(kind: Option<&str>) -> Result<(), Refusal> {
    match kind {
        Some(kind) if !kind.eq_ignore_ascii_case("bearer") => Err(Refusal {
            dead: false,
            kind: "token_type",
            error: ProviderError::Misconfigured(format!(
                "token: the token type is {}, not Bearer",
                printable(kind, 40, &[])
            )),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Visible ASCII (RFC 6749 appendix A.12 without the space): it goes into an `Authorization` header.
fn is_header_safe(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_given(token: &SecretString) -> bool {
    !token.expose_secret().is_empty()
}

/// `expires_in` in seconds: a number, or a number as text. Zero and less say nothing that could be acted on
/// (a token that is always expired would be refreshed for ever).
fn lifetime(value: &Value) -> Option<Duration> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let seconds: f64 = text.parse().ok()?;
    if !(seconds.is_finite() && seconds >= 1.0) {
        return None;
    }
    let longest = Duration::from_secs(LONGEST_LIFETIME);
    Some(Duration::try_from_secs_f64(seconds.floor()).unwrap_or(longest).min(longest))
}

/// Text as RFC 6749 asks, or a list as some write it.
fn scope(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            (!items.is_empty()).then(|| items.join(" "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
