//! Stub for attempt.
