//! Stub for request.
