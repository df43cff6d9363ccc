//! The real Envoy with what `coatcheck render envoy` prints for the replica's own configuration.

use serde_json::json;
use url::Url;

use crate::support::browser::{Browser, Call, Site};
use crate::support::stack::{OTHER, Plan, SHOP, Stack, other, session_cookie, shop};

/// Login, a call of the API, logout: at the upstream's end and at the browser's.
async fn a_visit(stack: &Stack) {
    let anonymous = stack.browser();
    let asked = anonymous.get(&shop("/orders")).await;
    assert_eq!(asked.status, 302, "{}", asked.text());
    assert!(asked.location().unwrap().path().ends_with("/auth/login"));
    assert!(stack.upstream.latest("/orders").is_none(), "nothing went through");

    let browser = stack.logged_in("alice").await;
    let forged = Call::fetch("GET", &shop("/api/x"), Site::SameOrigin)
        .header("authorization", "Bearer forged")
        .header("x-user-id", "somebody");
    assert_eq!(browser.send(forged).await.status, 200);
    let seen = stack.upstream.latest("/api/x").unwrap();
    assert!(seen.bearer().is_some_and(|token| token != "forged"));
    assert_eq!(seen.one("x-user-id").as_deref(), Some("alice"));
    assert!(seen.cookies().is_empty(), "our cookie stays here");

    let call = Call::navigation("POST", &shop("/auth/logout"), Site::SameOrigin).header("origin", SHOP).form("");
    assert_eq!(browser.send(call).await.status, 303);
    assert_eq!(session_cookie(&browser), None);
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rendered_for_a_configuration_runs_it() {
    let stack = Plan::new().rendered().otlp().start().await;
    a_visit(&stack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_rendered_host_is_its_app_and_an_unknown_host_is_none() {
    let plan = Plan::new().rendered().config(|config| {
        config["apps"].as_array_mut().unwrap().push(json!({
            "name": "other", "origin": OTHER, "provider": "main", "rules": [{ "paths": ["/**"], "session": "none" }],
        }));
    });
    let stack = plan.start().await;
    let browser = stack.browser();
    // The same path: guarded at one host, public at the other.
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 401);
    assert!(stack.upstream.latest("/api/x").is_none());
    assert_eq!(browser.send(Call::fetch("GET", &other("/api/x"), Site::SameOrigin)).await.status, 200);
    assert_eq!(stack.upstream.latest("/api/x").unwrap().bearer(), None);
    assert_eq!(browser.get(&other("/auth/login")).await.status, 302, "a login of its own");

    stack.upstream.clear();
    for path in ["/public/x", "/auth/login", "/"] {
        let unknown: Url = format!("http://{}{path}", stack.envoy.address).parse().unwrap();
        let response = Browser::default().send(Call::bare("GET", &unknown)).await;
        assert_eq!(response.status, 421, "{path}");
    }
    assert!(stack.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rendered_for_logins_in_band_runs_them_without_a_route_to_coatcheck() {
    let stack = Plan::new().rendered().app(|app| app["login"] = json!({ "mode": "in_band" })).start().await;
    a_visit(&stack).await;
}
