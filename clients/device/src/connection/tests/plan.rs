//! When to try again: no network at all.

use super::super::*;

fn closed(code: u16) -> Ended {
    let closed = Closed { code: Some(code), reason: "word".to_owned() };
    Ended::Closed { closed, lived: Duration::ZERO, reconnect_at: None }
}

fn plan() -> AttemptPlan {
    AttemptPlan::new(Settings::default())
}

#[test]
fn polling_begins_after_three_failures_and_ends_for_a_socket() {
    let mut plan = plan();
    for _ in 0..2 {
        assert!(matches!(plan.after(Ended::NotConnected), Ok(Pause::For(_))));
        assert!(!plan.is_polling_next());
    }
    assert_eq!(plan.after(Ended::NotConnected), Ok(Pause::None));
    assert!(plan.is_polling_next());
    assert_eq!(plan.after(Ended::SocketDue), Ok(Pause::None));
    assert!(!plan.is_polling_next(), "a try for a socket");
    assert_eq!(plan.state_between(true), State::Polling, "which is no interruption");
    assert_eq!(plan.after(Ended::NotConnected), Ok(Pause::None));
    assert!(plan.is_polling_next(), "back to polling at once");
    plan.after(closed(1012)).unwrap();
    assert!(!plan.is_polling_next(), "a welcomed session forgets the failures");
}

/// Rule 5: after 4409 not by itself, or after a minute.
#[test]
fn a_replaced_session_stays_away() {
    assert_eq!(plan().after(closed(4409)), Ok(Pause::For(Duration::from_mins(1))));
    let mut plan = AttemptPlan::new(Settings { replaced_wait: None, ..Settings::default() });
    assert_eq!(plan.after(closed(4409)), Ok(Pause::Forever));
}

#[test]
fn closes_that_retrying_cannot_mend_stop() {
    for code in [4400, 4403, 4406] {
        let stopped = StopReason::Closed { code, reason: "word".to_owned() };
        assert_eq!(plan().after(closed(code)), Err(Some(stopped)));
    }
    let mut plan = plan();
    assert!(matches!(plan.after(closed(4401)), Ok(Pause::For(_))));
    assert_eq!(plan.state_between(false), State::NeedsAuth);
}

#[test]
fn a_drain_is_honoured_and_retry_after_is_a_floor() {
    let at = Instant::now() + Duration::from_secs(40);
    let closed = Closed { code: Some(1012), reason: String::new() };
    let ended = Ended::Closed { closed, lived: Duration::ZERO, reconnect_at: Some(at) };
    let Ok(Pause::For(wait)) = plan().after(ended) else { panic!() };
    assert!(wait > Duration::from_secs(39) && wait <= Duration::from_secs(40));
    let floor = Duration::from_secs(33);
    let ended = Ended::PollFailed { worked: false, retry_after: Some(floor) };
    assert!(matches!(plan().after(ended), Ok(Pause::For(wait)) if wait >= floor));
}

/// A poll that fails now and then is not what delays grow for.
#[test]
fn polls_that_worked_reset_the_delays() {
    let mut plan = plan();
    let mut after = |worked| match plan.after(Ended::PollFailed { worked, retry_after: None }) {
        Ok(Pause::For(wait)) => wait,
        other => panic!("{other:?}"),
    };
    for _ in 0..40 {
        after(false);
    }
    assert!(after(false) >= Duration::from_secs(30));
    assert!(after(true) <= Duration::from_millis(450));
}

/// A gateway that welcomes and closes at once is not hammered.
#[test]
fn only_sessions_that_lived_reset_the_delays() {
    let mut plan = plan();
    for _ in 0..40 {
        plan.after(closed(1011)).unwrap();
    }
    let Ok(Pause::For(wait)) = plan.after(closed(1011)) else { panic!() };
    assert!(wait >= Duration::from_secs(30), "{wait:?}");
    let closed = Closed { code: Some(1011), reason: String::new() };
    let ended = Ended::Closed { closed, lived: Duration::from_secs(6), reconnect_at: None };
    let Ok(Pause::For(wait)) = plan.after(ended) else { panic!() };
    assert!(wait <= Duration::from_millis(450), "{wait:?}");
}
