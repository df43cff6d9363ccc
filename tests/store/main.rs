//! The store port's contract, run against every implementation, and what each implementation
//! promises beyond it. Redis is a real server that each test starts for itself.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod bed;
mod contract;
mod embedded;
mod redis;
mod redis_access;
mod server;

/// Every case of the contract as a test of one implementation; `$bed` makes a fresh store.
macro_rules! contract_for {
    ($store:ident, $bed:path, [$($case:ident),* $(,)?]) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let bed = $bed().await;
                    crate::contract::$case(&bed.store).await;
                    bed.verify().await;
                }
            )*
        }
    };
}

macro_rules! contract_for_every_store {
    ($cases:tt) => {
        contract_for!(embedded_store, crate::bed::embedded, $cases);
        contract_for!(redis_store, crate::bed::redis, $cases);
    };
}

contract_for_every_store!([
    a_created_session_can_be_loaded,
    an_unknown_session_is_none_and_not_an_error,
    create_replaces_what_stood_there,
    replace_raises_the_generation_and_keeps_last_seen,
    replace_at_an_old_generation_is_a_conflict_and_writes_nothing,
    replace_of_a_missing_session_is_gone_and_creates_nothing,
    replace_keeps_the_remaining_ttl,
    replace_can_set_a_new_ttl,
    of_many_racing_replaces_one_wins,
    delete_is_final_under_racing_replaces,
    delete_tells_whether_there_was_one,
    touch_records_the_use_and_keeps_the_generation,
    touch_extends_the_life,
    touch_can_shorten_the_life,
    touch_never_creates,
    a_session_ends_with_its_ttl,
    end_all_ends_every_session_of_a_user_and_no_other,
    end_all_leaves_a_tombstone_that_ages,
    the_newest_tombstone_counts,
    end_all_and_a_racing_create_always_see_each_other,
    deleted_and_aged_sessions_leave_the_index,
    subject_and_provider_session_are_different_indexes,
    a_lease_has_one_holder,
    a_lease_ends_with_its_ttl,
    only_the_owner_extends_a_lease,
    only_the_owner_releases_a_lease,
    one_of_fifty_callers_claims,
    a_claim_ends_with_its_ttl,
    a_mark_can_be_prolonged,
    ids_may_hold_any_bytes,
    a_payload_of_64_kilobytes_comes_back,
    an_empty_payload_comes_back,
    ping_answers,
]);
