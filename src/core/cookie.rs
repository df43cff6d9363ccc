//! Stub for cookie.
