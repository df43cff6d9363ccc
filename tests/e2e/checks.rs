//! The gRPC contract, asked directly as Envoy and control planes ask: encodings, app selection, answer shapes
//! (ENVOY.md §1). Every answer's shape is asserted by `check::shaped`.

use envoy_types::pb::envoy::service::auth::v3::attribute_context::Request;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use serde_json::json;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::check::{Answer, Asked, Asker, Encoding};
use crate::support::patience::eventually;
use crate::support::stack::{COOKIE, Plan, SHOP, host, session_cookie};

const MANAGED: [&str; 4] = ["authorization", "x-user-id", "x-user-email", "x-user-groups"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_encodings_are_understood_and_answered_in_the_same_shape() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let cookie = format!("a=1; {COOKIE}={}", session_cookie(&browser).unwrap());
    let mut asker = Asker::connect(&stack.replicas[0].grpc).await;
    for encoding in [Encoding::Raw, Encoding::Joined] {
        let asked = Asked::navigation(host(SHOP), "/api/x")
            .header("cookie", &cookie)
            .header("authorization", "Bearer forged")
            .header("x_user_id", "mallory")
            .encoded(encoding);
        let answer = asker.ask(&asked).await;
        let sets = answer.sets();
        assert!(sets["authorization"].starts_with("Bearer "), "{encoding:?}");
        assert_eq!((sets["x-user-id"].as_str(), sets["cookie"].as_str()), ("alice", "a=1"), "{encoding:?}");
        let removes = answer.removes();
        assert!(removes.contains(&"x_user_id".to_owned()), "{encoding:?}: {removes:?}");
        assert!(!removes.contains(&"cookie".to_owned()), "{encoding:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managed_headers_are_set_or_removed_on_every_allow() {
    let stack = Plan::new().start().await;
    let mut asker = Asker::connect(&stack.replicas[0].grpc).await;
    for path in ["/public/x", "/optional/x"] {
        for encoding in [Encoding::Raw, Encoding::Joined] {
            // Nothing in the request gives a reason: we cannot know that Envoy showed us every header.
            let removes = asker.ask(&Asked::navigation(host(SHOP), path).encoded(encoding)).await.removes();
            for managed in MANAGED {
                assert!(removes.contains(&managed.to_owned()), "{path} {encoding:?}: {managed} in {removes:?}");
            }
        }
    }
    let only_ours = Asked::navigation(host(SHOP), "/public/x").header("cookie", &format!("{COOKIE}=x"));
    assert!(asker.ask(&only_ours).await.removes().contains(&"cookie".to_owned()), "nothing is left of the cookies");
    let others = Asked::navigation(host(SHOP), "/public/x").header("cookie", "a=1");
    let answer = asker.ask(&others).await;
    assert!(!answer.sets().contains_key("cookie") && !answer.removes().contains(&"cookie".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_is_chosen_by_extension_else_by_host_else_refused() {
    let stack = Plan::new().start().await;
    let mut asker = Asker::connect(&stack.replicas[0].grpc).await;
    let by_host = Asked::navigation(host(SHOP), "/public/x");
    assert!(matches!(asker.ask(&by_host).await, Answer::Allowed(_)));
    for alias in ["SHOP.example.test", "shop.example.test:443"] {
        assert!(matches!(asker.ask(&Asked::navigation(alias, "/public/x")).await, Answer::Allowed(_)), "{alias}");
    }
    let by_name = Asked::navigation("10.1.2.3:8080", "/public/x").extension("app", "shop");
    assert!(matches!(asker.ask(&by_name).await, Answer::Allowed(_)));
    let refused = [
        Asked::navigation("evil.example", "/public/x"),
        Asked::navigation("", "/public/x"),
        Asked::navigation("shop.example.test.evil.example", "/public/x"),
        Asked::navigation("shop.example.test:8443", "/public/x"),
        by_host.clone().extension("app", "nobody"),
        by_host.clone().extension("app", ""),
        by_host.clone().extension("policy", "nobody"),
        Asked::navigation("evil.example", "/public/x").header("x-forwarded-host", host(SHOP)),
        Asked::navigation("evil.example", "/public/x").header("app", "shop"),
    ];
    for asked in refused {
        let answer = asker.ask(&asked).await;
        assert!(matches!(answer, Answer::Denied(_)), "{asked:?}");
        assert!((400..=503).contains(&answer.denied()), "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_no_shape_at_all_are_refused_and_harm_nothing() {
    let stack = Plan::new().start().await;
    let mut asker = Asker::connect(&stack.replicas[0].grpc).await;
    let requests = [
        CheckRequest::default(),
        CheckRequest { attributes: Some(AttributeContext::default()) },
        CheckRequest {
            attributes: Some(AttributeContext {
                context_extensions: [("app".to_owned(), "shop".to_owned())].into(),
                request: Some(Request::default()),
                ..AttributeContext::default()
            }),
        },
    ];
    for request in requests {
        let response = asker.ask_raw(request).await;
        let answer = crate::support::check::shaped(response);
        assert!(matches!(answer, Answer::Denied(_)));
    }
    let odd = [
        Asked::navigation(host(SHOP), "/api/x").header("cookie", &"a=1; ".repeat(20_000)),
        Asked::navigation(host(SHOP), &format!("/{}", "x".repeat(100_000))),
        Asked::navigation(host(SHOP), "/api/x").header("sec-fetch-site", "banana"),
        Asked::navigation(host(SHOP), "/api/x").header("cookie", &format!("{COOKIE}; {COOKIE}=; ={COOKIE};;;,,")),
    ];
    for asked in odd {
        assert!(matches!(asker.ask(&asked).await, Answer::Denied(_)));
    }
    let fine = Asked::navigation(host(SHOP), "/public/x");
    assert!(matches!(asker.ask(&fine).await, Answer::Allowed(_)), "still alive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_serves_envoy_as_tcp_does() {
    let sockets = tempfile::TempDir::new().unwrap();
    let path = |name: &str| format!("unix:{}", sockets.path().join(name).display());
    let (grpc, http) = (path("authz.sock"), path("login.sock"));
    let stack = Plan::new()
        .config(move |config| {
            config["listen"]["grpc"] = grpc.into();
            config["listen"]["http"] = http.into();
        })
        .start()
        .await;
    let mut asker = Asker::connect(&stack.replicas[0].grpc).await;
    assert_eq!(asker.ask(&Asked::navigation(host(SHOP), "/api/x")).await.denied(), 302);
    let browser = stack.logged_in("alice").await;
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_health_says_serving_and_flips_before_the_process_stops() {
    let mut stack = Plan::new()
        .config(|config| config["shutdown"] = json!({ "drain_delay": "1s", "timeout": "10s" }))
        .start()
        .await;
    let endpoint = format!("http://{}", stack.replicas[0].grpc);
    let channel = tonic::transport::Endpoint::from_shared(endpoint).unwrap().connect().await.unwrap();
    let health = HealthClient::new(channel);
    for service in ["", "envoy.service.auth.v3.Authorization"] {
        eventually("serving", || {
            let mut health = health.clone();
            async move {
                let request = HealthCheckRequest { service: service.to_owned() };
                let status = health.check(request).await.ok()?.into_inner().status();
                (status == ServingStatus::Serving).then_some(())
            }
        })
        .await;
    }
    let mut asker = Asker::connect(&stack.replicas[0].grpc).await;
    stack.replicas[0].process().signal("TERM");
    eventually("not serving", || {
        let mut health = health.clone();
        async move {
            let request = HealthCheckRequest { service: String::new() };
            let status = health.check(request).await.ok()?.into_inner().status();
            (status == ServingStatus::NotServing).then_some(())
        }
    })
    .await;
    let asked = Asked::navigation(host(SHOP), "/public/x");
    assert!(matches!(asker.ask(&asked).await, Answer::Allowed(_)), "requests are answered while it drains");
    drop((asker, health));
    let status = loop {
        if let Some(status) = stack.replicas[0].process().ended() {
            break status;
        }
        crate::support::patience::elapse(std::time::Duration::from_millis(50)).await;
    };
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_of_many_checks_does_not_end_envoys_connection() {
    let stack = Plan::new().start().await;
    let mut flights = Vec::new();
    for _ in 0..200 {
        let browser = stack.browser();
        let call = crate::support::browser::Call::fetch(
            "GET",
            &crate::support::stack::shop("/api/x"),
            crate::support::browser::Site::SameOrigin,
        );
        flights.push(tokio::spawn(async move {
            browser.send_impatiently(call, std::time::Duration::from_millis(1)).await;
        }));
    }
    for flight in flights {
        flight.await.unwrap();
    }
    assert_eq!(stack.fetch(&stack.browser(), "/api/x").await.status, 401);
}
