//! The configuration from outside: what a file becomes, the exact mistakes it is told, the command line around it,
//! and the documentation of it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and a table in a test is read by people"
)]

mod cli;
mod docs;
mod facts;
mod keys;
mod mistakes;
mod robust;
mod schema;
mod secrets;
mod sources;
mod support;
