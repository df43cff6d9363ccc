//! Stub for verdict.
