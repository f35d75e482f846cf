//! Proves that a position that no longer means anything is never mistaken for
//! one that does: after a restore, after trimming, and while a session lags.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::app::epochs;
use tidegate::store;

use crate::support::{Caller, Device, Gateway, Setup, eventually};

/// Entries kept by the settings of these tests, the fewest allowed.
const KEPT: i64 = 100;

fn trimming() -> Setup {
    Setup::new().set("journal.retention_entries", "100").set("journal.trim_interval_s", "1")
}

/// The stream's head and the highest position removed.
async fn head(gateway: &Gateway, stream: &str) -> (i64, i64) {
    let readers = gateway.running().state().store.readers();
    let heads = store::head::load(readers, &[stream.to_owned()]).await.unwrap();
    (heads[stream].seq, heads[stream].trimmed)
}

async fn until_trimmed(gateway: &Gateway, stream: &str, upto: i64) {
    let trimmed = async || (head(gateway, stream).await.1 == upto).then_some(());
    eventually("the journal is trimmed", trimmed).await;
}

/// `hello` with one cursor in the user's own stream.
fn hello_at(device: &Device, epoch: &Value, seq: i64) -> Value {
    let mut hello = device.hello();
    hello["cursors"] = json!({ device.stream(): { "epoch": epoch, "seq": seq } });
    hello
}

fn expect_reset(welcome: &Value, stream: &str, reason: &str) {
    let status = &welcome["streams"][stream];
    assert_eq!((&status["verdict"], &status["reason"]), (&json!("reset"), &json!(reason)));
}

async fn poll(caller: &Caller, device: &Device, query: &str) -> Value {
    let path = format!("/api/v1/sync/poll?device_id={}&{query}", device.id);
    caller.get(&path).await.expect(200)
}

/// `tidegate renew-epochs`: every old cursor begins anew, on every way in, in
/// every stream; without it every one goes on.
#[tokio::test]
async fn renewed_epochs_end_every_old_cursor() {
    let mut gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let mut hello = phone.hello();
    hello["subscribe"] = json!(["news"]);
    let (mut socket, welcome) = phone.open_with(&hello).await;
    socket.snapshot().await;
    socket.snapshot().await;
    let id = gateway.backend().make("u1", "steps").await;
    socket.entries(1).await;
    drop(socket);
    let cursors: Value = ["user:u1", "news"]
        .map(|name| {
            let seq = i64::from(name == "user:u1");
            (name, json!({ "epoch": welcome["streams"][name]["epoch"], "seq": seq }))
        })
        .into_iter()
        .collect();
    hello["cursors"] = cursors.clone();
    let polled = poll(&gateway.calls_of(&phone), &phone, "subscribe=news").await;
    let opaque = format!("subscribe=news&cursor={}", polled["cursor"].as_str().unwrap());

    gateway.restart().await;
    let phone = gateway.device_with_id("phone", "u1", &phone.id);
    let (socket, welcome) = phone.open_with(&hello).await;
    for status in welcome["streams"].as_object().unwrap().values() {
        assert_eq!(status["verdict"], "resumed", "a restart alone changes nothing");
    }
    drop(socket);

    gateway.stop().await;
    assert_eq!(epochs::renew(gateway.config()).await.unwrap(), 2);
    gateway.restart().await;
    let phone = gateway.device_with_id("phone", "u1", &phone.id);
    let calls = gateway.calls_of(&phone);
    for (name, cursor) in cursors.as_object().unwrap() {
        let body = json!({ "device_id": phone.id, "cursors": { name: cursor } });
        calls.post("/api/v1/sync/ack", &body).await.expect_error(409, "epoch_changed");
    }
    let answer = poll(&calls, &phone, &opaque).await;
    let (mut socket, welcome) = phone.open_with(&hello).await;
    for name in ["user:u1", "news"] {
        expect_reset(&answer, name, "epoch_changed");
        expect_reset(&welcome, name, "epoch_changed");
    }
    let items = socket.snapshot().await;
    assert_eq!(items[0]["body"]["command_id"], json!(id), "current state is still there");
    socket.snapshot().await;
    gateway.backend().make("u1", "steps").await;
    let events = socket.expect("events").await;
    assert_eq!((&events["prev"], &events["seq"]), (&json!(1), &json!(2)), "positions go on");
}

