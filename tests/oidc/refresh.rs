//! Refreshing: what may be left out, what must not change, and what must never be lost.

use std::time::Duration;

use coatcheck::oidc::{Provider as _, RefreshError};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::hostile::{Hostile, JWKS, Reply, TOKEN};
use crate::signer::{Signer, at_hash, hs256, unsigned};
use crate::support::{ACCESS, NOW, claims, config, config_for, offer, relying, tokens};

type Change = fn(&mut Value);

#[tokio::test]
async fn a_full_answer_brings_everything() {
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    let mut claims = claims(&provider.issuer);
    claims["at_hash"] = at_hash(ACCESS).into();
    claims["email"] = "new@example.com".into();
    offer(&provider, &signer, &claims);
    let refreshed = relying(&config(&provider.issuer)).refresh().await.unwrap();

    assert_eq!(refreshed.access.expose_secret(), ACCESS);
    assert_eq!(refreshed.access_expires.secs(), NOW + 120);
    assert_eq!(refreshed.refresh.unwrap().expose_secret(), "rt-2");
    assert_eq!(refreshed.scope.as_deref(), Some("openid email"));
    let id_token = refreshed.id_token.unwrap();
    assert_eq!(id_token.expires.secs(), NOW + 300);
    assert_eq!(id_token.claims.get("email"), Some(json!("new@example.com")));
    let calls = provider.calls(TOKEN);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].form["grant_type"], "refresh_token");
    assert_eq!(calls[0].form["refresh_token"], "rt-1");
}

#[tokio::test]
async fn what_is_left_out_is_left_to_the_old() {
    let provider = Hostile::start(&[]).await;
    let relying = relying(&config(&provider.issuer));
    let bodies = [
        json!({ "access_token": ACCESS }),
        json!({ "access_token": ACCESS, "token_type": "bEARER", "id_token": null, "refresh_token": null, "scope": null }),
        json!({ "access_token": ACCESS, "token_type": "Bearer", "id_token": "", "refresh_token": "", "expires_in": "" }),
    ];
    for body in bodies {
        provider.on(TOKEN, Reply::Json(200, body.clone()));
        let refreshed = relying.refresh().await.unwrap();
        assert!(refreshed.refresh.is_none() && refreshed.id_token.is_none() && refreshed.scope.is_none(), "{body}");
        assert_eq!(refreshed.access_expires.secs(), NOW + 300, "{body}: the configured lifetime");
    }
    assert!(provider.calls(JWKS).is_empty(), "no ID token, no keys");
}

