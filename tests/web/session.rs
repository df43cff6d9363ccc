//! What an application in the browser learns from `/auth/session`.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::bed::Bed;

#[tokio::test]
async fn the_session_shows_allowed_claims_and_no_token() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let nobody = browser.get("/auth/session").await;
    assert_eq!(nobody.json(), serde_json::json!({ "authenticated": false, "login_url": "/auth/login" }));
    browser.sign_in().await;
    let seen = browser.get("/auth/session").await;
    assert_eq!(seen.header("content-type"), "application/json");
    let expected = serde_json::json!({
        "authenticated": true,
        "claims": { "sub": "alice", "name": "Alice <b>" },
        "expires_in": 1800,
        "logout_url": "/auth/logout",
    });
    assert_eq!(seen.json(), expected);
}

#[tokio::test]
async fn looking_does_not_keep_a_session_alive() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let session = browser.sign_in().await;
    for left in [1200, 600] {
        bed.clock.advance(Duration::from_secs(600));
        assert_eq!(browser.get("/auth/session").await.json()["expires_in"], left);
    }
    assert_eq!(bed.held(&session).await.unwrap().generation, 1);
    bed.clock.advance(Duration::from_secs(600));
    assert_eq!(browser.get("/auth/session").await.json()["authenticated"], false);
}

#[tokio::test]
async fn the_absolute_lifetime_shows_when_it_ends_first() {
    let bed = Bed::with(|app| app.session.absolute = Duration::from_secs(900));
    let mut browser = bed.browser();
    browser.sign_in().await;
    assert_eq!(browser.get("/auth/session").await.json()["expires_in"], 900);
}

#[tokio::test]
async fn without_the_store_nobody_is_called_signed_out() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    browser.headers = vec![("accept", "*/*")];
    browser.sign_in().await;
    bed.store.fail(true);
    let seen = browser.get("/auth/session").await;
    assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(seen.header("content-type"), "application/problem+json");
    assert!(seen.json().get("authenticated").is_none() && seen.cookies().is_empty(), "{seen:?}");
    bed.store.fail(false);
    assert_eq!(browser.get("/auth/session").await.json()["authenticated"], true);
}

#[tokio::test]
async fn a_bound_session_is_not_shown_to_another_browser_or_network() {
    let bed = Bed::with(|app| (app.session.bind_user_agent, app.session.bind_ip_prefix) = (true, true));
    let mut browser = bed.browser();
    browser.headers.push(("x-forwarded-for", "6.6.6.6, 192.0.2.7"));
    browser.sign_in().await;
    assert_eq!(browser.get("/auth/session").await.json()["authenticated"], true);
    let mut moved = browser.clone();
    moved.headers.retain(|(name, _)| *name != "x-forwarded-for");
    moved.headers.push(("x-forwarded-for", "192.0.2.7, 198.51.100.7"));
    assert_eq!(moved.get("/auth/session").await.json()["authenticated"], false);
    browser.headers[1] = ("user-agent", "Chrome/1");
    assert_eq!(browser.get("/auth/session").await.json()["authenticated"], false);
}

#[tokio::test]
async fn another_site_learns_nothing() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    browser.sign_in().await;
    for site in ["cross-site", "same-site"] {
        let fields = [("sec-fetch-site", site), ("sec-fetch-mode", "cors"), ("origin", "https://evil.example")];
        let seen = browser.send(Method::GET, "/auth/session", &fields).await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN);
        assert!(seen.headers.get("access-control-allow-origin").is_none());
    }
}

#[tokio::test]
async fn a_static_header_is_asked_for_where_the_app_has_one() {
    let bed = Bed::with(|app| app.csrf.header = Some(("x-csrf".into(), "1".into())));
    let mut browser = bed.browser();
    browser.sign_in().await;
    assert_eq!(browser.get("/auth/session").await.status, StatusCode::FORBIDDEN);
    let seen = browser.send(Method::GET, "/auth/session", &[("x-csrf", "1")]).await;
    assert_eq!(seen.json()["authenticated"], true);
}
