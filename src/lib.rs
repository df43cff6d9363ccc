//! coatcheck: a session and token service for Envoy's external authorization filter.
//!
//! You leave your coat at the door and keep a ticket: coatcheck keeps the tokens, the browser
//! keeps an opaque cookie. Read [`core::decide`] for what is decided, [`check`] for how a request
//! becomes a decision, and `docs/architecture.md` for the map.
//!
//! ```text
//! main → app → edges (grpc, http) → flows (check, refresh, login, logout) → ports (store, oidc) → core
//! ```

pub mod admin;
pub mod app;
pub mod check;
pub mod clock;
pub mod config;
pub mod core;
pub mod grpc;
pub mod http;
pub mod login;
pub mod logout;
pub mod oidc;
pub mod refresh;
pub mod render;
pub mod store;
pub mod telemetry;
