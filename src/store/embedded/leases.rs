//! Refresh leases of the one process that has the file open. They never reach the disk.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::core::time::Timestamp;
use crate::store::{LeaseOwner, SessionId};

/// Above this many leases, taking one looks for those that nobody gave back.
const CROWD: usize = 256;

/// Who holds which session's lease, and until when.
#[derive(Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<SessionId, Lease>>,
}

struct Lease {
    owner: LeaseOwner,
    ends: Timestamp,
}

impl Leases {
    pub(super) fn acquire(&self, id: SessionId, owner: LeaseOwner, now: Timestamp, ttl: Duration) -> bool {
        let mut held = self.lock();
        if held.len() > CROWD {
            held.retain(|_, lease| lease.ends > now);
        }
        let lease = Lease { owner, ends: now + ttl };
        match held.entry(id) {
            Entry::Occupied(entry) if entry.get().ends > now => false,
            Entry::Occupied(mut entry) => {
                entry.insert(lease);
                true
            }
            Entry::Vacant(entry) => {
                entry.insert(lease);
                true
            }
        }
    }

    pub(super) fn extend(&self, id: SessionId, owner: LeaseOwner, now: Timestamp, ttl: Duration) -> bool {
        let mut held = self.lock();
        match held.get_mut(&id) {
            Some(lease) if lease.owner == owner && lease.ends > now => {
                lease.ends = now + ttl;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn release(&self, id: SessionId, owner: LeaseOwner) {
        let mut held = self.lock();
        if held.get(&id).is_some_and(|lease| lease.owner == owner) {
            held.remove(&id);
        }
    }

    /// No code that holds the lock can leave the map half written.
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Lease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
