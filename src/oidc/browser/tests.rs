//! The URLs a browser gets, parameter by parameter.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;
use url::Url;

use super::*;
use crate::oidc::discovery::Metadata;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn metadata(authorization: &str) -> Metadata {
    let document = json!({
        "issuer": "https://id.example.com", "authorization_endpoint": authorization,
        "token_endpoint": "https://id.example.com/token", "jwks_uri": "https://id.example.com/keys",
        "end_session_endpoint": "https://id.example.com/logout",
    });
    Metadata::parse(document.as_object().unwrap(), &issuer()).unwrap()
}

fn issuer() -> IssuerUrl {
    IssuerUrl::new("https://id.example.com".into()).unwrap()
}

fn request(extra: &[(&str, &str)]) -> AuthorizeRequest {
    AuthorizeRequest {
        redirect_uri: "https://shop.example.com/auth/callback".into(),
        scopes: ["openid", "email", "offline_access"].map(String::from).to_vec(),
        state: "the state&x=1".into(),
        nonce: "the-nonce".into(),
        verifier: VERIFIER.into(),
        extra: extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn parameters(authorization: &str, request: AuthorizeRequest) -> Vec<(String, String)> {
    let client_id = ClientId::new("shop".into());
    let url = authorize(&metadata(authorization), &client_id, &issuer(), request).unwrap();
    Url::parse(&url).unwrap().query_pairs().into_owned().collect()
}

#[test]
fn an_authorization_request_carries_each_parameter_once() {
    let pairs =
        parameters("https://id.example.com/authorize?p=b2c_1", request(&[("prompt", "login"), ("prompt", "none")]));
    let expected = [
        ("p", "b2c_1"),
        ("response_type", "code"),
        ("client_id", "shop"),
        ("redirect_uri", "https://shop.example.com/auth/callback"),
        ("scope", "openid email offline_access"),
        ("state", "the state&x=1"),
        ("nonce", "the-nonce"),
        // RFC 7636 appendix B.
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
    ];
    let by_name: HashMap<_, _> = pairs.iter().cloned().collect();
    assert_eq!(pairs.len(), expected.len(), "{pairs:?}");
    for (name, value) in expected {
        assert_eq!(by_name[name], value, "{name}");
    }
}

#[test]
fn a_verifier_of_the_wrong_length_is_refused_not_a_panic() {
    for length in [0, 42, 129] {
        let mut request = request(&[]);
        request.verifier = "v".repeat(length).into();
        let outcome =
            authorize(&metadata("https://id.example.com/a"), &ClientId::new("shop".into()), &issuer(), request);
        assert!(matches!(outcome, Err(ProviderError::Rejected(_))), "{outcome:?}");
    }
}

#[test]
fn a_long_hint_is_left_out_and_the_client_still_named() {
    let end = |length: usize| EndSession {
        id_token_hint: Some("h".repeat(length).into()),
        post_logout_redirect_uri: "https://shop.example.com/auth/logout/done".into(),
        state: "s".into(),
    };
    let (metadata, client_id) = (metadata("https://id.example.com/a"), ClientId::new("shop".into()));
    let short = end_session(&metadata, &client_id, &end(4000)).unwrap();
    assert!(short.contains("id_token_hint=hhh") && short.contains("client_id=shop"));
    let long = end_session(&metadata, &client_id, &end(7000)).unwrap();
    assert!(!long.contains("id_token_hint") && long.contains("client_id=shop") && long.contains("state=s"), "{long}");
}

proptest! {
    #[test]
    fn no_extra_parameter_overrides_the_protocol(index in 0..PROTOCOL.len(), upper: bool, value in "[ -~]{0,20}") {
        let name = if upper { PROTOCOL[index].to_uppercase() } else { PROTOCOL[index].to_owned() };
        let plain = parameters("https://id.example.com/authorize", request(&[]));
        let with = parameters("https://id.example.com/authorize", request(&[(&name, &value)]));
        prop_assert_eq!(plain, with);
    }
}
