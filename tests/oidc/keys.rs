//! The provider's keys: rotation, floods of unknown ids, and sets that cannot be had or understood.

use std::time::Duration;

use coatcheck::oidc::ProviderError;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::hostile::{DISCOVERY, Hostile, JWKS, Reply, TOKEN};
use crate::signer::Signer;
use crate::support::{claims, config, offer, relying, tokens};

#[tokio::test]
async fn after_a_rotation_login_works_at_once_with_one_fetch() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let provider = Hostile::start(&[&old]).await;
    let relying = relying(&config(&provider.issuer));
    offer(&provider, &old, &claims(&provider.issuer));
    relying.login().await.unwrap();
    assert_eq!(provider.calls(JWKS).len(), 1);

    // No time passes: the keys were fetched this very moment.
    provider.publish(&[&new]);
    offer(&provider, &new, &claims(&provider.issuer));
    relying.login().await.unwrap();
    relying.login().await.unwrap();
    assert_eq!(provider.calls(JWKS).len(), 2);
    assert_eq!(provider.calls(TOKEN).len(), 3);
}

#[tokio::test]
async fn a_rotation_met_by_many_logins_at_once_costs_one_fetch() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let provider = Hostile::start(&[&old]).await;
    let relying = relying(&config(&provider.issuer));
    offer(&provider, &old, &claims(&provider.issuer));
    relying.login().await.unwrap();
    provider.publish(&[&new]);
    offer(&provider, &new, &claims(&provider.issuer));
    for outcome in join_all((0..20).map(|_| relying.login())).await {
        outcome.unwrap();
    }
    assert_eq!(provider.calls(JWKS).len(), 2);
}

