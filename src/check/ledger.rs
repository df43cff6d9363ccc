//! What is told of a decision: metric, span and log, once, at the boundary.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;
use tracing::Span;

use crate::core::app::Apps;
use crate::core::time::Timestamp;
use crate::core::verdict::Reason;
use crate::telemetry::metrics::Metrics;

/// The label of requests that are no app's.
pub(super) const NO_APP: &str = "";

/// A reason in its place in [`Reason::ALL`].
const REASONS: usize = Reason::ALL.len();

/// Counts and tells decisions.
pub(super) struct Ledger {
    decisions: HashMap<Arc<str>, Vec<Counter>>,
    /// The second in which each reason was last logged: anybody can make us refuse, nobody can make us write a line
    /// for each refusal.
    logged: [AtomicU64; REASONS],
}

impl Ledger {
    /// All counters at zero.
    pub(super) fn new(apps: &Apps, metrics: &Metrics) -> Self {
        let counters = |app: &str| {
            Reason::ALL.iter().map(|reason| metrics.decision(app, reason.decision(), reason.as_str())).collect()
        };
        let mut decisions: HashMap<Arc<str>, Vec<Counter>> =
            apps.iter().map(|app| (Arc::clone(&app.name), counters(&app.name))).collect();
        decisions.insert(Arc::from(NO_APP), counters(NO_APP));
        Self { decisions, logged: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Failed authorisations of signed-in people, misdirected requests and outages are worth a line, at most one a
    /// second for each reason; all other traffic is for debugging.
    pub(super) fn tell(&self, app: &str, reason: Reason, now: Timestamp) {
        let at = Reason::ALL.iter().position(|known| *known == reason).unwrap_or_default();
        if let Some(counter) = self.decisions.get(app).and_then(|counters| counters.get(at)) {
            counter.increment(1);
        }
        let decision = reason.decision();
        let span = Span::current();
        if !span.is_none() {
            span.record("app", app);
            span.record("decision", decision);
            span.record("reason", reason.as_str());
            if decision == "retry_later" {
                span.record("error.type", reason.as_str());
                span.record("otel.status_code", "ERROR");
            }
        }
        match reason {
            Reason::Csrf | Reason::Claims | Reason::BindMismatch | Reason::UnknownApp | Reason::UnknownPolicy
                if self.is_due(at, now) =>
            {
                tracing::info!(app, decision, reason = reason.as_str(), "a request was refused");
            }
            Reason::Store | Reason::Provider | Reason::Overload if self.is_due(at, now) => {
                tracing::warn!(app, decision, reason = reason.as_str(), "a request was put off with 503");
            }
            Reason::Session
            | Reason::Public
            | Reason::Preflight
            | Reason::Anonymous
            | Reason::NoSession
            | Reason::Bounce
            | Reason::Ended
            | Reason::BindMismatch
            | Reason::Csrf
            | Reason::Claims
            | Reason::UnknownApp
            | Reason::UnknownPolicy
            | Reason::Malformed
            | Reason::LoginRoute
            | Reason::Store
            | Reason::Provider
            | Reason::Overload => tracing::debug!(app, decision, reason = reason.as_str(), "checked"),
        }
    }

    fn is_due(&self, at: usize, now: Timestamp) -> bool {
        self.logged.get(at).is_some_and(|last| last.swap(now.secs(), Ordering::Relaxed) != now.secs())
    }
}
