//! Signing out.

use std::time::Duration;

use coatcheck::oidc::TokenKind;
use http::{Method, StatusCode};
use secrecy::ExposeSecret;

use crate::bed::{Bed, COOKIE};
use crate::provider::{EndSessionMood, ISSUER};

/// What the revocation of one session asks for.
fn both_tokens() -> Vec<(TokenKind, String)> {
    vec![(TokenKind::Refresh, "canary-refresh".into()), (TokenKind::Access, "canary-access".into())]
}

#[tokio::test]
async fn signing_out_ends_the_session_here_then_at_the_provider() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let session = browser.sign_in().await;
    let seen = browser.post("/auth/logout").await;
    assert_eq!(seen.status, StatusCode::SEE_OTHER);
    assert!(bed.held(&session).await.is_none() && browser.session().is_none());

    let ended = bed.provider.seen.lock().unwrap().ended.pop().unwrap();
    assert_eq!(ended.id_token_hint.unwrap().expose_secret(), "canary-id");
    assert_eq!(ended.post_logout_redirect_uri, "https://shop.example.com/auth/logout/done");
    assert_eq!(seen.location(), format!("{ISSUER}/end?state={}", ended.state));
    assert_eq!(ended.state.len(), 43);

    assert_eq!(bed.revoked().await, both_tokens());

    let done = browser.get(&format!("/auth/logout/done?state={}", ended.state)).await;
    assert_eq!(done.status, StatusCode::OK);
    assert!(done.body.contains("You are signed out") && browser.jar.is_empty(), "{done:?}");
}

#[tokio::test]
async fn twice_is_the_same_as_once_and_nobody_may_sign_out_too() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    browser.sign_in().await;
    let mut copy = browser.clone();
    browser.post("/auth/logout").await;
    for browser in [&mut copy, &mut bed.browser()] {
        let seen = browser.post("/auth/logout").await;
        assert_eq!((seen.status, seen.location()), (StatusCode::SEE_OTHER, "/auth/logout/done"));
        assert!(seen.cookies()[0].starts_with(&format!("{COOKIE}=; ")), "{seen:?}");
        assert!(browser.session().is_none());
    }
}

#[tokio::test]
async fn the_provider_is_not_needed_for_signing_out() {
    for mood in [EndSessionMood::None, EndSessionMood::Down, EndSessionMood::Hangs] {
        let bed = Bed::new();
        bed.provider.play(|script| script.end_session = mood);
        let mut browser = bed.browser();
        let session = browser.sign_in().await;
        let seen = browser.post("/auth/logout").await;
        assert_eq!((seen.status, seen.location()), (StatusCode::SEE_OTHER, "/auth/logout/done"), "{mood:?}");
        assert!(bed.held(&session).await.is_none() && browser.jar.is_empty());
    }
}

#[tokio::test]
async fn revocation_can_be_switched_off() {
    let bed = Bed::with(|app| app.revoke_at_logout = false);
    let mut browser = bed.browser();
    browser.sign_in().await;
    browser.post("/auth/logout").await;
    assert!(bed.revoked().await.is_empty());
}

#[tokio::test]
async fn another_site_cannot_sign_anybody_out() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let session = browser.sign_in().await;
    for foreign in [
        &[][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "https://sibling.example.com")],
        &[("sec-fetch-site", "none")],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("referer", "https://shop.example.com.evil.example/")],
    ] {
        let seen = browser.send(Method::POST, "/auth/logout", foreign).await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN, "{foreign:?}");
        assert!(seen.cookies().is_empty());
    }
    // An image, or a link: shows a button at most.
    let seen = browser.get("/auth/logout").await;
    let form = r#"<form method="post" action="/auth/logout"><button type="submit">"#;
    assert!(seen.status == StatusCode::OK && seen.body.contains(form), "{seen:?}");
    assert!(bed.held(&session).await.is_some());

    let seen = browser.send(Method::POST, "/auth/logout", &[("origin", "https://shop.example.com")]).await;
    assert_eq!(seen.status, StatusCode::SEE_OTHER, "an old browser on our own page");
}

#[tokio::test]
async fn without_the_store_nobody_is_told_that_they_are_signed_out() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let session = browser.sign_in().await;
    bed.store.fail(true);
    let seen = browser.post("/auth/logout").await;
    assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(seen.body.contains("You are still signed in") && seen.cookies().is_empty(), "{seen:?}");
    assert_eq!(browser.session(), Some(session.clone()));
    bed.store.fail(false);
    assert!(bed.held(&session).await.is_some());
    assert_eq!(browser.post("/auth/logout").await.status, StatusCode::SEE_OTHER);
    assert!(bed.held(&session).await.is_none());
}

