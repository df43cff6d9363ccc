//! Documents as real providers publish them, shortened to the members that differ or once broke a client.

use serde_json::{Value, json};

use super::*;

fn parse(document: &Value) -> Result<Metadata, String> {
    let issuer = IssuerUrl::new(document["issuer"].as_str().unwrap().to_owned()).unwrap();
    Metadata::parse(document.as_object().unwrap(), &issuer)
}

fn keycloak() -> Value {
    let base = "https://id.example.com/realms/shop";
    let at = |path: &str| format!("{base}/protocol/openid-connect/{path}");
    json!({
        "issuer": base,
        "authorization_endpoint": at("auth"), "token_endpoint": at("token"), "jwks_uri": at("certs"),
        "introspection_endpoint": at("token/introspect"), "userinfo_endpoint": at("userinfo"),
        "end_session_endpoint": at("logout"), "revocation_endpoint": at("revoke"),
        "check_session_iframe": at("login-status-iframe.html"),
        "frontchannel_logout_session_supported": true, "backchannel_logout_supported": true,
        "grant_types_supported": ["authorization_code", "urn:openid:params:grant-type:ciba", "refresh_token"],
        "acr_values_supported": ["0", "1"],
        "id_token_signing_alg_values_supported": ["PS384", "RS384", "EdDSA", "ES384", "HS256", "RS256", "ML-DSA-65"],
        "id_token_encryption_alg_values_supported": ["ECDH-ES+A256KW", "RSA-OAEP-256", "RSA1_5", "XYZ"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic", "tls_client_auth"],
        "claim_types_supported": ["normal"], "claims_parameter_supported": true,
        "code_challenge_methods_supported": ["plain", "S256"],
        "mtls_endpoint_aliases": { "token_endpoint": at("token") },
        "authorization_response_iss_parameter_supported": true,
    })
}

fn entra() -> Value {
    let base = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555";
    json!({
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "issuer": format!("{base}/v2.0"),
        "request_uri_parameter_supported": false,
        "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
        "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
        "tenant_region_scope": "EU", "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net", "rbac_url": "https://pas.windows.net",
    })
}

fn okta() -> Value {
    let base = "https://dev-1.okta.com/oauth2/default";
    json!({
        "issuer": base, "authorization_endpoint": format!("{base}/v1/authorize"),
        "token_endpoint": format!("{base}/v1/token"), "userinfo_endpoint": format!("{base}/v1/userinfo"),
        "registration_endpoint": "https://dev-1.okta.com/oauth2/v1/clients", "jwks_uri": format!("{base}/v1/keys"),
        "response_modes_supported": ["query", "fragment", "form_post", "okta_post_message"],
        "revocation_endpoint": format!("{base}/v1/revoke"), "end_session_endpoint": format!("{base}/v1/logout"),
        "request_parameter_supported": true, "dpop_signing_alg_values_supported": ["RS256", "ES512"],
    })
}

fn auth0() -> Value {
    let base = "https://shop.eu.auth0.com/";
    json!({
        "issuer": base, "authorization_endpoint": format!("{base}authorize"), "token_endpoint": format!("{base}oauth/token"),
        "device_authorization_endpoint": format!("{base}oauth/device/code"), "userinfo_endpoint": format!("{base}userinfo"),
        "mfa_challenge_endpoint": format!("{base}mfa/challenge"), "jwks_uri": format!("{base}.well-known/jwks.json"),
        "revocation_endpoint": format!("{base}oauth/revoke"), "end_session_endpoint": format!("{base}oidc/logout"),
        "claims_supported": ["aud", "nickname", "updated_at"], "request_uri_parameter_supported": false,
    })
}

fn cognito() -> Value {
    let hosted = "https://shop.auth.eu-west-1.amazoncognito.com";
    let issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aBcDeFgHi";
    json!({
        "authorization_endpoint": format!("{hosted}/oauth2/authorize"), "issuer": issuer,
        "id_token_signing_alg_values_supported": ["RS256"], "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "response_types_supported": ["code", "token"], "scopes_supported": ["openid", "email"],
        "subject_types_supported": ["public"], "token_endpoint": format!("{hosted}/oauth2/token"),
        "userinfo_endpoint": format!("{hosted}/oauth2/userInfo"), "revocation_endpoint": format!("{hosted}/oauth2/revoke"),
    })
}

fn dex() -> Value {
    let base = "http://127.0.0.1:5556/dex";
    json!({
        "issuer": base, "authorization_endpoint": format!("{base}/auth"), "token_endpoint": format!("{base}/token"),
        "jwks_uri": format!("{base}/keys"), "userinfo_endpoint": format!("{base}/userinfo"),
        "device_authorization_endpoint": format!("{base}/device/code"),
        "introspection_endpoint": format!("{base}/token/introspect"),
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256", "plain"],
    })
}

fn google() -> Value {
    json!({
        "issuer": "https://accounts.google.com",
        "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
        "token_endpoint": "https://oauth2.googleapis.com/token",
        "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
        "revocation_endpoint": "https://oauth2.googleapis.com/revoke",
        "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
        "response_types_supported": ["code", "token", "code token id_token", "none"],
    })
}

#[test]
fn documents_of_real_providers_are_understood() {
    // Document, revocation?, end of session?
    let documents = [
        ("keycloak", keycloak(), true, true),
        ("entra", entra(), false, true),
        ("okta", okta(), true, true),
        ("auth0", auth0(), true, true),
        ("cognito", cognito(), true, false),
        ("dex", dex(), false, false),
        ("google", google(), true, false),
    ];
    for (name, document, revocation, end_session) in documents {
        let metadata = parse(&document).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(metadata.token.as_str(), document["token_endpoint"], "{name}");
        assert_eq!(metadata.jwks.as_str(), document["jwks_uri"], "{name}");
        assert_eq!(metadata.revocation.is_some(), revocation, "{name}");
        assert_eq!(metadata.end_session.is_some(), end_session, "{name}");
        assert_eq!(metadata.sends_issuer, name == "keycloak", "{name}");
    }
}

#[test]
fn members_that_are_not_used_cannot_break_it() {
    let mut document = google();
    for member in ["op_policy_uri", "op_tos_uri", "service_documentation", "registration_endpoint"] {
        document[member] = "".into();
    }
    for member in ["response_types_supported", "subject_types_supported", "scopes_supported", "acr_values_supported"] {
        document[member] = json!({ "not": "a list" });
    }
    document["id_token_signing_alg_values_supported"] = Value::Null;
    document["end_session_endpoint"] = "".into();
    document["revocation_endpoint"] = json!(false);
    document["authorization_response_iss_parameter_supported"] = "true".into();
    let metadata = parse(&document).unwrap();
    assert!(metadata.end_session.is_none() && metadata.revocation.is_none() && !metadata.sends_issuer);
}

#[test]
fn the_documents_address_follows_the_issuer() {
    for (issuer, document) in [
        ("https://a.example", "https://a.example/.well-known/openid-configuration"),
        ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
        ("https://a.example/realms/x", "https://a.example/realms/x/.well-known/openid-configuration"),
        ("https://a.example/realms/x/", "https://a.example/realms/x/.well-known/openid-configuration"),
    ] {
        assert_eq!(document_url(&IssuerUrl::new(issuer.into()).unwrap()), document);
    }
}

#[test]
fn plain_http_is_for_this_machine_only() {
    for (url, protected) in [
        ("https://id.example.com/token", true),
        ("http://localhost:8080/token", true),
        ("http://id.localhost/token", true),
        ("http://127.9.9.9/token", true),
        ("http://[::1]:8080/token", true),
        ("http://id.example.com/token", false),
        ("http://localhost.example.com/token", false),
        ("http://127.0.0.1.example.com/token", false),
        ("http://0.0.0.0/token", false),
        ("http://10.0.0.1/token", false),
        ("http://user@id.example.com/", false),
        ("ftp://localhost/token", false),
        ("data:text/plain,x", false),
    ] {
        assert_eq!(is_protected(&Url::parse(url).unwrap()), protected, "{url}");
    }
}
