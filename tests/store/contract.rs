//! The cases of the contract in `src/store.rs`. Each runs against a fresh store of every kind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coatcheck::core::time::Timestamp;
use coatcheck::store::{
    IndexKey, IndexKind, LeaseOwner, NewSession, Replaced, SessionId, SharedStore, StoreError, Stored, Swap,
};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::bed::{LONG, SHORT, a_once_key, a_session, a_user, an_id, an_owner, eventually, now};

pub(crate) async fn a_created_session_can_be_loaded(store: &SharedStore) {
    let id = an_id();
    let new = a_session(id, b"sealed", &[a_user()]);
    let at = new.now;
    store.create(new).await.unwrap();
    let stored = loaded(store, id).await;
    assert_eq!((stored.generation, stored.last_seen, stored.payload.as_slice()), (1, at, b"sealed".as_slice()));
}

pub(crate) async fn an_unknown_session_is_none_and_not_an_error(store: &SharedStore) {
    assert!(store.load(an_id()).await.unwrap().is_none());
    assert_eq!(store.tombstone(a_user()).await.unwrap(), None);
}

pub(crate) async fn create_replaces_what_stood_there(store: &SharedStore) {
    let id = an_id();
    store.create(a_session(id, b"one", &[])).await.unwrap();
    store.replace(swap(id, 1, b"two")).await.unwrap();
    store.create(a_session(id, b"three", &[])).await.unwrap();
    let stored = loaded(store, id).await;
    assert_eq!((stored.generation, stored.payload.as_slice()), (1, b"three".as_slice()));
}

pub(crate) async fn replace_raises_the_generation_and_keeps_last_seen(store: &SharedStore) {
    let id = an_id();
    store.create(a_session(id, b"one", &[])).await.unwrap();
    let seen = now() + Duration::from_secs(60);
    store.touch(id, seen, LONG).await.unwrap();
    assert_eq!(store.replace(swap(id, 1, b"two")).await.unwrap(), Replaced::Done(2));
    assert_eq!(store.replace(swap(id, 2, b"three")).await.unwrap(), Replaced::Done(3));
    let stored = loaded(store, id).await;
    assert_eq!((stored.generation, stored.last_seen, stored.payload.as_slice()), (3, seen, b"three".as_slice()));
}

pub(crate) async fn replace_at_an_old_generation_is_a_conflict_and_writes_nothing(store: &SharedStore) {
    let id = an_id();
    store.create(a_session(id, b"one", &[])).await.unwrap();
    store.replace(swap(id, 1, b"two")).await.unwrap();
    assert_eq!(store.replace(swap(id, 1, b"late")).await.unwrap(), Replaced::Conflict(2));
    assert_eq!(store.replace(swap(id, 9, b"early")).await.unwrap(), Replaced::Conflict(2));
    assert_eq!(loaded(store, id).await.payload, b"two");
}

pub(crate) async fn replace_of_a_missing_session_is_gone_and_creates_nothing(store: &SharedStore) {
    let id = an_id();
    assert_eq!(store.replace(swap(id, 1, b"new")).await.unwrap(), Replaced::Gone);
    assert_eq!(store.replace(swap(id, 0, b"new")).await.unwrap(), Replaced::Gone);
    assert!(store.load(id).await.unwrap().is_none());
}

pub(crate) async fn replace_keeps_the_remaining_ttl(store: &SharedStore) {
    let id = an_id();
    store.create(NewSession { ttl: SHORT, ..a_session(id, b"one", &[]) }).await.unwrap();
    assert_eq!(store.replace(swap(id, 1, b"two")).await.unwrap(), Replaced::Done(2));
    gone(store, id).await;
}

pub(crate) async fn replace_can_set_a_new_ttl(store: &SharedStore) {
    let id = an_id();
    store.create(a_session(id, b"one", &[])).await.unwrap();
    let shorter = Swap { ttl: Some(SHORT), ..swap(id, 1, b"two") };
    assert_eq!(store.replace(shorter).await.unwrap(), Replaced::Done(2));
    gone(store, id).await;
}

