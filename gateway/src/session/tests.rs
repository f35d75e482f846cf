//! The machine driven without sockets or a database: every property here is a
//! promise of the protocol.

use std::cell::Cell;
use std::rc::Rc;

use proptest::prelude::*;
use tidegate_protocol::id::Epoch;

use super::*;

/// How far the streams of a test have come.
#[derive(Clone, Debug, Default)]
struct Known(Rc<Cell<i64>>);

impl Head for Known {
    fn head(&self) -> Seq {
        Seq::new(self.0.get())
    }
}

fn at_head(head: i64) -> Known {
    Known(Rc::new(Cell::new(head)))
}

fn options() -> Arc<SessionOptions> {
    Arc::new(SessionOptions {
        ack_timeout_ms: 60_000,
        auth_warning_ms: 60_000,
        frames_per_second: 100,
        frames_burst: 200,
    })
}

fn at(mono_ms: u64) -> Moment {
    let wall = i64::try_from(mono_ms).unwrap();
    Moment { mono_ms, wall: Timestamp::from_millis(wall) }
}

fn id(name: &str) -> StreamId {
    StreamId { name: StreamName::parse(name).unwrap(), epoch: Epoch::parse("aaaaaaaa").unwrap() }
}

fn session() -> Session<Known> {
    let far = Timestamp::from_millis(i64::MAX / 2);
    Session::new(options(), 30_000, far, at(0))
}

fn live(name: &str, after: i64, head: &Known) -> StreamState<Known> {
    let window = Window::from(Seq::new(after));
    StreamState::resumed(id(name), Seq::new(after), window, head.clone())
}

fn frame(prev: i64, seqs: std::ops::RangeInclusive<i64>) -> EventsFrame {
    let mut frame = EventsFrame::build(&id("user:u"), Seq::new(prev), Seq::new(*seqs.end()), &[]);
    frame.entries = seqs.map(|seq| (Seq::new(seq), 100)).collect();
    frame
}

fn cursors(name: &str, seq: i64) -> Cursors {
    let id = id(name);
    Cursors::from([(id.name, Cursor { epoch: id.epoch, seq: Seq::new(seq) })])
}

#[test]
fn the_own_stream_goes_before_shared_ones() {
    let mut session = session();
    session.follow(live("user:u", 0, &at_head(5)));
    session.follow(live("news", 0, &at_head(5)));
    let plan = session.next_read(at(0)).unwrap();
    assert_eq!(plan.index, 0);
    session.read(0, Seq::new(5), None);
    let plan = session.next_read(at(0)).unwrap();
    assert_eq!(plan.index, 1);
}

#[test]
fn an_ack_beyond_what_was_sent_ends_the_session() {
    let mut session = session();
    session.follow(live("user:u", 3, &at_head(3)));
    assert!(session.ack(cursors("user:u", 3)).unwrap().is_empty(), "nothing new");
    assert_eq!(session.ack(cursors("user:u", 4)), Err(CloseReason::AckBeyondSent));
    assert!(session.ack(cursors("other", 99)).unwrap().is_empty(), "not followed");
}

#[test]
fn an_ack_for_a_stream_in_reset_ends_the_session() {
    let mut session = session();
    session.follow(StreamState::reset(id("user:u"), Seq::new(7), Window::new(), at_head(7)));
    assert_eq!(session.ack(cursors("user:u", 0)), Err(CloseReason::AckBeyondSent));
    session.read_snapshot(0, None);
    assert_eq!(session.ack(cursors("user:u", 7)).unwrap().len(), 1);
}

#[test]
fn a_full_window_stops_the_stream_and_then_the_session() {
    let mut session = session();
    session.follow(live("user:u", 0, &at_head(501)));
    let frame = frame(0, 1..=500);
    session.read(0, Seq::new(500), Some(&frame));
    session.heard(at(1_000));
    assert_eq!(session.next_read(at(1_000)), None);
    session.heard(at(60_999));
    session.due(at(60_999));
    assert_ne!(session.due(at(60_999)), Some(Due::Close(CloseReason::AckTimeout)));
    assert_eq!(session.due(at(61_000)), Some(Due::Close(CloseReason::AckTimeout)));
    session.ack(cursors("user:u", 1)).unwrap();
    assert_ne!(session.due(at(61_000)), Some(Due::Close(CloseReason::AckTimeout)));
    assert!(session.next_read(at(61_000)).is_some());
}

#[test]
fn silence_for_two_heartbeats_ends_the_session() {
    let mut session = session();
    assert_eq!(session.due(at(30_000)), Some(Due::Heartbeat));
    assert_eq!(session.due(at(30_000)), None);
    assert_eq!(session.due(at(60_000)), Some(Due::Close(CloseReason::HeartbeatTimeout)));
}

#[test]
fn a_token_is_warned_of_and_then_ends_the_session() {
    let mut session =
        Session::<Known>::new(options(), 300_000, Timestamp::from_millis(150_000), at(0));
    assert_eq!(session.due_in_ms(at(0)), 90_000);
    assert_eq!(session.due(at(90_000)), Some(Due::AuthExpiring));
    assert_eq!(session.due(at(90_000)), None);
    assert_eq!(session.due(at(150_000)), Some(Due::Close(CloseReason::TokenExpired)));
    session.renew_token(Timestamp::from_millis(900_000), at(150_000));
    assert_eq!(session.due(at(150_000)), None);
}

