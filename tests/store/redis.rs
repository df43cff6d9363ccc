//! What the Redis store promises beyond the contract: what it costs, how it falls, how it comes back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use coatcheck::core::time::Timestamp;
use coatcheck::store::{NewSession, Replaced, SessionId, SessionStore, StoreError};
use tokio::task::JoinSet;

use crate::bed::{
    LONG, PATIENCE, RedisBed, SHORT, a_once_key, a_session, a_user, an_id, an_owner, eventually, now, redis,
    redis_config,
};
use crate::contract::{is_unavailable, loaded, swap};
use crate::server::Server;

/// The bound of a call on a server that does not answer: both timeouts, and patience for a busy machine.
const BOUND: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_load_is_one_get_and_nothing_else() {
    let bed = redis().await;
    let id = an_id();
    bed.store.create(a_session(id, b"x", &[])).await.unwrap();
    let () = bed.server.ask("CONFIG RESETSTAT").await;
    for _ in 0..100 {
        loaded(&bed.store, id).await;
    }
    let mut calls = calls(&bed.server).await;
    assert_eq!(calls.remove("get"), Some(100));
    // Our heartbeats, connections that still open, and the question itself.
    for expected in ["ping", "hello", "select", "client|setinfo", "client", "info", "config|resetstat"] {
        calls.remove(expected);
    }
    assert!(calls.is_empty(), "{calls:?}");
}

#[tokio::test]
async fn every_key_ends_and_carries_the_prefix() {
    let bed = redis().await;
    let (id, user) = (an_id(), a_user());
    bed.store.create(a_session(id, b"x", &[user])).await.unwrap();
    bed.store.replace(swap(id, 1, b"y")).await.unwrap();
    bed.store.touch(id, now(), LONG).await.unwrap();
    bed.store.acquire_lease(id, an_owner(), LONG).await.unwrap();
    bed.store.claim_once(a_once_key(), LONG).await.unwrap();
    bed.store.end_all(a_user(), now(), LONG).await.unwrap();
    let mut kinds: Vec<_> = bed.server.keys().await.into_iter().map(|(key, _)| kind(&key, &bed.prefix)).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["i:u", "l", "o", "s", "x:u"]);
    bed.verify().await;
}

