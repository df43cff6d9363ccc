//! When not to try: back-off per session, and a circuit per provider.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::core::time::Timestamp;
use crate::store::SessionId;

/// The first pause after a failed attempt; doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);

/// No session waits longer than this for its next attempt once the provider is back.
const LONGEST: Duration = Duration::from_secs(5);

/// Failures in a row that open a provider's circuit.
const OPENS_AFTER: u32 = 5;

/// While a circuit is open, one attempt per this time goes through to see whether the provider is back.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// More pauses than this are not kept: the oldest have run out long before.
const MAX_PAUSES: usize = 50_000;

/// Remembers failures.
#[derive(Default)]
pub(super) struct Patience(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    pauses: HashMap<SessionId, Pause>,
    circuits: HashMap<String, Circuit>,
}

struct Pause {
    failures: u32,
    until: Timestamp,
}

#[derive(Default)]
struct Circuit {
    failures: u32,
    next_probe: Timestamp,
}

impl Patience {
    /// Whether an attempt may start now.
    pub(super) fn admits(&self, id: SessionId, provider: &str, now: Timestamp) -> bool {
        let mut memory = self.memory();
        if memory.pauses.get(&id).is_some_and(|pause| now < pause.until) {
            return false;
        }
        let Some(circuit) = memory.circuits.get_mut(provider) else { return true };
        if circuit.failures < OPENS_AFTER {
            return true;
        }
        let probes = now >= circuit.next_probe;
        if probes {
            circuit.next_probe = now + PROBE_EVERY;
        }
        probes
    }

    /// An attempt failed. Returns how long this session pauses; `jitter` is from 0 to 1.
    pub(super) fn failed(&self, id: SessionId, provider: &str, now: Timestamp, jitter: f64) -> Duration {
        let mut memory = self.memory();
        let circuit = memory.circuits.entry(provider.to_owned()).or_default();
        circuit.failures = circuit.failures.saturating_add(1);
        circuit.next_probe = now + PROBE_EVERY;
        if memory.pauses.len() >= MAX_PAUSES {
            memory.pauses.retain(|_, pause| now < pause.until);
        }
        let failures = memory.pauses.get(&id).map_or(0, |pause| pause.failures).saturating_add(1);
        let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10));
        let wait = doubled.min(LONGEST).mul_f64(1.0 + 0.2 * jitter.clamp(0.0, 1.0));
        if memory.pauses.len() < MAX_PAUSES {
            memory.pauses.insert(id, Pause { failures, until: now + wait });
        }
        wait
    }

    /// The session waits a moment, without the provider being blamed (another replica just tried).
    pub(super) fn pause(&self, id: SessionId, now: Timestamp) {
        let mut memory = self.memory();
        if memory.pauses.len() < MAX_PAUSES {
            memory.pauses.entry(id).or_insert(Pause { failures: 0, until: now }).until = now + FIRST;
        }
    }

    /// The provider answered and the session goes on.
    pub(super) fn succeeded(&self, id: SessionId, provider: &str) {
        let mut memory = self.memory();
        memory.pauses.remove(&id);
        memory.circuits.remove(provider);
    }

    /// The provider's settings have changed: nothing that failed before tells how the next attempt will end. Pauses of
    /// sessions go with its circuit, those at other providers too: the mark of each attempt in the store still keeps a
    /// refresh token from being sent again too early.
    pub(super) fn forgive(&self, provider: &str) {
        let mut memory = self.memory();
        memory.circuits.remove(provider);
        memory.pauses.clear();
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // A panic under this lock cannot leave the maps half-written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SessionId = SessionId([1; 16]);
    const B: SessionId = SessionId([2; 16]);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    #[test]
    fn a_failed_session_pauses_longer_each_time_up_to_a_bound() {
        let patience = Patience::default();
        let waits: Vec<u64> = (0..5).map(|_| patience.failed(A, "p", at(0), 0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        assert!(!patience.admits(A, "other", at(4_999)));
        assert!(patience.admits(A, "other", at(5_000)));
        patience.succeeded(A, "p");
        assert!(patience.admits(A, "p", at(0)));
    }

    #[test]
    fn a_dead_provider_sees_one_probe_at_a_time() {
        let patience = Patience::default();
        for session in 10..15 {
            patience.failed(SessionId([session; 16]), "p", at(0), 0.0);
        }
        assert!(!patience.admits(B, "p", at(999)));
        assert!(patience.admits(B, "p", at(1_000)));
        assert!(!patience.admits(A, "p", at(1_001)), "one probe at a time");
        assert!(patience.admits(A, "q", at(1_001)), "another provider is not concerned");
        patience.succeeded(B, "p");
        assert!(patience.admits(A, "p", at(1_002)));
    }

    #[test]
    fn a_provider_with_new_settings_is_asked_at_once() {
        let patience = Patience::default();
        for session in 10..15 {
            patience.failed(SessionId([session; 16]), "p", at(0), 0.0);
        }
        patience.failed(A, "p", at(0), 0.0);
        patience.forgive("p");
        assert!(patience.admits(A, "p", at(0)) && patience.admits(B, "p", at(0)));
    }
}
