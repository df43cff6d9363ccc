//! Anything at all as an ID token. What a well-made bad one does is tested against a provider (`tests/oidc`).

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rules() -> Rules {
    Rules {
        client_id: ClientId::new("shop".into()),
        issuer: IssuerUrl::new("https://id.example.com".into()).unwrap(),
        algorithms: vec![CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256, CoreJwsSigningAlgorithm::EcdsaP256Sha256],
        audiences: Vec::new(),
        skew: Duration::from_secs(60),
        shared: None,
    }
}

fn verify(token: &str) -> Result<Verified, Invalid> {
    let keys: CoreJsonWebKeySet = serde_json::from_value(json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "kid": "k1", "x": "AAAA", "y": "AAAA" },
        { "kty": "RSA", "kid": "k2", "n": "AQAB", "e": "AQAB" },
        { "kty": "RSA", "kid": "k3", "n": "", "e": "" },
    ] }))
    .unwrap();
    let (token, access) = (SecretString::from(token), SecretString::from("at"));
    let occasion = Occasion::Login { nonce: "n" };
    let presented = Presented { token: &token, access: &access, occasion };
    rules().verify(&presented, &keys, Timestamp::from_secs(1_800_000_000))
}

fn encode(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

#[test]
fn only_known_asymmetric_or_configured_algorithms_come_out_of_the_config() {
    assert_eq!(algorithm("RS256"), Some(CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256));
    assert_eq!(algorithm("EdDSA"), Some(CoreJwsSigningAlgorithm::EdDsa));
    for name in ["none", "None", "", "rs256", "A128GCM"] {
        assert_eq!(algorithm(name), None, "{name}");
    }
}

#[test]
fn broken_keys_refuse_and_do_not_panic() {
    let claims = json!({ "iss": "https://id.example.com", "sub": "u", "aud": "shop", "exp": 1_800_000_300, "iat": 1_800_000_000, "nonce": "n" });
    for header in
        [json!({ "alg": "RS256" }), json!({ "alg": "RS256", "kid": "k2" }), json!({ "alg": "ES256", "kid": "k1" })]
    {
        let token = format!("{}.{}.AAAA", encode(&header.to_string()), encode(&claims.to_string()));
        assert!(verify(&token).is_err());
    }
}

proptest! {
    #[test]
    fn no_text_is_an_id_token(text in ".{0,200}") {
        prop_assert!(verify(&text).is_err());
    }

    #[test]
    fn no_header_and_payload_pass_without_a_key(
        algorithm in prop::sample::select(vec!["none", "RS256", "ES256", "HS256", "PS512", "EdDSA", "A128GCM", "x"]),
        kid in prop::option::of("k[1-4]"),
        exp in any::<f64>(),
        signature in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        use base64::Engine as _;
        let header = json!({ "alg": algorithm, "kid": kid });
        let claims = json!({ "iss": "https://id.example.com", "sub": "u", "aud": "shop", "exp": exp, "iat": 1_800_000_000, "nonce": "n" });
        let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(signature);
        let token = format!("{}.{}.{signature}", encode(&header.to_string()), encode(&claims.to_string()));
        prop_assert!(verify(&token).is_err());
    }
}
