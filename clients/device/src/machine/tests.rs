//! The machine without a network: frames in, effects out.

use serde_json::json;
use tidegate_protocol::command::{Outcome, Platform, PushProvider, PushRegistration};
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::id::{DeviceId, Epoch, Seq};

use super::*;

const EPOCH: &str = "0a1b2c3d";
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn cursor(seq: i64) -> Cursor {
    Cursor { epoch: Epoch::parse(EPOCH).unwrap(), seq: Seq::new(seq) }
}

fn own() -> StreamName {
    StreamName::parse("user:u1").unwrap()
}

fn machine(held: Option<i64>) -> Machine {
    let device = HelloDevice {
        id: DeviceId::parse("6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11").unwrap(),
        platform: Platform::Ios,
        name: None,
        app_version: None,
        capabilities: None,
        push: None,
        wants_delta_push: None,
    };
    let encodings = vec![Encoding::Zstd, Encoding::DeflateRaw];
    let profile = Profile { device, subscribe: Vec::new(), encodings, heartbeat_s: None };
    let held = held.map(|seq| (own(), cursor(seq))).into_iter().collect();
    Machine::new(Arc::new(profile), held, Some(own()))
}

fn take(machine: &mut Machine, frame: &serde_json::Value) -> Vec<Effect> {
    machine.text(&frame.to_string())
}

fn welcome_to(stream: &str, verdict: &str, head: i64) -> serde_json::Value {
    json!({"type": "welcome", "session_id": "s", "heartbeat_s": 30, "encoding": "zstd",
        "device_id": "6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11",
        "server_time": Timestamp::from_millis(1_005_000),
        "limits": {"frame_bytes": 262_144, "entry_bytes": 131_072,
                   "page_entries": 200, "window_entries": 500},
        "streams": {stream: {"epoch": EPOCH, "head": head, "verdict": verdict}}})
}

/// A machine that resumed at `seq`.
fn live(seq: i64) -> Machine {
    let mut machine = machine(Some(seq));
    let effects = take(&mut machine, &welcome_to("user:u1", "resumed", seq));
    assert!(
        matches!(&effects[..], [Effect::Live(live)] if live.server_time == Timestamp::from_millis(1_005_000))
    );
    machine
}

fn events(prev: i64, seq: i64, entries: &[i64]) -> serde_json::Value {
    let entries: Vec<_> =
        entries.iter().map(|seq| json!({"seq": seq, "kind": "x", "at": NOW, "body": {}})).collect();
    json!({"type": "events", "stream": "user:u1", "epoch": EPOCH,
        "prev": prev, "seq": seq, "entries": entries})
}

fn snapshot(seq: i64, last: bool) -> serde_json::Value {
    json!({"type": "snapshot", "stream": "user:u1", "epoch": EPOCH,
        "seq": seq, "items": [], "last": last})
}

/// Applies the only page among the effects.
fn apply(machine: &mut Machine, effects: &[Effect]) {
    let [Effect::Apply(page)] = effects else { panic!("{effects:?}") };
    machine.applied(&page.receipt());
}

fn is_gap(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::Reconnect(Fault::Gap(stream))] if *stream == own())
}

#[test]
fn hello_names_what_is_held_and_no_token() {
    let hello: serde_json::Value = serde_json::from_str(&machine(Some(7)).hello()).unwrap();
    assert_eq!(hello["type"], "hello");
    assert_eq!(hello["protocol"], 1);
    assert_eq!(hello["cursors"]["user:u1"], json!({"epoch": EPOCH, "seq": 7}));
    assert_eq!(hello["encodings"], json!(["zstd", "deflate-raw"]));
    assert_eq!(hello.get("token"), None);
    assert_eq!(hello["device"].get("push"), None, "absent: unchanged");
}

#[test]
fn transcripts_show_no_push_token() {
    let mut machine = machine(None);
    let push = PushRegistration { provider: PushProvider::Fcm, token: "secret".to_owned() };
    Arc::get_mut(&mut machine.profile).unwrap().device.push = Some(Some(push));
    assert!(machine.hello().contains("secret"));
    assert!(!machine.hello_blanked().contains("secret"));
}

