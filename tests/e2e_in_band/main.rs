//! The stories of `tests/e2e`, the very same files, in in-band mode: `envoy/in-band.yaml` has no route to coatcheck, and Check
//! answers the login routes itself. And what there is to tell of this mode only.

#![expect(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::similar_names,
    clippy::unwrap_used,
    reason = "a test fails by panicking, owns its tasks by ending, and reads better with plain names"
)]

#[path = "../support"]
#[expect(dead_code, reason = "what only the routed suite asks for")]
mod support {
    pub mod browser;
    pub mod chaos;
    pub mod check;
    pub mod coatcheck;
    pub mod collector;
    pub mod envoy;
    mod h2;
    pub mod hostile;
    pub mod invariants;
    pub mod jar;
    pub mod jwt;
    pub mod mode;
    pub mod mount;
    pub mod otlp;
    pub mod page;
    pub mod patience;
    pub mod peers;
    pub mod process;
    pub mod provider;
    pub mod raw;
    pub mod redis;
    mod rendered;
    mod secrets;
    pub mod stack;
    pub mod tls;
    pub mod upstream;
    pub mod wire;
}

/// This suite signs in through Check.
const MODE: support::mode::Mode = support::mode::Mode::InBand;

#[path = "../e2e/checks.rs"]
mod checks;
#[path = "../e2e/claims.rs"]
mod claims;
#[path = "../e2e/csrf.rs"]
mod csrf;
#[path = "../e2e/drain.rs"]
mod drain;
#[path = "../e2e/forward.rs"]
mod forward;
#[path = "../e2e/harness.rs"]
mod harness;
#[path = "../e2e/id_token.rs"]
mod id_token;
#[path = "../e2e/kinds.rs"]
mod kinds;
#[path = "../e2e/login.rs"]
mod login;
#[path = "../e2e/logout.rs"]
mod logout;
#[path = "../e2e/metadata.rs"]
mod metadata;
#[path = "../e2e/operate.rs"]
mod operate;
#[path = "../e2e/outage.rs"]
mod outage;
#[path = "../e2e/overload.rs"]
mod overload;
#[path = "../e2e/paths.rs"]
mod paths;
#[path = "../e2e/refresh.rs"]
mod refresh;
#[path = "../e2e/reload.rs"]
mod reload;
#[path = "../e2e/reload_store.rs"]
mod reload_store;
#[path = "../e2e/rendered.rs"]
mod rendered;
#[path = "../e2e/takeover.rs"]
mod takeover;
#[path = "../e2e/trace.rs"]
mod trace;

mod in_band;
