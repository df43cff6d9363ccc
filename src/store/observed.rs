//! A store that is watched: duration and errors of each operation as metrics, and a client span where the request is
//! traced. It changes no answer, and neither keys nor values leave it.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use metrics::{Counter, Histogram};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use super::{IndexKey, LeaseOwner, NewSession, OnceKey, Replaced, SessionId, SessionStore};
use super::{SharedStore, StoreError, Stored, Swap};
use crate::core::time::Timestamp;
use crate::telemetry::context::Tracing;
use crate::telemetry::metrics::Metrics;

/// Wraps a store.
pub struct ObservedStore {
    inner: SharedStore,
    tracing: Tracing,
    operations: Operations,
}

/// The metric handles, made once: looking them up by name would cost more than most calls to them.
struct Operations {
    load: Operation,
    create: Operation,
    replace: Operation,
    touch: Operation,
    delete: Operation,
    end_all: Operation,
    tombstone: Operation,
    claim_once: Operation,
    hold_once: Operation,
    acquire_lease: Operation,
    extend_lease: Operation,
    release_lease: Operation,
    ping: Operation,
}

struct Operation {
    name: &'static str,
    /// Of calls that succeeded, were not answered, and were refused.
    seconds: [Histogram; 3],
    errors: Counter,
}

impl ObservedStore {
    /// Watches `inner`.
    #[must_use]
    pub fn new(inner: SharedStore, metrics: &Metrics, tracing: Tracing) -> Self {
        let kind = inner.kind();
        let operation = |name| Operation {
            name,
            seconds: ["", UNAVAILABLE, REFUSED].map(|error| metrics.store_duration(name, kind, error)),
            errors: metrics.store_error(name),
        };
        let operations = Operations {
            load: operation("load"),
            create: operation("create"),
            replace: operation("replace"),
            touch: operation("touch"),
            delete: operation("delete"),
            end_all: operation("end_all"),
            tombstone: operation("tombstone"),
            claim_once: operation("claim_once"),
            hold_once: operation("hold_once"),
            acquire_lease: operation("acquire_lease"),
            extend_lease: operation("extend_lease"),
            release_lease: operation("release_lease"),
            ping: operation("ping"),
        };
        Self { inner, tracing, operations }
    }

    async fn watch<T>(
        &self,
        operation: &Operation,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let outcome = if self.tracing.current().is_none() {
            call.await
        } else {
            let span = self.span(operation.name);
            let outcome = call.instrument(span.clone()).await;
            if let Err(error) = &outcome {
                fail(&span, error);
            }
            outcome
        };
        operation.tell(began.elapsed(), outcome.as_ref().err());
        outcome
    }

    /// By the database conventions of OpenTelemetry. A span's name is the operation: which database, the attribute says.
    fn span(&self, operation: &'static str) -> Span {
        info_span!(
            "store",
            otel.name = operation,
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = self.inner.kind(),
            db.operation.name = operation,
            error.r#type = Empty,
        )
    }
}

impl Operation {
    fn tell(&self, took: Duration, error: Option<&StoreError>) {
        let [fine, unavailable, refused] = &self.seconds;
        let seconds = match error {
            None => fine,
            Some(StoreError::Unavailable(_)) => unavailable,
            Some(StoreError::Refused(_)) => refused,
        };
        seconds.record(took.as_secs_f64());
        if error.is_some() {
            self.errors.increment(1);
        }
    }
}

const UNAVAILABLE: &str = "unavailable";
const REFUSED: &str = "refused";

fn fail(span: &Span, error: &StoreError) {
    let kind = match error {
        StoreError::Unavailable(_) => UNAVAILABLE,
        StoreError::Refused(_) => REFUSED,
    };
    span.record("otel.status_code", "ERROR");
    span.record("error.type", kind);
}

#[async_trait]
impl SessionStore for ObservedStore {
    async fn load(&self, id: SessionId) -> Result<Option<Stored>, StoreError> {
        self.watch(&self.operations.load, self.inner.load(id)).await
    }

    async fn create(&self, new: NewSession) -> Result<(), StoreError> {
        self.watch(&self.operations.create, self.inner.create(new)).await
    }

    async fn replace(&self, swap: Swap) -> Result<Replaced, StoreError> {
        self.watch(&self.operations.replace, self.inner.replace(swap)).await
    }

    async fn touch(&self, id: SessionId, now: Timestamp, ttl: Duration) -> Result<bool, StoreError> {
        self.watch(&self.operations.touch, self.inner.touch(id, now, ttl)).await
    }

    async fn delete(&self, id: SessionId, index: &[IndexKey]) -> Result<bool, StoreError> {
        self.watch(&self.operations.delete, self.inner.delete(id, index)).await
    }

    async fn end_all(&self, key: IndexKey, now: Timestamp, keep: Duration) -> Result<Vec<SessionId>, StoreError> {
        self.watch(&self.operations.end_all, self.inner.end_all(key, now, keep)).await
    }

    async fn tombstone(&self, key: IndexKey) -> Result<Option<Timestamp>, StoreError> {
        self.watch(&self.operations.tombstone, self.inner.tombstone(key)).await
    }

    async fn claim_once(&self, key: OnceKey, ttl: Duration) -> Result<bool, StoreError> {
        self.watch(&self.operations.claim_once, self.inner.claim_once(key, ttl)).await
    }

    async fn hold_once(&self, key: OnceKey, ttl: Duration) -> Result<(), StoreError> {
        self.watch(&self.operations.hold_once, self.inner.hold_once(key, ttl)).await
    }

    async fn acquire_lease(&self, id: SessionId, owner: LeaseOwner, ttl: Duration) -> Result<bool, StoreError> {
        self.watch(&self.operations.acquire_lease, self.inner.acquire_lease(id, owner, ttl)).await
    }

    async fn extend_lease(&self, id: SessionId, owner: LeaseOwner, ttl: Duration) -> Result<bool, StoreError> {
        self.watch(&self.operations.extend_lease, self.inner.extend_lease(id, owner, ttl)).await
    }

    async fn release_lease(&self, id: SessionId, owner: LeaseOwner) -> Result<(), StoreError> {
        self.watch(&self.operations.release_lease, self.inner.release_lease(id, owner)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.watch(&self.operations.ping, self.inner.ping()).await
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
}
