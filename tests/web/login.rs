//! Logins that work.

use std::time::Duration;

use coatcheck::core::app::{Origin, SameSite};
use futures_util::future::join_all;
use http::StatusCode;
use secrecy::ExposeSecret;

use crate::bed::{Bed, COOKIE};

#[tokio::test]
async fn a_login_sets_one_session_cookie_and_goes_on_by_itself() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login?return_to=/orders%3Ftab%3D2%26x%3D1%23z").await;
    assert_eq!(browser.attempts(), 1);

    let seen = browser.get(&callback).await;
    assert_eq!(seen.status, StatusCode::OK);
    // A redirect would land without the SameSite=Strict cookie: the page navigates instead.
    let refresh = r#"<meta http-equiv="refresh" content="0;url=/orders?tab=2&amp;x=1#z">"#;
    assert!(seen.body.contains(refresh), "{}", seen.body);
    let session = browser.session().unwrap();
    let cookie = format!("{COOKIE}={session}; Path=/; Secure; HttpOnly; SameSite=Strict");
    assert!(cookie.len() < 200 && seen.cookies().contains(&cookie), "{seen:?}");
    assert_eq!(browser.jar.len(), 1, "the attempt's cookie is gone");

    let held = bed.held(&session).await.unwrap();
    assert_eq!(held.session.identity.subject, "alice");
    assert_eq!(held.session.expires.since(held.session.created), Duration::from_secs(12 * 3600));
    assert!(bed.metrics.render().contains(r#"coatcheck_logins_total{app="shop",outcome="success"} 1"#));
}

#[tokio::test]
async fn a_lax_cookie_needs_no_page_on_the_way() {
    let bed = Bed::with(|app| app.cookie.same_site = SameSite::Lax);
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login?return_to=/orders").await;
    let seen = browser.get(&callback).await;
    assert_eq!((seen.status, seen.location()), (StatusCode::SEE_OTHER, "/orders"));
    assert!(seen.cookies().iter().any(|cookie| cookie.ends_with("; SameSite=Lax")), "{seen:?}");
}

#[tokio::test]
async fn every_authorization_request_is_made_of_fresh_random_values() {
    let bed = Bed::new();
    for _ in 0..20 {
        bed.browser().begin("/auth/login").await;
    }
    let seen = bed.provider.seen.lock().unwrap();
    let mut values: Vec<&str> = Vec::new();
    for request in &seen.authorized {
        assert_eq!(request.redirect_uri, "https://shop.example.com/auth/callback");
        assert_eq!(request.scopes, ["openid", "profile"]);
        values.extend([&*request.state, &*request.nonce, request.verifier.expose_secret()]);
    }
    assert!(values.iter().all(|value| value.len() == 43), "256 bits each");
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), 60);
}

#[tokio::test]
async fn only_parameters_that_the_app_allows_go_on() {
    let bed = Bed::new();
    let query = "prompt=none&prompt=login&login_hint=a%26b&acr_values=x&scope=admin&redirect_uri=https://evil.example";
    bed.browser().begin(&format!("/auth/login?{query}")).await;
    let seen = bed.provider.seen.lock().unwrap();
    let extra: Vec<(&str, &str)> = seen.authorized[0].extra.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(extra, [("prompt", "none"), ("login_hint", "a&b")]);
    assert_eq!(seen.authorized[0].scopes, ["openid", "profile"]);
}

#[tokio::test]
async fn five_tabs_finish_in_any_order_each_on_its_own_page() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let mut tabs = Vec::new();
    for tab in 0..5 {
        tabs.push((tab, browser.begin(&format!("/auth/login?return_to=/tab/{tab}")).await));
        bed.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(browser.attempts(), 5);
    for at in [3, 0, 4, 1, 2] {
        let (tab, callback) = &tabs[at];
        let seen = browser.get(callback).await;
        assert!(seen.body.contains(&format!("0;url=/tab/{tab}\"")), "{seen:?}");
    }
    assert_eq!(browser.jar.len(), 1);
}