/// An ack claims only what the driver said is durable, and goes out once.
#[test]
fn acks_follow_what_is_durable() {
    let mut machine = live(0);
    let effects = take(&mut machine, &events(0, 3, &[1, 3]));
    assert_eq!(machine.take_ack(), None, "received is not durable");
    apply(&mut machine, &effects);
    assert_eq!(machine.ack_need(100), AckNeed::Soon);
    assert_eq!(machine.ack_need(2), AckNeed::Now);
    let ack: serde_json::Value = serde_json::from_str(&machine.take_ack().unwrap()).unwrap();
    assert_eq!(ack, json!({"type": "ack", "cursors": {"user:u1": {"epoch": EPOCH, "seq": 3}}}));
    assert_eq!(machine.take_ack(), None);
    assert_eq!(machine.ack_need(1), AckNeed::None);
}

#[test]
fn what_does_not_continue_is_a_gap() {
    for frame in [
        events(5, 6, &[6]),
        events(3, 5, &[5]),
        events(4, 3, &[]),
        events(4, 6, &[6, 5]),
        events(4, 6, &[4]),
        events(4, 6, &[7]),
    ] {
        assert!(is_gap(&take(&mut live(4), &frame)), "{frame}");
    }
    let mut other_epoch = events(4, 5, &[5]);
    other_epoch["epoch"] = json!("zzzzzzzz");
    assert!(is_gap(&take(&mut live(4), &other_epoch)));
    assert!(is_gap(&take(&mut live(4), &snapshot(9, true))), "a part would pass for the whole");
}

#[test]
fn empty_events_move_the_position() {
    let mut machine = live(4);
    let effects = take(&mut machine, &events(4, 9, &[]));
    apply(&mut machine, &effects);
    assert_eq!(machine.held()[&own()].seq, Seq::new(9));
    assert!(take(&mut machine, &events(9, 9, &[])).is_empty());
}

/// The cursor appears only with the last page; until then nothing is acked.
#[test]
fn a_snapshot_counts_when_its_last_page_is_durable() {
    let mut machine = machine(Some(2));
    take(&mut machine, &welcome_to("user:u1", "reset", 9));
    assert!(machine.held().is_empty(), "the old position is not claimed any more");
    let effects = take(&mut machine, &snapshot(9, false));
    assert!(matches!(&effects[..], [Effect::Apply(Page::Snapshot(page))] if page.first));
    apply(&mut machine, &effects);
    assert_eq!(machine.take_ack(), None);
    assert!(machine.held().is_empty(), "a cut here starts the snapshot anew");
    assert!(is_gap(&take(&mut machine, &events(9, 10, &[10]))), "no events before the last page");

    let effects = take(&mut machine, &snapshot(9, true));
    assert!(matches!(&effects[..], [Effect::Apply(Page::Snapshot(page))] if !page.first));
    apply(&mut machine, &effects);
    assert_eq!(machine.held()[&own()], cursor(9));
    assert!(machine.take_ack().is_some());
    let effects = take(&mut machine, &events(9, 10, &[10]));
    apply(&mut machine, &effects);
}

#[test]
fn a_resumed_stream_without_a_cursor_is_a_gap() {
    let effects = take(&mut machine(None), &welcome_to("user:u1", "resumed", 9));
    assert!(is_gap(&effects));
}

#[test]
fn a_store_of_another_user_is_refused() {
    let effects = take(&mut machine(None), &welcome_to("user:u2", "reset", 0));
    assert!(matches!(effects[..], [Effect::Stop(StopReason::StoreOfAnotherUser)]));
}

/// Behind at two pings in a row counts only with everything acked.
#[test]
fn a_zombie_session_is_left() {
    let ping = json!({"type": "ping", "heads": {"user:u1": 5}});
    let mut machine = live(4);
    assert!(matches!(take(&mut machine, &ping)[..], [Effect::Send(_)]));
    assert!(matches!(take(&mut machine, &ping)[..], [Effect::Reconnect(Fault::Behind)]));

    let mut machine = live(3);
    let effects = take(&mut machine, &events(3, 4, &[4]));
    apply(&mut machine, &effects);
    for _ in 0..3 {
        assert!(matches!(take(&mut machine, &ping)[..], [Effect::Send(_)]), "not acked yet");
    }
    machine.take_ack();
    assert!(matches!(take(&mut machine, &ping)[..], [Effect::Send(_)]));
    let effects = take(&mut machine, &events(4, 5, &[5]));
    apply(&mut machine, &effects);
    machine.take_ack();
    assert!(matches!(take(&mut machine, &ping)[..], [Effect::Send(_)]), "caught up");
}