/// By count: exactly the positions that were removed begin anew, the next one
/// resumes with everything after it.
#[tokio::test]
async fn trimming_by_count_resets_exactly_what_it_removed() {
    let gateway = trimming().start().await;
    let phone = gateway.device("phone", "u1");
    let (mut socket, welcome) = phone.open_with(&phone.hello()).await;
    let epoch = welcome["streams"]["user:u1"]["epoch"].clone();
    socket.snapshot().await;
    socket.close().await;
    gateway.backend().make_many("u1", 150, 10).await;
    until_trimmed(&gateway, "user:u1", 150 - KEPT).await;

    for seq in [0, 1, 49] {
        let (mut socket, welcome) = phone.open_with(&hello_at(&phone, &epoch, seq)).await;
        expect_reset(&welcome, "user:u1", "trimmed");
        assert_eq!(socket.snapshot().await.len(), 150, "nothing that matters was removed");
    }
    for seq in [50, 51, 149] {
        let (mut socket, welcome) = phone.open_with(&hello_at(&phone, &epoch, seq)).await;
        assert_eq!(welcome["streams"]["user:u1"]["verdict"], "resumed");
        let entries = socket.entries(usize::try_from(150 - seq).unwrap()).await;
        assert_eq!(entries[0]["seq"], json!(seq + 1));
    }
    let calls = gateway.calls_of(&phone).quiet();
    for (seq, verdict, frame) in [(49, "reset", "snapshot"), (50, "resumed", "events")] {
        let cursors = format!(
            "cursors=%7B%22user:u1%22:%7B%22epoch%22:{},%22seq%22:{seq}%7D%7D",
            epoch.to_string().replace('"', "%22")
        );
        let answer = poll(&calls, &phone, &cursors).await;
        assert_eq!(answer["streams"]["user:u1"]["verdict"], verdict);
        assert_eq!(answer["frames"][0]["type"], frame);
    }
}

/// By age: what is older than the retention goes, whatever else stays.
#[tokio::test]
async fn trimming_by_age_follows_the_clock() {
    let gateway = trimming().set("journal.retention_h", "1").start().await;
    let phone = gateway.device("phone", "u1");
    let (mut socket, welcome) = phone.open_with(&phone.hello()).await;
    let epoch = welcome["streams"]["user:u1"]["epoch"].clone();
    socket.snapshot().await;
    socket.close().await;
    let backend = gateway.backend();
    let first = backend.make("u1", "steps").await;
    backend.make("u1", "steps").await;
    cancel(&backend, &first).await;
    gateway.move_clock(Duration::from_mins(59));
    let last = backend.make("u1", "steps").await;
    gateway.move_clock(Duration::from_mins(2));
    until_trimmed(&gateway, "user:u1", 3).await;
    let (_, welcome) = phone.open_with(&hello_at(&phone, &epoch, 2)).await;
    expect_reset(&welcome, "user:u1", "trimmed");
    let (mut socket, _) = phone.open_with(&hello_at(&phone, &epoch, 3)).await;
    assert_eq!(socket.entries(1).await[0]["seq"], 4);
    drop(socket);

    cancel(&backend, &last).await;
    gateway.move_clock(Duration::from_hours(2));
    until_trimmed(&gateway, "user:u1", 5).await;
    let (_, welcome) = phone.open_with(&hello_at(&phone, &epoch, 5)).await;
    assert_eq!(welcome["streams"]["user:u1"]["verdict"], "resumed", "it lacks nothing");
    backend.make("u1", "steps").await;
    // More, where the jump made another attempt due.
    assert!(head(&gateway, "user:u1").await.0 >= 6, "positions go on");
}

/// What was removed was given out: positions go on after it, also where nothing
/// of the stream is left and the gateway begins anew.
#[tokio::test]
async fn positions_go_on_after_everything_was_removed() {
    let setup = trimming().set("journal.retention_h", "1").set("journal.command_retention_d", "1");
    let mut gateway = setup.start().await;
    for made in 1..=2 {
        let backend = gateway.backend();
        let id = backend.make("u1", "steps").await;
        cancel(&backend, &id).await;
        gateway.move_clock(Duration::from_hours(49));
        until_trimmed(&gateway, "user:u1", 2 * made).await;
        let backend = gateway.backend();
        let path = format!("/api/v1/commands/{id}");
        let gone = async || (backend.get(&path).await.status == 404).then_some(());
        eventually("the command is forgotten", gone).await;
        gateway.restart().await;
        assert_eq!(head(&gateway, "user:u1").await, (2 * made, 2 * made));
    }
}

/// Its end is an entry; the command itself is its row, which stays.
async fn cancel(backend: &Caller, id: &str) {
    backend.delete(&format!("/api/v1/commands/{id}")).await.expect(200);
}

/// A session that holds its window full while the journal is trimmed past it
/// is closed, and resumes into the reset: never a gap.
#[tokio::test]
async fn a_session_that_is_overtaken_is_closed() {
    let gateway = trimming().start().await;
    let phone = gateway.device("phone", "u1");
    let (mut socket, welcome) = phone.open_with(&phone.hello()).await;
    let epoch = welcome["streams"]["user:u1"]["epoch"].clone();
    socket.snapshot().await;
    socket.quiet(true);
    gateway.backend().make_many("u1", 1000, 10).await;
    let mut events = json!(null);
    let mut taken = 0;
    while taken < 500 {
        events = socket.expect("events").await;
        taken += events["entries"].as_array().unwrap().len();
    }
    assert_eq!(taken, 500, "the window is full");
    until_trimmed(&gateway, "user:u1", 1000 - KEPT).await;
    socket.expect_nothing_pending().await;
    socket.ack(&events).await;
    socket.expect_close(4410, "overtaken").await;

    let (mut socket, welcome) = phone.open_with(&hello_at(&phone, &epoch, 500)).await;
    socket.quiet(true);
    expect_reset(&welcome, "user:u1", "trimmed");
    assert_eq!(socket.snapshot().await.len(), 1000);
}
