//! End-to-end tests: real Envoy, real Redis, a real certified OpenID provider, the real binary. A module per
//! story; every test's name is a sentence; assertions are made at the far end: what the upstream received and
//! what the browser holds. See tests/README.md.

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

/// This suite signs in over routes; `tests/e2e_in_band` tells the same stories without.
const MODE: support::mode::Mode = support::mode::Mode::Routed;

mod checks;
mod claims;
mod csrf;
mod drain;
mod forward;
mod harness;
mod id_token;
mod kinds;
mod login;
mod logout;
mod metadata;
mod operate;
mod outage;
mod overload;
mod paths;
mod refresh;
mod reload;
mod reload_store;
mod rendered;
mod shipped;
mod takeover;
mod trace;