/// What a client does when it is warned.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Sends a new token that lives as long.
    Renews,
    /// Sends the same token again.
    Repeats,
    /// Says nothing.
    Stays,
}

/// Lets time jump from one thing that is due to the next. When the warnings
/// came and when the session was closed, both in milliseconds.
fn warnings(life_ms: u64, answer: Answer, until_ms: u64) -> (Vec<u64>, Option<u64>) {
    let ends = |at_ms: u64| Timestamp::from_millis(i64::try_from(at_ms + life_ms).unwrap());
    let mut session = Session::<Known>::new(options(), 30_000, ends(0), at(0));
    let (mut now_ms, mut warned) = (0, Vec::new());
    loop {
        now_ms += session.due_in_ms(at(now_ms));
        if now_ms > until_ms {
            return (warned, None);
        }
        session.heard(at(now_ms));
        while let Some(due) = session.due(at(now_ms)) {
            match (due, answer) {
                (Due::Close(reason), _) => {
                    assert_eq!(reason, CloseReason::TokenExpired);
                    return (warned, Some(now_ms));
                }
                (Due::AuthExpiring, answer) => {
                    warned.push(now_ms);
                    assert!(warned.len() <= 1_000, "a loop");
                    match answer {
                        Answer::Renews => session.renew_token(ends(now_ms), at(now_ms)),
                        Answer::Repeats => session.renew_token(ends(0), at(now_ms)),
                        Answer::Stays => {}
                    }
                }
                (Due::Heartbeat, _) => {}
            }
        }
    }
}

/// A token of a minute that was warned of as soon as it was accepted, and so
/// its successor, made a loop of frames without a pause.
#[test]
fn every_token_is_warned_of_once_however_short_it_lives() {
    for life_s in 2..=60 {
        let life_ms = life_s * 1000;
        let (warned, closed) = warnings(life_ms, Answer::Renews, 20 * life_ms);
        let halves: Vec<u64> = (1..=40).map(|count| count * life_ms / 2).collect();
        assert_eq!((warned, closed), (halves, None), "{life_s} s");
        for answer in [Answer::Repeats, Answer::Stays] {
            let ended = warnings(life_ms, answer, 20 * life_ms);
            assert_eq!(ended, (vec![life_ms / 2], Some(life_ms)), "{life_s} s, {answer:?}");
        }
    }
    let hour_ms = 3_600_000;
    assert_eq!(warnings(hour_ms, Answer::Stays, hour_ms), (vec![hour_ms - 60_000], Some(hour_ms)));
}

#[test]
fn silent_positions_are_announced_once() {
    let mut session = session();
    session.follow(live("user:u", 2, &at_head(9)));
    session.read(0, Seq::new(9), None);
    let announced = session.announce();
    assert_eq!(announced.len(), 1);
    assert_eq!((announced[0].1, announced[0].2), (Seq::new(2), Seq::new(9)));
    assert!(session.announce().is_empty());
}

/// One step of a client, a journal or time.
#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Deliver,
    Ack(u8),
    Announce,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        any::<u8>().prop_map(Step::Append),
        Just(Step::Deliver),
        any::<u8>().prop_map(Step::Ack),
        Just(Step::Announce),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// acked ≤ sent ≤ read ≤ head, frames join without a gap, and the window
    /// never holds more than it may.
    #[test]
    fn positions_stay_in_order(steps in steps()) {
        let mut session = session();
        let known = at_head(0);
        session.follow(live("user:u", 0, &known));
        let mut announced = Seq::ZERO;
        for step in steps {
            match step {
                Step::Append(count) => known.0.set(known.0.get() + i64::from(count)),
                Step::Deliver => {
                    let plan = session.next_read(at(0));
                    let Some(ReadPlan { what: ReadWhat::Events(room), .. }) = plan else { continue };
                    let read = session.streams()[0].read.get();
                    let upto = known.0.get().min(read + i64::try_from(room.entries).unwrap());
                    // Every third page concerns nobody here.
                    if upto % 3 == 0 {
                        session.read(0, Seq::new(upto), None);
                        continue;
                    }
                    let prev = session.streams()[0].sent;
                    prop_assert_eq!(prev, announced);
                    let frame = frame(prev.get(), read + 1..=upto);
                    session.read(0, Seq::new(upto), Some(&frame));
                    announced = frame.seq;
                }
                Step::Ack(part) => {
                    let sent = session.streams()[0].sent.get();
                    let seq = sent * i64::from(part) / 255;
                    prop_assert!(session.ack(cursors("user:u", seq)).is_ok());
                }
                Step::Announce => {
                    for (_, prev, seq) in session.announce() {
                        prop_assert_eq!(prev, announced);
                        announced = seq;
                    }
                }
            }
            let stream = &session.streams()[0];
            prop_assert!(stream.window.acked() <= stream.sent);
            prop_assert!(stream.sent <= stream.read);
            prop_assert!(stream.read <= known.head());
            prop_assert!(stream.window.unacked() <= tidegate_protocol::limits::WINDOW_ENTRIES);
        }
    }
}
