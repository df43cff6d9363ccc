//! Stub for decide.
