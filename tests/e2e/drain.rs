//! Stopping: nobody notices that a replica goes (behaviour 43), and nothing and nobody holds its end up.

use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::support::browser::{Browser, Call, Site};
use crate::support::patience::eventually;
use crate::support::stack::{Plan, Stack, session_cookie, shop};

/// People who use the shop all the time, and people who come.
const SIGNED_IN: [&str; 4] = ["alice", "bob", "carol", "dave"];
const COMING: usize = 400;

/// What the load saw.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<String>>>,
    logins: JoinHandle<Vec<String>>,
}

impl Load {
    /// Four browsers fetch without a pause; beside them one browser after another signs in.
    fn start(stack: &Stack, browsers: &[Arc<Browser>]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = browsers.iter().map(|browser| tokio::spawn(use_shop(Arc::clone(browser), Arc::clone(&stop))));
        let clients = clients.collect();
        let coming = (0..COMING).map(|_| stack.browser()).collect();
        let logins = tokio::spawn(sign_in(coming, Arc::clone(&stop)));
        Self { stop, clients, logins }
    }

    /// Every answer, of requests and of logins.
    async fn stop(self) -> (Vec<String>, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut answers = Vec::new();
        for client in self.clients {
            answers.extend(client.await.unwrap());
        }
        (answers, self.logins.await.unwrap())
    }
}

async fn use_shop(browser: Arc<Browser>, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut answers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let response = browser.send(Call::fetch("GET", &shop("/api/load"), Site::SameOrigin)).await;
        let shown = if response.status == 200 { String::new() } else { response.text() };
        answers.push(format!("{} {shown}", response.status));
    }
    answers
}

async fn sign_in(browsers: Vec<Arc<Browser>>, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut landings = Vec::new();
    for browser in browsers {
        if stop.load(Ordering::Relaxed) {
            return landings;
        }
        let landing = browser.login_at("erin", &shop("/auth/login?return_to=/landing")).await;
        let shown = if landing.status == 200 { String::new() } else { landing.text() };
        landings.push(format!("{} {}{shown}", landing.status, landing.url.path()));
    }
    panic!("there were too few browsers");
}

fn unlike(answers: &[String], expected: &str) -> Vec<String> {
    answers.iter().filter(|answer| answer.trim_end() != expected).cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_two_replicas_under_load_fails_no_request_and_loses_no_session() {
    let mut stack = Plan::new()
        .replicas(2)
        .access_tokens_live(3)
        .config(|config| config["shutdown"] = json!({ "drain_delay": "2500ms", "timeout": "10s" }))
        .start()
        .await;
    stack.envoy.sees_healthy(2).await;
    let mut browsers = Vec::new();
    for user in SIGNED_IN {
        browsers.push(stack.logged_in(user).await);
    }
    let cookies: Vec<_> = browsers.iter().map(|browser| session_cookie(browser)).collect();
    let began = std::time::Instant::now();
    let load = Load::start(&stack, &browsers);
    for round in 0..2 {
        for replica in 0..2 {
            let status = stack.replicas[replica].roll().await;
            assert!(status.success(), "round {round}, replica {replica}: {status}");
            stack.envoy.sees_healthy(2).await;
        }
    }
    let (answers, logins) = load.stop().await;
    let took = began.elapsed();
    let refreshes = stack.provider().refreshes().await;
    eprintln!("{} requests, {} logins, {refreshes} refreshes in {took:?}", answers.len(), logins.len());
    assert!(answers.len() > 100 && logins.len() > 4 && refreshes > 4, "that was no load");
    let failed = (unlike(&answers, "200"), unlike(&logins, "200 /landing"));
    assert_eq!(failed, (vec![], vec![]));
    for (browser, cookie) in browsers.iter().zip(cookies) {
        assert_eq!(stack.fetch(browser, "/api/after").await.status, 200);
        assert_eq!(session_cookie(browser), cookie, "the session is the one it was");
    }
    let signed_in = (SIGNED_IN.len() + logins.len()) as u64;
    assert_eq!(stack.provider().count("token.authorization_code").await, signed_in, "nobody had to sign in again");
    assert_eq!(stack.provider().reuses().await, 0, "no refresh token was used twice");
}

/// A stack whose replica would take its time to stop.
async fn slow_to_stop() -> Stack {
    Plan::new().config(|config| config["shutdown"] = json!({ "drain_delay": "5m", "timeout": "1h" })).start().await
}

async fn end_of(stack: &mut Stack) -> ExitStatus {
    let process = Mutex::new(stack.replicas[0].process());
    eventually("the process ends", || std::future::ready(process.lock().unwrap().ended())).await
}

async fn says(stack: &mut Stack, what: &str) {
    stack.replicas[0].process().awaits(what, |line| line.contains(what).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_once_more_it_ends_at_once() {
    for (first, second) in [("TERM", "TERM"), ("TERM", "INT")] {
        let mut stack = slow_to_stop().await;
        stack.envoy.sees_healthy(1).await;
        stack.replicas[0].process().signal(first);
        says(&mut stack, "draining").await;
        stack.replicas[0].process().signal(second);
        assert!(end_of(&mut stack).await.success());
        says(&mut stack, "what was under way is given up").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_never_took_checks_stops_without_delay() {
    let shutdown = json!({ "drain_delay": "5m", "timeout": "10s" });
    let mut stack = Plan::new().all_down().config(|config| config["shutdown"] = shutdown).start().await;
    stack.replicas[0].process().signal("TERM");
    assert!(end_of(&mut stack).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_say_nothing_or_do_not_listen_do_not_hold_up_the_end() {
    let shutdown = json!({ "drain_delay": "0s", "timeout": "500ms" });
    let mut stack = Plan::new().config(|config| config["shutdown"] = shutdown).start().await;
    stack.envoy.sees_healthy(1).await;
    let replica = &stack.replicas[0];
    let mut peers = Vec::new();
    // Nothing; the preface of HTTP/2 and no answer to anything after it (RFC 9113 §3.4); half a request.
    let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    for (address, said) in [
        (&replica.grpc, &b""[..]),
        (&replica.grpc, hello),
        (&replica.http, b""),
        (&replica.http, b"GET / HTTP/1.1\r\n"),
    ] {
        let mut peer = tokio::net::TcpStream::connect(address).await.unwrap();
        peer.write_all(said).await.unwrap();
        peers.push(peer);
    }
    stack.replicas[0].process().signal("TERM");
    assert!(end_of(&mut stack).await.success());
    says(&mut stack, "\"stopped\"").await;
    for mut peer in peers {
        let mut rest = Vec::new();
        // Closed or reset: what counts is that it is over.
        let _ = peer.read_to_end(&mut rest).await;
    }
}