#[tokio::test]
async fn an_id_token_of_another_user_issuer_or_login_is_foreign() {
    let changes: Vec<(&str, Change)> = vec![
        ("sub", |c| c["sub"] = "u-2".into()),
        ("iss", |c| c["iss"] = "https://evil.example.com".into()),
        ("aud", |c| c["aud"] = "another".into()),
        ("azp", |c| c["azp"] = "another".into()),
        ("auth_time", |c| c["auth_time"] = NOW.into()),
        ("expired", |c| c["exp"] = (NOW - 60).into()),
        ("iat in the future", |c| c["iat"] = (NOW + 61).into()),
        ("at_hash", |c| c["at_hash"] = at_hash("another").into()),
        ("nonce not text", |c| c["nonce"] = 7.into()),
    ];
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    let relying = relying(&config(&provider.issuer));
    for (name, change) in changes {
        let mut claims = claims(&provider.issuer);
        change(&mut claims);
        offer(&provider, &signer, &claims);
        let outcome = relying.refresh().await;
        assert!(matches!(outcome, Err(RefreshError::Foreign(_))), "{name}: {outcome:?}");
    }
    let claims = claims(&provider.issuer);
    let forged = [
        Signer::ec("k1").sign(&claims),
        unsigned(&json!({ "alg": "none" }), &claims),
        hs256("k1", b"guess", &claims),
        "not a token".to_owned(),
    ];
    for token in forged {
        provider.on(TOKEN, Reply::Json(200, tokens(&token)));
        let outcome = relying.refresh().await;
        assert!(matches!(outcome, Err(RefreshError::Foreign(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_section_12_2_leaves_open_is_accepted() {
    let changes: Vec<(&str, Change)> = vec![
        ("no nonce", |c| c["nonce"] = Value::Null),
        ("some nonce", |c| c["nonce"] = "whatever".into()),
        ("no auth_time", |c| c["auth_time"] = Value::Null),
        ("no sid", |c| c["sid"] = Value::Null),
        ("the iat of the login", |c| c["iat"] = (NOW - 86400).into()),
    ];
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    let relying = relying(&config(&provider.issuer));
    for (name, change) in changes {
        let mut claims = claims(&provider.issuer);
        change(&mut claims);
        offer(&provider, &signer, &claims);
        let outcome = relying.refresh().await;
        assert!(outcome.is_ok_and(|refreshed| refreshed.id_token.is_some()), "{name}");
    }
}

#[tokio::test]
async fn rotated_tokens_are_not_lost_for_keys_that_cannot_be_had() {
    let (signer, new) = (Signer::ec("k1"), Signer::ec("k2"));
    let broken = [
        ("500", Reply::Json(500, json!({}))),
        ("silence", Reply::Silence),
        ("a page", Reply::Text(200, "text/html", "<p>".into())),
        ("not published yet", Reply::Json(200, json!({ "keys": [signer.jwk()] }))),
    ];
    for (name, reply) in broken {
        let provider = Hostile::start(&[]).await;
        let relying = relying(&config_for(&reply, &provider.issuer));
        provider.on(JWKS, reply);
        offer(&provider, &new, &claims(&provider.issuer));
        let refreshed = relying.refresh().await.expect(name);
        assert_eq!(refreshed.refresh.unwrap().expose_secret(), "rt-2", "{name}");
        assert!(refreshed.id_token.is_none(), "{name}: what was not checked is not handed on");

        // Another user stays another user, keys or not.
        let mut foreign = claims(&provider.issuer);
        foreign["sub"] = "u-2".into();
        offer(&provider, &new, &foreign);
        let outcome = relying.refresh().await;
        assert!(matches!(outcome, Err(RefreshError::Foreign(_))), "{name}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_rotation_of_keys_is_followed_by_a_refresh_too() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let provider = Hostile::start(&[&old]).await;
    let relying = relying(&config(&provider.issuer));
    offer(&provider, &old, &claims(&provider.issuer));
    relying.refresh().await.unwrap();
    provider.publish(&[&new]);
    offer(&provider, &new, &claims(&provider.issuer));
    assert!(relying.refresh().await.unwrap().id_token.is_some());
    assert_eq!(provider.calls(JWKS).len(), 2);
}

#[tokio::test]
async fn a_session_of_another_issuer_is_not_refreshed_into_this_one() {
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    let relying = relying(&config(&provider.issuer));
    offer(&provider, &signer, &claims(&provider.issuer));
    let identity = coatcheck::core::session::Identity {
        issuer: "https://former.example.com".into(),
        subject: "u-1".into(),
        provider_session: None,
    };
    let request = coatcheck::oidc::RefreshRequest { refresh_token: "rt-1".into(), identity, auth_time: None };
    let outcome = relying.client.refresh(request).await;
    assert!(matches!(outcome, Err(RefreshError::Foreign(_))), "{outcome:?}");
}

#[tokio::test]
async fn the_lifetime_counts_from_the_answer_and_may_be_text() {
    let provider = Hostile::start(&[]).await;
    let relying = relying(&config(&provider.issuer));
    relying.client.ready().await.unwrap();
    relying.clock.advance(Duration::from_secs(30));
    provider.on(TOKEN, Reply::Json(200, json!({ "access_token": ACCESS, "expires_in": "90" })));
    assert_eq!(relying.refresh().await.unwrap().access_expires.secs(), NOW + 30 + 90);
}
