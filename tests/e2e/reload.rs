//! Configuration, keys and secrets change while the process runs (behaviours 8, 19, 41, 42): taken over within seconds,
//! without a restart and without a dropped request; what is broken changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::browser::{Browser, Call, Site};
use crate::support::coatcheck::Coatcheck;
use crate::support::mount::Mount;
use crate::support::patience::{elapse, eventually};
use crate::support::stack::{Plan, Stack, client, random, session_cookie, shop};

/// What every refused state is logged as.
const REFUSED: &str = "the new configuration was refused; the old one keeps running";

/// Signed-in clients that ask without a pause.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<u16>>>,
}

impl Load {
    pub fn start(browser: &Arc<Browser>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = || {
            let (browser, stop) = (Arc::clone(browser), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut statuses = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let call = Call::fetch("GET", &shop("/api/load"), Site::SameOrigin);
                    statuses.push(browser.send(call).await.status);
                }
                statuses
            })
        };
        let clients = (0..4).map(|_| client()).collect();
        Self { stop, clients }
    }

    /// Not one request failed.
    pub async fn ends_without_a_failure(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            let statuses = client.await.unwrap();
            let failed: Vec<u16> = statuses.iter().copied().filter(|status| *status != 200).collect();
            assert!(statuses.len() > 20 && failed.is_empty(), "{} requests, failed: {failed:?}", statuses.len());
        }
    }
}