#[test]
fn results_wait_for_their_answer() {
    let mut machine = live(0);
    let (first, second) = (CommandId::generate(), CommandId::generate());
    let result = |id: &CommandId| CommandResult {
        command_id: id.clone(),
        attempt: Some(2),
        status: Outcome::Applied,
        error: None,
        retryable: None,
    };
    assert_eq!(machine.results(Vec::new()), None);
    assert!(machine.results(vec![result(&first)]).is_some());
    assert_eq!(machine.results(vec![result(&second)]), None, "one batch at a time");
    let ok = |id: &CommandId| {
        json!({"type": "results_ok",
            "results": [{"command_id": id, "status": "applied", "accepted": true}]})
    };
    assert!(take(&mut machine, &ok(&second)).is_empty(), "never sent");
    let effects = take(&mut machine, &ok(&first));
    assert!(matches!(&effects[..], [Effect::Confirmed(rows)] if rows[0].attempt == 2));
    assert!(machine.can_send_results());
    machine.results(vec![result(&second)]);
    machine.forget_results_in_flight();
    assert!(machine.results(vec![result(&second)]).is_some(), "sent again after a time-out");
}

#[test]
fn other_frames_have_their_effects() {
    let mut machine = live(0);
    let drain = json!({"type": "drain", "reconnect_after_ms": 250});
    assert!(matches!(take(&mut machine, &drain)[..],
        [Effect::Drain(after)] if after == Duration::from_millis(250)));
    let expiring = json!({"type": "auth_expiring", "expires_at": NOW});
    assert!(matches!(take(&mut machine, &expiring)[..], [Effect::TokenWanted(NOW)]));
    let error = json!({"type": "error", "code": "unknown_type", "message": "m"});
    assert!(matches!(take(&mut machine, &error)[..], [Effect::Refused(_)]));
    assert!(take(&mut machine, &json!({"type": "confetti"})).is_empty(), "newer gateways");
    assert!(matches!(machine.text("[]")[..], [Effect::Reconnect(Fault::Unreadable)]));
}

#[test]
fn nothing_comes_before_the_welcome() {
    let effects = take(&mut machine(Some(4)), &events(4, 5, &[5]));
    assert!(matches!(effects[..], [Effect::Reconnect(Fault::OutOfOrder)]));
}

#[test]
fn binary_frames_need_the_agreed_encoding() {
    let text = events(0, 1, &[1]).to_string();
    let bytes = Encoding::Zstd.encode(&text).unwrap();
    assert_eq!(live(0).decode(&bytes).unwrap(), text);
    assert_eq!(live(0).decode(b"rubbish"), Err(Fault::Unreadable));
    assert_eq!(machine(None).decode(&bytes), Err(Fault::Unreadable), "nothing agreed yet");
}

/// An HTTP answer may repeat what is held; the rest is let through.
#[test]
fn polling_trims_what_is_held() {
    let frame = events(1, 4, &[2, 3, 4]).to_string();
    let Ok((ServerMessage::Events(page), _)) = ServerMessage::parse(&frame) else { panic!() };
    let mut streams = Streams::new([(own(), cursor(3))].into());
    let status = json!({"user:u1": {"epoch": EPOCH, "head": 4, "verdict": "resumed"}});
    streams.open(&serde_json::from_value(status).unwrap()).unwrap();
    let Ok(Some(Page::Events(page))) = streams.events(page, Overlap::Trimmed) else { panic!() };
    assert_eq!(page.entries.len(), 1);
    assert_eq!(page.cursor, cursor(4));
}

/// A snapshot over several polls goes on where it was, unless it began anew.
#[test]
fn polling_continues_its_snapshot() {
    let parse = |seq, last| match ServerMessage::parse(&snapshot(seq, last).to_string()) {
        Ok((ServerMessage::Snapshot(page), _)) => page,
        other => panic!("{other:?}"),
    };
    let status = json!({"user:u1": {"epoch": EPOCH, "head": 9, "verdict": "reset"}});
    let statuses = serde_json::from_value(status).unwrap();
    for (seq, is_first) in [(9, false), (10, true)] {
        let unfinished: Cursors = [(own(), cursor(9))].into();
        let mut streams = Streams::new(Cursors::new()).continuing(unfinished);
        streams.open(&statuses).unwrap();
        let page = streams.snapshot(parse(seq, true)).unwrap();
        assert!(matches!(page, Some(Page::Snapshot(page)) if page.first == is_first));
    }
}
