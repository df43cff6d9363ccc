//! Stub for record.
