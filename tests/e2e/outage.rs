//! The store fails, comes back, holds junk, is stolen (behaviours 12–19): never open, never logged out.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::browser::{Browser, Call, Response, Site};
use crate::support::chaos::Link;
use crate::support::envoy;
use crate::support::patience::{eventually, patience};
use crate::support::redis::Options;
use crate::support::stack::{COOKIE, Plan, SHOP, Stack, host, other, random, session_cookie, shop};
use crate::support::tls::Certificates;

fn assert_unavailable(response: &Response, what: &str) {
    assert_eq!(response.status, 503, "{what}: {}", response.text());
    assert!(response.header("retry-after").is_some(), "{what}: Retry-After");
    assert!(response.header("cache-control").unwrap_or_default().contains("no-store"), "{what}: no-store");
    assert!(response.head.all("set-cookie").is_empty(), "{what}: the cookie is kept");
}

/// While the store is away: 503 in time on guarded routes, public routes work, nothing is forwarded.
async fn assert_outage(stack: &Stack, browser: &Browser, what: &str) {
    stack.upstream.clear();
    for round in 0..5 {
        let started = Instant::now();
        let fetch = stack.fetch(browser, "/api/x").await;
        assert!(started.elapsed() < Duration::from_secs(4), "{what}: 503 after {:?}", started.elapsed());
        assert_unavailable(&fetch, &format!("{what}, round {round}"));
    }
    let page = browser.get(&shop("/page")).await;
    assert_unavailable(&page, what);
    assert_eq!(stack.fetch(browser, "/public/x").await.status, 200, "{what}: public routes work");
    assert_eq!(stack.upstream.count("/api/x"), 0);
    assert!(session_cookie(browser).is_some());
    let anonymous = stack.fetch(&stack.browser(), "/api/x").await;
    assert_eq!(anonymous.status, 401, "{what}: no cookie needs no store");
}

