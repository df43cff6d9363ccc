//! A cookie in, an Authorization header out: what the upstream receives of a signed-in user's requests, and
//! what it never receives (behaviours 29, 30, 31, 33).

use serde_json::Value;

use crate::support::browser::{Browser, Call, Site};
use crate::support::envoy;
use crate::support::stack::{self, COOKIE, Plan, SHOP, Stack, host, session_cookie, shop};

/// Paths of the three kinds of rule: a session required, optional, never asked for.
const PATHS: [&str; 3] = ["/api/me", "/optional/me", "/public/me"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_puts_one_authorization_and_the_claim_headers_on_the_request() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;

    let response = stack.fetch(&browser, "/api/me?x=1").await;

    assert_eq!(response.status, 200, "{}", response.text());
    let seen = stack.upstream.latest("/api/me").unwrap();
    assert_eq!(seen.target, "/api/me?x=1");
    assert_eq!(seen.bearer(), stack.provider().access_tokens().await.last().cloned());
    assert_eq!(seen.one("x-user-id").as_deref(), Some("alice"));
    assert_eq!(seen.one("x-user-email").as_deref(), Some("alice@example.com"));
    let groups = seen.one("x-user-groups").unwrap();
    assert!(groups.contains("staff") && groups.contains("dev"), "{groups}");
    assert_eq!(seen.cookies(), Vec::<String>::new());
    holds_only_the_session_cookie(&browser);
}

