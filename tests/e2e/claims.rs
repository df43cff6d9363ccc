//! Rules on claims: who is signed in but not entitled gets a 403, never a way to log in again (behaviour 36).

use serde_json::json;

use crate::support::browser::{Call, Site};
use crate::support::hostile::Flaw;
use crate::support::stack::{Plan, shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_claim_is_a_403_and_not_a_login() {
    let stack = Plan::new().start().await;
    let alice = stack.logged_in("alice").await;
    assert_eq!(alice.get(&shop("/admin/x")).await.status, 200);
    stack.upstream.clear();
    for user in ["bob", "carol"] {
        let browser = stack.logged_in(user).await;
        let page = browser.get(&shop("/admin/x")).await;
        assert_eq!((page.status, page.header("location")), (403, None), "{user}");
        let fetch = stack.fetch(&browser, "/admin/x").await;
        assert_eq!(fetch.status, 403, "{user}");
        assert!(fetch.header("content-type").unwrap().starts_with("application/problem+json"));
        assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200, "{user} is still signed in");
    }
    assert_eq!(stack.upstream.count("/admin/x"), 0);
    let anonymous = stack.browser().get(&shop("/admin/x")).await;
    assert_eq!(anonymous.status, 302);
}

/// A change of an ID token's claims.
type Change = fn(&mut serde_json::Value);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_an_unexpected_shape_do_not_count() {
    let stack = Plan::new().hostile().start().await;
    let shapes: [(&str, Change, u16); 9] = [
        ("a list with the value", |claims| claims["groups"] = json!(["dev", "staff"]), 200),
        ("another case", |claims| claims["groups"] = json!(["Staff", "STAFF"]), 403),
        ("one string for a list", |claims| claims["groups"] = json!("dev staff"), 403),
        ("a comma-joined string", |claims| claims["groups"] = json!("dev,staff"), 403),
        ("a prefix", |claims| claims["groups"] = json!(["staff2", "staf"]), 403),
        ("an object", |claims| claims["groups"] = json!({ "staff": true }), 403),
        ("a nested list", |claims| claims["groups"] = json!([["staff"]]), 403),
        ("null", |claims| claims["groups"] = json!(null), 403),
        ("nothing", |_| {}, 403),
    ];
    for (what, shape, expected) in shapes {
        stack.hostile().flaw(Flaw::Claims(shape));
        let browser = stack.browser();
        let landing = browser.visit(&shop("/landing")).await;
        assert_eq!(landing.status, 200, "{what}: {}", landing.text());
        let response = browser.send(Call::fetch("GET", &shop("/admin/x"), Site::SameOrigin)).await;
        assert_eq!(response.status, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_claim_values_make_clean_headers_or_none() {
    let stack = Plan::new().hostile().start().await;
    stack.hostile().flaw(Flaw::Claims(|claims| {
        claims["email"] = json!("alice\r\nx-injected: yes");
        claims["groups"] = json!(["a,b", "ü\u{0}", { "x": 1 }]);
    }));
    let browser = stack.browser();
    browser.visit(&shop("/landing")).await;
    let response = stack.fetch(&browser, "/api/x").await;
    assert_eq!(response.status, 200, "{}", response.text());
    let seen = stack.upstream.latest("/api/x").unwrap();
    assert_eq!(seen.one("x-injected"), None);
    assert_eq!(seen.one("x-user-id").as_deref(), Some("alice"));
    assert!(!seen.one("x-user-email").unwrap_or_default().contains("alice\r"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_may_name_a_policy_of_the_app() {
    let stack = Plan::new()
        .app(|app| {
            app["policies"] =
                json!({ "staff": { "rules": [{ "paths": ["/**"], "claims": { "groups": ["staff"] } }] } });
        })
        .envoy(|config| {
            crate::support::envoy::walk(config, &mut |object| {
                if object.get("context_extensions").is_some() {
                    object["context_extensions"]["policy"] = "staff".into();
                }
            });
        })
        .start()
        .await;
    let browser = stack.browser();
    let landing = stack.login(&browser, "bob", "/landing").await;
    assert_eq!(landing.status, 403);
    let alice = stack.logged_in("alice").await;
    assert_eq!(stack.fetch(&alice, "/public/x").await.status, 200);
    let anonymous = stack.fetch(&stack.browser(), "/public/x").await;
    assert_eq!(anonymous.status, 401, "the policy replaces the app's rules");
}
