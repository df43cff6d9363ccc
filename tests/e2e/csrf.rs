//! Cross-site requests get nothing done with a session, whatever cookies a browser lets travel (behaviour 35).

use serde_json::json;

use crate::support::browser::{Call, Site};
use crate::support::patience::eventually;
use crate::support::stack::{Plan, SHOP, shop};

const EVIL: &str = "https://evil.example.test";
const SIBLING: &str = "https://blog.example.test";

fn socket(origin: &str, site: Option<Site>) -> Call {
    let call = match site {
        Some(site) => Call::fetch("GET", &shop("/api/x"), site).with("sec-fetch-mode", "websocket"),
        None => Call::bare("GET", &shop("/api/x")),
    };
    call.header("origin", origin)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .forcing_cookies()
}

/// Requests that somebody else's page started, or that do not say who did.
fn foreign() -> Vec<(&'static str, Call)> {
    let url = shop("/api/x");
    let post = |site| Call::fetch("POST", &url, site).forcing_cookies();
    let bare = || Call::bare("POST", &url);
    vec![
        ("a cross-site POST", post(Site::Cross).header("origin", EVIL)),
        (
            "a cross-site form",
            Call::navigation("POST", &url, Site::Cross).header("origin", EVIL).form("a=1").forcing_cookies(),
        ),
        ("a cross-site no-cors POST", post(Site::Cross).with("sec-fetch-mode", "no-cors").header("origin", EVIL)),
        ("a sibling's POST", post(Site::Sibling).header("origin", SIBLING)),
        ("a sibling's DELETE", Call::fetch("DELETE", &url, Site::Sibling).header("origin", SIBLING)),
        ("an old browser's cross-site POST", bare().header("origin", EVIL)),
        ("an old browser's sibling POST", bare().header("origin", SIBLING)),
        ("Origin: null", bare().header("origin", "null")),
        ("neither Origin nor Referer", bare()),
        ("a foreign Referer", bare().header("referer", format!("{EVIL}/page"))),
        ("our origin as a prefix", bare().header("origin", format!("{SHOP}.evil.example"))),
        ("our origin over http", bare().header("origin", SHOP.replace("https", "http"))),
        ("our origin at another port", bare().header("origin", format!("{SHOP}:8443"))),
        ("our Referer as userinfo", bare().header("referer", format!("{SHOP}@evil.example/"))),
        ("two origins", bare().header("origin", SHOP).header("origin", EVIL)),
        ("an uncommon method", Call::fetch("PROPFIND", &url, Site::Cross).header("origin", EVIL).forcing_cookies()),
        ("a cross-site socket", socket(EVIL, Some(Site::Cross))),
        ("a sibling's socket", socket(SIBLING, Some(Site::Sibling))),
        ("an old browser's cross-site socket", socket(EVIL, None)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cross_site_requests_are_refused_and_trigger_no_refresh() {
    let stack = Plan::new().access_tokens_live(1).start().await;
    let browser = stack.logged_in("alice").await;
    stack.provider().lifetimes(json!({ "access_token": 300 })).await;
    let before = stack.provider().refreshes().await;
    stack.upstream.clear();
    for (what, call) in foreign() {
        let response = browser.send(call).await;
        assert_eq!(response.status, 403, "{what}: {}", response.text());
        assert!(response.head.all("set-cookie").is_empty(), "{what}: the session is kept");
    }
    assert!(stack.upstream.seen().is_empty());
    // Expired by now, so that any of the above would have had to refresh; our own request does.
    crate::support::patience::elapse(std::time::Duration::from_millis(1100)).await;
    for (what, call) in foreign() {
        assert_eq!(browser.send(call).await.status, 403, "{what}");
    }
    assert_eq!(stack.provider().refreshes().await, before, "no refresh was triggered");
    stack.token_for(&browser, "/api/own").await;
    assert_eq!(stack.provider().refreshes().await, before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cross_site_subresource_gets_no_token() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    for (mode, destination) in [("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe")]
    {
        let call = Call::fetch("GET", &shop("/api/pixel"), Site::Cross)
            .with("sec-fetch-mode", mode)
            .with("sec-fetch-dest", destination)
            .forcing_cookies();
        let response = browser.send(call).await;
        let seen = stack.upstream.latest("/api/pixel");
        let token = seen.as_ref().and_then(crate::support::upstream::Seen::bearer);
        assert_eq!(token, None, "{mode} {destination}: {}", response.status);
        assert!(response.status != 200 || seen.is_none(), "{mode} {destination}");
    }
    // On an optional path it is an anonymous request.
    let call =
        Call::fetch("GET", &shop("/optional/pixel"), Site::Cross).with("sec-fetch-mode", "no-cors").forcing_cookies();
    let response = browser.send(call).await;
    let seen = stack.upstream.latest("/optional/pixel");
    assert!(seen.is_none_or(|seen| seen.bearer().is_none()), "{}", response.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_apps_own_requests_work_with_and_without_fetch_metadata() {
    let partner = "https://partner.example.test";
    let stack = Plan::new().app(move |app| app["csrf"] = json!({ "trusted_origins": [partner] })).start().await;
    let browser = stack.logged_in("alice").await;
    let url = shop("/api/x");
    let own = [
        ("fetch", Call::fetch("POST", &url, Site::SameOrigin).header("origin", SHOP)),
        ("fetch without Origin", Call::fetch("DELETE", &url, Site::SameOrigin)),
        ("a form", Call::navigation("POST", &url, Site::SameOrigin).header("origin", SHOP).form("a=1")),
        ("Origin only", Call::bare("POST", &url).header("origin", SHOP)),
        ("Referer only", Call::bare("POST", &url).header("referer", format!("{SHOP}/page?x=1"))),
        ("a trusted origin", Call::fetch("POST", &url, Site::Cross).header("origin", partner).forcing_cookies()),
        ("a socket", socket(SHOP, Some(Site::SameOrigin))),
        ("an old browser's socket", socket(SHOP, None)),
    ];
    for (what, call) in own {
        let response = browser.send(call).await;
        assert!(matches!(response.status, 200 | 101), "{what}: {} {}", response.status, response.text());
        assert!(stack.upstream.latest("/api/x").unwrap().bearer().is_some(), "{what}");
        stack.upstream.clear();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_header_may_be_required_too() {
    let stack = Plan::new().app(|app| app["csrf"] = json!({ "header": "x-csrf: 1" })).start().await;
    let browser = stack.logged_in("alice").await;
    let post = || Call::fetch("POST", &shop("/api/x"), Site::SameOrigin).header("origin", SHOP);
    assert_eq!(browser.send(post()).await.status, 403);
    assert_eq!(browser.send(post().header("x-csrf", "0")).await.status, 403);
    assert_eq!(browser.send(post().header("X-CSRF", "1")).await.status, 200);
    let navigation = browser.get(&shop("/page")).await;
    assert_eq!(navigation.status, 200, "a navigation cannot carry a header");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_defence_can_be_left_to_the_application() {
    let stack = Plan::new().app(|app| app["csrf"] = json!({ "enabled": false })).start().await;
    let browser = stack.logged_in("alice").await;
    let call = Call::bare("POST", &shop("/api/x"));
    let status = eventually("the request is let through", || {
        let call = call.clone();
        let browser = &browser;
        async move { Some(browser.send(call).await.status) }
    })
    .await;
    assert_eq!(status, 200);
}
