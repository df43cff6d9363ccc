//! Redeeming a code: what a proper ID token brings, and every way in which one can be wrong.

use coatcheck::config::ClientAuth;
use coatcheck::oidc::{Authenticated, ProviderError};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::hostile::{Hostile, Reply, TOKEN, USERINFO};
use crate::signer::{Signer, at_hash, hs256, unsigned};
use crate::support::{ACCESS, NONCE, NOW, Pair, SECRET, VERIFIER, claims, config, offer, relying, tokens};

type Change = fn(&mut Value);

#[tokio::test]
async fn a_proper_answer_signs_the_user_in() {
    for signer in [Signer::ec("k1"), Signer::rsa("k1")] {
        let provider = Hostile::start(&[&signer]).await;
        let mut claims = claims(&provider.issuer);
        claims["at_hash"] = at_hash(ACCESS).into();
        offer(&provider, &signer, &claims);
        let session = relying(&config(&provider.issuer)).login().await.unwrap();

        assert_eq!(session.identity.issuer, provider.issuer);
        assert_eq!(session.identity.subject, "u-1");
        assert_eq!(session.identity.provider_session.as_deref(), Some("s-1"));
        assert_eq!(session.tokens.access.expose_secret(), ACCESS);
        assert_eq!(session.tokens.access_expires.secs(), NOW + 120);
        assert_eq!(session.tokens.refresh.unwrap().expose_secret(), "rt-2");
        assert_eq!(session.tokens.id_token_expires.unwrap().secs(), NOW + 300);
        assert_eq!(session.tokens.scope.as_deref(), Some("openid email"));
        assert_eq!(session.auth_time, Some(NOW - 5));
        assert_eq!(session.claims.get("email"), Some(json!("a@example.com")));
        let names: Vec<&str> = session.claims.pairs().map(|(name, _)| name).collect();
        assert!(!names.contains(&"nonce") && !names.contains(&"at_hash"), "{names:?}");
    }
}

#[tokio::test]
async fn the_token_request_is_one_post_with_everything_bound_to_the_attempt() {
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    offer(&provider, &signer, &claims(&provider.issuer));
    relying(&config(&provider.issuer)).login().await.unwrap();

    let calls = provider.calls(TOKEN);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].method, "POST");
    let form = &calls[0].form;
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["code"], "the-code");
    assert_eq!(form["redirect_uri"], "https://shop.example.com/auth/callback");
    assert_eq!(form["code_verifier"], VERIFIER);
    assert!(!form.contains_key("client_secret"));
}

#[tokio::test]
async fn special_characters_in_id_and_secret_survive_both_ways_of_authenticating() {
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    let mut claims = claims(&provider.issuer);
    claims["aud"] = "shop:ü 1".into();
    offer(&provider, &signer, &claims);
    let mut config = config(&provider.issuer);
    config.client_id = "shop:ü 1".into();
    config.client_secret = "p%+/=&:~ s".into();

    relying(&config).login().await.unwrap();
    relying(&config).refresh().await.unwrap();
    config.client_auth = ClientAuth::Post;
    relying(&config).login().await.unwrap();
    relying(&config).refresh().await.unwrap();

    let calls = provider.calls(TOKEN);
    for call in &calls[..2] {
        // base64("shop%3A%C3%BC+1:p%25%2B%2F%3D%26%3A%7E+s")
        assert_eq!(call.headers["authorization"], "Basic c2hvcCUzQSVDMyVCQysxOnAlMjUlMkIlMkYlM0QlMjYlM0ElN0Urcw==");
    }
    for call in &calls[2..] {
        assert!(!call.headers.contains_key("authorization"));
        assert_eq!(call.form["client_id"], "shop:ü 1");
        assert_eq!(call.form["client_secret"], "p%+/=&:~ s");
    }
}

