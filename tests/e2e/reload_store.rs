//! The way to Redis changes while the process runs: passwords, trust roots, another server. No request is dropped, and
//! connections that work are kept until those with the new settings do.

use serde_json::json;

use crate::reload::{Load, detail, ready, refusal};
use crate::support::mount::Mount;
use crate::support::patience::eventually;
use crate::support::redis::{Options, Redis};
use crate::support::stack::{Plan, Stack, random};
use crate::support::tls::Certificates;

/// A replica whose Redis user has this password, from a mounted file.
async fn with_password(mount: &Mount, password: &str) -> Stack {
    let options = Options {
        users: vec![
            format!("coatcheck on >{password} ~cc:* +@all -@dangerous"),
            "default on nopass ~* +@all".to_owned(),
        ],
        tls: None,
    };
    let file = mount.path("redis");
    let stack = Plan::new()
        .redis(options)
        .config(move |config| {
            config["store"]["username"] = "coatcheck".into();
            config["store"]["password_file"] = file.into();
            config["store"]["prefix"] = "cc:".into();
        })
        .start()
        .await;
    ready(&stack).await;
    stack
}

/// The ids of the connections that our user has.
fn connections(stack: &Stack) -> Vec<String> {
    let clients = stack.redis().text(&["CLIENT", "LIST", "TYPE", "normal"]);
    let ours = clients.lines().filter(|line| line.contains("user=coatcheck"));
    ours.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_redis_password_drops_no_request() {
    let (first, second) = (random(), random());
    let mut mount = Mount::new(&[("redis", &first)]);
    let stack = with_password(&mount, &first).await;
    let load = Load::start(&stack.logged_in("alice").await);
    let before = connections(&stack);

    stack.redis().command(&["ACL", "SETUSER", "coatcheck", &format!(">{second}")]);
    mount.swap(&[("redis", &format!("{second}\n"))]);
    stack.replicas[0].reloaded("applied", 1).await;
    eventually("the old connections are closed", || async {
        let now = connections(&stack);
        (!now.is_empty() && now.iter().all(|id| !before.contains(id))).then_some(())
    })
    .await;
    stack.redis().command(&["ACL", "SETUSER", "coatcheck", &format!("<{first}")]);
    stack.redis().command(&["CLIENT", "KILL", "USER", "coatcheck"]);
    let bob = stack.logged_in("bob").await;
    assert_eq!(stack.fetch(&bob, "/api/x").await.status, 200);
    load.ends_without_a_failure().await;
    let logs = stack.replicas[0].logs();
    assert!(logs.iter().all(|line| !line.contains(&first) && !line.contains(&second)), "no password is logged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_redis_does_not_know_yet_is_taken_over_once_it_does() {
    let (first, second) = (random(), random());
    let mut mount = Mount::new(&[("redis", &first)]);
    let stack = with_password(&mount, &first).await;
    let load = Load::start(&stack.logged_in("alice").await);
    let before = connections(&stack);

    mount.swap(&[("redis", &second)]);
    let error = refusal(&stack.replicas[0], 1).await;
    assert!(error.starts_with("store: Redis does not accept the new settings"), "{error}");
    assert!(!error.contains(&second), "{error}");
    assert!(before.iter().all(|id| connections(&stack).contains(id)), "the old connections are kept");

    stack.redis().command(&["ACL", "SETUSER", "coatcheck", &format!(">{second}")]);
    stack.replicas[0].reloaded("applied", 1).await;
    assert!(detail(&stack.replicas[0]).await["error"].is_null());
    let logs = stack.replicas[0].logs();
    let told = |text: &str| logs.iter().filter(|line| line.contains(text)).count();
    assert_eq!(told("Redis does not accept the new settings"), 1, "however often it is tried");
    assert_eq!(told("cannot connect to Redis"), 0, "the connections in use are well");
    load.ends_without_a_failure().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_roots_and_client_certificates_towards_redis_are_rotated() {
    let (certificates, strange) = (Certificates::generate(), Certificates::generate());
    let read = |certificates: &Certificates, name: &str| std::fs::read_to_string(certificates.path(name)).unwrap();
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| read(&certificates, name));
    let [other_ca, other_key] = ["ca.pem", "client.key"].map(|name| read(&strange, name));
    let mut mount = Mount::new(&[("ca", &ca), ("cert", &cert), ("key", &key)]);
    let tls = json!({ "ca_file": mount.path("ca"), "cert_file": mount.path("cert"), "key_file": mount.path("key") });
    let options = Options {
        users: Vec::new(),
        tls: Some((certificates.path("ca.pem"), certificates.path("server.pem"), certificates.path("server.key"))),
    };
    let stack = Plan::new()
        .redis(options)
        .config(move |config| {
            let url = config["store"]["url"].as_str().unwrap().replace("redis://127.0.0.1", "rediss://localhost");
            config["store"]["url"] = url.into();
            config["store"]["tls"] = tls;
        })
        .start()
        .await;
    ready(&stack).await;
    let load = Load::start(&stack.logged_in("alice").await);

    // Half of a rotation: the new key with the old certificate.
    mount.swap(&[("ca", &ca), ("cert", &cert), ("key", &other_key)]);
    let error = refusal(&stack.replicas[0], 1).await;
    assert!(error.contains("TLS"), "{error}");
    mount.swap(&[("ca", &other_ca), ("cert", &cert), ("key", &key)]);
    let error = refusal(&stack.replicas[0], 2).await;
    assert!(error.contains("certificate"), "{error}");
    mount.swap(&[("ca", &format!("{other_ca}{ca}")), ("cert", &cert), ("key", &key)]);
    stack.replicas[0].reloaded("applied", 1).await;
    load.ends_without_a_failure().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_and_other_limits_are_taken_over() {
    let mut stack = Plan::new().replicas(1).start().await;
    ready(&stack).await;
    let alice = stack.logged_in("alice").await;
    let other = Redis::start().await;
    let url = other.url();
    stack.replicas[0].rewrite(|config| {
        config["store"]["url"] = url.into();
        config["store"]["connections"] = 8.into();
        config["store"]["response_timeout"] = "400ms".into();
    });
    stack.replicas[0].reloaded("applied", 1).await;
    assert_eq!(stack.fetch(&alice, "/api/x").await.status, 401, "her session is in the other server");
    let bob = stack.logged_in("bob").await;
    assert_eq!(stack.fetch(&bob, "/api/x").await.status, 200);
    assert!(other.keys().iter().any(|key| key.contains(":s:")));
}
