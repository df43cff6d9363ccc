//! Key sets as real providers publish them.

use openidconnect::JsonWebKey as _;
use serde_json::json;
use zeroize::Zeroizing;

use super::*;

/// A modulus of `bytes` bytes; no signature is checked here.
fn modulus(bytes: usize) -> String {
    lenient_base64url().encode(vec![0xc5; bytes])
}

fn kids(keys: &Value) -> Vec<String> {
    let body = Zeroizing::new(json!({ "keys": keys }).to_string().into_bytes());
    let set = read(&Answer { status: http::StatusCode::OK, content_type: None, body }).unwrap();
    set.keys().iter().map(|key| key.key_id().map(|kid| kid.to_string()).unwrap_or_default()).collect()
}

#[test]
fn key_sets_of_real_providers_are_understood() {
    let n = modulus(256);
    let keycloak = json!([
        { "kid": "sig", "kty": "RSA", "alg": "RS256", "use": "sig", "x5c": ["MIICmz"], "x5t": "a", "x5t#S256": "b", "n": n, "e": "AQAB" },
        { "kid": "enc", "kty": "RSA", "alg": "RSA-OAEP", "use": "enc", "x5c": ["MIICmz"], "n": n, "e": "AQAB" },
        { "kid": "ed", "kty": "OKP", "alg": "EdDSA", "use": "sig", "crv": "Ed25519", "x": "AAAA" },
    ]);
    let entra = json!([
        { "kty": "RSA", "use": "sig", "kid": "entra", "x5t": "entra", "n": n, "e": "AQAB", "x5c": ["MIIC"],
          "cloud_instance_name": "microsoftonline.com", "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0" },
    ]);
    let cognito = json!([{ "alg": "RS256", "e": "AQAB", "kid": "cog+nito=", "kty": "RSA", "n": n, "use": "sig" }]);
    let dex = json!([{ "use": "sig", "kty": "RSA", "kid": "dex", "alg": "RS256", "n": n, "e": "AQAB" }]);
    let bare = json!([{ "kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA" }]);
    assert_eq!(kids(&keycloak), ["sig", "ed"]);
    assert_eq!(kids(&entra), ["entra"]);
    assert_eq!(kids(&cognito), ["cog+nito="]);
    assert_eq!(kids(&dex), ["dex"]);
    assert_eq!(kids(&bare), [""]);
}

#[test]
fn keys_too_weak_symmetric_or_without_end_are_left_out() {
    for (bytes, kept) in [(0, false), (128, false), (255, false), (256, true), (512, true)] {
        let key = json!([{ "kty": "RSA", "kid": "k", "n": modulus(bytes), "e": "AQAB" }]);
        assert_eq!(kids(&key).len() == 1, kept, "{bytes}");
    }
    // Leading zeros do not make a modulus longer.
    let padded = lenient_base64url().encode([vec![0; 200], vec![0xc5; 128]].concat());
    assert!(kids(&json!([{ "kty": "RSA", "n": padded, "e": "AQAB" }])).is_empty());
    assert!(kids(&json!([{ "kty": "oct", "k": "c2VjcmV0" }])).is_empty());
    let many: Vec<Value> = (0..500).map(|i| json!({ "kty": "EC", "crv": "P-256", "kid": format!("{i}") })).collect();
    assert_eq!(kids(&json!(many)).len(), MOST_KEYS);
}

#[test]
fn what_is_no_key_set_is_refused() {
    for body in ["", "[]", "null", "{}", r#"{"keys":null}"#, r#"{"keys":{}}"#, "<html>"] {
        let body = Zeroizing::new(body.as_bytes().to_vec());
        assert!(read(&Answer { status: http::StatusCode::OK, content_type: None, body }).is_err());
    }
}
