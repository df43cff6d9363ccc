//! What is told about store calls.

use std::sync::Arc;
use std::time::Duration;

use coatcheck::store::observed::ObservedStore;
use coatcheck::store::{OnceKey, SessionId, SessionStore, StoreError};
use coatcheck::telemetry::context::Tracing;
use coatcheck::telemetry::metrics::Metrics;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tonic::metadata::MetadataMap;
use tracing::Instrument;

use crate::collector::{Collector, attribute};
use crate::fakes::{FakeStore, Switch};
use crate::{config, stage};

const ID: SessionId = SessionId([0xab; 16]);

#[tokio::test]
async fn duration_and_errors_are_counted_by_operation() {
    let (metrics, switch) = (Metrics::new(), Switch::default());
    let store = ObservedStore::new(Arc::new(FakeStore(switch.clone())), &metrics, Tracing::off());
    assert!(matches!(store.load(ID).await, Err(StoreError::Unavailable(_))));
    switch.turn(true);
    assert!(store.load(ID).await.unwrap().is_none());
    assert_eq!(store.kind(), "redis");
    let text = metrics.render();
    for line in [
        "coatcheck_store_duration_seconds_count{operation=\"load\"} 2",
        "coatcheck_store_errors_total{operation=\"load\"} 1",
        "coatcheck_store_errors_total{operation=\"create\"} 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn a_call_is_a_client_span_inside_a_traced_check_and_nothing_outside() {
    let collector = Collector::start();
    let stage = stage(&config(Some(&collector.endpoint)), &[]).unwrap();
    let tracing = stage.telemetry.tracing();
    let switch = Switch::default();
    let store = ObservedStore::new(Arc::new(FakeStore(switch.clone())), &Metrics::new(), tracing.clone());
    store.ping().await.unwrap_err();
    let check = tracing.check_span(&MetadataMap::new(), None);
    assert!(store.load(ID).instrument(check.clone()).await.is_err());
    switch.turn(true);
    assert!(store.claim_once(OnceKey([1; 16]), Duration::from_secs(1)).instrument(check.clone()).await.unwrap());
    drop(check);
    stage.telemetry.shutdown();

    assert_eq!(collector.spans().len(), 3, "the probe's ping is no trace");
    let check = collector.span("envoy.service.auth.v3.Authorization/Check");
    let load = collector.span("load");
    assert_eq!(load.kind, SpanKind::Client as i32);
    assert_eq!(load.parent_span_id, check.span_id);
    assert_eq!(attribute(&load, "db.system.name").as_deref(), Some("redis"));
    assert_eq!(attribute(&load, "db.operation.name").as_deref(), Some("load"));
    assert_eq!(attribute(&load, "error.type").as_deref(), Some("unavailable"));
    assert_eq!(load.status.unwrap().code, StatusCode::Error as i32);
    assert_ne!(collector.span("claim_once").status.unwrap_or_default().code, StatusCode::Error as i32);
}
