//! The provider's metadata (OpenID Connect Discovery 1.0 §4), reduced to what this client uses.
//!
//! Members that we do not use are not read, so that nothing a provider puts there can break a login. What
//! we do use is held to the rules: the issuer exactly, and every endpoint over TLS or on this machine.

use openidconnect::{AuthUrl, EndSessionUrl, IssuerUrl, JsonWebKeySetUrl, RevocationUrl, TokenUrl, UserInfoUrl};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::{Host, Url};

use super::ProviderError;
use super::http::{Answer, Endpoint, Http};
use super::refusal::{Refusal, printable};

/// Where things are at the provider.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) authorization: AuthUrl,
    pub(super) token: TokenUrl,
    pub(super) jwks: JsonWebKeySetUrl,
    pub(super) userinfo: Option<UserInfoUrl>,
    pub(super) revocation: Option<RevocationUrl>,
    pub(super) end_session: Option<EndSessionUrl>,
    /// RFC 9207 §3.
    pub(super) sends_issuer: bool,
}

impl Metadata {
    /// Fetches and checks the document.
    pub(super) async fn fetch(http: &Http, issuer: &IssuerUrl) -> Result<Self, ProviderError> {
        let request = http.get(&document_url(issuer)).header(http::header::ACCEPT, "application/json");
        let answer = http.send(Endpoint::Discovery, request).await?;
        Self::read(&answer, issuer).map_err(|refusal| {
            http.failed(Endpoint::Discovery, refusal.kind);
            refusal.error
        })
    }

    fn read(answer: &Answer, issuer: &IssuerUrl) -> Result<Self, Refusal> {
        if answer.status != http::StatusCode::OK {
            return Err(Refusal::read("discovery", answer.status, &[], &[]));
        }
        let document: Map<String, Value> = serde_json::from_slice(&answer.body)
            .map_err(|_| Refusal::unreadable("discovery: the document is not a JSON object"))?;
        Self::parse(&document, issuer).map_err(|text| Refusal {
            dead: false,
            kind: "metadata",
            error: ProviderError::Misconfigured(text),
        })
    }

    pub(super) fn parse(document: &Map<String, Value>, issuer: &IssuerUrl) -> Result<Self, String> {
        let named = document.get("issuer").and_then(Value::as_str).unwrap_or_default();
        // Discovery §4.3, RFC 8414 §3.3: identical, a trailing slash included.
        if named != issuer.as_str() {
            return Err(format!("discovery: the document is for issuer {}, not ours", printable(named, 200, &[])));
        }
        Ok(Self {
            authorization: required(document, "authorization_endpoint")?,
            token: required(document, "token_endpoint")?,
            jwks: required(document, "jwks_uri")?,
            userinfo: optional(document, "userinfo_endpoint")?,
            revocation: optional(document, "revocation_endpoint")?,
            end_session: optional(document, "end_session_endpoint")?,
            sends_issuer: document.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
        })
    }
}

/// Discovery §4.1: a terminating slash is removed before the well-known part is appended.
fn document_url(issuer: &IssuerUrl) -> String {
    let base = issuer.as_str();
    format!("{}/.well-known/openid-configuration", base.strip_suffix('/').unwrap_or(base))
}

fn required<U: for<'de> Deserialize<'de>>(document: &Map<String, Value>, member: &str) -> Result<U, String> {
    optional(document, member)?.ok_or_else(|| format!("discovery: {member} is missing"))
}

fn optional<U: for<'de> Deserialize<'de>>(document: &Map<String, Value>, member: &str) -> Result<Option<U>, String> {
    // Some documents say "none" with null or an empty string.
    let Some(text) = document.get(member).and_then(Value::as_str).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let url = Url::parse(text).map_err(|_| format!("discovery: {member} is not a URL"))?;
    if !is_protected(&url) {
        return Err(format!("discovery: {member} is neither https nor on this machine"));
    }
    U::deserialize(Value::from(text)).map(Some).map_err(|_| format!("discovery: {member} is not a URL"))
}

/// `https`, or `http` to this machine.
fn is_protected(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

#[cfg(test)]
mod tests;
