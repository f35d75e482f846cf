//! The tier's decisions, one promise a test.

use tidegate_entity::device::Capabilities;
use tidegate_protocol::command::{CommandStatus, Platform, Priority, PushProvider};
use tidegate_protocol::rest::PushState;

use super::*;
use crate::push::bucket::tests::wake;

fn options() -> PlanOptions {
    PlanOptions {
        result_timeout_ms: 10_000,
        backoff: Waits::new(&[2_000, 4_000, 8_000, 16_000, 32_000], JITTER),
        refusal_backoff: Waits::new(&[60_000, 300_000], JITTER),
        inline: true,
    }
}

fn device() -> device::Model {
    device::Model {
        user_id: "u".to_owned(),
        device_id: "d".to_owned(),
        platform: Platform::Android,
        name: None,
        app_version: None,
        capabilities: Capabilities::default(),
        push_provider: Some(PushProvider::Fcm),
        push_token: Some("token".to_owned()),
        push_token_hash: None,
        push_state: PushState::Active,
        push_error: None,
        push_refreshed_at: Some(0),
        wants_delta_push: true,
        created_at: 0,
        last_seen_at: 0,
    }
}

fn command(created_at: i64, priority: Priority) -> command::Model {
    command::Model {
        id: CommandId::generate().to_string(),
        user_id: "u".to_owned(),
        device_id: None,
        data_type: "steps".to_owned(),
        value: "{\"count\":1}".to_owned(),
        priority,
        requires: None,
        status: CommandStatus::Pending,
        open: true,
        attempt: 1,
        seq: 1,
        last_seq: 7,
        created_at,
        expires_at: created_at + 3_600_000,
        closed_at: None,
        due_at: created_at + 3_600_000,
        decided_by: None,
        decided_attempt: None,
        decided_error: None,
        pushed_by: None,
    }
}

fn look<'a>(
    wake: &'a push_wake::Model,
    device: &'a device::Model,
    waiting: &'a [command::Model],
    now_ms: i64,
) -> Look<'a> {
    let now = Timestamp::from_millis(now_ms);
    Look { wake, device: Some(device), waiting, online_for: None, delta: None, now }
}

#[test]
fn an_absent_device_is_woken_with_its_one_command_inside() {
    let (wake, device, waiting) = (wake(), device(), [command(0, Priority::Normal)]);
    let Plan::Send(order) = plan(&look(&wake, &device, &waiting, 1_000), &options()) else {
        panic!("not sent")
    };
    assert!(order.wake.command.is_some());
    assert_eq!((order.urgency, order.ttl.get()), (Urgency::High, 3_599));
    let quiet = PlanOptions { inline: false, ..options() };
    let Plan::Send(order) = plan(&look(&wake, &device, &waiting, 1_000), &quiet) else {
        panic!("not sent")
    };
    assert!(order.wake.command.is_none(), "no value passes through a provider");
}

#[test]
fn several_commands_make_one_hint_and_low_ones_are_not_urgent() {
    let (wake, device) = (wake(), device());
    let waiting = [command(0, Priority::Low), command(5, Priority::Low)];
    let Plan::Send(order) = plan(&look(&wake, &device, &waiting, 1_000), &options()) else {
        panic!("not sent")
    };
    assert!(order.wake.command.is_none());
    assert_eq!((order.urgency, order.commands.len()), (Urgency::Normal, 2));
}

#[test]
fn a_device_that_just_connected_is_left_to_its_socket() {
    let (wake, device, waiting) = (wake(), device(), [command(0, Priority::High)]);
    let just =
        Look { online_for: Some(Duration::from_secs(1)), ..look(&wake, &device, &waiting, 60_000) };
    assert!(matches!(plan(&just, &options()), Plan::Later(69_000)));
    let long = Look { online_for: Some(Duration::from_secs(11)), ..just };
    assert!(matches!(plan(&long, &options()), Plan::Send(_)), "a session that gives no result");
}