pub(crate) async fn of_many_racing_replaces_one_wins(store: &SharedStore) {
    let id = an_id();
    store.create(a_session(id, b"start", &[])).await.unwrap();
    let outcomes =
        together(store, 20, move |store, n| async move { store.replace(swap(id, 1, &[n])).await.unwrap() }).await;
    let wins = outcomes.iter().filter(|outcome| **outcome == Replaced::Done(2)).count();
    let losses = outcomes.iter().filter(|outcome| **outcome == Replaced::Conflict(2)).count();
    assert_eq!((wins, losses), (1, 19));
    assert_eq!(loaded(store, id).await.generation, 2);
}

pub(crate) async fn delete_is_final_under_racing_replaces(store: &SharedStore) {
    for _ in 0..10 {
        let id = an_id();
        store.create(a_session(id, b"start", &[])).await.unwrap();
        together(store, 12, move |store, n| async move {
            if n == 6 {
                assert!(store.delete(id, &[]).await.unwrap());
                return;
            }
            let mut generation = 1;
            while let Replaced::Conflict(current) | Replaced::Done(current) =
                store.replace(swap(id, generation, &[n])).await.unwrap()
            {
                generation = current;
            }
        })
        .await;
        assert!(store.load(id).await.unwrap().is_none(), "a late replace brought a deleted session back");
    }
}

pub(crate) async fn delete_tells_whether_there_was_one(store: &SharedStore) {
    let (id, user) = (an_id(), a_user());
    store.create(a_session(id, b"x", &[user])).await.unwrap();
    assert!(store.delete(id, &[user]).await.unwrap());
    assert!(!store.delete(id, &[user]).await.unwrap());
    assert!(!store.delete(an_id(), &[]).await.unwrap());
    assert!(store.load(id).await.unwrap().is_none());
}

pub(crate) async fn touch_records_the_use_and_keeps_the_generation(store: &SharedStore) {
    let id = an_id();
    store.create(a_session(id, b"sealed", &[])).await.unwrap();
    let seen = now() + Duration::from_secs(90);
    assert!(store.touch(id, seen, LONG).await.unwrap());
    let stored = loaded(store, id).await;
    assert_eq!((stored.generation, stored.last_seen, stored.payload.as_slice()), (1, seen, b"sealed".as_slice()));
}

pub(crate) async fn touch_extends_the_life(store: &SharedStore) {
    let (kept, lost) = (an_id(), an_id());
    for id in [kept, lost] {
        store.create(NewSession { ttl: SHORT, ..a_session(id, b"x", &[]) }).await.unwrap();
    }
    assert!(store.touch(kept, now(), LONG).await.unwrap());
    // Created later, so that it is not gone before the other would have been.
    gone(store, lost).await;
    assert!(store.load(kept).await.unwrap().is_some());
}

pub(crate) async fn touch_can_shorten_the_life(store: &SharedStore) {
    let id = an_id();
    store.create(a_session(id, b"x", &[])).await.unwrap();
    assert!(store.touch(id, now(), SHORT).await.unwrap());
    gone(store, id).await;
}

pub(crate) async fn touch_never_creates(store: &SharedStore) {
    let id = an_id();
    assert!(!store.touch(id, now(), LONG).await.unwrap());
    assert!(store.load(id).await.unwrap().is_none());
    store.create(a_session(id, b"x", &[])).await.unwrap();
    store.delete(id, &[]).await.unwrap();
    assert!(!store.touch(id, now(), LONG).await.unwrap());
    assert!(store.load(id).await.unwrap().is_none());
}

