//! Logout, local and at the provider (behaviours 38, 39).

use serde_json::json;
use url::Url;

use crate::support::browser::{Browser, Call, Response, Site};
use crate::support::page;
use crate::support::patience::eventually;
use crate::support::stack::{COOKIE, Plan, SHOP, Stack, session_cookie, shop};

async fn log_out(browser: &Browser) -> Response {
    let call = Call::navigation("POST", &shop("/auth/logout"), Site::SameOrigin).header("origin", SHOP).form("");
    browser.send(call).await
}

async fn status_with(stack: &Stack, cookie: &str) -> u16 {
    let call = Call::fetch("GET", &shop("/api/x"), Site::SameOrigin).header("cookie", format!("{COOKIE}={cookie}"));
    stack.browser().send(call).await.status
}

fn value(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logout_ends_the_session_here_and_at_the_provider_and_returns() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let cookie = session_cookie(&browser).unwrap();
    let id_token = stack.provider().state().await["tokens"]["id"][0].as_str().unwrap().to_owned();

    let response = log_out(&browser).await;

    assert_eq!(response.status, 303, "{}", response.text());
    let target = response.location().unwrap();
    assert!(target.as_str().starts_with(&stack.provider().issuer));
    assert_eq!(value(&target, "id_token_hint").as_deref(), Some(id_token.as_str()));
    assert_eq!(
        value(&target, "post_logout_redirect_uri").as_deref(),
        Some(format!("{SHOP}/auth/logout/done").as_str())
    );
    assert!(value(&target, "state").is_some_and(|state| state.len() >= 16));
    assert_eq!(session_cookie(&browser), None);
    assert_eq!(status_with(&stack, &cookie).await, 401);

    let confirm = browser.follow(Call::navigation("GET", &target, Site::Cross), Site::Cross).await;
    let done = browser.fill_in("alice", confirm).await;
    assert_eq!((done.status, done.url.path()), (200, "/auth/logout/done"), "{}", done.text());
    eventually("the tokens are revoked", || async { (stack.provider().count("revocation").await >= 1).then_some(()) })
        .await;
    let again = browser.get(&shop("/page")).await;
    assert_eq!(again.status, 302, "a clean login");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_return_from_the_provider_is_told_apart_by_its_state() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let early = browser.get(&shop("/auth/logout/done?state=made-up")).await;
    assert!(page::form(&early.text()).is_some(), "who is still signed in is not told otherwise");
    assert!(session_cookie(&browser).is_some());
    log_out(&browser).await;
    let wrong = browser.get(&shop("/auth/logout/done?state=<script>alert(1)</script>")).await;
    assert!((400..500).contains(&wrong.status), "{}", wrong.status);
    assert!(!wrong.text().contains("<script") && !wrong.text().contains("alert"));
    let plain = browser.get(&shop("/auth/logout/done")).await;
    assert_eq!(plain.status, 200, "a bookmark of it does no harm");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logout_works_with_the_provider_down_and_twice_is_the_same_as_once() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let cookie = session_cookie(&browser).unwrap();
    stack.provider().down(true).await;
    let once = log_out(&browser).await;
    assert_eq!(once.status, 303, "{}", once.text());
    assert_eq!(session_cookie(&browser), None);
    assert_eq!(status_with(&stack, &cookie).await, 401);
    let twice = log_out(&browser).await;
    assert_eq!(twice.status, 303);
    let with_dead_cookie = Call::navigation("POST", &shop("/auth/logout"), Site::SameOrigin)
        .header("origin", SHOP)
        .header("cookie", format!("{COOKIE}={cookie}"))
        .form("");
    assert_eq!(stack.browser().send(with_dead_cookie).await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_cannot_log_a_user_out() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let evil = "https://evil.example.test";
    let url = shop("/auth/logout");
    let attempts = [
        (
            "an image",
            Call::fetch("GET", &url, Site::Cross).with("sec-fetch-mode", "no-cors").with("sec-fetch-dest", "image"),
        ),
        ("a link", Call::navigation("GET", &url, Site::Cross)),
        ("a form", Call::navigation("POST", &url, Site::Cross).header("origin", evil).form("")),
        ("a fetch", Call::fetch("POST", &url, Site::Cross).header("origin", evil)),
        (
            "a sibling's form",
            Call::navigation("POST", &url, Site::Sibling).header("origin", "https://blog.example.test").form(""),
        ),
        ("no origin", Call::bare("POST", &url)),
        ("a null origin", Call::bare("POST", &url).header("origin", "null")),
    ];
    for (what, call) in attempts {
        let post = call.method == "POST";
        let response = browser.send(call.forcing_cookies()).await;
        assert!(!post || response.status == 403, "{what}: {}", response.status);
        assert!(session_cookie(&browser).is_some(), "{what} cleared the cookie");
        assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200, "{what} ended the session");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_logout_page_has_one_button_that_logs_out() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let page = browser.get(&shop("/auth/logout")).await;
    assert_eq!(page.status, 200);
    assert!(session_cookie(&browser).is_some(), "looking at it ends nothing");
    let form = page::form(&page.text()).expect("a form");
    assert_eq!(form.method, "POST");
    let action = page.url.join(&form.action).unwrap();
    let call = Call::navigation("POST", &action, Site::SameOrigin).header("origin", SHOP).form(&form.filled(&[]));
    assert_eq!(browser.send(call).await.status, 303);
    assert_eq!(session_cookie(&browser), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_end_session_endpoint_logout_is_local_and_revokes() {
    let stack = Plan::new().provider("end_session", json!(false)).start().await;
    let browser = stack.logged_in("alice").await;
    let cookie = session_cookie(&browser).unwrap();
    let response = log_out(&browser).await;
    assert_eq!(response.status, 303);
    assert_eq!(response.location().unwrap().path(), "/auth/logout/done");
    let done = browser.get(&response.location().unwrap()).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(status_with(&stack, &cookie).await, 401);
    eventually("the tokens are revoked", || async { (stack.provider().count("revocation").await >= 1).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_on_one_replica_is_at_once_effective_on_all_others() {
    let stack = Plan::new().replicas(2).start().await;
    for _ in 0..3 {
        let browser = stack.logged_in("alice").await;
        let cookie = session_cookie(&browser).unwrap();
        for _ in 0..4 {
            assert_eq!(status_with(&stack, &cookie).await, 200, "warm on both");
        }
        assert_eq!(log_out(&browser).await.status, 303);
        for _ in 0..4 {
            assert_eq!(status_with(&stack, &cookie).await, 401);
        }
    }
}
