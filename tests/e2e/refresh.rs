//! Refresh: exactly once, nothing lost (behaviours 1–11). Real Redis, a provider that rotates refresh tokens
//! and revokes the family on reuse, access tokens of a second or two.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::browser::{Browser, Call, Response, Site};
use crate::support::check::{Answer, Asked, Asker};
use crate::support::hostile::{Flaw, Reply};
use crate::support::patience::{elapse, eventually, throughout};
use crate::support::stack::{COOKIE, Plan, SHOP, Stack, host, session_cookie, shop};

/// A signed-in browser whose first access token is over; all later ones live long.
pub async fn expired(stack: &Stack) -> (Arc<Browser>, String) {
    let browser = stack.logged_in("alice").await;
    let token = stack.token_for(&browser, "/api/first").await;
    stack.provider().lifetimes(json!({ "access_token": 300 })).await;
    elapse(Duration::from_millis(2100)).await;
    (browser, token)
}

pub fn plan(replicas: usize) -> Plan {
    Plan::new().replicas(replicas).access_tokens_live(2)
}

/// Fetches until it is answered with a token; returns that.
pub async fn eventually_served(stack: &Stack, browser: &Browser) -> String {
    eventually("the session is served again", || async {
        let response = stack.fetch(browser, "/api/again").await;
        assert!(matches!(response.status, 200 | 503), "{} {}", response.status, response.text());
        (response.status == 200).then(|| stack.upstream.latest("/api/again").unwrap().bearer().unwrap())
    })
    .await
}

/// Starts a fetch that is left to itself.
fn fetch_beside(browser: &Arc<Browser>, path: &str) -> tokio::task::JoinHandle<Response> {
    let (browser, url) = (Arc::clone(browser), shop(path));
    tokio::spawn(async move { browser.send(Call::fetch("GET", &url, Site::SameOrigin)).await })
}

