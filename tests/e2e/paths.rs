//! Rule paths are never read more loosely than an upstream might (behaviour 32): asked directly, without
//! Envoy's normalisation, and through Envoy with raw request targets.

use crate::support::browser::{Call, Site};
use crate::support::check::{Answer, Asked, Asker, Encoding};
use crate::support::stack::{COOKIE, Plan, SHOP, Stack, host, session_cookie, shop};

/// Targets that some upstream would not read as a public path.
const TRICKS: &[&str] = &[
    "/public/../api",
    "/public/..",
    "/public/%2e%2e/api",
    "/public/%2E%2E/api",
    "/public/.%2e/api",
    "/public/%2e%2e%2fapi",
    "/public%2f..%2fapi",
    "/public%2fx",
    "/public/x%2f..%2f..%2fapi",
    "/public/..%5capi",
    "/public\\..\\api",
    "/public/\\x",
    "/public/;/../api",
    "/public/..;/api",
    "/public/x;y=1",
    "/public//x",
    "//public/x",
    "//evil.example.test/public/x",
    "/public/./x",
    "/public/%2e/x",
    "/public/x%00",
    "/public/%00/../api",
    "/public/x\u{1}",
    "/public/%252e%252e/api",
    "/api?x=/public/x",
    "/api?x=.css",
    "/api#/public/x",
    "/api/%2e%2e/public/x",
    "/PUBLIC/x",
    "/publicx/x",
    "/public",
    "http://shop.example.test/public/x",
    "https://evil.example.test/public/x",
    "public/x",
    "*",
    "",
    "/",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_can_be_read_otherwise_never_matches_a_public_rule() {
    let stack = Plan::new().start().await;
    let mut asker = Asker::connect(&stack.replicas[0].grpc).await;
    for encoding in [Encoding::Raw, Encoding::Joined] {
        for honest in ["/public/x", "/public/x?y=../../api", "/public/a/b/c.css?d=%2e%2e%2f"] {
            let asked = Asked::navigation(host(SHOP), honest).encoded(encoding);
            assert!(matches!(asker.ask(&asked).await, Answer::Allowed(_)), "{honest}");
        }
        for trick in TRICKS.iter().filter(|trick| **trick != "/public") {
            let asked = Asked::navigation(host(SHOP), trick).encoded(encoding);
            let answer = asker.ask(&asked).await;
            assert!(matches!(answer, Answer::Denied(_)), "{trick:?} was let through");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_can_be_read_otherwise_is_judged_by_its_strictest_reading() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("bob").await;
    let cookie = format!("{COOKIE}={}", session_cookie(&browser).unwrap());
    let mut asker = Asker::connect(&stack.replicas[0].grpc).await;
    let plain = Asked::navigation(host(SHOP), "/api/x").header("cookie", &cookie);
    assert!(matches!(asker.ask(&plain).await, Answer::Allowed(_)));
    let tricks = [
        "/admin/x",
        "/admin/../admin/x",
        "/x/../admin/x",
        "/x/%2e%2e/admin/x",
        "/x/..%2fadmin/x",
        "//admin/x",
        "/./admin/x",
        "/admin;v=1/x",
        "/%61dmin/x",
        "/admin%2fx",
        "\\admin\\x",
    ];
    for trick in tricks {
        let asked = Asked::navigation(host(SHOP), trick).header("cookie", &cookie);
        let answer = asker.ask(&asked).await;
        assert!(matches!(answer, Answer::Denied(_)), "bob got at {trick:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_targets_through_envoy_never_open_more_than_the_public_paths() {
    let stack = Plan::new().start().await;
    for trick in TRICKS.iter().filter(|trick| !trick.is_empty()) {
        stack.upstream.clear();
        let call = Call::fetch("GET", &shop("/"), Site::SameOrigin).target(trick);
        let response = stack.browser().send(call).await;
        for seen in stack.upstream.seen() {
            assert_public(&seen.target, trick, response.status);
            assert_eq!(seen.one("authorization"), None, "{trick}");
        }
    }
    assert_eq!(public_requests(&stack).await, 1);
}

/// What arrived without a session is a plain public path, however the client wrote it.
fn assert_public(target: &str, trick: &str, status: u16) {
    let path = target.split('?').next().unwrap_or_default();
    let plain = path.starts_with("/public") && !path.contains("..") && !path.contains('%') && !path.contains('\\');
    assert!(plain, "{trick:?} arrived as {target:?} with {status}");
}

async fn public_requests(stack: &Stack) -> usize {
    stack.upstream.clear();
    let response = stack.fetch(&stack.browser(), "/public/x").await;
    assert_eq!(response.status, 200);
    stack.upstream.count("/public/x")
}
