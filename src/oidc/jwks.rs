//! The provider's signing keys (RFC 7517), as `openidconnect` understands them.
//!
//! Keys that cannot sign, are too weak, or are of a kind we do not know are left out; they never make the
//! others unusable. A key that a token carries itself is never looked at.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use openidconnect::JsonWebKeySetUrl;
use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet};
use serde_json::{Map, Value};

use super::ProviderError;
use super::http::{Answer, Endpoint, Http};
use super::refusal::Refusal;

/// RFC 7518 §3.3: 2048 bits or more.
const SMALLEST_MODULUS: usize = 2048 / 8;

/// More keys than any provider has; bounds the work of a token without `kid`.
const MOST_KEYS: usize = 64;

/// Fetches and reads the key set.
pub(super) async fn fetch(http: &Http, url: &JsonWebKeySetUrl) -> Result<CoreJsonWebKeySet, ProviderError> {
    let request =
        http.get(url.url().as_str()).header(http::header::ACCEPT, "application/jwk-set+json, application/json");
    let answer = http.send(Endpoint::Jwks, request).await?;
    read(&answer).map_err(|refusal| {
        http.failed(Endpoint::Jwks, refusal.kind);
        refusal.error
    })
}

fn read(answer: &Answer) -> Result<CoreJsonWebKeySet, Refusal> {
    if answer.status != http::StatusCode::OK {
        return Err(Refusal::read("jwks", answer.status, &[], &[]));
    }
    let document: Map<String, Value> = serde_json::from_slice(&answer.body)
        .map_err(|_| Refusal::unreadable("jwks: the document is not a JSON object"))?;
    let Some(Value::Array(keys)) = document.get("keys") else {
        return Err(Refusal::unreadable("jwks: there is no list of keys"));
    };
    let usable = keys.iter().filter(|key| is_usable(key)).filter_map(understood).take(MOST_KEYS);
    Ok(CoreJsonWebKeySet::new(usable.collect()))
}

/// Whether a key may verify signatures. A published symmetric key is no secret and verifies nothing.
fn is_usable(key: &Value) -> bool {
    match key.get("kty").and_then(Value::as_str) {
        Some("RSA") => modulus_bytes(key) >= SMALLEST_MODULUS,
        Some("EC" | "OKP") => true,
        Some(_) | None => false,
    }
}

fn modulus_bytes(key: &Value) -> usize {
    let modulus = key.get("n").and_then(Value::as_str).and_then(|n| lenient_base64url().decode(n).ok());
    modulus.map_or(0, |bytes| bytes.iter().skip_while(|byte| **byte == 0).count())
}

fn understood(key: &Value) -> Option<CoreJsonWebKey> {
    serde_json::from_value(key.clone()).ok()
}

/// base64url as real providers write it: with or without padding.
pub(super) fn lenient_base64url() -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&base64::alphabet::URL_SAFE, config)
}

#[cfg(test)]
mod tests;