pub async fn refreshes_reach(stack: &Stack, count: u64) {
    eventually("the refresh reaches the provider", || async {
        (stack.provider().refreshes().await >= count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_parallel_requests_on_three_replicas_refresh_once() {
    let stack = plan(3).start().await;
    let (browser, old) = expired(&stack).await;
    let mut flights = Vec::new();
    for _ in 0..100 {
        flights.push(fetch_beside(&browser, "/api/parallel"));
    }
    for flight in flights {
        let response = flight.await.unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
    }
    let seen = stack.upstream.seen().into_iter().filter(|seen| seen.target == "/api/parallel");
    let tokens: Vec<String> = seen.map(|seen| seen.bearer().unwrap()).collect();
    assert_eq!(tokens.len(), 100);
    assert!(tokens.iter().all(|token| *token == tokens[0] && *token != old), "one new token for all");
    assert_eq!(stack.provider().refreshes().await, 1);
    assert_eq!(stack.provider().reuses().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ahead_of_expiry_the_current_token_is_served_while_the_refresh_runs() {
    let stack = Plan::new().replicas(2).access_tokens_live(10).start().await;
    let browser = stack.logged_in("alice").await;
    let old = stack.token_for(&browser, "/api/first").await;
    stack.provider().lifetimes(json!({ "access_token": 300 })).await;
    stack.provider().behaves(json!({ "token_delay_ms": 3000, "only": "refresh_token" })).await;
    let new = eventually("the token changes", || async {
        let started = Instant::now();
        let token = stack.token_for(&browser, "/api/x").await;
        assert!(started.elapsed() < Duration::from_millis(2500), "nobody waits for a refresh ahead of expiry");
        (token != old).then_some(token)
    })
    .await;
    assert_eq!(stack.provider().refreshes().await, 1);
    assert_eq!(stack.provider().access_tokens().await.last(), Some(&new));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_slower_than_any_lease_is_asked_once_and_no_session_is_lost() {
    let stack = plan(2).start().await;
    let (browser, old) = expired(&stack).await;
    stack.provider().behaves(json!({ "token_delay_ms": 8000, "only": "refresh_token" })).await;
    let new = eventually_served(&stack, &browser).await;
    assert_ne!(new, old);
    assert_eq!((stack.provider().refreshes().await, stack.provider().reuses().await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_right_after_the_rotation_gets_the_token_when_it_is_back() {
    let stack = plan(2).store_link().start().await;
    let (browser, old) = expired(&stack).await;
    stack.provider().behaves(json!({ "token_delay_ms": 1000, "only": "refresh_token" })).await;
    let waiting = fetch_beside(&browser, "/api/waiting");
    refreshes_reach(&stack, 1).await;
    stack.link().cut();
    let response = waiting.await.unwrap();
    assert_eq!(response.status, 200, "served from memory: {}", response.text());
    let served = stack.upstream.latest("/api/waiting").unwrap().bearer();
    assert_eq!(served, stack.provider().access_tokens().await.last().cloned());
    stack.link().restore();
    let cookie = format!("{COOKIE}={}", session_cookie(&browser).unwrap());
    let minted = stack.provider().access_tokens().await;
    for replica in &stack.replicas {
        let mut asker = Asker::connect(&replica.grpc).await;
        let asked = Asked::navigation(host(SHOP), "/api/x").header("cookie", &cookie);
        let asker = &mut asker;
        let sets = loop_until_allowed(asker, &asked).await;
        assert_eq!(
            sets.get("authorization").map(String::as_str),
            Some(format!("Bearer {}", minted.last().unwrap()).as_str())
        );
    }
    assert_ne!(minted.last(), Some(&old));
    assert_eq!((stack.provider().refreshes().await, stack.provider().reuses().await), (1, 0));
}

pub async fn loop_until_allowed(asker: &mut Asker, asked: &Asked) -> std::collections::HashMap<String, String> {
    let deadline = Instant::now() + crate::support::patience::patience();
    loop {
        let answer = asker.ask(asked).await;
        if matches!(answer, Answer::Allowed(_)) {
            return answer.sets();
        }
        assert_eq!(answer.denied(), 503, "never a login while the store recovers");
        assert!(Instant::now() < deadline, "never served again");
        elapse(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_provider_failing_a_valid_token_is_served_and_an_expired_one_is_a_503() {
    let stack = Plan::new().replicas(2).access_tokens_live(10).start().await;
    let browser = stack.logged_in("alice").await;
    let old = stack.token_for(&browser, "/api/first").await;
    let started = Instant::now();
    stack.provider().behaves(json!({ "token_status": 503, "only": "refresh_token" })).await;
    let failed = eventually("the token is over", || async {
        let response = stack.fetch(&browser, "/api/x").await;
        if response.status == 200 {
            assert_eq!(stack.upstream.latest("/api/x").unwrap().bearer().unwrap(), old);
            return None;
        }
        Some(response)
    })
    .await;
    assert!(started.elapsed() > Duration::from_secs(8), "served while valid");
    assert_eq!(failed.status, 503, "{}", failed.text());
    assert!(failed.header("retry-after").is_some());
    assert!(failed.head.all("set-cookie").is_empty());
    let attempts = stack.provider().refreshes().await;
    assert!(attempts <= 4, "{attempts} attempts: no back-off");
    stack.provider().behaves(json!({})).await;
    assert_ne!(eventually_served(&stack, &browser).await, old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_refresh_token_ends_the_session_once_and_cleanly() {
    let stack = plan(2).start().await;
    let (browser, _) = expired(&stack).await;
    stack.provider().revoke_user("alice").await;
    let ended = stack.fetch(&browser, "/api/x").await;
    assert_eq!(ended.status, 401, "{}", ended.text());
    let page = browser.get(&shop("/page")).await;
    assert_eq!(page.status, 302, "a navigation goes to login");
    for _ in 0..6 {
        assert_eq!(stack.fetch(&browser, "/api/x").await.status, 401);
    }
    assert_eq!(stack.provider().refreshes().await, 1, "asked once");
    let landing = stack.login(&browser, "alice", "/landing").await;
    assert_eq!(landing.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_client_secret_ends_no_session() {
    let stack = plan(2).start().await;
    let (browser, old) = expired(&stack).await;
    stack.provider().behaves(json!({ "token_error": "invalid_client", "only": "refresh_token" })).await;
    let response = stack.fetch(&browser, "/api/x").await;
    assert_eq!(response.status, 503, "{}", response.text());
    for _ in 0..10 {
        assert_eq!(stack.fetch(&browser, "/api/x").await.status, 503);
    }
    let mut failures = 0.0;
    for replica in &stack.replicas {
        failures += replica.metric("coatcheck_provider_errors_total", &[]).await;
        failures += replica.metric("coatcheck_refreshes_total", &["misconfigured"]).await;
    }
    assert!(failures >= 1.0, "an operator can see it");
    stack.provider().behaves(json!({})).await;
    assert_ne!(eventually_served(&stack, &browser).await, old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_answer_with_members_left_out_keeps_the_old_ones_and_does_not_loop() {
    let stack = plan(2)
        .provider("rotate_refresh_tokens", json!(false))
        .config(|config| config["providers"][0]["default_token_lifetime"] = "3s".into())
        .start()
        .await;
    let (browser, old) = expired(&stack).await;
    let omit = json!({ "omit": ["id_token", "refresh_token", "expires_in", "scope"], "only": "refresh_token" });
    stack.provider().behaves(omit).await;
    let first = stack.token_for(&browser, "/api/x").await;
    assert_ne!(first, old);
    for _ in 0..10 {
        assert_eq!(stack.token_for(&browser, "/api/x").await, first);
    }
    assert_eq!(stack.provider().refreshes().await, 1, "no loop");
    elapse(Duration::from_millis(3100)).await;
    let second = stack.token_for(&browser, "/api/x").await;
    assert_ne!(second, first, "the configured lifetime is assumed and the old refresh token is used");

    let call = Call::navigation("POST", &shop("/auth/logout"), Site::SameOrigin).header("origin", SHOP).form("");
    let target = browser.send(call).await.location().unwrap();
    let id_token = stack.provider().state().await["tokens"]["id"][0].as_str().unwrap().to_owned();
    let hint = target.query_pairs().find(|(key, _)| key == "id_token_hint").map(|(_, value)| value.into_owned());
    assert_eq!(hint, Some(id_token), "logout still sends a hint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_answer_for_somebody_else_ends_the_session() {
    let stack = plan(2).start().await;
    let (browser, _) = expired(&stack).await;
    stack.provider().behaves(json!({ "id_token_from_other_sub": true, "only": "refresh_token" })).await;
    stack.upstream.clear();
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 401);
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 401);
    assert!(stack.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_while_a_refresh_is_in_flight_stays_a_logout() {
    let stack = plan(2).start().await;
    let (browser, _) = expired(&stack).await;
    let cookie = session_cookie(&browser).unwrap();
    stack.provider().behaves(json!({ "token_delay_ms": 1200, "only": "refresh_token" })).await;
    let waiting = fetch_beside(&browser, "/api/waiting");
    refreshes_reach(&stack, 1).await;
    let call = Call::navigation("POST", &shop("/auth/logout"), Site::SameOrigin).header("origin", SHOP).form("");
    assert_eq!(browser.send(call).await.status, 303);
    let status = waiting.await.unwrap().status;
    assert!(matches!(status, 401 | 503), "{status}");
    throughout("the session stays gone", Duration::from_millis(1500), || async {
        let call = Call::fetch("GET", &shop("/api/x"), Site::SameOrigin).header("cookie", format!("{COOKIE}={cookie}"));
        stack.browser().send(call).await.status == 401
    })
    .await;
    assert_eq!(stack.upstream.count("/api/waiting"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_attempt_sends_the_refresh_token_once_whatever_comes_back() {
    let replies = [
        Reply::Error(500, "server_error"),
        Reply::Error(400, "temporarily_unavailable"),
        Reply::Error(401, "invalid_client"),
        Reply::Error(429, "slow_down"),
        Reply::Truncated,
        Reply::NotJson,
        Reply::Redirect,
    ];
    for reply in replies {
        let stack = Plan::new().hostile().start().await;
        stack.hostile().lifetime(1);
        let browser = stack.browser();
        assert_eq!(browser.visit(&shop("/landing")).await.status, 200);
        stack.hostile().refresh_flaw(Flaw::Reply(reply));
        elapse(Duration::from_millis(1100)).await;
        let mut flights = Vec::new();
        for _ in 0..10 {
            flights.push(fetch_beside(&browser, "/api/x"));
        }
        for flight in flights {
            assert_eq!(flight.await.unwrap().status, 503, "{reply:?}");
        }
        assert_eq!(stack.hostile().counts().refresh, 1, "{reply:?}");
        stack.hostile().lifetime(300);
        stack.hostile().refresh_flaw(Flaw::None);
        eventually_served(&stack, &browser).await;
        let after = stack.hostile().counts().refresh;
        throughout("no attempt follows a success", Duration::from_millis(300), || async {
            stack.fetch(&browser, "/api/x").await.status == 200
        })
        .await;
        assert_eq!((stack.hostile().counts().refresh, after), (2, 2), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_lost_on_the_way_is_not_asked_for_again_before_the_back_off() {
    let stack = plan(2).start().await;
    let (browser, _) = expired(&stack).await;
    stack.provider().behaves(json!({ "drop_after_processing": true, "only": "refresh_token", "times": 1 })).await;
    let first = stack.fetch(&browser, "/api/x").await;
    assert_eq!(first.status, 503, "{}", first.text());
    for _ in 0..10 {
        let status = stack.fetch(&browser, "/api/x").await.status;
        assert_eq!(status, 503);
    }
    assert_eq!(stack.provider().refreshes().await, 1);
    // The rotated token is lost for good: the next attempt learns that, and the session ends cleanly.
    eventually("a clean end", || async { (stack.fetch(&browser, "/api/x").await.status == 401).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_without_a_refresh_token_ends_with_its_access_token() {
    let stack = Plan::new().hostile().start().await;
    stack.hostile().lifetime(1);
    stack.hostile().flaw(Flaw::Answer(|answer| drop(answer.as_object_mut().unwrap().remove("refresh_token"))));
    let browser = stack.browser();
    assert_eq!(browser.visit(&shop("/landing")).await.status, 200);
    elapse(Duration::from_millis(1100)).await;
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 401);
    assert_eq!(browser.get(&shop("/page")).await.status, 302);
    assert_eq!(stack.hostile().counts().refresh, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_the_embedded_store_is_refreshed_and_survives_a_restart() {
    let mut stack = Plan::new().access_tokens_live(2).start().await;
    let (browser, old) = expired(&stack).await;
    let new = stack.token_for(&browser, "/api/x").await;
    assert_ne!(new, old);
    stack.replicas[0].restart(|_| {}).await;
    assert_eq!(eventually_served(&stack, &browser).await, new, "written before it was used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_rotation_at_the_provider_ends_no_session() {
    let stack = plan(1).start().await;
    let (browser, old) = expired(&stack).await;
    stack.provider().rotate_keys(false).await;
    assert_ne!(eventually_served(&stack, &browser).await, old);
    assert_eq!(stack.provider().refreshes().await, 1);
    assert_eq!(stack.login(&stack.browser(), "bob", "/landing").await.status, 200);
}
