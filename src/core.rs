//! The pure core: what a request means and what is to be done with it.
//!
//! Nothing here awaits, reads a clock, draws randomness or logs; `now` and random bytes come in as
//! arguments. `tests/architecture.rs` holds that.

pub mod about;
pub mod answer;
pub mod app;
pub mod attempt;
pub mod binding;
pub mod callback;
pub mod claims;
pub mod client;
pub mod cookie;
pub mod csrf;
pub mod decide;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod grant;
pub mod in_band;
pub mod keyring;
pub mod page;
pub mod path;
pub mod policy;
pub mod record;
pub mod request;
pub mod return_to;
pub mod seal;
pub mod session;
pub mod set_cookie;
pub mod ticket;
pub mod time;
pub mod verdict;
pub mod visit;

/// Types generated from `proto/`: the at-rest records.
#[expect(missing_docs, reason = "generated")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/coatcheck.session.v1.rs"));
}