#[tokio::test]
async fn a_made_up_cookie_costs_the_store_nothing() {
    let bed = Bed::new();
    let real = bed.browser().sign_in().await;
    let before = bed.store.calls();
    let mut made_up = real.clone();
    made_up.replace_range(10..11, if &real[10..11] == "A" { "B" } else { "A" });
    let forged = made_up.clone();
    for value in [String::new(), "*".into(), "coatcheck:s:*".into(), "A".repeat(70), "A".repeat(10_000), forged] {
        for target in ["/auth/logout", "/auth/session"] {
            let mut browser = bed.browser();
            browser.jar.insert(COOKIE.into(), value.clone());
            let seen = if target == "/auth/logout" { browser.post(target).await } else { browser.get(target).await };
            assert!(seen.status.is_redirection() || seen.json()["authenticated"] == false, "{seen:?}");
        }
    }
    // Another app's ticket, and two made-up ones.
    let mut elsewhere = bed.browser();
    elsewhere.origin = "https://other.example.com";
    elsewhere.jar.insert(COOKIE.into(), real.clone());
    assert_eq!(elsewhere.post("/sso/logout").await.location(), "/sso/logout/done");
    let mut twice = bed.browser();
    twice.jar.insert(COOKIE.into(), format!("{made_up}; {COOKIE}=*"));
    twice.post("/auth/logout").await;
    assert_eq!(bed.store.calls(), before);
    assert!(bed.metrics.render().contains(r#"coatcheck_tickets_refused_total{reason="ambiguous"} 1"#));
}

#[tokio::test]
async fn of_several_session_cookies_each_one_of_ours_ends() {
    let bed = Bed::new();
    let (first, second) = (bed.browser().sign_in().await, bed.browser().sign_in().await);
    let other = bed.browser().sign_in().await;
    let before = bed.store.calls();
    let mut browser = bed.browser();
    browser.jar.insert(COOKIE.into(), format!("*; {COOKIE}={first}; {COOKIE}={first}; {COOKIE}={second}"));
    let seen = browser.post("/auth/logout").await;
    assert_eq!(seen.status, StatusCode::SEE_OTHER);
    assert!(browser.session().is_none() && seen.location().starts_with(ISSUER), "{seen:?}");
    assert_eq!(bed.store.calls(), before + 4, "one load and one delete for each");
    assert!(bed.held(&first).await.is_none() && bed.held(&second).await.is_none());
    assert!(bed.held(&other).await.is_some());
    assert_eq!(bed.revoked().await.len(), 4);
    let metrics = bed.metrics.render();
    assert!(metrics.contains(r#"coatcheck_tickets_refused_total{reason="ambiguous"} 1"#), "{metrics}");
}

#[tokio::test]
async fn one_request_ends_four_sessions_at_most() {
    let bed = Bed::new();
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(bed.browser().sign_in().await);
    }
    let mut browser = bed.browser();
    browser.jar.insert(COOKIE.into(), sessions.join(&format!("; {COOKIE}=")));
    browser.post("/auth/logout").await;
    assert_eq!(bed.revoked().await.len(), 4 * 2);
    assert!(bed.held(&sessions[4]).await.is_some());
}

#[tokio::test]
async fn a_browser_that_leaves_is_signed_out_all_the_same() {
    let bed = Bed::new();
    let mut leaving = bed.browser();
    let session = leaving.sign_in().await;
    let (slow, before) = (bed.store.hold().await, bed.store.calls());
    let asked = async {
        while bed.store.calls() == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        seen = leaving.post("/auth/logout") => panic!("answered without the store: {seen:?}"),
        asked = tokio::time::timeout(Duration::from_secs(10), asked) => asked.unwrap(),
    }
    drop(slow);
    assert_eq!(bed.revoked().await, both_tokens());
    assert!(bed.held(&session).await.is_none());
}

#[tokio::test]
async fn the_last_page_takes_any_state_but_claims_nothing_untrue() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    for target in ["/auth/logout/done", "/auth/logout/done?state=%3Cscript%3E", "/auth/logout/done?state=a&state=b"] {
        let seen = browser.get(target).await;
        assert!(seen.status == StatusCode::OK && seen.body.contains("You are signed out"), "{seen:?}");
    }
    browser.sign_in().await;
    let mut returning = browser.clone();
    returning.post("/auth/logout").await;
    let wrong = returning.get("/auth/logout/done?state=wrong").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(wrong.body.contains("may still be signed in there"), "{}", wrong.body);
    assert!(returning.jar.is_empty(), "a wrong state ends the wait as well");
    // Still signed in: shows the button instead of a lie.
    assert!(browser.get("/auth/logout/done").await.body.contains("<button"));
}
