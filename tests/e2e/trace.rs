//! One request is one trace, through a real collector (behaviour 44).

use std::collections::BTreeSet;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::support::browser::{Browser, Call, Site};
use crate::support::otlp::{Otlp, Received};
use crate::support::patience::{elapse, eventually};
use crate::support::stack::{Plan, Stack, shop};

/// The browser's own span.
const BROWSER: &str = "00f067aa0ba902b7";
const CHECK: &str = "envoy.service.auth.v3.Authorization/Check";

async fn fetch_traced(browser: &Browser, trace: &str, flags: &str) -> u16 {
    let call = Call::fetch("GET", &shop("/api/traced"), Site::SameOrigin);
    browser.send(call.header("traceparent", format!("00-{trace}-{BROWSER}-{flags}"))).await.status
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn spans_of(otlp: &Otlp, trace: &str) -> Vec<Received> {
    otlp.spans().into_iter().filter(|one| hex(&one.span.trace_id) == trace).collect()
}

/// The spans of a trace once all of these have arrived; the two exporters do not wait for each other.
async fn trace(stack: &Stack, trace: &str, names: &[&str]) -> Vec<Received> {
    eventually(&format!("spans {names:?} in trace {trace}"), || async {
        let spans = spans_of(stack.otlp(), trace);
        names.iter().all(|name| spans.iter().any(|one| one.span.name.starts_with(name))).then_some(spans)
    })
    .await
}

/// The span of that name whose parent is this one.
fn child<'a>(spans: &'a [Received], parent: &str, name: &str) -> &'a Received {
    let found = spans.iter().find(|one| hex(&one.span.parent_span_id) == parent && one.span.name.starts_with(name));
    found.unwrap_or_else(|| {
        let all: Vec<String> = spans
            .iter()
            .map(|one| {
                format!("{} {} (parent {})", one.span.name, hex(&one.span.span_id), hex(&one.span.parent_span_id))
            })
            .collect();
        panic!("no {name} below {parent} in:\n{}", all.join("\n"))
    })
}

fn id(one: &Received) -> String {
    hex(&one.span.span_id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_envoy_check_store_refresh_and_provider_are_one_trace() {
    let stack = Plan::new().replicas(1).collector().access_tokens_live(1).start().await;
    let browser = stack.logged_in("alice").await;
    elapse(Duration::from_millis(1_500)).await;
    let traced = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(fetch_traced(&browser, traced, "01").await, 200);

    let names =
        ["ingress", "async envoy.service.auth.v3", CHECK, "load", "refresh", "acquire_lease", "POST /", "replace"];
    let spans = trace(&stack, traced, &names).await;
    let ingress = child(&spans, BROWSER, "ingress");
    let asked = child(&spans, &id(ingress), "async envoy.service.auth.v3.Authorization.Check");
    assert_eq!((ingress.service.as_str(), asked.service.as_str()), ("envoy", "envoy"));
    let check = child(&spans, &id(asked), CHECK);
    assert_eq!((check.service.as_str(), check.span.kind), ("coatcheck", SpanKind::Server as i32));
    assert_eq!(check.attribute("reason").as_deref(), Some("session"));
    assert_eq!(child(&spans, &id(check), "load").attribute("db.system.name").as_deref(), Some("redis"));
    let refresh = child(&spans, &id(check), "refresh");
    assert_eq!(refresh.attribute("outcome").as_deref(), Some("refreshed"));
    for name in ["acquire_lease", "load", "replace", "release_lease"] {
        assert_eq!(child(&spans, &id(refresh), name).span.kind, SpanKind::Client as i32);
    }
    let token = child(&spans, &id(refresh), "POST /");
    assert_eq!(token.span.kind, SpanKind::Client as i32);
    let issuer = &stack.provider().issuer;
    let port = issuer.rsplit(':').next().unwrap_or_default();
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("server.port", port),
        ("endpoint", "token"),
        ("provider", "main"),
    ] {
        assert_eq!(token.attribute(key).as_deref(), Some(value), "{key}");
    }
    assert!(token.attribute("url.full").is_some_and(|url| url.starts_with(issuer.as_str()) && !url.contains('?')));
    // Third parties learn nothing of our traces, so the tree ends here.
    assert!(spans.iter().all(|one| one.span.parent_span_id != token.span.span_id));

    let logged = &stack.envoy.access_log("/api/traced", 1).await[0];
    assert_eq!(logged["trace_id"], traced, "the access log leads to the trace");
    let lines = stack.replicas[0].logs();
    let line = lines.iter().find(|line| line.contains("\"checked\"") && line.contains(traced));
    assert!(line.is_some_and(|line| line.contains(&format!("\"span_id\":\"{}\"", id(check)))), "and so does ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_come_through_the_collector_too() {
    let stack = Plan::new().collector().start().await;
    let browser = stack.logged_in("alice").await;
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
    let expected = [
        "coatcheck.decisions",
        "coatcheck.logins",
        "coatcheck.ready",
        "db.client.operation.duration",
        "http.client.request.duration",
        "rpc.server.call.duration",
    ];
    eventually("the metrics have arrived", || async {
        let metrics = stack.otlp().metrics();
        let ours = metrics.iter().filter(|(service, _)| service == "coatcheck");
        let names: BTreeSet<&str> = ours.map(|(_, metric)| metric.name.as_str()).collect();
        expected.iter().all(|name| names.contains(name)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_envoy_does_not_sample_leaves_no_span_here() {
    let stack = Plan::new().collector().start().await;
    let browser = stack.logged_in("alice").await;
    let (unsampled, sampled) = ("11111111111111111111111111111111", "22222222222222222222222222222222");
    assert_eq!(fetch_traced(&browser, unsampled, "00").await, 200);
    assert_eq!(fetch_traced(&browser, sampled, "01").await, 200);
    // Spans leave in the order in which they end: what came before would be there.
    trace(&stack, sampled, &[CHECK]).await;
    let ours: Vec<Received> =
        spans_of(stack.otlp(), unsampled).into_iter().filter(|one| one.service == "coatcheck").collect();
    assert!(ours.is_empty(), "{ours:?}");
    let logs = stack.replicas[0].logs();
    assert!(!logs.iter().any(|line| line.contains(unsampled)), "its log lines name no trace that nobody can find");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_dies_and_comes_back_changes_no_answer_and_is_told_of_once() {
    let mut stack = Plan::new().collector().start().await;
    let browser = stack.logged_in("alice").await;
    let before = "33333333333333333333333333333333";
    assert_eq!(fetch_traced(&browser, before, "01").await, 200);
    trace(&stack, before, &[CHECK]).await;

    let collector = stack.collector.as_mut().unwrap();
    collector.kill();
    let gone = ["traces cannot be delivered", "metrics cannot be delivered"];
    eventually("both losses are told", || async {
        // Without new spans there is nothing that could not be delivered.
        assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
        gone.iter().all(|line| told(&stack, line) == 1).then_some(())
    })
    .await;
    for _ in 0..50 {
        assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
    }

    stack.collector.as_mut().unwrap().restart().await;
    let after = "44444444444444444444444444444444";
    assert_eq!(fetch_traced(&browser, after, "01").await, 200);
    trace(&stack, after, &[CHECK]).await;
    eventually("both are told to be back", || async {
        let back = ["traces are delivered again", "metrics are delivered again"];
        back.iter().all(|line| told(&stack, line) == 1).then_some(())
    })
    .await;
    assert!(gone.iter().all(|line| told(&stack, line) == 1), "not once more");
}

fn told(stack: &Stack, line: &str) -> usize {
    stack.replicas[0].logs().iter().filter(|told| told.contains(line)).count()
}