pub(crate) async fn a_session_ends_with_its_ttl(store: &SharedStore) {
    let id = an_id();
    let before = Instant::now();
    store.create(NewSession { ttl: SHORT, ..a_session(id, b"x", &[]) }).await.unwrap();
    gone(store, id).await;
    let lived = before.elapsed();
    assert!(lived + Duration::from_millis(2) >= SHORT, "it lived for {lived:?} only");
    assert_eq!(store.replace(swap(id, 1, b"y")).await.unwrap(), Replaced::Gone);
    assert!(!store.touch(id, now(), LONG).await.unwrap());
    assert!(!store.delete(id, &[]).await.unwrap());
}

pub(crate) async fn end_all_ends_every_session_of_a_user_and_no_other(store: &SharedStore) {
    let (user, other) = (a_user(), a_user());
    let mut mine: Vec<_> = (0..30).map(|_| an_id()).collect();
    for id in &mine {
        store.create(a_session(*id, b"mine", &[user])).await.unwrap();
    }
    let theirs = an_id();
    store.create(a_session(theirs, b"theirs", &[other])).await.unwrap();

    let mut ended = store.end_all(user, now(), LONG).await.unwrap();
    ended.sort_unstable();
    mine.sort_unstable();
    assert_eq!(ended, mine);
    for id in mine {
        assert!(store.load(id).await.unwrap().is_none());
    }
    assert!(store.load(theirs).await.unwrap().is_some());
    assert!(store.end_all(user, now(), LONG).await.unwrap().is_empty());
}

pub(crate) async fn end_all_leaves_a_tombstone_that_ages(store: &SharedStore) {
    let user = a_user();
    let at = now();
    store.end_all(user, at, SHORT).await.unwrap();
    assert_eq!(store.tombstone(user).await.unwrap(), Some(at));
    eventually("the tombstone ages", || async { store.tombstone(user).await.unwrap().is_none() }).await;
}

pub(crate) async fn the_newest_tombstone_counts(store: &SharedStore) {
    let user = a_user();
    let (early, late) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
    store.end_all(user, late, LONG).await.unwrap();
    store.end_all(user, early, LONG).await.unwrap();
    assert_eq!(store.tombstone(user).await.unwrap(), Some(late));
    let later = Timestamp::from_millis(10_000);
    store.end_all(user, later, LONG).await.unwrap();
    assert_eq!(store.tombstone(user).await.unwrap(), Some(later));
}

/// The login writes and then looks for a tombstone; the logout writes the tombstone and then looks for
/// sessions. Whichever comes last sees the other.
pub(crate) async fn end_all_and_a_racing_create_always_see_each_other(store: &SharedStore) {
    for _ in 0..20 {
        let (user, id) = (a_user(), an_id());
        let barrier = Arc::new(Barrier::new(2));
        let mut login = JoinSet::new();
        {
            let (store, barrier) = (store.clone(), barrier.clone());
            login.spawn(async move {
                barrier.wait().await;
                store.create(a_session(id, b"x", &[user])).await.unwrap();
                store.tombstone(user).await.unwrap().is_some()
            });
        }
        barrier.wait().await;
        let ended = store.end_all(user, now(), LONG).await.unwrap();
        let login_saw_logout = login.join_all().await == [true];
        assert!(login_saw_logout || ended.contains(&id), "neither saw the other: the session would survive");
        assert_eq!(store.load(id).await.unwrap().is_none(), ended.contains(&id));
    }
}

pub(crate) async fn deleted_and_aged_sessions_leave_the_index(store: &SharedStore) {
    let user = a_user();
    let (deleted, aged, standing) = (an_id(), an_id(), an_id());
    store.create(a_session(deleted, b"x", &[user])).await.unwrap();
    store.create(NewSession { ttl: SHORT, index_ttl: SHORT, ..a_session(aged, b"x", &[user]) }).await.unwrap();
    assert!(store.delete(deleted, &[user]).await.unwrap());
    gone(store, aged).await;
    store.create(a_session(standing, b"x", &[user])).await.unwrap();
    assert_eq!(store.end_all(user, now(), LONG).await.unwrap(), vec![standing]);
}

