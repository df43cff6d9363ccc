//! Operation: health, metrics, configuration errors, the command line (behaviours 41, 43, 45).

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::support::browser::{Call, Site};
use crate::support::coatcheck;
use crate::support::patience::eventually;
use crate::support::peers;
use crate::support::stack::{Plan, shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_port_tells_health_and_counts_decisions() {
    let stack = Plan::new().start().await;
    let replica = &stack.replicas[0];
    assert_eq!(replica.admin("/livez").await.status, 200);
    eventually("ready", || async { replica.is_ready().await.then_some(()) }).await;
    let browser = stack.logged_in("alice").await;
    stack.fetch(&browser, "/api/x").await;
    stack.fetch(&stack.browser(), "/api/x").await;
    assert!(replica.metric("coatcheck_decisions_total", &["decision=\"forward\""]).await >= 2.0);
    assert!(replica.metric("coatcheck_logins_total", &["app=\"shop\""]).await >= 1.0);
    assert!(replica.metric("coatcheck_check_duration_seconds_count", &[]).await >= 3.0);
    assert!(replica.metric("coatcheck_provider_duration_seconds_count", &[]).await >= 1.0);
    assert!(replica.metric("coatcheck_store_duration_seconds_count", &[]).await >= 1.0);
    assert_eq!(replica.admin("/nothing").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_page_is_one_that_prometheus_reads_and_finds_nothing_wrong_with() {
    let stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
    let page = stack.replicas[0].admin("/metrics").await.text();
    let mut promtool = Command::new(peers::program("promtool"));
    let promtool =
        promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && said(&output).is_empty(), "{}\n{page}", said(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_costs_nothing() {
    let stack =
        Plan::new().config(|config| config["telemetry"]["otlp_endpoint"] = json!("http://127.0.0.1:9")).start().await;
    let browser = stack.logged_in("alice").await;
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_told_to_stop_under_load_fails_no_request() {
    let mut stack = Plan::new()
        .replicas(2)
        .config(|config| config["shutdown"] = json!({ "drain_delay": "2500ms", "timeout": "10s" }))
        .start()
        .await;
    stack.envoy.sees_healthy(2).await;
    let browser = stack.logged_in("alice").await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (browser, stop) = (browser.clone(), stop.clone());
        clients.push(tokio::spawn(async move {
            let mut statuses = Vec::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let call = Call::fetch("GET", &shop("/api/load"), Site::SameOrigin);
                statuses.push(browser.send(call).await.status);
            }
            statuses
        }));
    }
    stack.replicas[0].process().signal("TERM");
    let replica = stack.replicas[0].process();
    let deadline = std::time::Instant::now() + crate::support::patience::patience();
    while replica.ended().is_none() {
        assert!(std::time::Instant::now() < deadline, "the replica does not stop");
        crate::support::patience::elapse(std::time::Duration::from_millis(50)).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for client in clients {
        let statuses = client.await.unwrap();
        let failed: Vec<u16> = statuses.iter().copied().filter(|status| *status != 200).collect();
        assert!(statuses.len() > 20 && failed.is_empty(), "{} requests, failed: {failed:?}", statuses.len());
    }
}

/// A laptop's ten lines, as in DESIGN.
const LAPTOP: &str = "\
providers:
  - name: main
    issuer: http://127.0.0.1:4000
    client_id: demo
    client_secret: demo-secret-of-some-length
apps:
  - name: shop
    origin: http://localhost:8080
    provider: main
";

fn check(config: &str, environment: &[(&str, &str)]) -> Output {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("coatcheck.yaml");
    std::fs::write(&path, config).unwrap();
    coatcheck::run(&["check", "-c", path.to_str().unwrap()], environment)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn ten_lines_are_a_config_and_check_says_what_it_would_do() {
    let output = check(LAPTOP, &[]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for word in ["shop", "http://localhost:8080", "coatcheck.db", "127.0.0.1:9001"] {
        assert!(text.contains(word), "{word} in: {text}");
    }
    assert!(!text.contains("demo-secret-of-some-length"), "{text}");
}

#[test]
fn every_mistake_of_a_config_is_reported_at_once_with_line_and_key() {
    let config = "\
listen: { grpc: nonsense }
providers:
  - name: main
    issuer: http://id.example.com
    client_id: shop
    client_secret_file: /nowhere/secret
    colour: blue
apps:
  - name: shop
    origin: https://shop.example.com/path
    provider: missing
  - name: shop
    origin: https://shop.example.org
    provider: main
    session: { absolute: yesterday }
";
    let output = check(config, &[]);
    let text = said(&output);
    assert!(!output.status.success());
    assert!(text.contains("coatcheck.yaml"), "names the file: {text}");
    // An unknown key stops the reading of the file's shape; the rest is then reported by a second run.
    assert!(text.contains("colour"), "{text}");
    let text = said(&check(&config.replace("    colour: blue\n", ""), &[]));
    for key in ["grpc", "issuer", "client_secret_file", "origin", "provider", "absolute"] {
        assert!(text.contains(key), "{key} in: {text}");
    }
    for line in [":1", ":4", ":6", ":9", ":10", ":14"] {
        assert!(text.contains(line) || text.contains(&format!("line {}", &line[1..])), "line {line} in: {text}");
    }
    assert!(text.contains("apps[1].name"), "duplicate app: {text}");
}

#[test]
fn single_mistakes_are_named_where_they_are() {
    let cases = [
        (LAPTOP.replace("issuer: http://127.0.0.1:4000", "issuer: 7"), "issuer"),
        (LAPTOP.replace("    provider: main\n", ""), "provider"),
        (format!("{LAPTOP}    cookie: {{ name: x, same_site: none }}\n"), "same_site"),
        (format!("{LAPTOP}    cookie: {{ name: \"a b\" }}\n"), "name"),
        (format!("{LAPTOP}    rules: [ {{ paths: [public], session: none }} ]\n"), "paths"),
        (format!("{LAPTOP}    rules: [ {{ paths: [/x], session: sometimes }} ]\n"), "session"),
        (format!("{LAPTOP}    csrf: {{ header: nonsense }}\n"), "header"),
        (format!("{LAPTOP}    upstream: {{ headers: {{ \"bad header\": sub }} }}\n"), "headers"),
        (format!("{LAPTOP}    login: {{ prefix: auth }}\n"), "prefix"),
        (format!("{LAPTOP}store: {{ kind: redis, url: redis://127.0.0.1:6379/0 }}\n"), "keys"),
        (
            format!(
                "{LAPTOP}store: {{ kind: redis, url: \"http://x\" }}\nkeys: [ {{ id: 1, value: {} }} ]\n",
                "A".repeat(43)
            ),
            "url",
        ),
        (format!("{LAPTOP}keys: [ {{ id: 1, value: short }} ]\n"), "keys"),
        (LAPTOP.replace("demo-secret-of-some-length", "${NOT_SET_ANYWHERE}"), "NOT_SET_ANYWHERE"),
        (LAPTOP.replace("http://localhost:8080", "http://shop.example.com"), "origin"),
        (format!("{LAPTOP}{LAPTOP}"), "twice"),
        ("apps: [".to_owned(), "coatcheck.yaml:1"),
        (String::new(), "providers"),
    ];
    for (config, word) in cases {
        let output = check(&config, &[]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{config}\n{text}");
        assert!(text.contains(word), "{word:?} in: {text}\nfor:\n{config}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[test]
fn a_broken_config_starts_nothing_and_secrets_may_come_from_the_environment() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("coatcheck.yaml");
    std::fs::write(&path, "apps: 1\nnonsense: true\n").unwrap();
    let output = coatcheck::run(&["serve", "-c", path.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no file was made");
    let missing = coatcheck::run(&["serve", "-c", "/nowhere/coatcheck.yaml"], &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(said(&missing).contains("/nowhere/coatcheck.yaml"));
    let config = LAPTOP.replace("demo-secret-of-some-length", "${SHOP_SECRET}");
    let output = check(&config, &[("SHOP_SECRET", "from-the-environment")]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("from-the-environment"));
}

#[test]
fn keygen_schema_and_help_are_there_for_people() {
    let one = said(&coatcheck::run(&["keygen"], &[]));
    let two = said(&coatcheck::run(&["keygen"], &[]));
    assert_eq!((one.trim().len(), one == two), (43, false), "32 bytes in base64url: {one}");
    let schema = coatcheck::run(&["schema"], &[]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).expect("a JSON Schema");
    assert!(schema["properties"]["apps"].is_object(), "{schema}");
    let help = said(&coatcheck::run(&["--help"], &[]));
    for word in ["serve", "check", "schema", "keygen"] {
        assert!(help.contains(word), "{word} in: {help}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_store_makes_its_own_key_that_only_the_owner_reads() {
    use std::os::unix::fs::PermissionsExt;

    let stack = Plan::new()
        .config(|config| {
            config.as_object_mut().unwrap().remove("keys");
            config["store"] = json!({ "kind": "embedded", "path": "./sessions.db" });
        })
        .start()
        .await;
    let key = stack.replicas[0].directory().join("sessions.db.key");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    let browser = stack.logged_in("alice").await;
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
}
