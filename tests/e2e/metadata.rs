//! What Envoy learns about a request beside its answer: dynamic metadata, for its access log and its other filters.

use serde_json::{Value, json};

use crate::support::browser::{Call, Site};
use crate::support::envoy::walk;
use crate::support::stack::{Plan, shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_tells_app_decision_reason_session_and_a_hash_of_the_user() {
    let stack = Plan::new().start().await;
    let (alice, again, bob) =
        (stack.logged_in("alice").await, stack.logged_in("alice").await, stack.logged_in("bob").await);
    for browser in [&alice, &again, &bob, &stack.browser()] {
        stack.fetch(browser, "/api/logged?q=secret").await;
    }
    let lines = stack.envoy.access_log("/api/logged", 4).await;
    let [alice, again, bob, nobody] = lines.as_slice() else { panic!("{lines:?}") };
    for line in [alice, again, bob] {
        assert_eq!(
            (&line["app"], &line["decision"], &line["reason"]),
            (&"shop".into(), &"forward".into(), &"session".into())
        );
        assert_eq!(line["session"].as_str().map(str::len), Some(8), "{line}");
        let subject = line["subject"].as_str().unwrap_or_default();
        assert!(subject.len() == 32 && subject.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        assert!(line["check_us"].to_string().trim_matches('"').parse::<u64>().is_ok_and(|micros| micros > 0), "{line}");
        assert_eq!(line["trace_id"].as_str().map(str::len), Some(32), "{line}");
    }
    assert_eq!(alice["subject"], again["subject"], "one user, two sessions");
    assert_ne!(alice["session"], again["session"]);
    assert_ne!(alice["subject"], bob["subject"]);
    assert_eq!((&nobody["decision"], &nobody["reason"]), (&"login".into(), &"no_session".into()));
    assert_eq!((&nobody["session"], &nobody["subject"]), (&Value::Null, &Value::Null));
    let log = stack.envoy.lines().join("\n");
    for secret in ["q=secret", "alice", "bob", "cookie"] {
        assert!(!log.to_lowercase().contains(secret), "{secret} in {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_tells_why_and_of_a_user_only_when_one_was_judged() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    assert_eq!(
        browser.send(Call::fetch("POST", &shop("/api/forged"), Site::Cross).forcing_cookies()).await.status,
        403
    );
    let bob = stack.logged_in("bob").await;
    assert_eq!(stack.fetch(&bob, "/admin/x").await.status, 403);
    assert_eq!(stack.fetch(&stack.browser(), "/public/x").await.status, 200);
    assert_eq!(stack.fetch(&stack.browser(), "/optional/x").await.status, 200);
    let expected = [
        ("/api/forged", "deny", "csrf", false),
        ("/admin/x", "deny", "claims", true),
        ("/public/x", "forward", "public", false),
        ("/optional/x", "forward", "anonymous", false),
    ];
    for (path, decision, reason, of_a_user) in expected {
        let line = &stack.envoy.access_log(path, 1).await[0];
        assert_eq!((&line["decision"], &line["reason"]), (&decision.into(), &reason.into()), "{line}");
        assert_eq!(line["subject"].is_string(), of_a_user, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_behind_ours_can_decide_on_the_metadata() {
    let stack = Plan::new().envoy(members_only).start().await;
    let browser = stack.logged_in("alice").await;
    assert_eq!(stack.fetch(&browser, "/optional/members").await.status, 200);
    assert_eq!(stack.fetch(&stack.browser(), "/optional/others").await.status, 403);
    assert!(stack.upstream.latest("/optional/others").is_none());
    let refused = &stack.envoy.access_log("/optional/others", 1).await[0];
    assert!(refused["details"].as_str().is_some_and(|details| details.starts_with("rbac_access_denied")), "{refused}");
    assert_eq!(refused["reason"], "anonymous");
}

/// Envoy's own RBAC, right behind ext_authz: whoever coatcheck forwarded without a session goes no further.
fn members_only(config: &mut Value) {
    let signed_in = json!({ "sourced_metadata": { "metadata_matcher": {
        "filter": "envoy.filters.http.ext_authz",
        "path": [{ "key": "reason" }],
        "value": { "string_match": { "exact": "session" } },
    } } });
    let rbac = json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": { "action": "ALLOW", "policies": {
                "members": { "permissions": [{ "any": true }], "principals": [signed_in] },
                "ours": { "permissions": [{ "url_path": { "path": { "prefix": "/auth/" } } }], "principals": [{ "any": true }] },
            } },
        },
    });
    walk(config, &mut |object| {
        if let Some(filters) = object.get_mut("http_filters").and_then(Value::as_array_mut) {
            filters.insert(1, rbac.clone());
        }
    });
    assert_eq!(
        filters_of(config),
        ["envoy.filters.http.ext_authz", "envoy.filters.http.rbac", "envoy.filters.http.router"]
    );
}

fn filters_of(config: &Value) -> Vec<&str> {
    let manager = &config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let filters = manager["http_filters"].as_array().into_iter().flatten();
    filters.filter_map(|filter| filter["name"].as_str()).collect()
}
