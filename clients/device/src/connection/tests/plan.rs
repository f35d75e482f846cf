//! When to try again: no network at all.

use super::super::*;

fn closed(code: u16) -> Ended {
    let closed = Closed { code: Some(code), reason: "word".to_owned() };
    Ended::Closed { closed, lived: Some(Duration::ZERO), reconnect_at: None }
}

/// Closed instead of welcomed.
fn refused(code: u16, reason: &str) -> Ended {
    let closed = Closed { code: Some(code), reason: reason.to_owned() };
    Ended::Closed { closed, lived: None, reconnect_at: None }
}

fn plan() -> AttemptPlan {
    AttemptPlan::new(Settings::default())
}

#[test]
fn polling_begins_after_three_failures_and_ends_for_a_socket() {
    let mut plan = plan();
    for _ in 0..2 {
        assert!(matches!(plan.after(Ended::NotConnected, None), Ok(Pause::For(_))));
        assert!(!plan.is_polling_next());
    }
    assert_eq!(plan.after(Ended::NotConnected, None), Ok(Pause::None));
    assert!(plan.is_polling_next());
    assert_eq!(plan.after(Ended::SocketDue, None), Ok(Pause::None));
    assert!(!plan.is_polling_next(), "a try for a socket");
    assert_eq!(plan.state_between(true), State::Polling, "which is no interruption");
    assert_eq!(plan.after(Ended::NotConnected, None), Ok(Pause::None));
    assert!(plan.is_polling_next(), "back to polling at once");
    plan.after(closed(1012), None).unwrap();
    assert!(!plan.is_polling_next(), "a welcomed session forgets the failures");
}

/// Rule 5: after 4409 not by itself, or after a minute.
#[test]
fn a_replaced_session_stays_away() {
    assert_eq!(plan().after(closed(4409), None), Ok(Pause::For(Duration::from_mins(1))));
    let mut plan = AttemptPlan::new(Settings { replaced_wait: None, ..Settings::default() });
    assert_eq!(plan.after(closed(4409), None), Ok(Pause::Forever));
}

#[test]
fn closes_that_retrying_cannot_mend_stop() {
    for code in [4400, 4403, 4406] {
        let stopped = StopReason::Closed { code, reason: "word".to_owned() };
        assert_eq!(plan().after(closed(code), None), Err(Some(stopped)));
    }
    let mut plan = plan();
    assert!(matches!(plan.after(closed(4401), None), Ok(Pause::For(_))));
    assert_eq!(plan.state_between(false), State::NeedsAuth);
}

#[test]
fn a_drain_is_honoured_and_retry_after_is_a_floor() {
    let at = Instant::now() + Duration::from_secs(40);
    let drained = Closed { code: Some(1012), reason: String::new() };
    let ended =
        Ended::Closed { closed: drained, lived: Some(Duration::ZERO), reconnect_at: Some(at) };
    let Ok(Pause::For(wait)) = plan().after(ended, None) else { panic!() };
    assert!(wait > Duration::from_secs(39) && wait <= Duration::from_secs(40));
    let held = Some(Duration::from_secs(33));
    for ended in [Ended::PollFailed { worked: false }, closed(1013), Ended::NotConnected] {
        assert!(matches!(plan().after(ended, held), Ok(Pause::For(wait)) if Some(wait) >= held));
    }
}

/// A poll that fails now and then is not what delays grow for.
#[test]
fn polls_that_worked_reset_the_delays() {
    let mut plan = plan();
    let mut after = |worked| match plan.after(Ended::PollFailed { worked }, None) {
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
        plan.after(closed(1011), None).unwrap();
    }
    let Ok(Pause::For(wait)) = plan.after(closed(1011), None) else { panic!() };
    assert!(wait >= Duration::from_secs(30), "{wait:?}");
    let closed = Closed { code: Some(1011), reason: String::new() };
    let ended = Ended::Closed { closed, lived: Some(Duration::from_secs(6)), reconnect_at: None };
    let Ok(Pause::For(wait)) = plan.after(ended, None) else { panic!() };
    assert!(wait <= Duration::from_millis(450), "{wait:?}");
}

/// Whatever closes a socket before `welcome` in the way of the transport: no
/// session begins, so polling does. Proxies say 1000, 1008, 1011, 1013.
#[test]
fn a_close_before_the_welcome_is_a_failed_attempt() {
    for code in [1000, 1001, 1008, 1011, 1012, 1013, 3000, 4408, 4429] {
        let mut plan = plan();
        for _ in 0..2 {
            assert!(matches!(plan.after(refused(code, ""), None), Ok(Pause::For(_))), "{code}");
        }
        assert_eq!(plan.after(refused(code, ""), None), Ok(Pause::None), "{code}");
        assert!(plan.is_polling_next(), "{code}");
    }
    assert!(plan().after(refused(4403, "forbidden"), None).is_err());
    assert!(plan().after(closed(3000), None).is_err(), "not by what let a session begin");
}

/// A wait that was asked for comes before polling, which then begins.
#[test]
fn polling_begins_after_the_wait_that_was_asked_for() {
    let held = Duration::from_mins(5);
    let mut plan = plan();
    for _ in 0..2 {
        plan.after(Ended::NotConnected, None).unwrap();
    }
    assert_eq!(plan.after(Ended::NotConnected, Some(held)), Ok(Pause::For(held)));
    assert!(plan.socket_due.unwrap() > Instant::now() + held, "polling comes first");
}

/// No place for this device: it comes again when it was told, or later.
#[test]
fn a_full_user_is_no_end() {
    let held = Some(Duration::from_secs(7));
    let mut plan = plan();
    for _ in 0..5 {
        let pause = plan.after(refused(4403, "too_many_devices"), held);
        assert!(matches!(pause, Ok(Pause::For(wait)) if Some(wait) >= held), "{pause:?}");
    }
    assert!(!plan.is_polling_next(), "polling would not help");
    let pause = plan.after(refused(4403, "too_many_devices"), None);
    assert_eq!(pause, Ok(Pause::For(Settings::default().retry_longest)));
}

/// A provider that gives the next token only after the end of the last one:
/// what worked in between is no row of failures.
#[test]
fn sessions_and_polls_that_ended_with_their_token_reset_the_delays() {
    let short = || {
        let closed = Closed { code: Some(4401), reason: "token_expired".to_owned() };
        Ended::Closed { closed, lived: Some(Duration::from_secs(2)), reconnect_at: None }
    };
    let polls = || Ended::Unauthorized { worked: true };
    for ended in [&short as &dyn Fn() -> Ended, &polls] {
        let mut plan = plan();
        for _ in 0..40 {
            let pause = plan.after(ended(), None);
            let Ok(Pause::For(wait)) = pause else { panic!("{pause:?}") };
            assert!(wait <= Duration::from_millis(450), "{wait:?}");
        }
    }
}
