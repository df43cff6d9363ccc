//! Login: tabs, callbacks that are not what they seem, return addresses, forged headers (behaviours 21–23, 25–27).

use std::time::Duration;

use serde_json::json;
use url::Url;

use crate::support::browser::{Call, Response, Site};
use crate::support::page;
use crate::support::patience::eventually;
use crate::support::stack::{self, COOKIE, Plan, SHOP, Stack, host, session_cookie, shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_tabs_log_in_at_once_and_each_lands_where_it_wanted() {
    let stack = Plan::new().start().await;
    let browser = stack.browser();
    let mut tabs = Vec::new();
    for tab in 0..5 {
        tabs.push(Some(browser.visit(&shop(&format!("/tab/{tab}?n={tab}"))).await));
    }
    for tab in [3, 0, 4, 1, 2] {
        let landing = browser.fill_in("alice", tabs[tab].take().unwrap()).await;
        assert_eq!(landing.status, 200, "tab {tab}: {}", landing.text());
        assert_eq!(landing.url, shop(&format!("/tab/{tab}?n={tab}")));
    }
    let names: Vec<String> = browser.cookies(host(SHOP)).into_iter().map(|cookie| cookie.name).collect();
    assert_eq!(names, [COOKIE], "finished attempts leave nothing behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_attempts_do_not_pile_up_cookies() {
    let stack = Plan::new().start().await;
    let browser = stack.browser();
    for tab in 0..12 {
        browser.get(&shop(&format!("/auth/login?return_to=/tab/{tab}"))).await;
        assert!(browser.cookies(host(SHOP)).len() <= 5, "after {} attempts", tab + 1);
    }
    let landing = stack.login(&browser, "alice", "/landing").await;
    assert_eq!((landing.status, landing.url.path()), (200, "/landing"));
    let size: usize = browser.cookies(host(SHOP)).iter().map(|cookie| cookie.name.len() + cookie.value.len()).sum();
    assert!(size < 6000, "{size} bytes of cookies");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_addresses_are_kept_as_far_as_a_cookie_goes() {
    let stack = Plan::new().hostile().start().await;
    let long = format!("/x?q={}", "a".repeat(1500));
    let browser = stack.browser();
    for _ in 0..5 {
        browser.get(&shop(&format!("/auth/login?return_to={}", long.replace('?', "%3F")))).await;
    }
    for cookie in browser.cookies(host(SHOP)) {
        let size = cookie.name.len() + cookie.value.len() + cookie.attributes.len();
        assert!(size < 4096, "browsers drop a cookie of {size} bytes");
    }
    let landing = browser.visit(&shop(&long)).await;
    assert_eq!((landing.status, landing.url), (200, shop(&long)));
    let too_long = stack.browser().visit(&shop(&format!("/x?q={}", "a".repeat(9000)))).await;
    assert_eq!((too_long.status, too_long.url.as_str()), (200, "https://shop.example.test/"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_login_makes_a_new_session_and_ends_the_old_one() {
    let stack = Plan::new().replicas(1).start().await;
    let browser = stack.browser();
    let planted = format!("AAAAAQ{}", "x".repeat(64));
    browser.plant(&shop("/"), &format!("{COOKIE}={planted}"));
    stack.login(&browser, "alice", "/landing").await;
    let first = session_cookie(&browser).unwrap();
    assert_ne!(first, planted, "a planted value is never adopted");
    stack.login(&browser, "alice", "/landing").await;
    let second = session_cookie(&browser).unwrap();
    assert_ne!(first, second);
    eventually("the old session is dead", || async { (status_with(&stack, &first).await == 401).then_some(()) }).await;
    assert_eq!(status_with(&stack, &second).await, 200);
}

async fn status_with(stack: &Stack, cookie: &str) -> u16 {
    let call = Call::fetch("GET", &shop("/api/x"), Site::SameOrigin).header("cookie", format!("{COOKIE}={cookie}"));
    stack.browser().send(call).await.status
}

fn refused(response: &Response, what: &str) {
    assert!((400..500).contains(&response.status), "{what}: {} {}", response.status, response.text());
    let text = response.text();
    assert!(!text.contains("<script"), "{what}: {text}");
    assert_eq!(page::refresh_target(&text), None, "{what}: no loop");
    assert_eq!(response.header("cache-control").as_deref(), Some("no-store"), "{what}");
    assert_eq!(response.header("x-content-type-options").as_deref(), Some("nosniff"), "{what}");
    let policy = response.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{what}: {policy}");
    assert_eq!(response.header("referrer-policy").as_deref(), Some("no-referrer"), "{what}");
}

fn with_query(callback: &Url, change: impl Fn(&str, String) -> Option<String>) -> Url {
    let mut changed = callback.clone();
    let pairs: Vec<(String, String)> = callback
        .query_pairs()
        .filter_map(|(key, value)| Some((key.to_string(), change(&key, value.into_owned())?)))
        .collect();
    changed.query_pairs_mut().clear().extend_pairs(pairs);
    changed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_is_not_of_this_attempt_is_refused_before_the_code_is_redeemed() {
    let stack = Plan::new().start().await;
    let browser = stack.browser();
    let callback = browser.callback_url("alice", &shop("/auth/login?return_to=/landing")).await;
    let cross = |url: &Url| Call::navigation("GET", url, Site::Cross);
    let wrong = [
        ("wrong state", with_query(&callback, |key, value| Some(if key == "state" { "wrong".into() } else { value }))),
        ("no state", with_query(&callback, |key, value| (key != "state").then_some(value))),
        (
            "wrong iss",
            with_query(&callback, |key, value| Some(if key == "iss" { "https://evil.example".into() } else { value })),
        ),
        ("no code", with_query(&callback, |key, value| (key != "code").then_some(value))),
        ("nothing at all", shop("/auth/callback")),
        (
            "an error with markup",
            shop("/auth/callback?error=<script>alert(1)</script>&error_description=<script>&state=x"),
        ),
    ];
    for (what, url) in wrong {
        // A browser of its own that holds the same attempt would have it spent by some of these.
        refused(&browser.send(cross(&url)).await, what);
    }
    refused(&stack.browser().send(cross(&callback)).await, "another browser");
    assert_eq!(stack.provider().count("token.authorization_code").await, 0);
    assert_eq!(session_cookie(&browser), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_callback_redeems_nothing_and_a_doubled_one_makes_one_session() {
    let stack = Plan::new().replicas(2).start().await;
    let browser = stack.browser();
    let callback = browser.callback_url("alice", &shop("/auth/login?return_to=/landing")).await;
    let call = Call::navigation("GET", &callback, Site::Cross);
    let attempt = browser.cookie_header(&call).expect("the attempt's cookie travels");
    let doubled = call.clone().without_jar().header("cookie", &attempt);
    let (one, two) = tokio::join!(browser.send(doubled.clone()), browser.send(doubled.clone()));
    let sessions = [&one, &two]
        .iter()
        .filter(|response| {
            response
                .head
                .all("set-cookie")
                .iter()
                .any(|line| line.starts_with(&format!("{COOKIE}=")) && !line.contains("Max-Age=0"))
        })
        .count();
    assert_eq!(sessions, 1, "{} {}", one.status, two.status);
    assert_eq!(stack.provider().count("token.authorization_code").await, 1);
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);

    let replay = stack.browser().send(doubled).await;
    assert!(replay.status >= 400, "{}", replay.status);
    assert_eq!(stack.provider().count("token.authorization_code").await, 1);
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200, "a replay ends nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_cancels_at_the_provider_sees_a_neutral_page() {
    let stack = Plan::new().start().await;
    let browser = stack.browser();
    let login = browser.get(&shop("/auth/login?return_to=/landing")).await;
    let at_provider = login.location().unwrap();
    let state = at_provider.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    let mut callback = shop("/auth/callback");
    callback
        .query_pairs_mut()
        .append_pair("error", "access_denied")
        .append_pair("error_description", "<script>alert('x')</script>")
        .append_pair("state", &state)
        .append_pair("iss", &stack.provider().issuer);
    let response = browser.send(Call::navigation("GET", &callback, Site::Cross)).await;
    refused(&response, "access_denied");
    assert!(!response.text().contains("alert("));
    assert_eq!(stack.provider().count("token.authorization_code").await, 0);
}

/// Return addresses that are not a plain path of our own origin.
const EVIL: &[&str] = &[
    "//evil.example",
    "///evil.example",
    "https://evil.example/",
    "https:evil.example",
    "HTTPS://EVIL.EXAMPLE",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/%2f/evil.example",
    "/%2Fevil.example",
    "/%5cevil.example",
    "%2f%2fevil.example",
    "/\tevil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\nset-cookie: x=1",
    "/\u{0}",
    "javascript:alert(1)",
    "data:text/html,x",
    "https://shop.example.test@evil.example/",
    "@evil.example",
    "https://shop.example.test.evil.example/",
    "/%252f%252fevil.example",
    "/%255cevil.example",
    "\u{ff0f}\u{ff0f}evil.example",
    "/\u{ff0f}evil.example",
    "/\u{2044}evil.example",
    "/\u{2028}x",
    "/.//evil.example",
    "/..//evil.example",
    "/x/..//evil.example",
    "evil",
    "",
    " //evil.example",
    "/ /evil.example",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_returns_only_to_the_apps_own_pages() {
    let stack = Plan::new().hostile().start().await;
    for evil in EVIL {
        let browser = stack.browser();
        let landing = stack.login(&browser, "alice", evil).await;
        assert_eq!(landing.url.as_str(), format!("{SHOP}/"), "{evil:?} led astray");
    }
    let kept =
        ["/", "/x", "/x?next=https://y#z", "/a/b?q=1&r=%2F%2F", "/x?a=//evil", "/p%20q?r=s+t", "/%C3%BCn%C3%AFcode"];
    for path in kept {
        let browser = stack.browser();
        let landing = stack.login(&browser, "alice", path).await;
        assert_eq!(landing.url, shop(path), "{path:?} was not kept");
        assert_eq!(landing.status, 200);
    }
    for own in ["/auth/login", "/auth/logout", "/auth/callback?code=1"] {
        let landing = stack.login(&stack.browser(), "alice", own).await;
        assert_eq!(landing.url.as_str(), format!("{SHOP}/"), "{own}: no loop through our own routes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_forwarding_headers_change_neither_app_nor_rules_nor_redirect_uri() {
    let stack = Plan::new().start().await;
    let forged = |call: Call| {
        call.header("x-forwarded-host", "evil.example")
            .header("x-forwarded-uri", "/public/x")
            .header("x-forwarded-proto", "http")
            .header("x-forwarded-port", "1")
            .header("forwarded", "host=evil.example;proto=http")
            .header("x-original-url", "/public/x")
            .header("x-rewrite-url", "/public/x")
            .header("x-envoy-original-path", "/public/x")
            .header("x-http-method-override", "OPTIONS")
    };
    let login = stack.browser().send(forged(Call::navigation("GET", &shop("/auth/login"), Site::None))).await;
    let target = login.location().expect("a redirect to the provider");
    let redirect_uri = target.query_pairs().find(|(key, _)| key == "redirect_uri").unwrap().1.into_owned();
    assert_eq!(redirect_uri, format!("{SHOP}/auth/callback"));
    let guarded = stack.browser().send(forged(Call::fetch("GET", &shop("/api/x"), Site::SameOrigin))).await;
    assert_eq!(guarded.status, 401);
    let navigation = stack.browser().send(forged(Call::navigation("GET", &shop("/page"), Site::None))).await;
    let to = navigation.location().unwrap();
    assert_eq!((to.host_str(), to.path()), (Some(host(SHOP)), "/auth/login"));
    for route in ["/auth/login", "/auth/callback", "/auth/session", "/auth/logout"] {
        let call = Call::navigation("GET", &shop(route), Site::None).header("host", "evil.example");
        let misdirected = stack.browser().send(call).await;
        assert_eq!((misdirected.status, misdirected.header("location")), (421, None), "{route}");
    }
    assert!(stack.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_characters_in_client_id_and_secret_authenticate_login_and_refresh() {
    let (id, secret) = ("shop & co:+%/=?~", "p@ss: +%&=/\"w'o<r>d~;,");
    let stack = Plan::new().client(id, secret).access_tokens_live(1).start().await;
    assert_refreshes(&stack, "basic").await;
    drop(stack);

    let stack = Plan::new()
        .client(id, secret)
        .access_tokens_live(1)
        .config(|config| config["providers"][0]["client_auth"] = "post".into());
    let stack = stack.start().await;
    let mut client = stack::client(id, secret);
    client["token_endpoint_auth_method"] = "client_secret_post".into();
    stack.provider().clients(json!([client])).await;
    assert_refreshes(&stack, "post").await;
}

async fn assert_refreshes(stack: &Stack, method: &str) {
    let browser = stack.logged_in("alice").await;
    let first = stack.token_for(&browser, "/api/x").await;
    crate::support::patience::elapse(Duration::from_millis(1100)).await;
    let second = stack.token_for(&browser, "/api/x").await;
    assert_ne!(first, second);
    let requests = stack.provider().state().await["token_requests"].clone();
    for request in requests.as_array().unwrap() {
        assert_eq!((request["client_auth"].as_str(), request["ok"].as_bool()), (Some(method), Some(true)), "{request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allowed_parameters_go_on_to_the_provider_and_others_do_not() {
    let stack = Plan::new().app(|app| app["login"] = json!({ "allow_params": ["prompt", "login_hint"] })).start().await;
    let login = stack
        .browser()
        .get(&shop("/auth/login?prompt=login&login_hint=bob&acr_values=x&client_id=evil&scope=root"))
        .await;
    let target = login.location().unwrap();
    let value = |name: &str| -> Vec<String> {
        target.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
    };
    assert_eq!((value("prompt"), value("login_hint")), (vec!["login".to_owned()], vec!["bob".to_owned()]));
    assert_eq!(value("acr_values"), Vec::<String>::new());
    assert_eq!(value("client_id"), ["shop"]);
    assert_eq!(value("code_challenge_method"), ["S256"]);
    assert!(!value("state")[0].is_empty() && !value("nonce")[0].is_empty());
    assert!(value("scope")[0].split(' ').any(|scope| scope == "openid") && !value("scope")[0].contains("root"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_route_tells_a_page_who_is_signed_in_and_no_more() {
    let stack = Plan::new().start().await;
    let anonymous = stack.fetch(&stack.browser(), "/auth/session").await;
    assert_eq!(anonymous.status, 200);
    assert_eq!(anonymous.json(), json!({ "authenticated": false, "login_url": "/auth/login" }));
    let browser = stack.logged_in("alice").await;
    let session = stack.fetch(&browser, "/auth/session").await;
    let body = session.json();
    assert_eq!((body["authenticated"].as_bool(), body["logout_url"].as_str()), (Some(true), Some("/auth/logout")));
    assert_eq!((body["claims"]["sub"].as_str(), body["claims"]["name"].as_str()), (Some("alice"), Some("Alice")));
    assert_eq!(body["claims"].get("groups"), None, "not on the list");
    assert!(body["expires_in"].as_u64().is_some_and(|seconds| seconds > 60));
    assert!(session.header("cache-control").unwrap().contains("no-store"));
    for token in stack.provider().minted().await {
        assert!(!session.text().contains(&token));
    }
    let cross = Call::fetch("GET", &shop("/auth/session"), Site::Cross)
        .header("origin", "https://evil.example")
        .forcing_cookies();
    let foreign = browser.send(cross).await;
    assert!(foreign.header("access-control-allow-origin").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_goes_down_during_a_login_is_a_503_page_that_says_so() {
    let stack = Plan::new().start().await;
    let browser = stack.browser();
    let callback = browser.callback_url("alice", &shop("/auth/login?return_to=/landing")).await;
    stack.provider().down(true).await;
    let page = browser.send(Call::navigation("GET", &callback, Site::Cross)).await;
    assert_eq!(page.status, 503, "{}", page.text());
    assert!(page.header("retry-after").is_some());
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert_eq!(session_cookie(&browser), None);
    stack.provider().down(false).await;
    assert_eq!(stack.login(&browser, "alice", "/landing").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_bound_to_a_browser_is_no_session_in_another() {
    let stack = Plan::new().app(|app| app["session"] = json!({ "bind": ["user_agent"] })).start().await;
    let browser = stack.logged_in("alice").await;
    let call = |agent: &str| Call::fetch("GET", &shop("/api/x"), Site::SameOrigin).header("user-agent", agent);
    assert_eq!(browser.send(call("thief/1.0")).await.status, 401);
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200, "the owner is not bothered");
    drop(stack);

    let log = json!({ "bind": ["user_agent"], "on_bind_mismatch": "log" });
    let stack = Plan::new().app(|app| app["session"] = log).start().await;
    let browser = stack.logged_in("alice").await;
    assert_eq!(browser.send(call("thief/1.0")).await.status, 200);
    eventually("the mismatch is told", || async {
        stack.replicas[0].logs().iter().any(|line| line.contains("another browser")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_leaves_during_the_callback_leaves_no_session_and_no_token_behind() {
    let stack = Plan::new().replicas(1).start().await;
    let browser = stack.browser();
    let callback = browser.callback_url("alice", &shop("/auth/login")).await;
    stack.provider().behaves(json!({ "token_delay_ms": 1500 })).await;
    let call = Call::navigation("GET", &callback, Site::Cross);
    let gone = browser.send_impatiently(call, Duration::from_millis(400)).await;
    assert!(gone.is_none(), "closed the tab");
    eventually("the login is undone", || async {
        let undone = stack.replicas[0].metric("coatcheck_logins_total", &["abandoned"]).await;
        (undone >= 1.0 && stack.provider().count("revocation").await >= 1).then_some(())
    })
    .await;
    assert!(!stack.redis().keys().iter().any(|key| key.contains(":s:")), "no session is left");
    assert!(stack.replicas[0].metric("coatcheck_logins_total", &["success"]).await < 1.0, "nobody is signed in");
}
