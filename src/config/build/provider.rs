//! `providers`.

use std::collections::HashSet;

use super::secret::Secret;
use super::span;
use crate::config::raw::provider::{ClientAuth as RawClientAuth, Provider};
use crate::config::report::Scope;
use crate::config::source::Files;
use crate::config::{ClientAuth, ProviderConfig, value};

pub(super) fn providers(raw: Vec<Provider>, at: &Scope<'_>, files: &Files) -> Option<Vec<ProviderConfig>> {
    let mut seen = HashSet::new();
    let count = raw.len();
    let mut built = Vec::new();
    for (index, provider) in raw.into_iter().enumerate() {
        let at = at.item(index);
        if provider.name.as_ref().is_some_and(|name| !seen.insert(name.clone())) {
            at.key("name").mistake("another provider has this name: names are never used twice");
        }
        built.extend(self::provider(provider, &at, files));
    }
    (built.len() == count).then_some(built)
}

fn provider(raw: Provider, at: &Scope<'_>, files: &Files) -> Option<ProviderConfig> {
    let name = raw.name.and_then(|text| at.key("name").check(value::name(&text)));
    let issuer = raw.issuer.and_then(|text| at.key("issuer").check(value::issuer(&text)));
    let client_id = raw.client_id.and_then(|text| filled(text, &at.key("client_id")));
    let secret = Secret {
        names: ("client_secret", "client_secret_file"),
        value: raw.client_secret,
        file: raw.client_secret_file,
    };
    let client_secret = secret.require(at, files);
    let scopes_fit = scopes_fit(&raw.scopes, &at.key("scopes"));
    let timeout = span(&raw.timeout, &at.key("timeout"), ("100ms", "60s"));
    let clock_skew = span(&raw.clock_skew, &at.key("clock_skew"), ("0s", "5m"));
    let lifetime = span(&raw.default_token_lifetime, &at.key("default_token_lifetime"), ("1s", "24h"));
    let ca = raw.ca_file.map(|path| at.key("ca_file").check(files.certificates(&path)));
    if !scopes_fit || matches!(ca, Some(None)) {
        return None;
    }
    Some(ProviderConfig {
        name: name?,
        issuer: issuer?,
        client_id: client_id?,
        client_secret: client_secret?,
        client_auth: match raw.client_auth {
            RawClientAuth::Basic => ClientAuth::Basic,
            RawClientAuth::Post => ClientAuth::Post,
        },
        timeout: timeout?,
        clock_skew: clock_skew?,
        signing_algorithms: raw.signing_algorithms.iter().map(|one| one.name().to_owned()).collect(),
        trusted_audiences: raw.trusted_audiences,
        ca: ca.flatten(),
        default_token_lifetime: lifetime?,
    })
}

fn filled(text: String, at: &Scope<'_>) -> Option<String> {
    if text.trim().is_empty() {
        at.mistake("is empty: give a value");
        return None;
    }
    Some(text)
}

/// `scope-token` of RFC 6749 §3.3, with `openid` (OpenID Connect Core §3.1.2.1).
fn scopes_fit(scopes: &[String], at: &Scope<'_>) -> bool {
    let mut fit = true;
    for (index, scope) in scopes.iter().enumerate() {
        if scope.is_empty() || !scope.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\\') {
            at.item(index).mistake("is not a scope: one word without spaces; write several as a list");
            fit = false;
        }
    }
    if !scopes.iter().any(|scope| scope == "openid") {
        at.mistake("`openid` is missing: without it there is no ID token and no login (OpenID Connect Core §3.1.2.1)");
        fit = false;
    }
    fit
}
