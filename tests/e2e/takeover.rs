//! Refreshes whose owner goes away: the check is given up, the browser leaves, the replica dies, stops or is
//! paused (behaviours 3, 4, 7). Nothing that the provider rotated is lost.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::refresh::{eventually_served, expired, loop_until_allowed, plan, refreshes_reach};
use crate::support::browser::{Call, Site};
use crate::support::check::{Asked, Asker};
use crate::support::envoy;
use crate::support::patience::eventually;
use crate::support::stack::{COOKIE, SHOP, host, session_cookie, shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_replica_that_refreshes_is_killed_another_takes_over() {
    let mut stack = plan(2).start().await;
    let (browser, old) = expired(&stack).await;
    // Held at the door, never processed: the token is still good when the other replica comes.
    stack
        .provider()
        .behaves(json!({ "token_status": 503, "token_delay_ms": 30000, "only": "refresh_token", "times": 1 }))
        .await;
    let cookie = format!("{COOKIE}={}", session_cookie(&browser).unwrap());
    let asked = Asked::navigation(host(SHOP), "/api/x").header("cookie", &cookie);
    let mut asker = Asker::connect(&stack.replicas[0].grpc).await;
    let doomed = tokio::spawn(async move { asker.ask(&asked).await });
    refreshes_reach(&stack, 1).await;
    stack.replicas[0].process().kill();
    let killed = Instant::now();
    doomed.abort();
    let new = eventually_served(&stack, &browser).await;
    assert!(killed.elapsed() < Duration::from_secs(8), "taken over after {:?}", killed.elapsed());
    assert_ne!(new, old);
    assert_eq!(stack.provider().refreshes().await, 2);
    for _ in 0..5 {
        assert_eq!(stack.token_for(&browser, "/api/later").await, new, "no older token comes back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_envoy_gives_up_loses_no_rotated_token() {
    let impatient = |config: &mut serde_json::Value| {
        envoy::edit_ext_authz(config, &|filter| filter["grpc_service"]["timeout"] = "0.2s".into());
    };
    let stack = plan(2).envoy(impatient).start().await;
    let (browser, old) = expired(&stack).await;
    stack.provider().behaves(json!({ "token_delay_ms": 1500, "only": "refresh_token" })).await;
    let given_up = stack.fetch(&browser, "/api/x").await;
    assert_eq!(given_up.status, 503);
    let new = eventually_served(&stack, &browser).await;
    assert_ne!(new, old);
    assert_eq!((stack.provider().refreshes().await, stack.provider().reuses().await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_goes_away_loses_no_rotated_token() {
    let stack = plan(2).start().await;
    let (browser, old) = expired(&stack).await;
    stack.provider().behaves(json!({ "token_delay_ms": 1000, "only": "refresh_token" })).await;
    let call = Call::fetch("GET", &shop("/api/x"), Site::SameOrigin);
    let gone = browser.send_impatiently(call, Duration::from_millis(300)).await;
    assert!(gone.is_none(), "closed the tab");
    assert_ne!(eventually_served(&stack, &browser).await, old);
    assert_eq!((stack.provider().refreshes().await, stack.provider().reuses().await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_replica_that_is_told_invalid_grant_uses_what_another_refreshed_meanwhile() {
    let mut stack = plan(2).start().await;
    let (browser, old) = expired(&stack).await;
    // The first refresh is held and then refused without having been processed.
    stack
        .provider()
        .behaves(json!({ "token_error": "invalid_grant", "token_delay_ms": 6000, "only": "refresh_token", "times": 1 }))
        .await;
    let cookie = format!("{COOKIE}={}", session_cookie(&browser).unwrap());
    let asked = Asked::navigation(host(SHOP), "/api/x").header("cookie", &cookie);
    let (mut paused, mut other) =
        (Asker::connect(&stack.replicas[0].grpc).await, Asker::connect(&stack.replicas[1].grpc).await);
    let waiting = tokio::spawn({
        let asked = asked.clone();
        async move {
            paused.ask(&asked).await;
        }
    });
    refreshes_reach(&stack, 1).await;
    stack.replicas[0].process().signal("STOP");
    let new = loop_until_allowed(&mut other, &asked).await["authorization"].clone();
    stack.replicas[0].process().signal("CONT");
    waiting.abort();
    assert_ne!(new, format!("Bearer {old}"));
    eventually("the paused replica has its refusal", || async {
        let reused = stack.replicas[0].metric("coatcheck_refreshes_total", &["reused"]).await;
        (reused >= 1.0).then_some(())
    })
    .await;
    for replica in &stack.replicas {
        let mut asker = Asker::connect(&replica.grpc).await;
        assert_eq!(asker.ask(&asked).await.sets()["authorization"], new, "the session goes on");
    }
    assert_eq!(stack.provider().refreshes().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_told_to_stop_finishes_its_refresh_first() {
    let mut stack = plan(2).start().await;
    let (browser, old) = expired(&stack).await;
    stack.provider().behaves(json!({ "token_delay_ms": 2000, "only": "refresh_token" })).await;
    let cookie = format!("{COOKIE}={}", session_cookie(&browser).unwrap());
    let asked = Asked::navigation(host(SHOP), "/api/x").header("cookie", &cookie);
    let mut asker = Asker::connect(&stack.replicas[0].grpc).await;
    let beside = asked.clone();
    let waiting = tokio::spawn(async move { asker.ask(&beside).await });
    refreshes_reach(&stack, 1).await;
    stack.replicas[0].process().signal("TERM");
    let answer = waiting.await.unwrap();
    assert_ne!(answer.sets()["authorization"], format!("Bearer {old}"), "the waiting request is answered");
    let mut other = Asker::connect(&stack.replicas[1].grpc).await;
    assert_eq!(loop_until_allowed(&mut other, &asked).await["authorization"], answer.sets()["authorization"]);
    assert_eq!((stack.provider().refreshes().await, stack.provider().reuses().await), (1, 0));
}
