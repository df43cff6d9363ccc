//! Logins that must not work, and what people are told.

use std::time::Duration;

use coatcheck::clock::Clock;
use coatcheck::oidc::TokenKind;
use coatcheck::store::{IndexKey, IndexKind, SessionStore};
use http::{Method, StatusCode};

use crate::bed::Bed;
use crate::provider::{ISSUER, Mood};

#[tokio::test]
async fn an_answer_without_its_attempt_never_reaches_the_token_endpoint() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login").await;
    for target in [
        "/auth/callback",
        "/auth/callback?code=canary-code",
        "/auth/callback?code=canary-code&state=",
        "/auth/callback?code=canary-code&state=made-up",
        &format!("{callback}&state=again"),
        &format!("{callback}&error=x"),
    ] {
        let seen = browser.get(target).await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{target}");
        assert!(seen.body.contains(r#"href="/auth/login""#), "there is a way on: {}", seen.body);
    }
    // Another browser: the link of an attacker, opened by a victim.
    assert_eq!(bed.browser().get(&callback).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bed.provider.redemptions(), 0);
    assert_eq!(browser.get(&callback).await.status, StatusCode::OK, "the right answer still counts");
}

#[tokio::test]
async fn a_used_answer_is_not_redeemed_again() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login?return_to=/orders").await;
    let mut copy = browser.clone();
    browser.get(&callback).await;
    // With the attempt's cookie kept by somebody, and without it.
    let seen = copy.get(&callback).await;
    assert_eq!(seen.status, StatusCode::BAD_REQUEST);
    assert!(seen.body.contains(r#"href="/orders""#), "{}", seen.body);
    assert_eq!(browser.get(&callback).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bed.provider.redemptions(), 1);
}

#[tokio::test]
async fn an_attempt_that_took_too_long_starts_again() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login?return_to=/orders%3Fa%3D1").await;
    bed.clock.advance(Duration::from_secs(601));
    let seen = browser.get(&callback).await;
    assert_eq!(seen.status, StatusCode::BAD_REQUEST);
    assert!(seen.body.contains(r#"href="/auth/login?return_to=%2Forders%3Fa%3D1""#), "{}", seen.body);
    assert_eq!((bed.provider.redemptions(), browser.attempts()), (0, 0));
}

#[tokio::test]
async fn the_issuer_of_the_answer_must_be_the_one_that_was_asked() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login").await;
    for wrong in ["https://evil.example", "https://id.example.com/", "HTTPS://id.example.com", ""] {
        let seen = browser.get(&format!("{callback}&iss={wrong}")).await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    bed.provider.play(|script| script.sends_issuer = true);
    assert_eq!(browser.get(&callback).await.status, StatusCode::BAD_REQUEST, "promised and missing");
    let error = callback.replace("code=canary-code", "error=access_denied");
    let seen = browser.get(&error).await;
    assert!(seen.status == StatusCode::BAD_REQUEST && browser.attempts() == 1, "in error answers too");
    assert_eq!(bed.provider.redemptions(), 0);
    assert_eq!(browser.get(&format!("{callback}&iss={ISSUER}")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_error_of_the_provider_is_told_in_our_words_and_ends_the_attempt() {
    let bed = Bed::new();
    for (code, status, words) in [
        ("access_denied", StatusCode::FORBIDDEN, "does not let you in"),
        ("login_required", StatusCode::UNAUTHORIZED, "Please sign in yourself"),
        ("temporarily_unavailable", StatusCode::SERVICE_UNAVAILABLE, "does not answer"),
        ("unauthorized_client", StatusCode::BAD_GATEWAY, "do not agree"),
        ("%3Cscript%3Ealert(1)%3C/script%3E", StatusCode::BAD_REQUEST, "could not be accepted"),
    ] {
        let mut browser = bed.browser();
        let callback = browser.begin("/auth/login?return_to=/orders").await;
        let (_, state) = callback.split_once("&state=").unwrap();
        let text = "error_description=%3Cscript%3Ealert(2)%3C/script%3E&error_uri=https://evil.example";
        let seen = browser.get(&format!("/auth/callback?error={code}&{text}&state={state}")).await;
        assert_eq!(seen.status, status, "{code}");
        assert!(seen.body.contains(words), "{}", seen.body);
        assert!(!seen.body.contains("alert") && !seen.body.contains("evil"), "{}", seen.body);
        assert!(
            seen.body.contains(r#"href="/auth/login?return_to=%2Forders""#),
            "no loop, but a way on: {}",
            seen.body
        );
        assert_eq!(browser.attempts(), 0);
        assert_eq!(browser.get(&callback).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(bed.provider.redemptions(), 0);
}

#[tokio::test]
async fn without_the_store_nothing_is_redeemed_and_the_same_answer_works_later() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login").await;
    bed.store.fail(true);
    for _ in 0..2 {
        let seen = browser.get(&callback).await;
        assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(seen.cookies().is_empty(), "{seen:?}");
    }
    assert_eq!(bed.provider.redemptions(), 0);
    bed.store.fail(false);
    assert_eq!(browser.get(&callback).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_that_cannot_be_stored_is_no_login() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login?return_to=/orders").await;
    bed.store.fill();
    let seen = browser.get(&callback).await;
    assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(seen.body.contains("You were not signed in") && browser.jar.is_empty(), "{seen:?}");
    assert!(seen.body.contains(r#"href="/auth/login?return_to=%2Forders""#), "{}", seen.body);
    assert_eq!(bed.revoked().await, [(TokenKind::Refresh, "canary-refresh".into())]);
}

#[tokio::test]
async fn without_a_refresh_token_the_access_token_of_a_lost_login_is_revoked() {
    let bed = Bed::new();
    bed.provider.play(|script| script.access_only = true);
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login").await;
    bed.store.fill();
    assert_eq!(browser.get(&callback).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(bed.revoked().await, [(TokenKind::Access, "canary-access".into())]);
}

#[tokio::test]
async fn a_provider_that_is_down_wrong_or_unsure_is_told_apart() {
    for (mood, status) in [
        (Mood::Down, StatusCode::SERVICE_UNAVAILABLE),
        (Mood::Misconfigured, StatusCode::BAD_GATEWAY),
        (Mood::Rejects, StatusCode::BAD_REQUEST),
    ] {
        let bed = Bed::new();
        let mut browser = bed.browser();
        bed.provider.play(|script| script.authorize = mood);
        let seen = browser.get("/auth/login").await;
        assert_eq!((seen.status, browser.attempts()), (status, 0));

        bed.provider.play(|script| (script.authorize, script.redeem) = (Mood::Fine, mood));
        let callback = browser.begin("/auth/login").await;
        let seen = browser.get(&callback).await;
        assert_eq!(seen.status, status);
        assert!(!seen.body.contains("token endpoint"), "causes are for the log: {}", seen.body);
        assert!(browser.jar.is_empty(), "no session, and the attempt is over");
        browser.get(&callback).await;
        assert_eq!(bed.provider.redemptions(), 1, "one code is sent once");
    }
}

#[tokio::test]
async fn a_login_that_a_logout_everywhere_overtakes_does_not_survive() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login").await;
    bed.clock.advance(Duration::from_secs(1));
    let hash = bed.vault.keyring().primary().index_hash(&["subject", ISSUER, "alice"]);
    let key = IndexKey { kind: IndexKind::Subject, hash };
    bed.store.end_all(key, bed.clock.now(), Duration::from_secs(600)).await.unwrap();
    let seen = browser.get(&callback).await;
    assert_eq!(seen.status, StatusCode::BAD_REQUEST);
    assert!(seen.body.contains("signed out meanwhile") && browser.jar.is_empty(), "{seen:?}");
    assert_eq!(bed.revoked().await, [(TokenKind::Refresh, "canary-refresh".into())]);
}

#[tokio::test]
async fn a_prefetch_begins_and_finishes_nothing() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let prefetch = [("sec-purpose", "prefetch;prerender")];
    let seen = browser.send(Method::GET, "/auth/login", &prefetch).await;
    assert_eq!((seen.status, seen.json()["login_url"].as_str()), (StatusCode::UNAUTHORIZED, Some("/auth/login")));
    assert!(browser.jar.is_empty() && bed.provider.seen.lock().unwrap().authorized.is_empty());
    let callback = browser.begin("/auth/login").await;
    assert_eq!(browser.send(Method::GET, &callback, &prefetch).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.send(Method::HEAD, &callback, &[]).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(browser.get(&callback).await.status, StatusCode::OK);
}