pub(crate) async fn subject_and_provider_session_are_different_indexes(store: &SharedStore) {
    let hash = an_id().0;
    let subject = IndexKey { kind: IndexKind::Subject, hash };
    let session = IndexKey { kind: IndexKind::ProviderSession, hash };
    let (by_subject, by_session, by_both) = (an_id(), an_id(), an_id());
    store.create(a_session(by_subject, b"x", &[subject])).await.unwrap();
    store.create(a_session(by_session, b"x", &[session])).await.unwrap();
    store.create(a_session(by_both, b"x", &[subject, session])).await.unwrap();

    let mut ended = store.end_all(session, now(), LONG).await.unwrap();
    ended.sort_unstable();
    let mut expected = vec![by_session, by_both];
    expected.sort_unstable();
    assert_eq!(ended, expected);
    assert_eq!(store.tombstone(subject).await.unwrap(), None);
    assert_eq!(store.end_all(subject, now(), LONG).await.unwrap(), vec![by_subject]);
}

pub(crate) async fn a_lease_has_one_holder(store: &SharedStore) {
    let id = an_id();
    let taken = together(store, 20, move |store, n| async move {
        store.acquire_lease(id, LeaseOwner([n; 16]), LONG).await.unwrap()
    })
    .await;
    assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1);
    assert!(store.acquire_lease(an_id(), an_owner(), LONG).await.unwrap(), "another session's lease is free");
}

pub(crate) async fn a_lease_ends_with_its_ttl(store: &SharedStore) {
    let (id, first, second) = (an_id(), an_owner(), an_owner());
    assert!(store.acquire_lease(id, first, SHORT).await.unwrap());
    eventually("the lease ends", || async { store.acquire_lease(id, second, LONG).await.unwrap() }).await;
    assert!(!store.extend_lease(id, first, LONG).await.unwrap(), "the late first holder extends nothing");
}

pub(crate) async fn only_the_owner_extends_a_lease(store: &SharedStore) {
    let (id, owner, other) = (an_id(), an_owner(), an_owner());
    assert!(!store.extend_lease(id, owner, LONG).await.unwrap(), "nobody holds it");
    assert!(store.acquire_lease(id, owner, SHORT).await.unwrap());
    assert!(!store.extend_lease(id, other, LONG).await.unwrap());
    assert!(store.extend_lease(id, owner, LONG).await.unwrap());
    // A lease taken now for the first time's length outlives what the first would have had.
    let clock = an_id();
    assert!(store.acquire_lease(clock, other, SHORT).await.unwrap());
    eventually("time passes", || async { store.acquire_lease(clock, owner, LONG).await.unwrap() }).await;
    assert!(!store.acquire_lease(id, other, LONG).await.unwrap(), "the extension holds");
}

pub(crate) async fn only_the_owner_releases_a_lease(store: &SharedStore) {
    let (id, owner, other) = (an_id(), an_owner(), an_owner());
    assert!(store.acquire_lease(id, owner, LONG).await.unwrap());
    store.release_lease(id, other).await.unwrap();
    assert!(!store.acquire_lease(id, other, LONG).await.unwrap());
    store.release_lease(id, owner).await.unwrap();
    store.release_lease(id, owner).await.unwrap();
    assert!(store.acquire_lease(id, other, LONG).await.unwrap());
}

pub(crate) async fn one_of_fifty_callers_claims(store: &SharedStore) {
    let key = a_once_key();
    let claims = together(store, 50, move |store, _| async move { store.claim_once(key, LONG).await.unwrap() }).await;
    assert_eq!(claims.into_iter().filter(|first| *first).count(), 1);
    assert!(!store.claim_once(key, LONG).await.unwrap());
    assert!(store.claim_once(a_once_key(), LONG).await.unwrap());
}

pub(crate) async fn a_claim_ends_with_its_ttl(store: &SharedStore) {
    let key = a_once_key();
    assert!(store.claim_once(key, SHORT).await.unwrap());
    assert!(!store.claim_once(key, LONG).await.unwrap());
    eventually("the claim ends", || async { store.claim_once(key, LONG).await.unwrap() }).await;
}