#[tokio::test]
async fn an_index_lives_as_long_as_its_longest_session_and_is_trimmed_when_written() {
    let bed = redis().await;
    let user = a_user();
    let session = |ttl| NewSession { ttl, index_ttl: ttl, ..a_session(an_id(), b"x", &[user]) };
    bed.store.create(session(LONG)).await.unwrap();
    for _ in 0..5 {
        bed.store.create(session(SHORT)).await.unwrap();
    }
    let index = || async {
        let keys = bed.server.keys().await;
        keys.into_iter().find(|(key, _)| kind(key, &bed.prefix) == "i:u").unwrap()
    };
    let (key, ttl) = index().await;
    assert!(ttl > 500_000, "a shorter session cut the index short: {ttl}");
    assert_eq!(bed.server.ask::<u32>(&format!("ZCARD {key}")).await, 6);
    eventually("the short ones age", || async { bed.server.keys().await.len() == 2 }).await;
    bed.store.create(session(LONG * 2)).await.unwrap();
    let (key, ttl) = index().await;
    assert!(ttl > 1_100_000, "a longer session did not extend the index: {ttl}");
    assert_eq!(bed.server.ask::<u32>(&format!("ZCARD {key}")).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_cost_no_request() {
    let bed = redis().await;
    let id = an_id();
    bed.store.create(a_session(id, b"x", &[])).await.unwrap();
    for _ in 0..10 {
        let killed: u32 = bed.server.ask("CLIENT KILL TYPE normal SKIPME yes").await;
        assert!(killed > 0);
        let mut calls = JoinSet::new();
        for n in 0..100 {
            let store = bed.store.clone();
            calls.spawn(async move {
                if n % 10 == 0 {
                    assert!(store.touch(id, now(), LONG).await.unwrap());
                }
                store.load(id).await.unwrap().expect("it stands")
            });
        }
        assert_eq!(calls.join_all().await.len(), 100);
    }
    let new = an_id();
    bed.store.create(a_session(new, b"y", &[a_user()])).await.unwrap();
    assert_eq!(bed.store.replace(swap(new, 1, b"z")).await.unwrap(), Replaced::Done(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_an_error_in_time_and_a_thawed_one_works_again() {
    let bed = RedisBed::on(Server::start().await, |config| {
        config.response_timeout = Duration::from_millis(100);
        config.connect_timeout = Duration::from_millis(250);
    });
    let id = an_id();
    eventually("it is up", || async { bed.store.create(a_session(id, b"x", &[a_user()])).await.is_ok() }).await;
    bed.server.freeze();
    for _ in 0..5 {
        let mut calls = JoinSet::new();
        for _ in 0..50 {
            let store = bed.store.clone();
            calls.spawn(async move {
                let before = Instant::now();
                let answer = store.load(id).await;
                (is_unavailable(&answer), before.elapsed())
            });
        }
        for (unavailable, took) in calls.join_all().await {
            assert!(unavailable && took < BOUND, "unavailable {unavailable} after {took:?}");
        }
    }
    let before = Instant::now();
    assert!(is_unavailable(&bed.store.create(a_session(an_id(), b"x", &[])).await));
    assert!(is_unavailable(&bed.store.replace(swap(id, 1, b"x")).await));
    assert!(is_unavailable(&bed.store.ping().await));
    assert!(is_unavailable(&bed.store.claim_once(a_once_key(), LONG).await));
    assert!(before.elapsed() < 4 * BOUND);
    bed.server.thaw();
    eventually("it works again", || async { bed.store.load(id).await.is_ok_and(|found| found.is_some()) }).await;
    eventually("writing too", || async { bed.store.touch(id, now(), LONG).await.is_ok_and(|found| found) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_used_again() {
    let mut bed = redis().await;
    let id = an_id();
    bed.store.create(a_session(id, b"x", &[])).await.unwrap();
    bed.server.stop();
    for _ in 0..20 {
        let before = Instant::now();
        assert!(is_unavailable(&bed.store.load(id).await));
        assert!(before.elapsed() < BOUND);
    }
    bed.server.run().await;
    // It kept nothing: that is an answer, not an error.
    eventually("it answers again", || async { bed.store.load(id).await.is_ok_and(|found| found.is_none()) }).await;
    eventually("it takes writes", || async { bed.store.create(a_session(id, b"y", &[])).await.is_ok() }).await;
    assert_eq!(loaded(&bed.store, id).await.payload, b"y");
}

#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_used_when_it_comes() {
    let mut bed = RedisBed::on(Server::stopped(), |_| {});
    let error = bed.store.ping().await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("refused")), "{error}");
    bed.server.run().await;
    eventually("it answers", || async { bed.store.ping().await.is_ok() }).await;
    assert!(bed.store.load(an_id()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_read_only_replica_serves_loads_and_refuses_writes_until_it_is_promoted() {
    let primary = Server::start().await;
    let bed = redis().await;
    let id = an_id();
    bed.store.create(a_session(id, b"x", &[])).await.unwrap();
    let () = bed.server.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port)).await;
    eventually("it is a replica", || async {
        let role: redis::Value = bed.server.ask("ROLE").await;
        format!("{role:?}").contains("connected")
    })
    .await;
    let error = bed.store.create(a_session(an_id(), b"x", &[])).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if text.starts_with("READONLY")), "{error}");
    assert!(bed.store.load(id).await.unwrap().is_none(), "it holds what its primary holds");
    let () = bed.server.ask("REPLICAOF NO ONE").await;
    eventually("it takes writes", || async { bed.store.create(a_session(id, b"x", &[])).await.is_ok() }).await;
    assert!(bed.store.load(id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_given_them_again() {
    let bed = redis().await;
    let id = an_id();
    bed.store.create(a_session(id, b"x", &[a_user()])).await.unwrap();
    for generation in 1..4 {
        let () = bed.server.ask("SCRIPT FLUSH").await;
        assert_eq!(bed.store.replace(swap(id, generation, b"y")).await.unwrap(), Replaced::Done(generation + 1));
    }
}

#[tokio::test]
async fn a_full_server_is_for_an_operator_and_keeps_serving_loads() {
    let bed = redis().await;
    let id = an_id();
    bed.store.create(a_session(id, b"x", &[])).await.unwrap();
    let () = bed.server.ask("CONFIG SET maxmemory 1").await;
    let error = bed.store.create(a_session(an_id(), &[0; 9999], &[])).await.unwrap_err();
    assert!(matches!(&error, StoreError::Refused(text) if text == "OOM"), "{error}");
    assert!(bed.store.load(id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_foreign_value_under_our_key_is_an_error_and_not_an_absent_session() {
    let bed = redis().await;
    let id = SessionId([0; 16]);
    let key = format!("{}s:{{AAAAAAAAAAAAAAAAAAAAAA}}", bed.prefix);
    let _: u32 = bed.server.ask(&format!("LPUSH {key} secret-value")).await;
    let error = bed.store.load(id).await.err().unwrap();
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    assert!(!error.to_string().contains("AAAA") && !error.to_string().contains("secret"), "{error}");
    let () = bed.server.ask(&format!("SET {key} short PX 60000")).await;
    let truncated = bed.store.load(id).await.unwrap().unwrap();
    assert!(truncated.payload.is_empty(), "the vault cannot open it, and counts it");
    assert_eq!(bed.store.replace(swap(id, 1, b"x")).await.unwrap(), Replaced::Gone);
}

#[tokio::test]
async fn ending_thousands_of_sessions_ends_them_all() {
    let bed = redis().await;
    let user = a_user();
    for _ in 0..1200 {
        bed.store.create(a_session(an_id(), b"x", &[user])).await.unwrap();
    }
    assert_eq!(bed.store.end_all(user, Timestamp::from_millis(5), LONG).await.unwrap().len(), 1200);
    let left = bed.server.keys().await;
    assert_eq!(left.iter().map(|(key, _)| kind(key, &bed.prefix)).collect::<Vec<_>>(), ["x:u"]);
}

#[tokio::test]
async fn stores_with_different_prefixes_do_not_meet() {
    let bed = redis().await;
    let id = an_id();
    bed.store.create(a_session(id, b"x", &[])).await.unwrap();
    let mut config = redis_config(&bed.server);
    config.prefix = "another:".to_owned();
    let other = coatcheck::store::redis::Redis::new(&config, &bed.tasks, &bed.stop).unwrap();
    assert!(other.load(id).await.unwrap().is_none());
    assert!(!other.delete(id, &[]).await.unwrap());
    assert!(bed.store.load(id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_command_under_way_ends_where_it_began_and_the_next_goes_to_the_new_server() {
    let (bed, other) = (redis().await, Server::start().await);
    let id = an_id();
    bed.store.create(a_session(id, b"x", &[])).await.unwrap();
    bed.server.freeze();
    let mut under_way = std::pin::pin!(bed.store.load(id));
    tokio::select! {
        biased;
        _ = &mut under_way => panic!("a frozen server answers"),
        () = std::future::ready(()) => {}
    }
    let lanes = bed.redis.connect(&redis_config(&other)).await.unwrap();
    bed.redis.adopt(lanes);
    assert!(bed.store.load(id).await.unwrap().is_none(), "the other server has no such session");
    bed.server.thaw();
    assert_eq!(under_way.await.unwrap().expect("the session").payload, b"x");
    eventually("the old connections are closed", || async {
        let clients: String = bed.server.ask("CLIENT LIST TYPE normal").await;
        clients.lines().count() == 1
    })
    .await;
}

#[tokio::test]
async fn its_tasks_end_with_the_process_and_with_the_store() {
    let bed = redis().await;
    bed.store.ping().await.unwrap();
    eventually("heartbeats run", || async { bed.tasks.len() == 6 }).await;
    bed.stop.cancel();
    bed.tasks.close();
    tokio::time::timeout(PATIENCE, bed.tasks.wait()).await.expect("cancelled tasks end");
    // Without heartbeats the store still works, for what is left to do in a shutdown.
    assert!(bed.store.load(an_id()).await.unwrap().is_none());

    let bed = redis().await;
    bed.store.ping().await.unwrap();
    eventually("heartbeats run", || async { bed.tasks.len() == 6 }).await;
    let RedisBed { store, redis, server, tasks, .. } = bed;
    drop((store, redis));
    eventually("the heartbeats of a dropped store end", || async { tasks.is_empty() }).await;
    eventually("its connections are closed", || async {
        let clients: String = server.ask("CLIENT LIST TYPE normal").await;
        clients.lines().count() == 1
    })
    .await;
}

/// How often each command ran since the last reset.
async fn calls(server: &Server) -> HashMap<String, u64> {
    let info: String = server.ask("INFO commandstats").await;
    info.lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        .map(|(name, rest)| (name.to_owned(), rest.split(',').next().unwrap().parse().unwrap()))
        .collect()
}

/// `s`, `i:u`, … of a key.
fn kind(key: &str, prefix: &str) -> String {
    let rest = key.strip_prefix(prefix).unwrap_or_else(|| panic!("{key} is outside the prefix"));
    rest.split(":{").next().unwrap().to_owned()
}
