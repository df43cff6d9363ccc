//! What operators see: logs, traces, metrics. Never a token, code, cookie, secret or verifier.

pub mod metrics;