pub(crate) async fn a_mark_can_be_prolonged(store: &SharedStore) {
    let key = a_once_key();
    assert!(store.claim_once(key, LONG).await.unwrap());
    store.hold_once(key, SHORT).await.unwrap();
    eventually("the shorter mark ends", || async { store.claim_once(key, LONG).await.unwrap() }).await;
    let fresh = a_once_key();
    store.hold_once(fresh, LONG).await.unwrap();
    assert!(!store.claim_once(fresh, LONG).await.unwrap());
}

pub(crate) async fn ids_may_hold_any_bytes(store: &SharedStore) {
    let user = IndexKey { kind: IndexKind::Subject, hash: [0xff; 16] };
    let ids = [[0_u8; 16], [0xff; 16], *b"}{*?[]\r\n\0: $+-%'", *b"s:x:i:o:l:\xc3\x28\xf0\x9f\x00\x0a"].map(SessionId);
    for (n, id) in (0_u8..).zip(ids) {
        store.create(a_session(id, &[n, 0, 0x0d, 0x0a, 0xff], &[user])).await.unwrap();
        assert!(store.acquire_lease(id, LeaseOwner(id.0), LONG).await.unwrap());
    }
    for (n, id) in (0_u8..).zip(ids) {
        assert_eq!(loaded(store, id).await.payload, [n, 0, 0x0d, 0x0a, 0xff]);
        assert!(store.extend_lease(id, LeaseOwner(id.0), LONG).await.unwrap());
        store.release_lease(id, LeaseOwner(id.0)).await.unwrap();
    }
    assert_eq!(store.end_all(user, now(), LONG).await.unwrap().len(), ids.len());
}

pub(crate) async fn a_payload_of_64_kilobytes_comes_back(store: &SharedStore) {
    let id = an_id();
    let payload: Vec<u8> = (0..65_536_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    store.create(a_session(id, &payload, &[])).await.unwrap();
    assert_eq!(loaded(store, id).await.payload, payload);
    let reversed: Vec<u8> = payload.iter().rev().copied().collect();
    assert_eq!(store.replace(swap(id, 1, &reversed)).await.unwrap(), Replaced::Done(2));
    store.touch(id, now(), LONG).await.unwrap();
    assert_eq!(loaded(store, id).await.payload, reversed);
}

pub(crate) async fn an_empty_payload_comes_back(store: &SharedStore) {
    let id = an_id();
    store.create(a_session(id, b"", &[])).await.unwrap();
    assert_eq!(store.replace(swap(id, 1, b"")).await.unwrap(), Replaced::Done(2));
    let stored = loaded(store, id).await;
    assert_eq!((stored.generation, stored.payload.len()), (2, 0));
}

pub(crate) async fn ping_answers(store: &SharedStore) {
    store.ping().await.unwrap();
}

pub(crate) fn swap(id: SessionId, expected: u64, payload: &[u8]) -> Swap {
    Swap { id, expected, payload: payload.to_vec(), ttl: None }
}

pub(crate) async fn loaded(store: &SharedStore, id: SessionId) -> Stored {
    store.load(id).await.unwrap().expect("the session stands")
}

async fn gone(store: &SharedStore, id: SessionId) {
    eventually("the session ends", || async { store.load(id).await.unwrap().is_none() }).await;
}

/// Runs `count` callers that start at the same moment.
async fn together<T, F, Fut>(store: &SharedStore, count: u8, call: F) -> Vec<T>
where
    T: Send + 'static,
    F: Fn(SharedStore, u8) -> Fut,
    Fut: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(usize::from(count)));
    let mut callers = JoinSet::new();
    for n in 0..count {
        let (call, barrier) = (call(store.clone(), n), barrier.clone());
        callers.spawn(async move {
            barrier.wait().await;
            call.await
        });
    }
    callers.join_all().await
}

/// A store that fails must say so and never answer "none".
pub(crate) fn is_unavailable<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable(_)))
}
