//! What `coatcheck render` prints: held to the configuration it was made from, to the shipped `envoy/envoy.yaml`, and
//! to the real Envoy (`--mode validate`; tests/e2e/rendered.rs runs it). Facts, not the full text.

#![expect(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and shares a support file with others"
)]

#[path = "../support/peers.rs"]
mod peers;

mod cli;
mod docs;
mod envoy;
mod gateways;
mod hostile;
mod site;
mod validate;
