//! Slices, and what comes back from a writer that could not write it.

use tidegate_protocol::id::{Epoch, Seq};

use super::*;

fn attempt(id: &str) -> Attempt {
    Attempt { id: CommandId::parse(id).unwrap(), number: 1, look_at: None }
}

#[test]
fn slices_hold_everything_once_and_deliveries_first() {
    let behind = Behind::new(Metrics::new());
    let device = |index: usize| DeviceKey {
        user_id: format!("u{index}"),
        device_id: "6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11".to_owned(),
    };
    let (stream, epoch) = (StreamName::parse("user:u").unwrap(), Epoch::parse("0a1b2c3d"));
    let cursor = Cursor { epoch: epoch.unwrap(), seq: Seq::new(1) };
    for index in 0..BEHIND_SLICE_ROWS {
        let command = || [attempt(&index.to_string())];
        let at = Timestamp::default();
        behind.sent(&device(index), command(), Channel::Socket, at);
        behind.ack_delivered(&device(index), &stream, cursor.clone(), command(), at);
        behind.seen(&device(index));
    }
    let first = behind.take_slice();
    assert_eq!((first.deliveries.len(), first.len()), (BEHIND_SLICE_ROWS, BEHIND_SLICE_ROWS));
    let is_whole = |delivery: &Delivery| delivery.socket.is_some() && delivery.acked.is_some();
    assert!(first.deliveries.values().all(is_whole), "sent and acked in one row");
    assert_eq!(behind.take_slice().acks.len(), BEHIND_SLICE_ROWS);
    assert_eq!(behind.take_slice().seen.len(), BEHIND_SLICE_ROWS);
    assert!(behind.is_empty());
}

#[test]
fn what_could_not_be_written_comes_first_and_newer_cursors_stay() {
    let behind = Behind::new(Metrics::new());
    let device = DeviceKey { user_id: "u".to_owned(), device_id: "d".to_owned() };
    let stream = StreamName::parse("user:u").unwrap();
    let cursor = |seq| Cursor { epoch: Epoch::parse("0a1b2c3d").unwrap(), seq: Seq::new(seq) };
    let sent = |id: &str| {
        behind.sent(&device, [attempt(id)], Channel::Socket, Timestamp::default());
    };
    sent("a");
    behind.ack(&device, &stream, cursor(1), Timestamp::default());
    let slice = behind.take_slice();
    sent("b");
    behind.ack_delivered(&device, &stream, cursor(2), [], Timestamp::default());
    behind.put_back(slice);
    let slice = behind.take_slice();
    let ids: Vec<&str> = slice.deliveries.keys().map(|key| key.command_id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    let acked = &slice.acks[&(device, stream)];
    assert_eq!(acked.cursor.seq, Seq::new(2));
    assert!(acked.look_up, "what the older ack passed is still to be looked up");
}
