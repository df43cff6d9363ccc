//! Stub for answer.