/// What is wrong, what the error says about it, and the change that makes it so.
fn wrongs() -> Vec<(&'static str, &'static str, Change)> {
    vec![
        ("iss", "'s iss", |c| c["iss"] = "https://evil.example.com".into()),
        ("iss with a slash more", "'s iss", |c| c["iss"] = format!("{}/", c["iss"].as_str().unwrap()).into()),
        ("no iss", "not a signed JWT", |c| remove(c, "iss")),
        ("iss a list", "not a signed JWT", |c| c["iss"] = json!([c["iss"]])),
        ("aud", "aud is not ours", |c| c["aud"] = "another".into()),
        ("no aud", "aud is not ours", |c| remove(c, "aud")),
        ("empty aud", "aud is not ours", |c| c["aud"] = json!([])),
        ("aud a number", "not a signed JWT", |c| c["aud"] = 1.into()),
        ("aud in another case", "aud is not ours", |c| c["aud"] = "Shop".into()),
        ("untrusted further aud", "aud is not ours", |c| {
            set(c, &[("aud", json!(["shop", "evil"])), ("azp", json!("shop"))]);
        }),
        ("trusted further aud, no azp", "no azp", |c| c["aud"] = json!(["shop", "api"])),
        ("trusted aud alone", "aud is not ours", |c| c["aud"] = "api".into()),
        ("azp another", "azp is another", |c| c["azp"] = "evil".into()),
        ("azp not text", "not a signed JWT", |c| c["azp"] = json!(["shop"])),
        ("expired", "expired", |c| c["exp"] = (NOW - 60).into()),
        ("no exp", "not a signed JWT", |c| remove(c, "exp")),
        ("exp text", "not a signed JWT", |c| c["exp"] = "never".into()),
        ("exp a date", "exp is not a time", |c| c["exp"] = "2099-01-01T00:00:00Z".into()),
        ("exp out of bounds", "not a signed JWT", |c| c["exp"] = json!(1e300)),
        ("no iat", "not a signed JWT", |c| remove(c, "iat")),
        ("iat in the future", "in the future", |c| c["iat"] = (NOW + 61).into()),
        ("iat too old", "too long ago", |c| c["iat"] = (NOW - 661).into()),
        ("iat negative", "iat is not a time", |c| c["iat"] = json!(-1)),
        ("nbf in the future", "not valid yet", |c| c["nbf"] = (NOW + 61).into()),
        ("nonce", "nonce", |c| c["nonce"] = "another".into()),
        ("no nonce", "nonce", |c| remove(c, "nonce")),
        ("nonce null", "nonce", |c| c["nonce"] = Value::Null),
        ("nonce a number", "not a signed JWT", |c| c["nonce"] = 7.into()),
        ("nonce a list", "not a signed JWT", |c| c["nonce"] = json!([NONCE])),
        ("nonce an object", "not a signed JWT", |c| c["nonce"] = json!({ "nonce": NONCE })),
        ("nonce true", "not a signed JWT", |c| c["nonce"] = true.into()),
        ("at_hash", "at_hash", |c| c["at_hash"] = at_hash("another token").into()),
        ("at_hash empty", "at_hash", |c| c["at_hash"] = "".into()),
        ("at_hash a number", "not a signed JWT", |c| c["at_hash"] = 1.into()),
        ("no sub", "not a signed JWT", |c| remove(c, "sub")),
        ("empty sub", "'s sub", |c| c["sub"] = "".into()),
        ("sub a number", "not a signed JWT", |c| c["sub"] = 1.into()),
        ("long sub", "'s sub", |c| c["sub"] = "x".repeat(256).into()),
        ("sub with a line break", "'s sub", |c| c["sub"] = "u-1\r\nx-admin: 1".into()),
    ]
}

#[tokio::test]
async fn id_tokens_with_wrong_claims_are_refused_before_any_token_is_used() {
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    let relying = relying(&config(&provider.issuer));
    for (count, (name, why, change)) in wrongs().into_iter().enumerate() {
        let mut claims = claims(&provider.issuer);
        change(&mut claims);
        offer(&provider, &signer, &claims);
        let outcome = relying.redeem(true).await;
        assert!(matches!(&outcome, Err(ProviderError::Rejected(text)) if text.contains(why)), "{name}: {outcome:?}");
        assert_eq!(provider.calls(TOKEN).len(), count + 1, "{name}: one token request");
    }
    assert!(provider.calls(USERINFO).is_empty());
    offer(&provider, &signer, &claims(&provider.issuer));
    relying.login().await.expect("the process survives and goes on");
}