#[test]
fn nothing_waiting_or_no_token_is_nothing_to_do() {
    let (wake, mut device) = (wake(), device());
    assert!(matches!(plan(&look(&wake, &device, &[], 1_000), &options()), Plan::Idle));
    device.push_token = None;
    let waiting = [command(0, Priority::High)];
    assert!(matches!(plan(&look(&wake, &device, &waiting, 1_000), &options()), Plan::Idle));
}

#[test]
fn a_send_that_went_well_is_repeated_once_and_then_left_to_the_poll() {
    let (mut wake, device, waiting) = (wake(), device(), [command(0, Priority::High)]);
    let now = Timestamp::from_millis(1_000);
    settle(&mut wake, Outcome::Taken, false, &options(), now, 0.0);
    assert_eq!(wake.due_at, 21_000);
    settle(&mut wake, Outcome::Taken, false, &options(), now, 0.0);
    assert_eq!(wake.due_at, NEVER);
    assert!(matches!(plan(&look(&wake, &device, &waiting, 99_000), &options()), Plan::Idle));
}

#[test]
fn failed_sends_follow_the_schedule_and_the_floor_and_end() {
    let mut wake = wake();
    let now = Timestamp::from_millis(0);
    let soon = Outcome::Later { floor: Duration::ZERO };
    let mut waits = Vec::new();
    for _ in 0..6 {
        settle(&mut wake, soon, false, &options(), now, 0.0);
        waits.push(wake.due_at);
    }
    assert_eq!(waits, [2_000, 4_000, 8_000, 16_000, 32_000, NEVER]);
    let later = Outcome::Later { floor: Duration::from_mins(1) };
    settle(&mut wake, later, false, &options(), now, 1.0);
    assert_eq!((wake.due_at, wake.not_before), (60_000, 60_000));
}

#[test]
fn data_wakes_only_the_absent_and_never_urgently() {
    let (mut wake, device) = (wake(), device());
    let news = (StreamName::parse("news").unwrap(), Seq::new(9));
    let absent = Look { delta: Some(&news), ..look(&wake, &device, &[], 1_000) };
    let Plan::Send(order) = plan(&absent, &options()) else { panic!("not sent") };
    assert!(order.is_delta && order.urgency == Urgency::Normal);
    let present = Look { online_for: Some(Duration::ZERO), ..absent };
    assert!(matches!(plan(&present, &options()), Plan::Idle));
    settle(&mut wake, Outcome::Taken, true, &options(), Timestamp::from_millis(5), 0.0);
    assert_eq!((wake.delta_sent_at, wake.due_at), (Some(5), NEVER));
}

#[test]
fn a_refused_token_backs_off_alone_and_the_last_refusal_is_known() {
    let mut wake = wake();
    let now = Timestamp::from_millis(0);
    for expected in [60_000, 300_000] {
        assert!(!is_last_refusal(&wake, &options()));
        settle(&mut wake, Outcome::TokenRefused, false, &options(), now, 0.0);
        assert_eq!((wake.due_at, wake.not_before), (expected, expected));
    }
    assert!(is_last_refusal(&wake, &options()));
    let wait = Duration::from_secs(5);
    settle(&mut wake, Outcome::ServiceRefused { wait }, false, &options(), now, 0.0);
    assert_eq!((wake.due_at, wake.refusals), (5_000, 2), "not the token's fault");
    settle(&mut wake, Outcome::Taken, false, &options(), now, 0.0);
    assert_eq!(wake.refusals, 0);
}

#[test]
fn a_command_from_a_clock_that_was_ahead_does_not_wait_for_its_time() {
    let (wake, device, waiting) = (wake(), device(), [command(1_000_000_000, Priority::High)]);
    let online = Some(Duration::from_secs(11));
    let look = Look { online_for: online, ..look(&wake, &device, &waiting, 60_000) };
    assert!(matches!(plan(&look, &options()), Plan::Later(70_000)));
}

#[test]
fn no_wait_is_longer_than_the_longest() {
    let longest = options().longest_wait_ms([Duration::ZERO; 3]);
    assert_eq!(longest, 375_000);
    let others = [Duration::ZERO, Duration::from_hours(1), Duration::ZERO];
    assert_eq!(options().longest_wait_ms(others), 3_600_000);
}
