//! The provider client against a provider that lies, breaks off, stalls and rotates its keys. In-process, on
//! loopback, with a clock of the test's own. What a real provider does is tested end to end elsewhere.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests fail by panicking")]

#[path = "oidc/answers.rs"]
mod answers;
#[path = "oidc/discovery.rs"]
mod discovery;
#[path = "oidc/hostile.rs"]
mod hostile;
#[path = "oidc/keys.rs"]
mod keys;
#[path = "oidc/login.rs"]
mod login;
#[path = "oidc/refresh.rs"]
mod refresh;
#[path = "oidc/signer.rs"]
mod signer;
#[path = "oidc/support.rs"]
mod support;
#[path = "oidc/tls.rs"]
mod tls;
