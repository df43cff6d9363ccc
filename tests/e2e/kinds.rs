//! A request without a session gets the answer that fits its kind (behaviour 34).

use crate::support::browser::{Call, Response, Site};
use crate::support::page;
use crate::support::stack::{Plan, SHOP, Stack, session_cookie, shop};

const PROBLEM: &str = "application/problem+json";

fn is_login_redirect(response: &Response) -> bool {
    response.status == 302 && response.location().is_some_and(|url| url.path() == "/auth/login")
}

fn assert_problem(response: &Response, kind: &str) {
    assert_eq!(response.status, 401, "{kind}: {}", response.text());
    let content_type = response.header("content-type").unwrap_or_default();
    assert!(content_type.starts_with(PROBLEM), "{kind}: {content_type}");
    let login = response.json()["login_url"].as_str().unwrap_or_default().to_owned();
    assert!(login.contains("/auth/login"), "{kind}: {}", response.text());
    assert_private(response, kind);
}

fn assert_private(response: &Response, kind: &str) {
    let cache = response.header("cache-control").unwrap_or_default();
    assert!(cache.contains("no-store"), "{kind}: cache-control is {cache:?}");
    assert!(response.head.all("set-cookie").is_empty(), "{kind}: no cookie for anonymous traffic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_navigation_is_sent_to_login_and_comes_back_to_where_it_was() {
    let stack = Plan::new().start().await;
    let browser = stack.browser();
    let response = browser.get(&shop("/orders?page=2&q=a%26b")).await;
    assert!(is_login_redirect(&response), "{} {:?}", response.status, response.location());
    assert_private(&response, "navigation");
    let landing = browser.login_at("alice", &shop("/orders?page=2&q=a%26b")).await;
    assert_eq!((landing.status, landing.url.as_str()), (200, shop("/orders?page=2&q=a%26b").as_str()));
    assert_eq!(stack.upstream.seen().last().unwrap().target, "/orders?page=2&q=a%26b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_sockets_streams_and_prefetches_get_a_401_that_tells_where_to_log_in() {
    let stack = Plan::new().start().await;
    let url = shop("/api/me");
    let prefetch = Call::navigation("GET", &url, Site::None).header("sec-purpose", "prefetch");
    let cases = [
        ("fetch", Call::fetch("GET", &url, Site::SameOrigin)),
        ("fetch POST", Call::fetch("POST", &url, Site::SameOrigin).header("origin", SHOP)),
        ("XHR", Call::bare("GET", &url).header("x-requested-with", "XMLHttpRequest").header("accept", "*/*")),
        ("JSON client", Call::bare("GET", &url).header("accept", "application/json")),
        ("curl", Call::bare("GET", &url).header("accept", "*/*")),
        ("event stream", Call::fetch("GET", &url, Site::SameOrigin).with("accept", "text/event-stream")),
        ("prefetch", prefetch),
        (
            "image",
            Call::fetch("GET", &url, Site::SameOrigin)
                .with("sec-fetch-mode", "no-cors")
                .with("sec-fetch-dest", "image"),
        ),
        ("websocket", socket(Site::SameOrigin)),
    ];
    for (kind, call) in cases {
        assert_problem(&stack.browser().send(call).await, kind);
    }
    let head = stack.browser().send(Call::fetch("HEAD", &url, Site::SameOrigin)).await;
    assert_eq!(head.status, 401);
    assert!(stack.upstream.seen().is_empty());
}

fn socket(site: Site) -> Call {
    Call::fetch("GET", &shop("/api/me"), site)
        .with("sec-fetch-mode", "websocket")
        .header("origin", SHOP)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_client_gets_a_grpc_status() {
    let stack = Plan::new().start().await;
    let call = Call::bare("POST", &shop("/shop.Orders/List"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let response = stack.browser().send_h2(call).await;
    assert_eq!(response.status, 200, "Envoy words it for gRPC");
    assert_eq!(response.header("grpc-status").as_deref(), Some("16"));
    assert_eq!(response.header("location"), None);
    assert!(stack.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_post_without_a_session_is_never_turned_into_a_get() {
    let stack = Plan::new().start().await;
    let call = Call::navigation("POST", &shop("/orders"), Site::SameOrigin).header("origin", SHOP).form("item=1");
    let response = stack.browser().send(call).await;
    assert!(!(300..400).contains(&response.status), "{} {:?}", response.status, response.location());
    assert_eq!(response.status, 401);
    let content_type = response.header("content-type").unwrap_or_default();
    assert!(content_type.contains("html") || content_type.contains("problem"), "{content_type}");
    assert!(stack.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_is_the_applications_to_answer_and_carries_no_identity() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let call = Call::fetch("OPTIONS", &shop("/api/me"), Site::Cross)
        .header("origin", "https://partner.example")
        .header("access-control-request-method", "POST")
        .header("authorization", "Bearer forged")
        .forcing_cookies();
    assert_eq!(browser.send(call).await.status, 200);
    let seen = stack.upstream.latest("/api/me").unwrap();
    assert_eq!((seen.one("authorization"), seen.one("x-user-id")), (None, None));
    assert_eq!(seen.cookies(), Vec::<String>::new());
    // An OPTIONS that is no preflight is a request like any other.
    let plain = Call::fetch("OPTIONS", &shop("/api/other"), Site::SameOrigin);
    assert_eq!(stack.browser().send(plain).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_from_another_site_bounces_once_and_lands_signed_in() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let link = Call::navigation("GET", &shop("/orders?id=7"), Site::Cross);
    let bounce = browser.send(link.clone()).await;
    assert!(bounce.status == 200 || bounce.status == 401, "{}", bounce.status);
    let target = page::refresh_target(&bounce.text()).expect("a page that navigates itself");
    assert_eq!(bounce.url.join(&target).unwrap(), shop("/orders?id=7"));
    assert!(bounce.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert!(!bounce.text().contains("<script"));
    let landing = browser.follow(link.clone(), Site::Cross).await;
    assert_eq!((landing.status, landing.url.as_str()), (200, shop("/orders?id=7").as_str()));
    assert!(stack.upstream.latest("/orders").unwrap().bearer().is_some());

    // Nobody signed in: the second arrival goes to login, it does not bounce again.
    let anonymous = stack.browser();
    let page = anonymous.follow(link, Site::Cross).await;
    assert_eq!(page.url.port(), Some(stack.provider().port), "ends at the provider's form");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lax_cookie_needs_no_bounce() {
    let stack = Plan::new().app(|app| app["cookie"] = serde_json::json!({ "same_site": "lax" })).start().await;
    let browser = stack.logged_in("alice").await;
    let response = browser.send(Call::navigation("GET", &shop("/orders"), Site::Cross)).await;
    assert_eq!(response.status, 200);
    assert!(stack.upstream.latest("/orders").unwrap().bearer().is_some());
    let anonymous = stack.browser().send(Call::navigation("GET", &shop("/orders"), Site::Cross)).await;
    assert!(is_login_redirect(&anonymous), "{}", anonymous.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_traffic_gets_no_cookie_and_writes_nothing_to_the_store() {
    let stack = Plan::new().replicas(1).start().await;
    let keys = stack.redis().keys().len();
    for round in 0..50 {
        anonymous_round(&stack, round).await;
    }
    assert_eq!(stack.redis().keys().len(), keys);
}

async fn anonymous_round(stack: &Stack, round: usize) {
    let browser = stack.browser();
    browser.get(&shop(&format!("/page/{round}"))).await;
    browser.get(&shop("/auth/login?return_to=/x")).await;
    stack.fetch(&browser, "/auth/session").await;
    stack.fetch(&browser, "/optional/x").await;
    assert_eq!(session_cookie(&browser), None);
}