#[tokio::test]
async fn a_new_key_under_the_old_id_is_found_too() {
    let (old, new) = (Signer::ec("k1"), Signer::ec("k1"));
    let provider = Hostile::start(&[&old]).await;
    let relying = relying(&config(&provider.issuer));
    offer(&provider, &old, &claims(&provider.issuer));
    relying.login().await.unwrap();
    provider.publish(&[&new]);
    offer(&provider, &new, &claims(&provider.issuer));
    relying.login().await.unwrap();
    assert_eq!(provider.calls(JWKS).len(), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_one_fetch_per_interval() {
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    let relying = relying(&config(&provider.issuer));
    for round in 0..3 {
        for number in 0..30 {
            let stranger = Signer::ec(&format!("stranger-{round}-{number}"));
            offer(&provider, &stranger, &claims(&provider.issuer));
            let outcome = relying.login().await;
            assert!(matches!(outcome, Err(ProviderError::Rejected(_))), "{outcome:?}");
        }
        // The first fetch of all, then one per interval.
        assert_eq!(provider.calls(JWKS).len(), 2 + round);
        relying.clock.advance(Duration::from_secs(10));
    }
    // The known key is not held up by it.
    offer(&provider, &signer, &claims(&provider.issuer));
    relying.login().await.unwrap();
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_again_do_not_cost_the_ones_at_hand() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let provider = Hostile::start(&[&old]).await;
    let relying = relying(&config(&provider.issuer));
    offer(&provider, &old, &claims(&provider.issuer));
    relying.login().await.unwrap();

    for reply in
        [Reply::Json(500, json!({})), Reply::Text(200, "text/html", "<p>".into()), Reply::Truncated("{".into())]
    {
        provider.on(JWKS, reply);
        offer(&provider, &new, &claims(&provider.issuer));
        assert!(matches!(relying.login().await, Err(ProviderError::Unavailable(_))));
        offer(&provider, &old, &claims(&provider.issuer));
        relying.login().await.expect("the old set is kept");
        relying.clock.advance(Duration::from_secs(1));
    }
    // A failed fetch does not use up the interval: as soon as the set is there, the new key counts.
    provider.publish(&[&old, &new]);
    offer(&provider, &new, &claims(&provider.issuer));
    relying.login().await.unwrap();
}

#[tokio::test]
async fn keys_are_renewed_by_the_hour_so_that_a_withdrawn_one_ends() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let provider = Hostile::start(&[&old]).await;
    let relying = relying(&config(&provider.issuer));
    offer(&provider, &old, &claims(&provider.issuer));
    relying.login().await.unwrap();
    provider.publish(&[&new]);
    relying.clock.advance(Duration::from_secs(3600));
    let mut claims = claims(&provider.issuer);
    claims["iat"] = (crate::support::NOW + 3600).into();
    claims["exp"] = (crate::support::NOW + 3900).into();
    offer(&provider, &old, &claims);
    assert!(matches!(relying.login().await, Err(ProviderError::Rejected(_))));
    offer(&provider, &new, &claims);
    relying.login().await.unwrap();
}

#[tokio::test]
async fn a_token_without_kid_is_checked_with_each_key_that_fits() {
    let (one, two, rsa) = (Signer::ec("k1"), Signer::ec("k2"), Signer::rsa("k3"));
    let stranger = Signer::ec("k1");
    let provider = Hostile::start(&[&one, &two, &rsa]).await;
    let relying = relying(&config(&provider.issuer));
    for signer in [&one, &two, &rsa] {
        let header = json!({ "alg": signer.algorithm() });
        let token = signer.sign_with(&header, &claims(&provider.issuer));
        provider.on(TOKEN, Reply::Json(200, tokens(&token)));
        relying.login().await.unwrap();
    }
    let token = stranger.sign_with(&json!({ "alg": "ES256" }), &claims(&provider.issuer));
    provider.on(TOKEN, Reply::Json(200, tokens(&token)));
    assert!(matches!(relying.login().await, Err(ProviderError::Rejected(_))));
}

#[tokio::test]
async fn keys_that_share_an_id_are_each_tried() {
    let (one, two) = (Signer::ec("same"), Signer::ec("same"));
    let provider = Hostile::start(&[&one, &two]).await;
    let relying = relying(&config(&provider.issuer));
    for signer in [&one, &two] {
        offer(&provider, signer, &claims(&provider.issuer));
        relying.login().await.unwrap();
    }
}

#[tokio::test]
async fn keys_that_are_not_for_signing_or_not_understood_are_passed_over() {
    let signer = Signer::rsa("k1");
    let encryption = json!({ "kty": "RSA", "use": "enc", "alg": "RSA-OAEP", "kid": "enc", "n": "AQAB", "e": "AQAB" });
    let weak = json!({ "kty": "RSA", "use": "sig", "kid": "weak", "n": "u".repeat(171), "e": "AQAB" });
    let odd: Vec<Value> = vec![
        json!(null),
        json!(7),
        json!({}),
        json!({ "kty": "OCT-2030", "kid": "k1" }),
        json!({ "kty": "EC", "crv": "secp256k1", "kid": "k1", "x": "AA", "y": "AA" }),
        json!({ "kty": "oct", "kid": "k1", "k": "c2VjcmV0" }),
        json!({ "kty": "RSA", "kid": "k1" }),
        encryption,
        weak,
    ];
    let provider = Hostile::start(&[]).await;
    let mut keys = odd;
    keys.push(signer.jwk());
    provider.on(JWKS, Reply::Json(200, json!({ "keys": keys, "extra": true })));
    offer(&provider, &signer, &claims(&provider.issuer));
    relying(&config(&provider.issuer)).login().await.unwrap();
}

#[tokio::test]
async fn first_logins_at_once_share_one_discovery_and_one_key_fetch() {
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    let relying = relying(&config(&provider.issuer));
    offer(&provider, &signer, &claims(&provider.issuer));
    for outcome in join_all((0..20).map(|_| relying.login())).await {
        outcome.unwrap();
    }
    assert_eq!(provider.calls(DISCOVERY).len(), 1);
    assert_eq!(provider.calls(JWKS).len(), 1);
    assert_eq!(provider.calls(TOKEN).len(), 20);
}