/// What the browser holds after a login: one cookie of ours, as strict as it can be.
fn holds_only_the_session_cookie(browser: &Browser) {
    let cookies = browser.cookies(host(SHOP));
    let names: Vec<&str> = cookies.iter().map(|cookie| cookie.name.as_str()).collect();
    assert_eq!(names, [COOKIE]);
    let cookie = &cookies[0];
    let attributes = cookie.attributes.to_ascii_lowercase();
    assert!(cookie.secure && cookie.http_only && cookie.path == "/", "{attributes}");
    assert!(attributes.contains("samesite=strict"), "{attributes}");
    assert!(!attributes.contains("max-age") && !attributes.contains("expires"), "{attributes}");
    assert!(!attributes.contains("domain"), "{attributes}");
    assert!(cookie.name.len() + cookie.value.len() + attributes.len() < 200, "{attributes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_and_the_method_of_a_request_arrive_untouched() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let call = Call::fetch(method, &shop("/api/items"), Site::SameOrigin).header("origin", SHOP);
        let response = browser.send(call.form("k=v&k=w")).await;
        assert_eq!(response.status, 200, "{method}: {}", response.text());
        let seen = stack.upstream.latest("/api/items").unwrap();
        assert_eq!((seen.method.as_str(), seen.body.as_slice()), (method, b"k=v&k=w".as_slice()));
        assert!(seen.bearer().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_of_the_apps_own_page_is_upgraded_with_a_token() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let call = Call::bare("GET", &shop("/socket"))
        .header("origin", SHOP)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-fetch-mode", "websocket")
        .header("sec-fetch-dest", "empty")
        .header("sec-fetch-site", "same-origin");
    let response = browser.send(call).await;
    assert_eq!(response.status, 101, "{}", response.text());
    assert!(stack.upstream.latest("/socket").unwrap().bearer().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_that_a_client_sends_never_reaches_the_upstream() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    for path in PATHS {
        for signed_in in [true, false] {
            let mut call = Call::fetch("GET", &shop(path), Site::SameOrigin)
                .header("Authorization", "Bearer forged-token")
                .header("AUTHORIZATION", "Basic Zm9yZ2Vk")
                .header("X-User-ID", "mallory")
                .header("x-user-id", "mallory-too")
                .header("X-USER-EMAIL", "mallory@example.test")
                .header("x-user-groups", "mallory-group");
            if !signed_in {
                call = call.without_jar();
            }
            stack.upstream.clear();
            let response = browser.send(call).await;
            let Some(seen) = stack.upstream.latest(path) else {
                assert_eq!(response.status, 401, "{path} signed in: {signed_in}");
                assert!(path == "/api/me" && !signed_in, "{path} never arrived");
                continue;
            };
            assert_no_forgery(&seen.head.headers, path);
            let granted = signed_in && path != "/public/me";
            assert_eq!(seen.bearer().is_some(), granted, "{path} signed in: {signed_in}");
            assert_eq!(seen.one("x-user-id").is_some(), granted, "{path} signed in: {signed_in}");
        }
    }
}

fn assert_no_forgery(headers: &[(String, Vec<u8>)], path: &str) {
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value);
        let forged = ["forged", "mallory", "Zm9yZ2Vk"].iter().any(|word| value.contains(word));
        assert!(!forged, "{path}: {name}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_name_with_underscores_is_refused_by_envoy() {
    let stack = Plan::new().start().await;
    let call = Call::fetch("GET", &shop("/public/me"), Site::SameOrigin).header("x_user_id", "mallory");
    assert_eq!(stack.browser().send(call).await.status, 400);
    assert!(stack.upstream.seen().is_empty());
}

/// Cookie lines around ours, and what must be left of them.
fn cookie_cases(ours: &str) -> Vec<(Vec<String>, Option<&'static str>)> {
    let lines = |lines: &[&str]| -> Vec<String> {
        lines.iter().map(|line| line.replace("OURS", &format!("{COOKIE}={ours}"))).collect()
    };
    vec![
        (lines(&["OURS"]), None),
        (lines(&["OURS; a=1"]), Some("a=1")),
        (lines(&["a=1; OURS"]), Some("a=1")),
        (lines(&["a=1; OURS; b=2"]), Some("a=1; b=2")),
        (lines(&["z=26; OURS; a=\"1,2; 3\"; b=x=y=="]), Some("z=26; a=\"1,2; 3\"; b=x=y==")),
        (lines(&["theme=dark; OURS; flags=a,b,c; empty=; naked"]), Some("theme=dark; flags=a,b,c; empty=; naked")),
        (lines(&["a=1; b=2", "OURS; c=3"]), Some("a=1; b=2; c=3")),
        (lines(&["OURS", "d=4, e=5"]), Some("d=4, e=5")),
    ]
}

async fn asserts_cookies(stack: &Stack, browser: &Browser) {
    let ours = session_cookie(browser).unwrap();
    for (lines, left) in cookie_cases(&ours) {
        stack.upstream.clear();
        let mut call = Call::fetch("GET", &shop("/api/me"), Site::SameOrigin).without_jar();
        for line in &lines {
            call = call.header("cookie", line);
        }
        let response = browser.send(call).await;
        assert_eq!(response.status, 200, "{lines:?}: {}", response.text());
        let seen = stack.upstream.latest("/api/me").unwrap();
        assert_eq!(seen.one("cookie").as_deref(), left, "{lines:?}");
        assert!(seen.bearer().is_some(), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_cookie_is_cut_and_all_others_arrive_byte_for_byte() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    asserts_cookies(&stack, &browser).await;

    let ours = session_cookie(&browser).unwrap();
    let crumbs = ["first=1".to_owned(), format!("{COOKIE}={ours}"), "second=\"x,y\"".to_owned()];
    let mut call = Call::fetch("GET", &shop("/api/h2"), Site::SameOrigin);
    for crumb in &crumbs {
        call = call.header("cookie", crumb);
    }
    let response = browser.send_h2(call).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let seen = stack.upstream.latest("/api/h2").unwrap();
    assert_eq!(seen.one("cookie").as_deref(), Some("first=1; second=\"x,y\""));
    assert!(seen.bearer().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_that_are_no_text_neither_break_a_request_nor_carry_ours_along() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let ours = format!("{COOKIE}={}", session_cookie(&browser).unwrap());
    let line = [b"a=\xff\xfe; ".as_slice(), ours.as_bytes(), b"; b=\xe4; c=3"].concat();
    let call = Call::fetch("GET", &shop("/api/x"), Site::SameOrigin).without_jar().header("cookie", line);
    assert_eq!(browser.send(call).await.status, 200);
    let seen = stack.upstream.latest("/api/x").unwrap();
    assert!(seen.bearer().is_some());
    let cookie = seen.one("cookie").unwrap();
    assert!(cookie.contains("c=3") && !cookie.contains(COOKIE), "{cookie}");
    // Without ours nothing is touched, byte for byte.
    let call = Call::fetch("GET", &shop("/public/x"), Site::SameOrigin).without_jar();
    browser.send(call.header("cookie", b"a=\xff\xfe; c=3")).await;
    let seen = stack.upstream.latest("/public/x").unwrap();
    let raw = seen.head.headers.iter().find(|(name, _)| name == "cookie").map(|(_, value)| value.as_slice());
    assert_eq!(raw, Some(b"a=\xff\xfe; c=3".as_slice()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_are_cut_the_same_where_envoy_joins_header_lines() {
    let joined: fn(&mut Value) = |config| {
        envoy::edit_ext_authz(config, &|filter| filter["encode_raw_headers"] = false.into());
    };
    let stack = Plan::new().envoy(joined).start().await;
    let browser = stack.logged_in("alice").await;
    let ours = session_cookie(&browser).unwrap();
    // Several Cookie lines, which only programs send, arrive joined by a comma here: what is left of them is asserted
    // loosely.
    for (lines, left) in cookie_cases(&ours) {
        stack.upstream.clear();
        let mut call = Call::bare("GET", &shop("/api/me")).without_jar();
        for line in &lines {
            call = call.header("cookie", line);
        }
        let response = browser.send(call).await;
        assert_eq!(response.status, 200, "{lines:?}: {}", response.text());
        let seen = stack.upstream.latest("/api/me").unwrap();
        let cookie = seen.one("cookie");
        assert!(seen.bearer().is_some(), "{lines:?}");
        assert!(!cookie.clone().unwrap_or_default().contains(COOKIE), "{lines:?}");
        if lines.len() == 1 {
            assert_eq!(cookie.as_deref(), left, "{lines:?}");
        } else {
            let pairs = |text: &str| -> Vec<String> {
                text.split([';', ',']).map(|pair| pair.trim().to_owned()).filter(|pair| !pair.is_empty()).collect()
            };
            assert_eq!(pairs(&cookie.unwrap()), pairs(left.unwrap()), "{lines:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_planted_inside_another_cookie_signs_nobody_in() {
    let joined: fn(&mut Value) = |config| {
        envoy::edit_ext_authz(config, &|filter| filter["encode_raw_headers"] = false.into());
    };
    let stack = Plan::new().envoy(joined).start().await;
    let attacker = stack.logged_in("mallory").await;
    let planted = format!("theme=\"dark,{COOKIE}={}", session_cookie(&attacker).unwrap());
    let call = Call::fetch("GET", &shop("/api/me"), Site::SameOrigin).without_jar().header("cookie", &planted);
    assert_eq!(attacker.send(call).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_attempt_cookies_never_reach_the_upstream() {
    let stack = Plan::new().start().await;
    let browser = stack.browser();
    let login = browser.get(&shop("/auth/login?return_to=/x")).await;
    assert_eq!(login.status, 302, "{}", login.text());
    assert!(!browser.cookies(host(SHOP)).is_empty(), "an attempt is under way");
    for path in ["/public/me", "/optional/me"] {
        let response = stack.fetch(&browser, path).await;
        assert_eq!(response.status, 200);
        assert_eq!(stack.upstream.latest(path).unwrap().cookies(), Vec::<String>::new(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_session_cookies_in_one_request_are_no_session() {
    let stack = Plan::new().start().await;
    let one = session_cookie(&*stack.logged_in("alice").await).unwrap();
    let two = session_cookie(&*stack.logged_in("bob").await).unwrap();
    let pair = |value: &str| format!("{COOKIE}={value}");
    let cases = [
        vec![format!("{}; {}", pair(&one), pair(&two))],
        vec![format!("{}; {}", pair(&one), pair(&one))],
        vec![pair(&one), pair(&two)],
        vec![format!("{}; a=1; {}", pair("junk"), pair(&two))],
    ];
    stack.upstream.clear();
    for lines in cases {
        let mut fetch = Call::fetch("GET", &shop("/api/me"), Site::SameOrigin).without_jar();
        let mut optional = Call::fetch("GET", &shop("/optional/me"), Site::SameOrigin).without_jar();
        for line in &lines {
            fetch = fetch.header("cookie", line);
            optional = optional.header("cookie", line);
        }
        let browser = stack.browser();
        assert_eq!(browser.send(fetch).await.status, 401, "{} lines", lines.len());
        assert_eq!(browser.send(optional).await.status, 200, "{} lines", lines.len());
        let seen = stack.upstream.latest("/optional/me").unwrap();
        assert_eq!((seen.bearer(), seen.one("x-user-id")), (None, None));
        assert!(seen.cookies().iter().all(|line| !line.contains(COOKIE)), "cut all the same");
    }
    assert_eq!(stack.upstream.count("/api/me"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apps_own_health_and_metrics_paths_are_guarded() {
    let stack = Plan::new().start().await;
    let browser = stack.browser();
    for path in ["/healthz", "/health", "/ping", "/metrics", "/livez", "/readyz", "/ready", "/robots.txt"] {
        assert_eq!(stack.fetch(&browser, path).await.status, 401, "{path}");
    }
    assert!(stack.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_application_sets_in_its_answers_arrives_at_the_browser() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let response = stack.fetch(&browser, "/own-cookie").await;
    let lines = response.head.all("set-cookie");
    assert!(lines.iter().any(|line| line.starts_with("app=1")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("app2=2")), "{lines:?}");
    stack.fetch(&browser, "/api/me").await;
    let seen = stack.upstream.latest("/api/me").unwrap();
    assert_eq!(seen.one("cookie").as_deref(), Some("app=1; app2=2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_may_take_the_id_token_or_no_token_at_all() {
    let stack = Plan::new().app(|app| app["upstream"]["authorization"] = "id_token".into()).start().await;
    let browser = stack.logged_in("alice").await;
    let token = stack.token_for(&browser, "/api/me").await;
    assert_eq!(stack::claims_of(&token)["sub"], "alice");
    assert!(!stack.provider().access_tokens().await.contains(&token));
    drop(stack);

    let stack = Plan::new().app(|app| app["upstream"]["authorization"] = "none".into()).start().await;
    let browser = stack.logged_in("alice").await;
    let call = Call::fetch("GET", &shop("/api/me"), Site::SameOrigin).header("authorization", "Bearer forged");
    assert_eq!(browser.send(call).await.status, 200);
    let seen = stack.upstream.latest("/api/me").unwrap();
    assert_eq!(seen.one("authorization"), None);
    assert_eq!(seen.one("x-user-id").as_deref(), Some("alice"));
}
