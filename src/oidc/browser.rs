//! The two URLs that the browser is sent to: the authorization request and the end of the session.

use std::borrow::Cow;

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreJsonWebKeySet};
use openidconnect::{ClientId, CsrfToken, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope};
use secrecy::{ExposeSecret as _, SecretString};

use super::discovery::Metadata;
use super::{AuthorizeRequest, EndSession, ProviderError};

/// Parameters that carry the protocol: what an app lets through never sets them.
const PROTOCOL: [&str; 15] = [
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "nonce",
    "redirect_uri",
    "registration",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// Browsers and servers take 8 KiB and often less; a longer end-session URL goes without the hint.
const LONGEST_URL: usize = 6 * 1024;

/// The authorization request (Core §3.1.2.1) with PKCE S256 (RFC 7636): sent whether or not the provider
/// announces it, as one that does not know it ignores it.
pub(super) fn authorize(
    metadata: &Metadata,
    client_id: &ClientId,
    issuer: &IssuerUrl,
    request: AuthorizeRequest,
) -> Result<String, ProviderError> {
    let redirect = RedirectUrl::new(request.redirect_uri)
        .map_err(|_| ProviderError::Misconfigured("the redirect URI is not a URL".into()))?;
    let challenge = challenge(request.verifier.expose_secret())?;
    // The key set takes no part in building a URL.
    let client = CoreClient::new(client_id.clone(), issuer.clone(), CoreJsonWebKeySet::default())
        .set_auth_uri(metadata.authorization.clone());
    let (state, nonce) = (request.state, request.nonce);
    // The crate adds `openid` by itself.
    let scopes = request.scopes.into_iter().filter(|scope| scope != "openid").map(Scope::new);
    let mut authorization = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            move || CsrfToken::new(state),
            move || Nonce::new(nonce),
        )
        .set_redirect_uri(Cow::Owned(redirect))
        .set_pkce_challenge(challenge)
        .add_scopes(scopes);
    let mut seen = Vec::new();
    for (name, value) in request.extra {
        if PROTOCOL.iter().any(|known| known.eq_ignore_ascii_case(&name)) || seen.contains(&name) {
            continue;
        }
        seen.push(name.clone());
        authorization = authorization.add_extra_param(name, value);
    }
    Ok(authorization.url().0.into())
}

/// The S256 challenge. The crate panics where the length is not RFC 7636's, so that is asked first.
fn challenge(verifier: &str) -> Result<PkceCodeChallenge, ProviderError> {
    if !(43..=128).contains(&verifier.len()) {
        return Err(ProviderError::Rejected("the attempt's PKCE verifier has a wrong length".into()));
    }
    Ok(PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier.to_owned())))
}

/// The end-session URL (RP-Initiated Logout 1.0 §2), or `None` when the provider has no such endpoint.
/// `client_id` names us even where the hint is missing or cannot be read any more.
pub(super) fn end_session(metadata: &Metadata, client_id: &ClientId, request: &EndSession) -> Option<String> {
    let endpoint = metadata.end_session.as_ref()?.url();
    let with = |hint: Option<&str>| {
        let mut url = endpoint.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(hint) = hint {
                query.append_pair("id_token_hint", hint);
            }
            query
                .append_pair("client_id", client_id)
                .append_pair("post_logout_redirect_uri", &request.post_logout_redirect_uri)
                .append_pair("state", &request.state);
        }
        String::from(url)
    };
    let hint = request.id_token_hint.as_ref().map(SecretString::expose_secret);
    let url = with(hint);
    Some(if url.len() > LONGEST_URL { with(None) } else { url })
}

#[cfg(test)]
mod tests;
