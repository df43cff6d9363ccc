//! Times are made up: nothing here waits.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A thread that worked and rested in turn, so many milliseconds each, for half a second; checks came all the time.
fn thread(works: u32, rests: u32) -> (Admission, Instant) {
    let began = Instant::now();
    let load = ThreadLoad::new(began);
    let mut now = began;
    while now < began + 500 * MS {
        now += works * MS;
        load.is_saturated(now);
        load.parks(now);
        now += rests * MS;
        load.unparks(now);
    }
    (admission(load), now)
}

fn admission(load: ThreadLoad) -> Admission {
    Admission::new(Capacity::new(2, 20 * MS), Arc::new(load))
}

/// Whether a check is taken on that waited so long, with so many behind it.
fn takes(admission: &Admission, waited: Duration, behind: usize, now: Instant) -> bool {
    let arrival = admission.arrives(now - waited);
    let _behind: Vec<Arrival> = std::iter::repeat_with(|| admission.arrives(now)).take(behind).collect();
    admission.admit(arrival, now).is_some()
}

#[test]
fn a_thread_that_never_rests_takes_only_checks_that_hardly_waited() {
    let (admission, now) = thread(10, 0);
    assert!(takes(&admission, Duration::ZERO, 1000, now));
    assert!(takes(&admission, 20 * MS, 1000, now));
    assert!(!takes(&admission, 21 * MS, 1000, now));
}

#[test]
fn a_thread_that_does_not_get_its_processor_takes_the_few_checks_that_wait() {
    let (admission, now) = thread(10, 0);
    assert!(takes(&admission, 4000 * MS, QUEUE - 1, now));
    assert!(!takes(&admission, 4000 * MS, QUEUE, now));
    assert!(takes(&admission, 4000 * MS, 0, now), "who gave up waits no more");
}

#[test]
fn a_thread_that_rests_now_and_then_takes_a_burst() {
    for (works, rests) in [(10, 1), (90, 5), (1, 50)] {
        let (admission, now) = thread(works, rests);
        assert!(takes(&admission, 4000 * MS, 1000, now), "{works} ms of work, {rests} ms of rest");
    }
    let began = Instant::now();
    let fresh = admission(ThreadLoad::new(began));
    assert!(takes(&fresh, 90 * MS, 1000, began + 90 * MS), "the first burst of a process");
}

#[test]
fn a_thread_that_comes_to_rest_takes_everything_again() {
    let (admission, now) = thread(10, 0);
    assert!(!takes(&admission, 30 * MS, 1000, now));
    admission.load.parks(now);
    admission.load.unparks(now + 60_000 * MS);
    assert!(takes(&admission, 30 * MS, 1000, now + 60_001 * MS));
}

#[test]
fn a_place_is_free_again_when_its_check_is_gone() {
    let now = Instant::now();
    let admission = admission(ThreadLoad::new(now));
    let take = || admission.admit(admission.arrives(now), now);
    let (one, two) = (take(), take());
    assert!(one.is_some() && two.is_some() && take().is_none());
    drop(one);
    let again = take();
    assert!(again.is_some() && take().is_none());
}

#[test]
fn threads_share_the_places_of_the_process() {
    let now = Instant::now();
    let capacity = Capacity::new(1, 20 * MS);
    let thread = || Admission::new(capacity.clone(), Arc::new(ThreadLoad::new(now)));
    let (here, there) = (thread(), thread());
    let place = here.admit(here.arrives(now), now);
    assert!(place.is_some() && there.admit(there.arrives(now), now).is_none());
    drop(place);
    assert!(there.admit(there.arrives(now), now).is_some());
}
