//! What must hold after every test, whatever its story: no secret in any log, metric or span, no panicked
//! task, no lease left behind, no key without a TTL.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::stack::Stack;

/// Asserts all of them. Runs on a thread of its own: the test's runtime may be mid-drop.
pub fn hold(stack: &Stack) {
    let outcome = std::thread::scope(|scope| {
        let checks = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(all(stack));
        });
        checks.join()
    });
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

async fn all(stack: &Stack) {
    let canaries = canaries(stack).await;
    for (index, replica) in stack.replicas.iter().enumerate() {
        let logs = replica.logs();
        for line in &logs {
            assert!(!line.contains("panicked at"), "replica {index} panicked: {line}");
        }
        no_leak(&format!("the log of replica {index}"), &logs, &canaries);
    }
    no_leak("metrics", &metrics(stack).await, &canaries);
    no_leak("the log of Envoy", &stack.envoy.lines(), &canaries);
    if let Some(otlp) = &stack.otlp {
        let spans: Vec<String> = otlp.spans().iter().map(|one| format!("{:?}", one.span)).collect();
        no_leak("spans", &spans, &canaries);
        let metrics: Vec<String> = otlp.metrics().iter().map(|(_, metric)| format!("{metric:?}")).collect();
        no_leak("metrics sent", &metrics, &canaries);
    }
    if stack.redis.as_ref().is_some_and(super::redis::Redis::is_up) {
        no_leftovers(stack);
    }
}

/// Everything that must never be seen outside a header to the upstream or a cookie.
async fn canaries(stack: &Stack) -> BTreeSet<String> {
    let mut all = vec![stack.secrets.client.clone(), stack.secrets.server_key.clone()];
    if let Some(provider) = &stack.provider
        && let Ok(minted) = tokio::time::timeout(Duration::from_secs(5), provider.minted()).await
    {
        all.extend(minted);
    }
    all.extend(stack.hostile.iter().flat_map(super::hostile::Hostile::minted));
    for browser in stack.browsers() {
        all.extend(browser.secrets());
    }
    all.into_iter().filter(|canary| canary.len() >= 16).collect()
}

async fn metrics(stack: &Stack) -> Vec<String> {
    let mut texts = Vec::new();
    for replica in &stack.replicas {
        if tokio::net::TcpStream::connect(replica.admin).await.is_ok() {
            texts.push(replica.admin("/metrics").await.text());
        }
    }
    texts
}

/// Fails when one of the texts holds one of the canaries.
pub fn no_leak(place: &str, texts: &[String], canaries: &BTreeSet<String>) {
    for text in texts {
        if let Some(canary) = canaries.iter().find(|canary| text.contains(canary.as_str())) {
            let shown: String = canary.chars().take(8).collect();
            let masked = text.replace(canary.as_str(), "<LEAKED>");
            panic!("{place} holds a secret ({shown}…): {masked}");
        }
    }
}

/// Leases are released when their flight ends, so a short wait is allowed.
fn no_leftovers(stack: &Stack) {
    let redis = stack.redis();
    let deadline = Instant::now() + Duration::from_secs(8);
    loop {
        let leases: Vec<String> = redis.keys().into_iter().filter(|key| is_lease(key)).collect();
        if leases.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "leases left behind: {leases:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    for key in redis.keys() {
        let ttl: i64 = redis::from_redis_value(redis.command(&["PTTL", &key])).unwrap_or(-1);
        // -2: it expired between the two commands.
        assert!(ttl > 0 || ttl == -2, "{key} has no TTL ({ttl})");
    }
}

/// The store's keys are `<prefix><kind>:{…}`; `l` is a lease.
fn is_lease(key: &str) -> bool {
    key.contains(":l:")
}
