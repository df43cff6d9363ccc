//! Login, callback, logout and session through the real router, flows, vault and embedded store. Only the provider
//! is scripted, because a real one cannot be made to misbehave on demand, and time, because nobody waits for hours.
//!
//! The test browser checks every single answer: headers, cookie attributes, and that no token is in it. After every
//! test its log is searched for secrets.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails fails its test")]

mod bed;
mod browser;
mod edges;
mod handed;
mod leaving;
mod log;
mod login;
mod logout;
mod provider;
mod refusals;
mod session;