async fn assert_recovers(stack: &Stack, browser: &Browser, what: &str) {
    eventually(&format!("{what}: the same cookie works again"), || async {
        let status = stack.fetch(browser, "/api/x").await.status;
        assert!(matches!(status, 200 | 503), "{what}: {status}");
        (status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stops_freezes_and_restarts_means_503_and_then_the_same_cookie_works() {
    let mut stack = Plan::new().replicas(2).start().await;
    let browser = stack.logged_in("alice").await;

    stack.redis_mut().stop();
    assert_outage(&stack, &browser, "stopped").await;
    stack.redis_mut().restart().await;
    assert_recovers(&stack, &browser, "stopped").await;

    stack.redis().freeze();
    assert_outage(&stack, &browser, "frozen").await;
    stack.redis().thaw();
    assert_recovers(&stack, &browser, "frozen").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_link_that_is_cut_or_half_open_means_503_and_then_the_same_cookie_works() {
    let stack = Plan::new().store_link().start().await;
    let browser = stack.logged_in("alice").await;
    for link in [Link::Cut, Link::Frozen, Link::Delayed(Duration::from_secs(3))] {
        stack.link().set(link);
        assert_outage(&stack, &browser, &format!("{link:?}")).await;
        stack.link().restore();
        assert_recovers(&stack, &browser, &format!("{link:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_commands_means_503() {
    let stack = Plan::new().replicas(1).start().await;
    let browser = stack.logged_in("alice").await;
    for (what, on, off) in [
        ("loading or busy", ["CLIENT", "PAUSE", "2000", "ALL"].as_slice(), ["PING"].as_slice()),
        (
            "no permission",
            &["ACL", "SETUSER", "default", "-@all", "+acl", "+client"],
            &["ACL", "SETUSER", "default", "+@all"],
        ),
    ] {
        stack.redis().command(on);
        assert_unavailable(&stack.fetch(&browser, "/api/x").await, what);
        stack.redis().command(off);
        assert_recovers(&stack, &browser, what).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_live_on_a_redis_with_mutual_tls_and_an_acl_user() {
    let certificates = Certificates::generate();
    let password = random();
    let options = Options {
        users: vec![format!("coatcheck on >{password} ~cc:* +@all -@dangerous"), "default off".to_owned()],
        tls: Some((certificates.path("ca.pem"), certificates.path("server.pem"), certificates.path("server.key"))),
    };
    let tls = json!({
        "ca_file": certificates.path("ca.pem"),
        "cert_file": certificates.path("client.pem"),
        "key_file": certificates.path("client.key"),
    });
    let canary = password.clone();
    let stack = Plan::new()
        .redis(options)
        .config(move |config| {
            let url = config["store"]["url"].as_str().unwrap().replace("redis://127.0.0.1", "rediss://localhost");
            config["store"] = json!({
                "kind": "redis", "url": url, "username": "coatcheck", "password": password, "prefix": "cc:", "tls": tls,
            });
        })
        .start()
        .await;
    let browser = stack.logged_in("alice").await;
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
    assert!(stack.replicas[0].logs().iter().all(|line| !line.contains(&canary)), "the password is not logged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_store_and_provider_down_at_start_the_process_runs_says_so_and_recovers() {
    let stack = Plan::new().all_down().start().await;
    let replica = &stack.replicas[0];
    assert_eq!(replica.admin("/livez").await.status, 200);
    let ready = replica.admin("/readyz").await;
    assert_eq!(ready.status, 503);
    let text = ready.text().to_lowercase();
    assert!(text.contains("store") && text.contains("provider"), "{text}");
    let browser = stack.browser();
    assert_eq!(stack.fetch(&browser, "/public/x").await.status, 200);
    let login = browser.get(&shop("/auth/login")).await;
    assert_eq!(login.status, 503);
    stack.provider().down(false).await;
    stack.link().restore();
    eventually("it becomes ready by itself", || async { replica.is_ready().await.then_some(()) }).await;
    let landing = stack.login(&browser, "alice", "/landing").await;
    assert_eq!((landing.status, landing.url.path()), (200, "/landing"), "{}", landing.text());
}

/// The key of the one session in the store.
fn session_key(stack: &Stack) -> String {
    let mut keys = stack.redis().keys();
    keys.retain(|key| key.contains(":s:"));
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_foreign_or_newer_record_is_no_session_and_no_panic() {
    let stack = Plan::new().replicas(1).start().await;
    let damages = ["truncated", "empty", "flipped", "foreign", "junk", "wrong type"];
    let mut unreadable = 0.0;
    for damage in damages {
        stack.redis().command(&["FLUSHALL"]);
        let browser = stack.logged_in("alice").await;
        let key = session_key(&stack);
        harm(&stack, &key, damage).await;
        let fetch = stack.fetch(&browser, "/api/x").await;
        // A value of another type is the store refusing a command: somebody has to look.
        let expected: &[u16] = if damage == "wrong type" { &[401, 503] } else { &[401] };
        assert!(expected.contains(&fetch.status), "{damage}: {} {}", fetch.status, fetch.text());
        if damage != "wrong type" {
            assert_eq!(browser.get(&shop("/page")).await.status, 302, "{damage}: a clean login");
            let counted = stack.replicas[0].metric("coatcheck_records_unreadable_total", &[]).await;
            assert!(counted > unreadable, "{damage} is counted");
            unreadable = counted;
            let landing = stack.login(&browser, "alice", "/landing").await;
            assert_eq!(landing.status, 200, "{damage}");
        }
        stack.redis().command(&["FLUSHALL"]);
    }
}

/// Damages the value of a session's key, whatever its type, keeping a TTL.
async fn harm(stack: &Stack, key: &str, damage: &str) {
    let kind = stack.redis().text(&["TYPE", key]);
    if damage == "wrong type" {
        stack.redis().command(&["DEL", key]);
        stack.redis().command(&["RPUSH", key, "x"]);
        stack.redis().command(&["PEXPIRE", key, "60000"]);
        return;
    }
    let fields = if kind == "hash" { payload_field(stack, key) } else { None };
    let read = |stack: &Stack| -> Vec<u8> {
        let value = match &fields {
            Some(field) => stack.redis().command(&["HGET", key, field]),
            None => stack.redis().command(&["GET", key]),
        };
        redis::from_redis_value(value).unwrap()
    };
    let original = read(stack);
    let changed = match damage {
        "truncated" => original[..original.len() / 2].to_vec(),
        "empty" => Vec::new(),
        "flipped" => {
            let mut bytes = original.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        }
        "junk" => vec![0xff; original.len()],
        _ => foreign_payload(stack, key, fields.as_deref()).await,
    };
    match &fields {
        Some(field) => stack.redis().set_bytes(&["HSET", key, field], &changed, &[]),
        None => stack.redis().set_bytes(&["SET", key], &changed, &["KEEPTTL"]),
    }
}

/// The field of a hash record that holds the sealed envelope: the longest.
fn payload_field(stack: &Stack, key: &str) -> Option<String> {
    let pairs: Vec<(String, Vec<u8>)> = redis::from_redis_value(stack.redis().command(&["HGETALL", key])).unwrap();
    pairs.into_iter().max_by_key(|(_, value)| value.len()).map(|(field, _)| field)
}

/// Somebody else's record under this key.
async fn foreign_payload(stack: &Stack, key: &str, field: Option<&str>) -> Vec<u8> {
    stack.logged_in("bob").await;
    let mut keys = stack.redis().keys();
    keys.retain(|other| other.contains(":s:") && other != key);
    let value = match field {
        Some(field) => stack.redis().command(&["HGET", &keys[0], field]),
        None => stack.redis().command(&["GET", &keys[0]]),
    };
    let bytes = redis::from_redis_value(value).unwrap();
    stack.redis().command(&["DEL", &keys[0]]);
    bytes
}

/// Values that are no ticket: none may cost a store command.
fn junk_cookies() -> Vec<String> {
    vec![
        "x".to_owned(),
        "*".to_owned(),
        "coatcheck:s:*".to_owned(),
        "coatcheck:l:{x}".to_owned(),
        "A".repeat(70),
        "A".repeat(69),
        random() + &random(),
        format!("{}{}", random(), &random()[..27]),
        "y".repeat(10_000),
        "../../etc/passwd".to_owned(),
        "%0d%0aDEL%20x".to_owned(),
        "\u{fc}\u{fffd}".to_owned(),
        "\"quoted\"".to_owned(),
        String::new(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_that_is_no_ticket_costs_no_store_command() {
    let stack = Plan::new().replicas(1).start().await;
    let browser = stack.logged_in("alice").await;
    let good = session_cookie(&browser).unwrap();
    let mut junk = junk_cookies();
    let mut flipped = good.clone().into_bytes();
    flipped[30] = if flipped[30] == b'A' { b'B' } else { b'A' };
    junk.push(String::from_utf8(flipped).unwrap());
    junk.push(format!("{good}="));
    let before = data_commands(&stack);
    for value in &junk {
        let cookie = format!("{COOKIE}={value}");
        let fetch = Call::fetch("GET", &shop("/api/x"), Site::SameOrigin).header("cookie", &cookie);
        let shown: String = value.chars().take(20).collect();
        assert_eq!(stack.browser().send(fetch).await.status, 401, "{shown}");
        let logout = Call::navigation("POST", &shop("/auth/logout"), Site::SameOrigin)
            .header("origin", SHOP)
            .header("cookie", &cookie)
            .form("");
        assert_eq!(stack.browser().send(logout).await.status, 303, "{shown}");
        let session = Call::fetch("GET", &shop("/auth/session"), Site::SameOrigin).header("cookie", &cookie);
        assert_eq!(stack.browser().send(session).await.json()["authenticated"], false, "{shown}");
    }
    assert_eq!(data_commands(&stack), before, "no command for {} cookies", junk.len());
    assert!(stack.replicas[0].metric("coatcheck_tickets_refused_total", &[]).await >= 1.0);
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200);
}

/// Commands on data so far: all but what keeps connections alive and what the tests ask.
fn data_commands(stack: &Stack) -> u64 {
    let data = [
        "get", "set", "del", "unlink", "exists", "hget", "hmget", "hgetall", "hset", "eval", "evalsha", "expire",
        "pexpire", "zadd", "getrange",
    ];
    data.iter().map(|command| stack.redis().calls(command)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_apps_cookie_is_nothing_to_another_app_on_the_same_store() {
    let stack = Plan::new()
        .replicas(1)
        .config(|config| {
            let mut app = config["apps"][0].clone();
            app["name"] = "other".into();
            app["origin"] = crate::support::stack::OTHER.into();
            config["apps"].as_array_mut().unwrap().push(app);
        })
        .envoy(|config| {
            // The Host header chooses the app here.
            envoy::walk(config, &mut |object| {
                if object.get("context_extensions").is_some() {
                    object["context_extensions"] = json!({ "route": "main" });
                }
            });
        })
        .start()
        .await;
    let browser = stack.logged_in("alice").await;
    let cookie = format!("{COOKIE}={}", session_cookie(&browser).unwrap());
    let call = |url| Call::fetch("GET", &url, Site::SameOrigin).header("cookie", &cookie).without_jar();
    assert_eq!(stack.browser().send(call(shop("/api/x"))).await.status, 200);
    assert_eq!(stack.browser().send(call(other("/api/x"))).await.status, 401);
    let login = browser.get(&other("/page")).await;
    assert_eq!(login.location().unwrap().host_str(), Some(host(crate::support::stack::OTHER)));
    let landing = browser.login_at("alice", &other("/page")).await;
    assert_eq!((landing.status, landing.url), (200, other("/page")));
    let unknown = Call::fetch("GET", &shop("/api/x"), Site::SameOrigin).header("host", "nobody.example.test");
    assert_eq!(stack.browser().send(unknown).await.status / 100, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_store_shows_no_token_no_cookie_and_no_name() {
    let mut stack = Plan::new().replicas(1).start().await;
    let browser = stack.logged_in("alice").await;
    stack.fetch(&browser, "/api/x").await;
    let dump = stack.redis_mut().dump();
    assert_nothing_to_read(&stack, &browser, &dump).await;
    drop(stack);

    let stack = Plan::new()
        .config(|config| config["store"] = json!({ "kind": "embedded", "path": "./sessions.db" }))
        .start()
        .await;
    let browser = stack.logged_in("alice").await;
    stack.fetch(&browser, "/api/x").await;
    let file = std::fs::read(stack.replicas[0].directory().join("sessions.db")).unwrap();
    assert_nothing_to_read(&stack, &browser, &file).await;
}

async fn assert_nothing_to_read(stack: &Stack, browser: &Browser, dump: &[u8]) {
    assert!(dump.len() > 500, "there is a session in it");
    let mut secrets = stack.provider().minted().await;
    secrets.extend(browser.secrets().into_iter().filter(|secret| secret.len() >= 16));
    secrets.extend(["alice".to_owned(), "Alice".to_owned(), "example.com".to_owned()]);
    for secret in secrets {
        let found = dump.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "the dump shows {}…", secret.chars().take(6).collect::<String>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_keys_rotate_without_a_logout_and_a_removed_key_means_a_clean_login() {
    let mut stack = Plan::new().replicas(1).start().await;
    let browser = stack.logged_in("alice").await;
    let (old, new) = (stack.secrets.files.path().join("key-1"), stack.secrets.files.path().join("key-2"));
    std::fs::write(&new, random()).unwrap();
    let both = json!([{ "id": 2, "file": new }, { "id": 1, "file": old }]);
    stack.replicas[0].restart(|config| config["keys"] = both).await;
    assert_recovers(&stack, &browser, "both keys").await;
    let other = stack.logged_in("bob").await;

    let only = json!([{ "id": 2, "file": new }]);
    stack.replicas[0].restart(|config| config["keys"] = only).await;
    assert_recovers(&stack, &other, "the new key").await;
    assert_eq!(stack.fetch(&browser, "/api/x").await.status, 401);
    let landing = browser.login_at("alice", &shop("/page")).await;
    assert_eq!((landing.status, landing.url.path()), (200, "/page"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_and_absolute_lifetimes_end_a_session_on_the_server() {
    let stack =
        Plan::new().replicas(1).app(|app| app["session"] = json!({ "idle": "2s", "absolute": "5s" })).start().await;
    let idle = stack.logged_in("alice").await;
    let busy = stack.logged_in("bob").await;
    let started = Instant::now();
    eventually("the idle session ends, the busy one goes on", || async {
        assert_eq!(stack.fetch(&busy, "/api/x").await.status, 200, "after {:?}", started.elapsed());
        (started.elapsed() > Duration::from_millis(2600)).then_some(())
    })
    .await;
    assert_eq!(stack.fetch(&idle, "/api/x").await.status, 401);
    eventually("the busy session reaches its absolute end", || async {
        (stack.fetch(&busy, "/api/x").await.status == 401).then_some(())
    })
    .await;
    assert!(started.elapsed() > Duration::from_secs(4) && started.elapsed() < patience());
}
