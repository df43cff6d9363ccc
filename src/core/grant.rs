//! Stub for grant.
