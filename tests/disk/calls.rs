//! One call of each kind that writes, and what it must answer while nothing
//! can be written.

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};

use crate::disk::world::World;
use crate::support::{Answer, Device};

/// What calls need that was there before.
pub(super) struct Before {
    pub(super) phone: Device,
    /// Commands that wait for their end.
    pub(super) waiting: [String; 2],
    /// The epoch of the user's stream.
    epoch: Value,
}

impl Before {
    /// Registers a device of a user of its own, and makes commands for it.
    pub(super) async fn make(world: &World, user: &str) -> Self {
        let phone = world.device(user);
        world.calls_of(&phone).register(&phone).await;
        let backend = world.backend();
        let waiting = [backend.make(user, "steps").await, backend.make(user, "weight").await];
        let poll = format!("/api/v1/sync/poll?device_id={}", phone.id);
        let streams = world.calls_of(&phone).get(&poll).await.expect(200)["streams"].clone();
        let epoch = streams[phone.stream()]["epoch"].clone();
        Self { phone, waiting, epoch }
    }
}

fn command(user: &str) -> Value {
    json!({ "user_id": user, "data_type": "steps", "value": { "n": 1 } })
}

/// Every call that writes: what it is, and its answer.
pub(super) async fn writes(world: &World, before: &Before) -> Vec<(&'static str, Answer)> {
    let (backend, phone) = (world.backend(), &before.phone);
    let (calls, other) = (world.calls_of(phone), world.device(&phone.user));
    let [reported, cancelled] = &before.waiting;
    let record = json!({ "collection": "items", "id": "a", "op": "put", "data": { "n": 1 } });
    let result = json!({ "command_id": reported, "status": "applied" });
    let results = json!({ "device_id": phone.id, "results": [result] });
    let register = json!({ "device_id": other.id, "platform": "ios" });
    let poll = format!("/api/v1/sync/poll?device_id={}&subscribe=news", phone.id);
    let delete = format!("/api/v1/devices/{}", phone.id);
    let commands = "/api/v1/commands";
    let command = command(&phone.user);
    let records = json!({ "records": [record] });
    let cancel = format!("/api/v1/commands/{cancelled}");
    let with_key = backend.clone().with_key("k");
    // At the same time: where each waits for a deadline they wait together.
    let calls: Vec<(_, BoxFuture<'_, Answer>)> = vec![
        ("command", backend.post(commands, &command).boxed()),
        ("command with a key", with_key.post(commands, &command).boxed()),
        ("publish", backend.post("/api/v1/streams/news/records", &records).boxed()),
        ("cancel", backend.delete(&cancel).boxed()),
        ("results", calls.post("/api/v1/sync/results", &results).boxed()),
        ("register", calls.post("/api/v1/devices/register", &register).boxed()),
        ("poll of a new stream", calls.get(&poll).boxed()),
        ("delete a device", calls.delete(&delete).boxed()),
    ];
    join_all(calls.into_iter().map(async |(what, call)| (what, call.await))).await
}

/// Requires that a call was refused as one that may be tried again.
pub(super) fn is_refused(what: &str, answer: &Answer) {
    let text = String::from_utf8_lossy(&answer.bytes);
    assert_eq!(answer.status.as_u16(), 503, "{what}: {text}");
    assert_eq!(answer.body["error"]["code"], "unavailable", "{what}: {text}");
    let retry_s = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok());
    assert!(retry_s.is_some_and(|seconds| seconds > 0), "{what}: no Retry-After");
}

/// While nothing can be written every call that writes answers 503, each row of
/// a batch too, the socket says so, and nothing answers 500.
pub(super) async fn all_are_refused(world: &World, before: &Before) {
    for (what, answer) in writes(world, before).await {
        is_refused(what, &answer);
    }
    let body = json!({ "commands": [command(&before.phone.user), command("another")] });
    let answer = world.backend().post("/api/v1/commands/batch", &body).await;
    if answer.status.as_u16() == 207 {
        for row in answer.body["results"].as_array().unwrap() {
            assert_eq!(row["status"], 503, "{row}");
        }
    } else {
        is_refused("batch", &answer);
    }
    a_socket_is_refused(world).await;
}

/// A device that says hello hears that it should come back.
async fn a_socket_is_refused(world: &World) {
    let phone = world.device("u-hello");
    let mut socket = phone.connect().await;
    socket.send(&phone.hello()).await;
    let error = socket.expect("error").await;
    assert_eq!(error["code"], "unavailable", "{error}");
    assert!(error["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0), "{error}");
}

/// Calls that only read, go on. A poll and an ack make sure that their
/// streams exist, and may be refused.
pub(super) async fn reads_go_on(world: &World, before: &Before) {
    let (backend, calls) = (world.backend(), world.calls_of(&before.phone));
    let (user, device) = (&before.phone.user, &before.phone.id);
    for id in &before.waiting {
        backend.get(&format!("/api/v1/commands/{id}")).await.expect(200);
    }
    backend.get(&format!("/api/v1/commands?user_id={user}")).await.expect(200);
    backend.get(&format!("/api/v1/users/{user}/devices")).await.expect(200);
    calls.get("/api/v1/devices").await.expect(200);
    let cursor = json!({ before.phone.stream(): { "epoch": before.epoch, "seq": 0 } });
    let body = json!({ "device_id": device, "cursors": cursor });
    let ack = calls.post("/api/v1/sync/ack", &body).await;
    let poll = calls.get(&format!("/api/v1/sync/poll?device_id={device}")).await;
    for (what, answer) in [("ack", ack), ("poll", poll)] {
        if answer.status.as_u16() != 200 {
            is_refused(what, &answer);
        }
    }
}
