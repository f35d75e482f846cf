//! What devices are told of a change: as little as says it all, in order, and
//! soon.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::atom::skill_id;
use tidegate_protocol::encoding::Encoding;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::marketplace::world::{STREAM, Stage, World};
use crate::seed::say;
use crate::support::Socket;

/// A device with compression, past its snapshots.
async fn follow_packed(world: &World) -> Socket {
    let device = world.gateway.device("phone", "u1");
    let mut hello = device.hello();
    hello["subscribe"] = json!([STREAM]);
    hello["encodings"] = json!(["zstd"]);
    let mut socket = device.connect().await;
    socket.quiet(true);
    assert_eq!(socket.begin(&hello).await["encoding"], "zstd");
    socket.snapshot().await;
    socket.snapshot().await;
    socket
}

/// Takes so many entries, acks them, and counts the bytes of their frames as
/// they came over the wire.
async fn measured(socket: &mut Socket, count: usize) -> (Vec<Value>, usize) {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while entries.len() < count {
        let text = match socket.message().await {
            Message::Text(text) => {
                bytes += text.len();
                text.to_string()
            }
            Message::Binary(packed) => {
                bytes += packed.len();
                Encoding::Zstd.decode(&packed).unwrap()
            }
            other => panic!("{other:?}"),
        };
        let frame: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(frame["type"], "events");
        socket.ack(&frame).await;
        entries.extend(frame["entries"].as_array().unwrap().iter().cloned());
    }
    (entries, bytes)
}

/// One field of a thousand skills changes: a thousand patches, each on the
/// version that the device has, in a tenth of the bytes at most.
#[tokio::test]
async fn a_changed_field_is_a_patch() {
    const CHANGED: usize = 1_000;
    let world = Stage::new().await.filled(2_000).synced().await;
    let mut socket = follow_packed(&world).await;
    let head = world.head().await;
    for index in 0..CHANGED {
        let skill = world.atom.skill(&skill_id(index * 2)).unwrap();
        let mut changed = skill.clone();
        changed["rating_count"] = json!(skill["rating_count"].as_u64().unwrap() + 1);
        world.atom.put_skill(changed);
    }
    world.sync().await;
    let (entries, bytes) = measured(&mut socket, CHANGED).await;
    assert_eq!(world.head().await, head + 1_000);
    let mut whole = 0;
    for entry in &entries {
        let body = &entry["body"];
        assert_eq!((&entry["kind"], &body["op"]), (&json!("skill"), &json!("patch")), "{entry}");
        assert_eq!((&body["base_version"], &body["version"]), (&json!(1), &json!(2)), "{entry}");
        let now = world.atom.skill(body["id"].as_str().unwrap()).unwrap();
        assert_eq!(body["patch"], json!({ "rating_count": now["rating_count"] }));
        whole += now.to_string().len();
    }
    let share = 100 * bytes / whole;
    say(&format!(
        "deltas: {CHANGED} changed skills in {bytes} bytes; whole they have {whole} ({share} %)"
    ));
    assert!(bytes * 10 <= whole, "{bytes} of {whole} bytes");
    world.assert_same(2_000).await;
}

/// What the marketplace says on its socket reaches a device, in order.
#[tokio::test]
async fn updates_reach_a_device_in_order() {
    const UPDATES: usize = 200;
    let stage = Stage::new().await.filled(20).with_socket().set("ws_messages_per_s", "10000");
    let world = stage.synced().await;
    let (mut socket, items) = world.follow("phone").await;
    assert_eq!(items.len(), 28);
    let id = skill_id(7);
    let mut took = Vec::new();
    for turn in 0..UPDATES {
        world.atom.edit_skill(&id, |skill| skill["version"] = json!(format!("2.0.{turn}")));
        let said = Instant::now();
        world.atom.announce_skill(&id);
        let frame = socket.expect("events").await;
        took.push(said.elapsed());
        socket.ack(&frame).await;
        let body = &frame["entries"][0]["body"];
        assert_eq!(body["patch"]["version"], format!("2.0.{turn}"), "{frame}");
        assert_eq!(body["base_version"].as_u64(), u64::try_from(turn + 1).ok());
    }
    took.sort_unstable();
    let at = |percent: usize| took[(UPDATES - 1) * percent / 100];
    let worst = took.last().copied().unwrap_or(Duration::ZERO);
    say(&format!(
        "updates: {UPDATES} from the marketplace to a device, p50 {:?}, p99 {:?}, most {worst:?}",
        at(50),
        at(99)
    ));
    world.assert_same(20).await;
    assert_eq!(world.messages("taken").await, 200);
}