#[tokio::test]
async fn id_tokens_at_the_edge_of_the_rules_are_accepted() {
    let changes: Vec<(&str, Change)> = vec![
        ("expired within the skew", |c| c["exp"] = (NOW - 59).into()),
        ("issued ahead within the skew", |c| c["iat"] = (NOW + 60).into()),
        ("issued a while ago", |c| c["iat"] = (NOW - 600).into()),
        ("times with fractions", |c| set(c, &[("iat", json!(1_799_999_999.5)), ("exp", json!(1_800_000_300.25))])),
        ("aud a list of one", |c| c["aud"] = json!(["shop"])),
        ("trusted further aud with azp", |c| set(c, &[("aud", json!(["api", "shop"])), ("azp", json!("shop"))])),
        ("azp", |c| c["azp"] = "shop".into()),
        ("no optional claim at all", |c| remove(c, "auth_time")),
        ("nulls", |c| set(c, &[("name", Value::Null), ("azp", Value::Null), ("picture", Value::Null)])),
        ("text booleans (Cognito)", |c| c["email_verified"] = "true".into()),
        ("dates (Auth0)", |c| c["updated_at"] = "2026-11-21T10:00:00.000Z".into()),
        ("unknown claims", |c| c["https://example.com/roles"] = json!([{ "deep": [1, 2.5, null] }])),
        ("a sub of 255 characters", |c| c["sub"] = "ü".repeat(255).into()),
    ];
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    let relying = relying(&config(&provider.issuer));
    for (name, change) in changes {
        let mut claims = claims(&provider.issuer);
        change(&mut claims);
        offer(&provider, &signer, &claims);
        let outcome = relying.login().await;
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

#[tokio::test]
async fn forged_signatures_are_refused() {
    let signer = Signer::rsa("k1");
    let attacker = Signer::rsa("k1");
    let provider = Hostile::start(&[&signer]).await;
    let claims = claims(&provider.issuer);
    let at_attacker = format!("{}/attacker", provider.issuer);
    provider.on("/attacker", Reply::Json(200, json!({ "keys": [attacker.jwk()] })));
    let good = signer.sign(&claims);
    let (rest, _) = good.rsplit_once('.').unwrap();

    let mut forged = vec![
        ("alg none", unsigned(&json!({ "alg": "none" }), &claims)),
        ("alg None", unsigned(&json!({ "alg": "None" }), &claims)),
        ("alg none with kid", unsigned(&json!({ "alg": "none", "kid": "k1" }), &claims)),
        ("no alg", unsigned(&json!({ "kid": "k1" }), &claims)),
        ("signature taken away", format!("{rest}.")),
        ("signature of zeros", format!("{rest}.{}", "A".repeat(342))),
        ("payload exchanged", swap_payload(&good, &attacker.sign(&json!({ "sub": "admin" })))),
        ("another key under the same kid", attacker.sign(&claims)),
        ("embedded jwk", attacker.sign_with(&header(&attacker, "jwk", attacker.jwk()), &claims)),
        ("embedded jwk, no kid", attacker.sign_with(&json!({ "alg": "RS256", "jwk": attacker.jwk() }), &claims)),
        ("jku", attacker.sign_with(&header(&attacker, "jku", json!(at_attacker)), &claims)),
        ("x5u", attacker.sign_with(&header(&attacker, "x5u", json!(at_attacker)), &claims)),
        ("x5c", attacker.sign_with(&header(&attacker, "x5c", json!(["MIIB"])), &claims)),
        ("critical header", signer.sign_with(&header(&signer, "crit", json!(["exp"])), &claims)),
        ("an access token", signer.sign_with(&header(&signer, "typ", json!("at+jwt")), &claims)),
        ("a logout token", signer.sign_with(&header(&signer, "typ", json!("logout+jwt")), &claims)),
        ("nested", signer.sign_with(&header(&signer, "cty", json!("JWT")), &claims)),
        ("an algorithm that is not allowed", signer.sign_with(&header(&signer, "alg", json!("RS512")), &claims)),
        ("an algorithm of another key type", signer.sign_with(&header(&signer, "alg", json!("ES256")), &claims)),
        ("a MAC with the client secret", hs256("k1", SECRET.as_bytes(), &claims)),
        ("a MAC with nothing", hs256("k1", b"", &claims)),
        ("five parts", format!("{good}.{good}")),
        ("not a token", "not a token".into()),
        ("a lone dot", ".".into()),
        ("emoji", "💥.💥.💥".into()),
    ];
    forged.extend(signer.confused(&claims).into_iter().map(|token| ("a MAC with the public key", token)));

    let relying = relying(&config(&provider.issuer));
    for (name, token) in forged {
        provider.on(TOKEN, Reply::Json(200, tokens(&token)));
        let outcome = relying.login().await;
        assert!(matches!(outcome, Err(ProviderError::Rejected(_))), "{name}: {outcome:?}");
    }
    assert!(provider.calls("/attacker").is_empty());
    provider.on(TOKEN, Reply::Json(200, tokens(&good)));
    relying.login().await.expect("the process survives and goes on");
}

#[tokio::test]
async fn a_mac_counts_only_where_the_config_allows_it() {
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    let mut config = config(&provider.issuer);
    config.signing_algorithms = vec!["HS256".into(), "none".into()];
    let mut claims = claims(&provider.issuer);
    claims["at_hash"] = at_hash(ACCESS).into();
    provider.on(TOKEN, Reply::Json(200, tokens(&hs256("k1", SECRET.as_bytes(), &claims))));
    relying(&config).login().await.unwrap();
    for token in [hs256("k1", b"guess", &claims), unsigned(&json!({ "alg": "none" }), &claims), signer.sign(&claims)] {
        provider.on(TOKEN, Reply::Json(200, tokens(&token)));
        assert!(matches!(relying(&config).login().await, Err(ProviderError::Rejected(_))));
    }
}

#[tokio::test]
async fn userinfo_completes_the_claims_and_overrules_none() {
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    offer(&provider, &signer, &claims(&provider.issuer));
    let answer =
        json!({ "sub": "u-1", "email": "b@example.com", "name": "Ann", "acr": "gold", "exp": 1, "nick": null });
    provider.on(USERINFO, Reply::Json(200, answer));
    let session: Authenticated = relying(&config(&provider.issuer)).redeem(true).await.unwrap();
    assert_eq!(session.claims.get("email"), Some(json!("a@example.com")));
    assert_eq!(session.claims.get("name"), Some(json!("Ann")));
    assert_eq!(session.claims.get("acr"), None);
    assert_eq!(session.claims.get("nick"), None);
    assert_eq!(provider.calls(USERINFO)[0].headers["authorization"], format!("Bearer {ACCESS}"));
}

#[tokio::test]
async fn userinfo_that_cannot_be_trusted_ends_the_login() {
    type Expected = fn(&ProviderError) -> bool;
    let rejected: Expected = |error| matches!(error, ProviderError::Rejected(_));
    let unavailable: Expected = |error| matches!(error, ProviderError::Unavailable(_));
    let misconfigured: Expected = |error| matches!(error, ProviderError::Misconfigured(_));
    let cases = [
        ("another sub", Reply::Json(200, json!({ "sub": "u-2" })), rejected),
        ("no sub", Reply::Json(200, json!({ "email": "x" })), rejected),
        ("a list", Reply::Json(200, json!([])), rejected),
        ("a JWT", Reply::Text(200, "application/jwt", "a.b.c".into()), rejected),
        ("a page", Reply::Text(200, "text/html", "<h1>hello</h1>".into()), rejected),
        ("401", Reply::Json(401, json!({ "error": "invalid_token" })), rejected),
        ("403", Reply::Json(403, json!({})), rejected),
        ("404", Reply::Json(404, json!({})), misconfigured),
        ("redirect", Reply::Redirect(302, "/elsewhere".into()), misconfigured),
        ("500", Reply::Json(500, json!({})), unavailable),
        ("429", Reply::Json(429, json!({})), unavailable),
        ("silence", Reply::Silence, unavailable),
        ("oversize", Reply::Oversize, unavailable),
    ];
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    let pair = Pair::new(&provider.issuer);
    offer(&provider, &signer, &claims(&provider.issuer));
    for (name, reply, expected) in cases {
        let relying = pair.awaiting(&reply).await;
        provider.on(USERINFO, reply);
        let error = relying.redeem(true).await.expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
        assert!(!error.to_string().contains(ACCESS), "{name}");
    }
}

fn header(signer: &Signer, name: &str, value: Value) -> Value {
    let mut header = signer.header();
    header[name] = value;
    header
}

/// The payload of another token under this one's signature.
fn swap_payload(token: &str, other: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let payload = other.split('.').nth(1).unwrap();
    format!("{}.{payload}.{}", parts[0], parts[2])
}

fn remove(claims: &mut Value, name: &str) {
    claims.as_object_mut().unwrap().remove(name);
}

fn set(claims: &mut Value, members: &[(&str, Value)]) {
    for (name, value) in members {
        claims[*name] = value.clone();
    }
}