#[tokio::test]
async fn abandoned_logins_do_not_pile_up() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let mut callbacks = Vec::new();
    for _ in 0..9 {
        callbacks.push(browser.begin("/auth/login").await);
        bed.clock.advance(Duration::from_secs(1));
        assert!(browser.attempts() <= 5);
    }
    // The oldest gave way, the newest five can still be finished.
    assert_eq!(browser.get(&callbacks[3]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(browser.get(&callbacks[4]).await.status, StatusCode::OK);
    bed.clock.advance(Duration::from_secs(601));
    browser.begin("/auth/login").await;
    assert_eq!(browser.attempts(), 1, "those that ran out are taken away");
}

#[tokio::test]
async fn anonymous_visitors_write_nothing_to_the_store() {
    let bed = Bed::new();
    for target in ["/auth/login", "/auth/logout", "/auth/logout/done", "/auth/session", "/auth/callback?code=x&state=y"]
    {
        bed.browser().get(target).await;
    }
    bed.browser().post("/auth/logout").await;
    assert_eq!(bed.store.calls(), 0);
}

#[tokio::test]
async fn a_new_login_makes_a_new_ticket_and_ends_the_old_session() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let first = browser.sign_in().await;
    let second = browser.sign_in().await;
    assert_ne!(first, second);
    bed.settled().await;
    assert!(bed.held(&first).await.is_none() && bed.held(&second).await.is_some());

    // With SameSite=Strict the callback comes without the cookie: the attempt remembers what it replaces.
    let callback = browser.begin("/auth/login").await;
    let mut arriving = browser.clone();
    arriving.jar.remove(COOKIE);
    arriving.get(&callback).await;
    bed.settled().await;
    assert!(bed.held(&second).await.is_none());
    assert!(bed.held(&arriving.session().unwrap()).await.is_some());
}

#[tokio::test]
async fn a_store_that_hangs_over_the_old_session_does_not_hold_up_the_new_one() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let first = browser.sign_in().await;
    let callback = browser.begin("/auth/login").await;
    let hanging = bed.store.hold().await;
    let landed = tokio::time::timeout(Duration::from_secs(10), browser.get(&callback)).await.expect("an answer");
    assert_eq!(landed.status, StatusCode::OK);
    drop(hanging);
    bed.settled().await;
    assert!(bed.held(&first).await.is_none(), "ended nevertheless");
    assert!(bed.held(&browser.session().unwrap()).await.is_some());
}

#[tokio::test]
async fn a_callback_that_comes_twice_at_once_makes_one_session() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login?return_to=/orders").await;
    let answers = join_all((0..8).map(|_| {
        let (mut tab, callback) = (browser.clone(), callback.clone());
        async move { tab.get(&callback).await }
    }))
    .await;
    assert_eq!(answers.iter().filter(|seen| seen.status == StatusCode::OK).count(), 1);
    for seen in answers.iter().filter(|seen| seen.status != StatusCode::OK) {
        assert!(seen.body.contains("finished already") && seen.body.contains(r#"href="/orders""#), "{seen:?}");
    }
    assert_eq!(bed.provider.redemptions(), 1);
}

#[tokio::test]
async fn each_origin_of_an_app_has_its_own_callback() {
    let bed = Bed::with(|app| app.origins.push(Origin::new("https://www.example.com".into())));
    let mut browser = bed.browser();
    browser.origin = "https://www.example.com";
    let callback = browser.begin("/auth/login").await;
    assert_eq!(bed.provider.seen.lock().unwrap().authorized[0].redirect_uri, "https://www.example.com/auth/callback");
    // Brought to another origin, the attempt does not count.
    let mut elsewhere = browser.clone();
    elsewhere.origin = "https://shop.example.com";
    assert_eq!(elsewhere.get(&callback).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(browser.get(&callback).await.status, StatusCode::OK);
}

#[tokio::test]
async fn headers_and_query_choose_neither_redirect_uri_nor_landing() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    browser.headers.extend([
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-uri", "/evil"),
        ("x-original-url", "/evil"),
        ("forwarded", "host=evil.example"),
    ]);
    for target in ["//evil.example", "/%5Cevil.example", "https://evil.example/", "/auth/logout", "%0d%0ax: y"] {
        let target: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
        let callback = browser.begin(&format!("/auth/login?return_to={target}")).await;
        let seen = browser.get(&callback).await;
        assert!(seen.body.contains(r#"content="0;url=/""#), "{target}: {}", seen.body);
    }
    let seen = bed.provider.seen.lock().unwrap();
    assert!(seen.authorized.iter().all(|request| request.redirect_uri == "https://shop.example.com/auth/callback"));
}
