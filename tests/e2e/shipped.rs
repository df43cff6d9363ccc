//! Every file of `envoy/` signs people in and out: started as it is shipped, with nothing but addresses, paths and certificates replaced.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::browser::{Browser, Call, Site};
use crate::support::envoy::walk;
use crate::support::mode::Mode;
use crate::support::stack::{Plan, SHOP, Stack, session_cookie, shop};
use crate::support::tls::Certificates;

/// What a person does in a day.
async fn in_and_out(stack: &Stack, browser: &Browser) {
    let landing = stack.login(browser, "alice", "/landing?q=%2F").await;
    assert_eq!((landing.status, landing.url), (200, shop("/landing?q=%2F")));
    assert!(!stack.token_for(browser, "/api/x").await.is_empty());
    let call = Call::navigation("POST", &shop("/auth/logout"), Site::SameOrigin).header("origin", SHOP).form("");
    let confirm = browser.follow(call, Site::SameOrigin).await;
    let done = browser.fill_in("alice", confirm).await;
    assert_eq!((done.status, done.url.path()), (200, "/auth/logout/done"), "{}", done.text());
    assert_eq!((session_cookie(browser), stack.fetch(browser, "/api/x").await.status), (None, 401));
    let strays: Vec<String> = stack.upstream.seen().into_iter().map(|seen| seen.target).collect();
    assert!(strays.iter().all(|target| !target.starts_with("/auth")), "the application sees no login: {strays:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_and_out_through_the_plain_file() {
    let stack = Plan::new().mode(Mode::Routed).start().await;
    in_and_out(&stack, &stack.browser()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_and_out_through_an_edge_with_tls() {
    let certificates = Certificates::generate();
    let files = [("/etc/envoy/tls/tls.crt", "server.pem"), ("/etc/envoy/tls/tls.key", "server.key")]
        .map(|(shipped, ours)| (Value::from(shipped), Value::from(certificates.path(ours))));
    let own_certificate = move |config: &mut Value| {
        walk(config, &mut |object| {
            let named = object.get("filename").cloned();
            if let Some((_, ours)) = files.iter().find(|(shipped, _)| named.as_ref() == Some(shipped)) {
                object["filename"] = ours.clone();
            }
        });
    };
    let stack = Plan::new().mode(Mode::Routed).shipped("edge-tls.yaml").envoy(own_certificate).start().await;
    in_and_out(&stack, &stack.browser_over_tls(certificates.client())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_and_out_through_a_sidecar_over_unix_sockets() {
    // A path with less than 108 bytes, wherever this repository lies.
    let sockets = TempDir::with_prefix_in("cc", "/tmp").unwrap();
    let socket = |name: &str| format!("unix:{}/{name}.sock", sockets.path().display());
    let listen = json!({ "grpc": socket("authz"), "http": socket("http"), "admin": "127.0.0.1:0" });
    let over_sockets = Plan::new().mode(Mode::Routed).config(move |config| config["listen"] = listen);
    let stack = over_sockets.shipped("sidecar.yaml").start().await;
    stack.envoy.sees_healthy(1).await;
    assert!(stack.replicas.iter().all(|one| one.grpc.starts_with("unix:") && one.http.starts_with("unix:")));
    in_and_out(&stack, &stack.browser()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_and_out_through_check_itself() {
    let stack = Plan::new().mode(Mode::InBand).start().await;
    in_and_out(&stack, &stack.browser()).await;
}
