//! Stub for csrf.