/// The configuration's part of `/readyz`, which stays 200.
pub async fn detail(replica: &Coatcheck) -> Value {
    let ready = replica.admin("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    ready.json()["config"].clone()
}

/// Waits until `/readyz` says why the new state was refused; returns that.
pub async fn refusal(replica: &Coatcheck, count: u32) -> String {
    replica.reloaded("refused", count).await;
    assert!(replica.metric("coatcheck_config_last_reload_successful", &[]).await.abs() < 0.5);
    detail(replica).await["error"].as_str().expect("an error").to_owned()
}

/// How many refusals in the log say this, once there is one: the harness reads the log a little later than it is written.
async fn eventually_told(replica: &Coatcheck, what: &str) -> usize {
    let told = || replica.logs().iter().filter(|line| line.contains(REFUSED) && line.contains(what)).count();
    eventually(&format!("the log says {what}"), || async { (told() > 0).then(told) }).await
}

pub async fn ready(stack: &Stack) {
    eventually("ready", || async { stack.replicas[0].is_ready().await.then_some(()) }).await;
}

/// The id of the server key that issued a browser's ticket.
fn key_of(browser: &Browser) -> u32 {
    let ticket = URL_SAFE_NO_PAD.decode(session_cookie(browser).unwrap()).unwrap();
    u32::from_be_bytes(ticket[..4].try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_keys_are_rotated_without_a_logout_and_a_removed_key_means_a_clean_login() {
    let mut stack = Plan::new().start().await;
    let alice = stack.logged_in("alice").await;
    let (old, new) = (stack.secrets.files.path().join("key-1"), stack.secrets.files.path().join("key-2"));
    ready(&stack).await;

    let both = json!([{ "id": 2, "file": new }, { "id": 1, "file": old }]);
    stack.replicas[0].rewrite(|config| config["keys"] = both);
    let error = refusal(&stack.replicas[0], 1).await;
    assert!(error.contains("keys[0].file") && error.contains("cannot be read"), "{error}");
    std::fs::write(&new, random()).unwrap();
    stack.replicas[0].reloaded("applied", 1).await;
    assert_eq!(stack.fetch(&alice, "/api/x").await.status, 200, "the old cookie works");
    let bob = stack.logged_in("bob").await;
    assert_eq!((key_of(&alice), key_of(&bob)), (1, 2));

    stack.replicas[0].rewrite(|config| config["keys"] = json!([{ "id": 2, "file": new }]));
    stack.replicas[0].reloaded("applied", 2).await;
    assert_eq!(stack.fetch(&bob, "/api/x").await.status, 200);
    assert_eq!(stack.fetch(&alice, "/api/x").await.status, 401);
    assert_eq!(alice.get(&shop("/page")).await.status, 302, "a clean login");
    let landing = stack.login(&alice, "alice", "/landing").await;
    assert_eq!((landing.status, key_of(&alice)), (200, 2), "{}", landing.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_secret_swapped_under_load_drops_no_request_and_lets_all_sessions_go_on() {
    let (first, second) = (format!("client-{}", random()), format!("client-{}", random()));
    let mut mount = Mount::new(&[("client", &first)]);
    let file = mount.path("client");
    let stack = Plan::new()
        .client("shop", &first)
        .access_tokens_live(2)
        .config(move |config| config["providers"][0]["client_secret_file"] = file.into())
        .start()
        .await;
    let (expired, old) = crate::refresh::expired(&stack).await;
    let load = Load::start(&stack.logged_in("bob").await);

    stack.provider().clients(json!([client("shop", &second)])).await;
    assert_eq!(stack.fetch(&expired, "/api/x").await.status, 503, "the old secret is refused, the session is kept");
    // As an editor leaves it.
    mount.swap(&[("client", &format!("{second}\n"))]);
    stack.replicas[0].reloaded("applied", 1).await;
    let new = crate::refresh::eventually_served(&stack, &expired).await;
    assert_ne!(new, old, "refreshed with the new secret");
    assert_eq!(stack.logged_in("carol").await.cookies("shop.example.test").len(), 1);
    load.ends_without_a_failure().await;
    let logs = stack.replicas[0].logs();
    assert!(logs.iter().all(|line| !line.contains(&first) && !line.contains(&second)), "no secret is logged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_and_apps_change_while_requests_go_on() {
    let mut stack = Plan::new().start().await;
    let browser = stack.logged_in("alice").await;
    let load = Load::start(&browser);
    let anonymous = stack.browser();
    assert_eq!(stack.fetch(&anonymous, "/news/x").await.status, 401);
    stack.replicas[0].rewrite(|config| {
        let rules = config["apps"][0]["rules"].as_array_mut().unwrap();
        rules.push(json!({ "paths": ["/news/**"], "session": "none" }));
        config["apps"][0]["login"] = json!({ "prefix": "/id" });
        config["shutdown"]["drain_delay"] = "10ms".into();
    });
    stack.replicas[0].reloaded("applied", 1).await;
    assert_eq!(stack.fetch(&anonymous, "/news/x").await.status, 200);
    assert_eq!(stack.fetch(&anonymous, "/api/x").await.json()["login_url"], "/id/login");
    load.ends_without_a_failure().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_changes_nothing_says_why_and_is_taken_over_when_it_is_corrected() {
    let mut stack = Plan::new().start().await;
    ready(&stack).await;
    let browser = stack.logged_in("alice").await;
    let replica = &stack.replicas[0];
    let before = detail(replica).await;
    assert_eq!(before["error"], Value::Null);

    replica.write("apps: [\n");
    let error = refusal(replica, 1).await;
    assert!(error.contains("coatcheck.yaml:"), "{error}");
    assert_eq!(detail(replica).await["loaded_at"], before["loaded_at"]);
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200, "the old configuration keeps running");

    replica.write("listen: { grpc: nonsense }\ncolour: blue\n");
    let error = refusal(replica, 2).await;
    assert!(error.ends_with("more in the log)"), "{error}");
    for key in [": listen.grpc:", ": colour:", ": providers:"] {
        assert_eq!(eventually_told(replica, key).await, 1, "{key} is told once");
    }

    stack.replicas[0].rewrite(|config| config["apps"][0]["rules"] = json!([]));
    let replica = &stack.replicas[0];
    replica.reloaded("applied", 1).await;
    assert_eq!(detail(replica).await["error"], Value::Null);
    assert!(replica.metric("coatcheck_config_last_reload_successful", &[]).await > 0.5);
    assert_eq!(stack.fetch(&stack.browser(), "/public/x").await.status, 401, "the new rules hold");
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_goes_missing_and_comes_back_is_no_news() {
    let stack = Plan::new().start().await;
    ready(&stack).await;
    let replica = &stack.replicas[0];
    let file = stack.secrets.files.path().join("client");
    std::fs::remove_file(&file).unwrap();
    let error = refusal(replica, 1).await;
    assert!(error.contains("providers[0].client_secret_file") && error.contains("cannot be read"), "{error}");
    std::fs::write(&file, format!("{}\n", stack.secrets.client)).unwrap();
    replica.reloaded("unchanged", 1).await;
    assert_eq!(detail(replica).await["error"], Value::Null);
    assert!(replica.metric("coatcheck_config_last_reload_successful", &[]).await > 0.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_restart_is_refused_as_a_whole_and_named() {
    let mut stack = Plan::new().start().await;
    ready(&stack).await;
    stack.replicas[0].rewrite(|config| {
        config["listen"]["http"] = "127.0.0.1:9".into();
        config["telemetry"]["log_level"] = "debug".into();
        config["apps"][0]["rules"] = json!([]);
    });
    let replica = &stack.replicas[0];
    let error = refusal(replica, 1).await;
    assert_eq!(error, "listen.http: a change of this key needs a restart (and 1 more in the log)");
    for key in ["listen.http: a change", "telemetry.log_level: a change"] {
        assert_eq!(eventually_told(replica, key).await, 1, "{key} is told once");
    }
    assert_eq!(stack.fetch(&stack.browser(), "/public/x").await.status, 200, "the old rules hold");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_signal_asks_for_a_reload_and_gets_an_answer() {
    let mut stack = Plan::new().start().await;
    ready(&stack).await;
    stack.replicas[0].process().signal("HUP");
    stack.replicas[0].reloaded("unchanged", 1).await;
    stack.replicas[0].write("nonsense: true\n");
    stack.replicas[0].process().signal("HUP");
    eventually("it is refused", || async {
        let refused = stack.replicas[0].metric("coatcheck_config_reloads_total", &["refused"]).await;
        (refused >= 1.0).then_some(())
    })
    .await;
    stack.replicas[0].rewrite(|config| config["apps"][0]["rules"] = json!([]));
    stack.replicas[0].process().signal("HUP");
    stack.replicas[0].reloaded("applied", 1).await;
    assert!(stack.replicas[0].process().ended().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_comes_with_a_reload_and_is_down_takes_nothing_from_the_others() {
    let mut stack = Plan::new().start().await;
    ready(&stack).await;
    let browser = stack.logged_in("alice").await;
    let discoveries = stack.provider().count("discovery").await;
    assert!(discoveries >= 1);
    stack.replicas[0].rewrite(|config| {
        let mut second = config["providers"][0].clone();
        second["name"] = "second".into();
        second["issuer"] = "http://127.0.0.1:9".into();
        config["providers"].as_array_mut().unwrap().push(second);
    });
    let replica = &stack.replicas[0];
    replica.reloaded("applied", 1).await;
    eventually("it is told", || async {
        let ready = replica.admin("/readyz").await;
        assert_eq!(ready.status, 200, "{}", ready.text());
        let degraded = &ready.json()["degraded"][0];
        (degraded["part"] == "provider:second" && degraded["why"] != "not asked yet").then_some(())
    })
    .await;
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
    assert_eq!(stack.provider().count("discovery").await, discoveries, "the other keeps its client");
    stack.replicas[0].rewrite(|config| drop(config["providers"].as_array_mut().unwrap().pop()));
    stack.replicas[0].reloaded("applied", 2).await;
    assert_eq!(stack.replicas[0].admin("/readyz").await.json()["degraded"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_during_a_refresh_neither_repeats_nor_loses_it() {
    let mut stack = crate::refresh::plan(1).start().await;
    let (browser, old) = crate::refresh::expired(&stack).await;
    stack.provider().behaves(json!({ "token_delay_ms": 6000, "only": "refresh_token" })).await;
    let begun = stack.fetch(&browser, "/api/begun").await;
    assert!(matches!(begun.status, 200 | 503), "{}", begun.text());
    crate::refresh::refreshes_reach(&stack, 1).await;
    stack.replicas[0].rewrite(|config| config["apps"][0]["rules"] = json!([]));
    stack.replicas[0].reloaded("applied", 1).await;
    let new = crate::refresh::eventually_served(&stack, &browser).await;
    assert_ne!(new, old);
    assert_eq!((stack.provider().refreshes().await, stack.provider().reuses().await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_wait_for_the_store_are_served_after_a_reload_too() {
    let mut stack = crate::refresh::plan(1).store_link().start().await;
    let (browser, _) = crate::refresh::expired(&stack).await;
    stack.provider().behaves(json!({ "token_delay_ms": 1500, "only": "refresh_token" })).await;
    let waiting = {
        let browser = Arc::clone(&browser);
        tokio::spawn(async move { browser.send(Call::fetch("GET", &shop("/api/w"), Site::SameOrigin)).await })
    };
    crate::refresh::refreshes_reach(&stack, 1).await;
    stack.link().cut();
    assert_eq!(waiting.await.unwrap().status, 200, "served from memory");
    stack.replicas[0].rewrite(|config| config["apps"][0]["session"] = json!({ "idle": "20m" }));
    stack.replicas[0].reloaded("applied", 1).await;
    let served = stack.token_for(&browser, "/api/x").await;
    assert_eq!(
        stack.provider().access_tokens().await.last(),
        Some(&served),
        "served from memory by the new generation"
    );
    stack.link().restore();
    eventually("the store has them", || async {
        let stored = stack.replicas[0].metric("coatcheck_refreshes_total", &["outcome=\"refreshed\""]).await;
        (stored >= 1.0).then_some(())
    })
    .await;
    assert_eq!(stack.token_for(&browser, "/api/y").await, served);
    assert_eq!(stack.provider().refreshes().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_stores_own_key_stays_through_reloads() {
    let mut stack = Plan::new().config(|config| drop(config.as_object_mut().unwrap().remove("keys"))).start().await;
    let browser = stack.logged_in("alice").await;
    let key = stack.replicas[0].directory().join("coatcheck.db.key");
    std::fs::remove_file(&key).unwrap();
    stack.replicas[0].rewrite(|config| config["apps"][0]["rules"] = json!([]));
    stack.replicas[0].reloaded("applied", 1).await;
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
    assert!(!key.exists(), "no other key is made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_only_touched_are_no_news() {
    let stack = Plan::new().start().await;
    ready(&stack).await;
    let replica = &stack.replicas[0];
    let file = stack.secrets.files.path().join("client");
    for _ in 0..3 {
        std::fs::write(&file, format!("{}\n", stack.secrets.client)).unwrap();
        elapse(Duration::from_millis(2500)).await;
    }
    assert!(replica.metric("coatcheck_config_reloads_total", &[]).await.abs() < 0.5);
    assert!(replica.logs().iter().all(|line| !line.contains("configuration")), "nothing is logged");
}
