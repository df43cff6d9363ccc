//! The userinfo endpoint (Core §5.3): completes the claims of an ID token, never overrules them.

use openidconnect::UserInfoUrl;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::ProviderError;
use super::http::{Answer, Endpoint, Http};
use super::refusal::Refusal;
use crate::core::claims::Claims;

/// Claims about the login, not about the user: userinfo has no say in them.
const OF_THE_LOGIN: [&str; 10] = ["iss", "sub", "aud", "exp", "iat", "azp", "sid", "acr", "amr", "auth_time"];

/// The userinfo claims of `subject`.
pub(super) async fn fetch(
    http: &Http,
    endpoint: Option<&UserInfoUrl>,
    access: &SecretString,
    subject: &str,
) -> Result<Claims, ProviderError> {
    let Some(endpoint) = endpoint else {
        return Err(ProviderError::Misconfigured("userinfo: the provider has no such endpoint".into()));
    };
    let request = http.get(endpoint.url().as_str()).header(http::header::ACCEPT, "application/json");
    let answer = http.send(Endpoint::Userinfo, request.bearer_auth(access.expose_secret())).await?;
    read(&answer, subject, access).map_err(|refusal| {
        http.failed(Endpoint::Userinfo, refusal.kind);
        refusal.error
    })
}

fn read(answer: &Answer, subject: &str, access: &SecretString) -> Result<Claims, Refusal> {
    let rejected = |text: &str| Refusal { dead: false, kind: "userinfo", error: ProviderError::Rejected(text.into()) };
    if !answer.status.is_success() {
        let refusal = Refusal::read("userinfo", answer.status, &answer.body, &[access.expose_secret()]);
        return Err(match (answer.status.as_u16(), refusal.error) {
            // About this access token, not about our registration (RFC 6750 §3.1).
            (401 | 403, ProviderError::Misconfigured(text)) => rejected(&text),
            (_, error) => Refusal { error, ..refusal },
        });
    }
    if answer.content_type.as_deref().is_some_and(|kind| kind.starts_with("application/jwt")) {
        return Err(rejected("userinfo: signed answers are not supported"));
    }
    let mut claims: Map<String, Value> =
        serde_json::from_slice(&answer.body).map_err(|_| rejected("userinfo: the answer is not a JSON object"))?;
    // Core §5.3.2: without the same sub the answer must not be used.
    if claims.get("sub").and_then(Value::as_str) != Some(subject) {
        return Err(rejected("userinfo: the answer is about another user"));
    }
    claims.retain(|name, value| !value.is_null() && !OF_THE_LOGIN.contains(&name.as_str()));
    Ok(Claims::from_object(&claims))
}
