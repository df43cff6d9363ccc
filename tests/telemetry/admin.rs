//! `/livez`, `/readyz`, `/metrics` as a kubelet and a scraper see them.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use coatcheck::admin::readiness::{Readiness, Status};
use coatcheck::admin::{self, probe};
use coatcheck::oidc::SharedProvider;
use coatcheck::telemetry::metrics::Metrics;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::fakes::{FakeProvider, FakeStore, Switch};

struct Admin {
    router: Router,
    readiness: Readiness,
    store: Switch,
    provider: Switch,
    providers: watch::Sender<Vec<SharedProvider>>,
}

/// Runs the real probes against parts that are down.
fn start() -> Admin {
    let (store, provider) = (Switch::default(), Switch::default());
    let metrics = Metrics::new();
    let providers: Vec<SharedProvider> = vec![Arc::new(FakeProvider::named("main", provider.clone()))];
    let readiness = Readiness::new(probe::parts(&providers), metrics.ready());
    let (providers, followed) = watch::channel(providers);
    tokio::spawn(probe::watch(readiness.clone(), Arc::new(FakeStore(store.clone())), followed));
    Admin { router: admin::router(readiness.clone(), metrics), readiness, store, provider, providers }
}

impl Admin {
    async fn ask(&self, method: Method, path: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["cache-control"], "no-store");
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn readyz(&self) -> (StatusCode, Value) {
        let (status, body) = self.ask(Method::GET, "/readyz").await;
        (status, serde_json::from_str(&body).unwrap())
    }

    /// A reload brought these providers.
    fn follow(&self, providers: Vec<SharedProvider>) {
        self.readiness.follow(probe::parts(&providers));
        self.providers.send_replace(providers);
    }

    /// Waits for the next change that the probes notice; time is paused, so this takes none.
    async fn changed(&self) {
        self.readiness.subscribe().changed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_says_what_is_missing_becomes_ready_by_itself_and_stays_so() {
    let admin = start();
    assert_eq!(admin.ask(Method::GET, "/livez").await.0, StatusCode::OK);
    let (status, body) = admin.readyz().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["missing"][0], json!({"part": "store", "why": "not asked yet"}));

    admin.changed().await;
    let (_, body) = admin.readyz().await;
    let why = "the session store does not answer: connection refused";
    assert_eq!(body["missing"][0], json!({"part": "store", "why": why}));
    assert_eq!(body["missing"][1]["part"], "provider:main");

    admin.store.turn(true);
    admin.changed().await;
    let (status, body) = admin.readyz().await;
    assert_eq!((status, &body["missing"][0]["part"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("provider:main")));
    assert!(admin.ask(Method::GET, "/metrics").await.1.contains("\ncoatcheck_ready 0\n"));

    admin.provider.turn(true);
    admin.changed().await;
    assert_eq!(admin.readyz().await, (StatusCode::OK, json!({"ready": true, "missing": [], "degraded": []})));
    assert!(admin.ask(Method::GET, "/metrics").await.1.contains("\ncoatcheck_ready 1\n"));

    admin.store.turn(false);
    admin.changed().await;
    let degraded = json!([{"part": "store", "why": why}]);
    assert_eq!(admin.readyz().await, (StatusCode::OK, json!({"ready": true, "missing": [], "degraded": degraded})));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_comes_with_a_reload_takes_no_readiness_and_one_that_goes_vanishes() {
    let admin = start();
    admin.store.turn(true);
    admin.provider.turn(true);
    admin.readiness.subscribe().wait_for(Status::is_ready).await.unwrap();

    let fresh = Switch::default();
    let (old, new) = (FakeProvider::named("main", admin.provider.clone()), FakeProvider::named("fresh", fresh.clone()));
    admin.follow(vec![Arc::new(old), Arc::new(new)]);
    let (status, body) = admin.readyz().await;
    let waiting = |why: &str| json!([{"part": "provider:fresh", "why": why}]);
    assert_eq!((status, &body["degraded"]), (StatusCode::OK, &waiting("not asked yet")));
    admin.changed().await;
    let (status, body) = admin.readyz().await;
    assert_eq!((status, &body["degraded"][0]["part"]), (StatusCode::OK, &json!("provider:fresh")), "{body}");
    fresh.turn(true);
    admin.changed().await;
    assert_eq!(admin.readyz().await, (StatusCode::OK, json!({"ready": true, "missing": [], "degraded": []})));

    fresh.turn(false);
    admin.changed().await;
    assert_eq!(admin.readyz().await.1["degraded"][0]["part"], "provider:fresh");
    admin.follow(vec![Arc::new(FakeProvider::named("main", admin.provider.clone()))]);
    assert_eq!(admin.readyz().await, (StatusCode::OK, json!({"ready": true, "missing": [], "degraded": []})));
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_takes_away_what_was_never_reached_makes_ready() {
    let admin = start();
    admin.store.turn(true);
    admin.changed().await;
    assert_eq!(admin.readyz().await.0, StatusCode::SERVICE_UNAVAILABLE);
    let other = Switch::default();
    other.turn(true);
    admin.follow(vec![Arc::new(FakeProvider::named("other", other))]);
    assert_eq!(admin.readyz().await.1["missing"][0]["part"], "provider:other", "as at the start: reached first");
    admin.readiness.subscribe().wait_for(Status::is_ready).await.unwrap();
    assert!(admin.ask(Method::GET, "/metrics").await.1.contains("\ncoatcheck_ready 1\n"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_configuration_shows_and_takes_no_readiness() {
    let admin = start();
    admin.store.turn(true);
    admin.provider.turn(true);
    admin.readiness.subscribe().wait_for(Status::is_ready).await.unwrap();
    admin.readiness.config_runs("2026-11-21T19:43:57Z".to_owned());
    let config = |error: Value| json!({"loaded_at": "2026-11-21T19:43:57Z", "error": error});
    assert_eq!(admin.readyz().await.1["config"], config(Value::Null));
    admin.readiness.config_refused(Some("coatcheck.yaml:3: store.kind: …".to_owned()));
    let (status, body) = admin.readyz().await;
    assert_eq!((status, &body["config"]), (StatusCode::OK, &config(json!("coatcheck.yaml:3: store.kind: …"))));
    admin.readiness.config_refused(None);
    assert_eq!(admin.readyz().await.1["config"], config(Value::Null));
}

#[tokio::test(start_paused = true)]
async fn draining_takes_the_replica_out_while_it_lives_on() {
    let admin = start();
    admin.store.turn(true);
    admin.provider.turn(true);
    let mut health = admin.readiness.subscribe();
    health.wait_for(Status::is_ready).await.unwrap();
    admin.readiness.drain();
    assert!(health.wait_for(|status| !status.is_ready()).await.unwrap().is_draining());
    let (status, body) = admin.readyz().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["missing"], json!([{"part": "draining", "why": "shutting down"}]));
    assert_eq!(admin.ask(Method::GET, "/livez").await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn head_works_and_other_methods_and_paths_do_not() {
    let admin = start();
    assert_eq!(admin.ask(Method::HEAD, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, String::new()));
    assert_eq!(admin.ask(Method::HEAD, "/livez").await, (StatusCode::OK, String::new()));
    assert_eq!(admin.ask(Method::POST, "/readyz").await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(admin.ask(Method::GET, "/").await.0, StatusCode::NOT_FOUND);
}
