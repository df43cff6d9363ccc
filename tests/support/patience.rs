//! Waiting without sleeping blindly: poll until it holds, or fail naming what was awaited.
//! One setting for all tests: `E2E_PATIENCE` in seconds (default 30).

use std::future::Future;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(20);

/// How long anything may take before a test gives up on it.
pub fn patience() -> Duration {
    let seconds = std::env::var("E2E_PATIENCE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(30))
}

/// Polls `probe` until it yields a value; panics with `what` when patience ends.
pub async fn eventually<T, F, Fut>(what: &str, mut probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + patience();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// Checks that `probe` holds throughout `span`; for "nothing more happens" claims.
pub async fn throughout<F, Fut>(what: &str, span: Duration, mut probe: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + span;
    while Instant::now() < deadline {
        assert!(probe().await, "did not stay true: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// Waits out a span that is itself the subject of a test (a token's life, a lease).
pub async fn elapse(span: Duration) {
    tokio::time::sleep(span).await;
}
