//! What there is to tell of in-band mode only.

use serde_json::{Value, json};

use crate::support::browser::{Call, Response, Site};
use crate::support::check::{Answer, Asked, Asker, Encoding};
use crate::support::envoy::{edit_ext_authz, shipped, walk};
use crate::support::patience::eventually;
use crate::support::stack::{COOKIE, Plan, SHOP, Stack, host, session_cookie, shop};

/// Applies `edit` to every place that says how Envoy asks about a login route.
fn edit_settings(config: &mut Value, edit: &dyn Fn(&mut Value)) {
    walk(config, &mut |object| {
        if object.get("with_request_body").is_some() {
            edit(object);
        }
    });
}

fn log_out() -> Call {
    Call::navigation("POST", &shop("/auth/logout"), Site::SameOrigin).header("origin", SHOP)
}

async fn ask(stack: &Stack, asked: &Asked) -> Answer {
    Asker::connect(&stack.replicas[0].grpc).await.ask(asked).await
}

#[test]
fn the_shipped_file_has_no_way_to_the_http_listener() {
    let clusters = shipped("in-band.yaml")["static_resources"]["clusters"].clone();
    let names: Vec<Value> = clusters.as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["coatcheck_grpc", "app", "otlp"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cookie_of_an_answer_arrives_with_its_page() {
    let stack = Plan::new().start().await;
    let browser = stack.browser();
    let callback = browser.callback_url("alice", &shop("/auth/login?return_to=/landing")).await;
    let welcome = browser.send(Call::navigation("GET", &callback, Site::Cross)).await;
    assert_eq!(welcome.status, 200, "{}", welcome.text());
    assert_eq!(welcome.head.all("set-cookie").len(), 2, "the session begins, the attempt ends");
    assert_eq!(welcome.header("content-type").as_deref(), Some("text/html; charset=utf-8"));
    assert_eq!(welcome.header("cache-control").as_deref(), Some("no-store"));
    assert!(session_cookie(&browser).is_some());
    let counted = stack.replicas[0].metric("coatcheck_decisions_total", &["login_route", r#"decision="route""#]).await;
    assert!(counted >= 2.0, "login and callback are counted as routes: {counted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_heads_and_strange_paths_get_the_answers_of_the_routes() {
    let stack = Plan::new().start().await;
    let browser = stack.browser();
    let session = browser.send(Call::bare("GET", &shop("/auth/session"))).await;
    assert_eq!((session.status, session.json()["authenticated"].clone()), (200, json!(false)));
    let head = browser.send(Call::bare("HEAD", &shop("/auth/session"))).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let head = browser.send(Call::bare("HEAD", &shop("/auth/login"))).await;
    assert_eq!((head.status, head.header("allow").as_deref()), (405, Some("GET")));
    for path in ["/auth", "/auth/", "/auth/no-such-route", "/auth/login/x"] {
        let missing = browser.send(Call::bare("GET", &shop(path))).await;
        assert_eq!(
            (missing.status, missing.header("content-type").as_deref()),
            (404, Some("application/problem+json"))
        );
    }
    let preflight = Call::bare("OPTIONS", &shop("/auth/session")).header("origin", "https://evil.example");
    let preflight = browser.send(preflight.header("access-control-request-method", "GET")).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (405, None));
    let upgrade =
        Call::bare("GET", &shop("/auth/session")).header("connection", "upgrade").header("upgrade", "websocket");
    assert_eq!(browser.send(upgrade.header("sec-websocket-version", "13")).await.status, 200, "no WebSocket here");
    assert!(stack.upstream.seen().is_empty(), "the application sees none of it");
    let authors = browser.send(Call::navigation("GET", &shop("/authors"), Site::None)).await;
    assert_eq!(authors.location().unwrap().path(), "/auth/login", "not below the prefix: judged by the rules");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ambiguous_path_is_judged_by_the_rules_and_never_answered_by_the_routes() {
    let stack = Plan::new().start().await;
    let honest = ask(&stack, &Asked::navigation(host(SHOP), "/auth/session")).await;
    assert_eq!(honest.denied(), 200);
    for trick in [
        "/auth/%2e%2e/x",
        "/auth/../auth/session",
        "//auth/session",
        "/auth//session",
        "/auth%2fsession",
        "/auth/session;x",
        "/auth/se%73sion",
        "/auth\\session",
    ] {
        for encoding in [Encoding::Raw, Encoding::Joined] {
            let answer = ask(&stack, &Asked::navigation(host(SHOP), trick).encoded(encoding)).await;
            assert_eq!(answer.denied(), 302, "{trick}");
        }
    }
    assert_eq!(ask(&stack, &Asked::navigation(host(SHOP), "/auth/%00")).await.denied(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_no_origin_of_the_app_is_misdirected() {
    let stack = Plan::new().start().await;
    let call = Call::navigation("GET", &shop("/auth/login"), Site::None).header("host", "nobody.example.test");
    let answer = stack.browser().send(call).await;
    assert_eq!((answer.status, answer.location()), (421, None), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_reaches_the_routes_and_one_too_large_is_told_so() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let too_large = |response: &Response| {
        assert_eq!(response.status, 413, "{}", response.text());
        assert!(stack.upstream.count("/auth/logout") == 0);
    };
    too_large(&browser.send(log_out().form(&"x".repeat(65_537))).await);
    assert!(session_cookie(&browser).is_some(), "still signed in");
    let mut odd = log_out().form("");
    odd.body = b"a=\xff\x00\xfe".to_vec();
    assert_eq!(browser.send(odd).await.status, 303, "bytes that are no text");

    let upload = vec![b'u'; 3 * 1024 * 1024];
    let browser = stack.logged_in("alice").await;
    let mut call = Call::fetch("POST", &shop("/api/upload"), Site::SameOrigin).header("origin", SHOP);
    call.body.clone_from(&upload);
    assert_eq!(browser.send(call).await.status, 200, "only login routes have the limit");
    assert!(stack.upstream.latest("/api/upload").unwrap().body == upload);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_envoy_cut_is_refused_whatever_the_client_says_of_it() {
    let partial = |config: &mut Value| {
        edit_settings(config, &|settings| {
            settings["with_request_body"]["allow_partial_message"] = true.into();
            settings["with_request_body"]["max_request_bytes"] = 1000.into();
        });
    };
    let stack = Plan::new().envoy(partial).start().await;
    let browser = stack.logged_in("alice").await;
    for claim in ["false", "true"] {
        let call = log_out().form(&"x".repeat(2000)).header("x-envoy-auth-partial-body", claim);
        let refused = browser.send(call).await;
        assert_eq!(refused.status, 413, "claimed {claim}");
        assert!(refused.text().contains("too large"), "our own page: {}", refused.text());
    }
    assert_eq!(browser.send(log_out().form("x=1")).await.status, 303, "a whole one is fine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_and_out_where_envoy_joins_header_lines() {
    let joined = |config: &mut Value| edit_ext_authz(config, &|filter| filter["encode_raw_headers"] = false.into());
    let stack = Plan::new().envoy(joined).start().await;
    let browser = stack.logged_in("alice").await;
    let cookie = format!("{COOKIE}={}", session_cookie(&browser).unwrap());
    let asks = |call: Call| {
        let browser = stack.browser();
        async move { browser.send(call.without_jar()).await.json()["authenticated"].clone() }
    };
    let session = shop("/auth/session");
    let fetch = || Call::fetch("GET", &session, Site::SameOrigin);
    assert_eq!(asks(fetch().header("cookie", &cookie)).await, json!(true));
    assert_eq!(asks(fetch().header("cookie", format!("a=1,{cookie}"))).await, json!(false), "planted by a sibling");
    let lines = Call::bare("GET", &session).header("cookie", "a=1").header("cookie", &cookie);
    assert_eq!(asks(lines).await, json!(true), "a program's two lines");
    assert_eq!(browser.send(log_out().form("")).await.status, 303);
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_bound_to_the_client_that_checks_see() {
    let stack = Plan::new().app(|app| app["session"] = json!({ "bind": ["ip_prefix"] })).start().await;
    let browser = stack.logged_in("alice").await;
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_takes_too_long_is_put_off_and_its_login_undone() {
    let hasty =
        |config: &mut Value| edit_settings(config, &|settings| settings["grpc_service"]["timeout"] = "0.6s".into());
    let stack = Plan::new().replicas(1).envoy(hasty).start().await;
    let browser = stack.browser();
    let callback = browser.callback_url("alice", &shop("/auth/login")).await;
    stack.provider().behaves(json!({ "token_delay_ms": 2500 })).await;
    let answer = browser.send(Call::navigation("GET", &callback, Site::Cross)).await;
    assert_eq!((answer.status, session_cookie(&browser)), (503, None));
    assert!(answer.header("retry-after").is_some(), "our own answer, before Envoy gives up");
    assert_eq!(stack.fetch(&browser, "/public/x").await.status, 200, "checks go on meanwhile");
    eventually("the login is undone", || async {
        let undone = stack.replicas[0].metric("coatcheck_logins_total", &["abandoned"]).await;
        (undone >= 1.0 && stack.provider().count("revocation").await >= 1).then_some(())
    })
    .await;
    assert!(!stack.redis().keys().iter().any(|key| key.contains(":s:")), "no session is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_at_a_provider_that_hangs_leave_half_of_the_places_to_checks() {
    let stack = Plan::new()
        .replicas(1)
        .config(|config| {
            config["limits"] = json!({ "checks": 4 });
            config["providers"][0]["timeout"] = "10s".into();
        })
        .start()
        .await;
    let signed_in = stack.logged_in("alice").await;
    let mut callbacks = Vec::new();
    for user in ["bob", "carol"] {
        let browser = stack.browser();
        callbacks.push((browser.callback_url(user, &shop("/auth/login")).await, browser));
    }
    let redeemed = stack.provider().count("token.authorization_code").await;
    stack.provider().behaves(json!({ "token_delay_ms": 5000 })).await;
    let callbacks = callbacks
        .into_iter()
        .map(|(url, browser)| async move { browser.send(Call::navigation("GET", &url, Site::Cross)).await.status });
    let callbacks: Vec<_> = callbacks.map(tokio::spawn).collect();
    eventually("both logins wait for the provider", || async {
        (stack.provider().count("token.authorization_code").await == redeemed + 2).then_some(())
    })
    .await;
    let refused = stack.browser().send(Call::navigation("GET", &shop("/auth/login"), Site::None)).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    let counted = stack.replicas[0].metric("coatcheck_decisions_total", &["reason=\"overload\""]).await;
    assert!(counted >= 1.0, "{counted}: {}", refused.text());
    let (one, other) = tokio::join!(stack.fetch(&signed_in, "/api/x"), stack.fetch(&signed_in, "/api/y"));
    assert_eq!((one.status, other.status), (200, 200), "the other half is free");
    assert!(callbacks.iter().all(|one| !one.is_finished()), "the logins still have their places");
    for callback in callbacks {
        assert_eq!(callback.await.unwrap(), 200);
    }
}
