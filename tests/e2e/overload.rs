//! More than a replica can do: what is over is refused early and never let through, and what was taken on is finished.
//! Whether a processor is saturated cannot be staged honestly on a shared machine: that rule is tested where it is
//! (`src/grpc/admission`), and measured by `make bench-overload`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::browser::{Call, Response, Site};
use crate::support::chaos::Link;
use crate::support::check::{Answer, Asked, Asker};
use crate::support::envoy::edit_ext_authz;
use crate::support::patience::eventually;
use crate::support::raw::Raw;
use crate::support::stack::{COOKIE, Plan, SHOP, Stack, host, session_cookie, shop};

/// Checks at once that these replicas take.
const PLACES: usize = 3;

/// A store that may be slower than Envoy's patience, and few places for those who wait for it.
fn crowded() -> Plan {
    Plan::new().store_link().config(|config| {
        config["limits"] = json!({ "checks": PLACES });
        config["store"]["response_timeout"] = "10s".into();
    })
}

fn is_overload(response: &Response) -> bool {
    response.status == 503 && response.text().starts_with("Too much is going on here")
}

async fn metric(stack: &Stack) -> f64 {
    stack.replicas[0].metric("coatcheck_decisions_total", &["decision=\"retry_later\"", "reason=\"overload\""]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_over_the_limit_are_refused_while_the_others_wait_and_those_succeed() {
    let stack = crowded().start().await;
    let browser = stack.logged_in("alice").await;
    stack.link().set(Link::Frozen);
    let mut waiting = Vec::new();
    for _ in 0..PLACES {
        let browser = browser.clone();
        let call = Call::fetch("GET", &shop("/api/waits"), Site::SameOrigin);
        waiting.push(tokio::spawn(async move { browser.send(call).await }));
    }
    let stranger = stack.browser();
    // A public path asks no store: what refuses it is the crowd.
    let refused = eventually("the places are taken", || async {
        let answer = stack.fetch(&stranger, "/public/x").await;
        is_overload(&answer).then_some(answer)
    })
    .await;
    assert_eq!(
        (refused.header("retry-after"), refused.header("cache-control")),
        (Some("2".into()), Some("no-store".into()))
    );
    let guarded = stack.fetch(&browser, "/api/refused").await;
    assert!(is_overload(&guarded), "{} {}", guarded.status, guarded.text());
    assert!(waiting.iter().all(|one| !one.is_finished()), "refused before those who wait are answered");
    stack.link().restore();
    for one in waiting {
        let response = one.await.unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(stack.upstream.count("/api/refused"), 0);
    let seen = stack.upstream.seen();
    let waited: Vec<_> = seen.iter().filter(|seen| seen.target == "/api/waits").collect();
    assert_eq!(waited.len(), PLACES);
    assert!(waited.iter().all(|seen| seen.bearer().is_some()), "nothing reached the upstream unauthorized");
    assert!(metric(&stack).await >= 2.0);
    eventually("there is room again", || async {
        (stack.fetch(&stranger, "/public/x").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(stack.fetch(&browser, "/api/after").await.status, 200, "the session is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_resets_neither_end_the_connection_nor_keep_a_place() {
    let stack = crowded().start().await;
    let browser = stack.logged_in("alice").await;
    let cookie = format!("{COOKIE}={}", session_cookie(&browser).unwrap());
    let asked = Asked::navigation(host(SHOP), "/api/x").header("cookie", &cookie).request();
    let mut raw = Raw::connect(&stack.replicas[0].grpc).await;
    stack.link().set(Link::Frozen);
    for _ in 0..5000 {
        raw.ask_and_reset(&asked).await;
    }
    stack.link().restore();
    let public = Asked::navigation(host(SHOP), "/public/x").request();
    let answer = raw.ask(&public, Duration::from_secs(5)).await;
    assert!(matches!(answer, Answer::Allowed(_)), "the same connection, and there is room: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_does_not_end_is_answered_before_envoys_timeout() {
    let stack = Plan::new().start().await;
    let mut raw = Raw::connect(&stack.replicas[0].grpc).await;
    let asked = Asked::navigation(host(SHOP), "/public/x").request();
    assert_eq!(raw.ask_without_end(&asked, Duration::from_millis(500)).await.denied(), 503);
    let answer = raw.ask(&asked, Duration::from_secs(5)).await;
    assert!(matches!(answer, Answer::Allowed(_)), "{answer:?}");
}

/// Envoy that sends bodies along, and lets requests through when the service fails.
fn careless(filter: &mut Value) {
    filter["failure_mode_allow"] = true.into();
    filter["with_request_body"] = json!({ "max_request_bytes": 4 << 20, "allow_partial_message": true });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_long_for_us_gets_nobody_past_us() {
    let plan = Plan::new().envoy(|config| {
        edit_ext_authz(config, &careless);
        // Else Envoy itself refuses such a body.
        config["static_resources"]["listeners"][0]["per_connection_buffer_limit_bytes"] = (8 << 20).into();
    });
    let stack = plan.start().await;
    let post = |path: &str, size: usize| {
        let mut call = Call::fetch("POST", &shop(path), Site::SameOrigin);
        call.body = vec![b'x'; size];
        call
    };
    let browser = stack.browser();
    for path in ["/api/x", "/public/x"] {
        let refused = browser.send(post(path, 2 << 20)).await;
        assert_eq!(
            (refused.status, refused.json()["title"].as_str()),
            (413, Some("Refused")),
            "ours, not Envoy's: {path}"
        );
        assert_eq!(stack.upstream.count(path), 0, "{path}");
    }
    assert_eq!(browser.send(post("/public/x", 100_000)).await.status, 200);
    let mut asker = Asker::connect(&stack.replicas[0].grpc).await;
    let long = Asked::navigation(host(SHOP), "/public/x").header("x", &"x".repeat(2 << 20));
    assert_eq!(asker.ask(&long).await.denied(), 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracestate_that_envoy_passes_on_whole_gets_nobody_past_us() {
    let stack = Plan::new().otlp().envoy(|config| edit_ext_authz(config, &careless)).start().await;
    let browser = stack.browser();
    // Envoy takes 60 KiB of headers from a client, and copies this one into the head of its check.
    for size in [1, 17, 40, 50] {
        let call = Call::fetch("GET", &shop("/api/x"), Site::SameOrigin)
            .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .header("tracestate", format!("a={}", "x".repeat(size * 1024)));
        let refused = browser.send(call).await;
        assert_eq!((refused.status, stack.upstream.count("/api/x")), (401, 0), "{size} KiB");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_a_free_connection_means_503_and_not_open() {
    let stack = Plan::new().config(|config| config["limits"] = json!({ "connections": 4 })).start().await;
    stack.envoy.sees_healthy(1).await;
    let mut hoard = Vec::new();
    // Envoy's health checks have a place here, and its worker may have one.
    for _ in 0..8 {
        hoard.push(tokio::net::TcpStream::connect(&stack.replicas[0].grpc).await.unwrap());
    }
    eventually("a connection over the limit is told", || async {
        let logs = stack.replicas[0].logs();
        logs.iter().any(|line| line.contains("limits.connections already") && line.contains("grpc")).then_some(())
    })
    .await;
    let answer = stack.fetch(&stack.browser(), "/api/x").await;
    assert!(matches!(answer.status, 401 | 503), "{}", answer.status);
    assert_eq!(stack.upstream.count("/api/x"), 0);
    drop(hoard);
    eventually("there is room again", || async {
        (stack.fetch(&stack.browser(), "/public/x").await.status == 200).then_some(())
    })
    .await;
}
