//! Keys come due, on a clock that the tests move.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Runs a schedule until so many runs were begun; which keys, and how many
/// seconds after the start.
async fn begun<F>(
    schedule: &Schedule<&'static str>,
    at_once: usize,
    count: usize,
    work: impl Fn(&'static str) -> F,
) -> Vec<(&'static str, u64)>
where
    F: Future<Output = Option<Instant>>,
{
    let (began, over) = (Instant::now(), CancellationToken::new());
    let seen = RefCell::new(Vec::new());
    let note = |key| {
        seen.borrow_mut().push((key, began.elapsed().as_secs()));
        if seen.borrow().len() == count {
            over.cancel();
        }
        work(key)
    };
    schedule.run(at_once, &over, note).await;
    seen.into_inner()
}

#[tokio::test(start_paused = true)]
async fn each_key_comes_at_its_own_time() {
    let schedule = Schedule::default();
    let now = Instant::now();
    schedule.hasten("slow", now + 3 * SECOND);
    schedule.hasten("fast", now);
    let every = |key| async move {
        Some(Instant::now() + if key == "fast" { 2 * SECOND } else { 10 * SECOND })
    };
    let seen = begun(&schedule, 4, 4, every).await;
    assert_eq!(seen, [("fast", 0), ("fast", 2), ("slow", 3), ("fast", 4)]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_few_at_once_and_who_waits_longest_first() {
    let schedule = Schedule::default();
    let now = Instant::now();
    for (place, key) in (0..).zip(["d", "c", "b", "a"]) {
        schedule.hasten(key, now + place * Duration::from_millis(1));
    }
    tokio::time::advance(SECOND).await;
    let (running, most) = (Cell::new(0), Cell::new(0));
    let work = |_| async {
        running.set(running.get() + 1);
        most.set(most.get().max(running.get()));
        tokio::time::sleep(SECOND).await;
        running.set(running.get() - 1);
        None
    };
    let seen = begun(&schedule, 2, 4, work).await;
    assert_eq!(seen, [("d", 0), ("c", 0), ("b", 1), ("a", 1)]);
    assert_eq!(most.get(), 2);
    assert!(schedule.is_empty());
}

/// What is asked for while the key is worked on is done after that, once.
#[tokio::test(start_paused = true)]
async fn a_key_is_never_worked_on_twice_at_a_time() {
    let schedule = Schedule::default();
    schedule.hasten("key", Instant::now());
    let (running, runs) = (Cell::new(false), Cell::new(0));
    let work = |key| {
        let (schedule, running, runs) = (&schedule, &running, &runs);
        async move {
            assert!(!running.replace(true));
            runs.set(runs.get() + 1);
            if runs.get() == 1 {
                schedule.hasten(key, Instant::now());
                schedule.hasten(key, Instant::now());
            }
            tokio::time::sleep(5 * SECOND).await;
            running.set(false);
            Some(Instant::now() + 60 * SECOND)
        }
    };
    let seen = begun(&schedule, 4, 3, work).await;
    assert_eq!(seen, [("key", 0), ("key", 5), ("key", 70)]);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_hastened_and_never_put_off() {
    let schedule = Schedule::default();
    let now = Instant::now();
    schedule.hasten("key", now + 10 * SECOND);
    schedule.hasten("key", now + 2 * SECOND);
    schedule.hasten("key", now + 30 * SECOND);
    assert_eq!(begun(&schedule, 1, 1, |_| async { None }).await, [("key", 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_forgotten_does_not_come_back() {
    let schedule = Schedule::default();
    let now = Instant::now();
    schedule.hasten("gone", now);
    schedule.hasten("stays", now);
    schedule.forget(&"gone");
    let work = |key| {
        let schedule = &schedule;
        async move {
            schedule.forget(&key);
            Some(Instant::now())
        }
    };
    assert_eq!(begun(&schedule, 1, 1, work).await, [("stays", 0)]);
    assert!(schedule.is_empty());
}

/// Thousands of users with a pull each.
#[tokio::test(start_paused = true)]
async fn thousands_of_keys_are_done_once_each() {
    let schedule = Schedule::default();
    let now = Instant::now();
    for key in 0..10_000_u64 {
        schedule.hasten(key, now + Duration::from_millis(key * 7 % 60_000));
    }
    let (over, runs) = (CancellationToken::new(), Cell::new(0));
    let work = |_| async {
        runs.set(runs.get() + 1);
        if runs.get() == 10_000 {
            over.cancel();
        }
        None
    };
    schedule.run(8, &over, work).await;
    assert_eq!(runs.get(), 10_000);
    assert!(now.elapsed() <= 61 * SECOND, "{:?}", now.elapsed());
}
