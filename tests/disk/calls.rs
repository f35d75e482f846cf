//! One call of each kind that writes, and what it must answer while nothing
//! can be written.

use serde_json::{Value, json};

use crate::disk::world::World;
use crate::support::{Answer, Device};

/// What calls need that was there before.
pub(super) struct Before {
    pub(super) phone: Device,
    /// Commands that wait for their end.
    pub(super) waiting: [String; 2],
}

impl Before {
    /// Registers a device of a user of its own, and makes commands for it.
    pub(super) async fn make(world: &World, user: &str) -> Self {
        let phone = world.device(user);
        world.calls_of(&phone).register(&phone).await;
        let backend = world.backend();
        let waiting = [backend.make(user, "steps").await, backend.make(user, "weight").await];
        Self { phone, waiting }
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
    vec![
        ("command", backend.post("/api/v1/commands", &command(&phone.user)).await),
        (
            "command with a key",
            backend.clone().with_key("k").post("/api/v1/commands", &command(&phone.user)).await,
        ),
        (
            "publish",
            backend.post("/api/v1/streams/news/records", &json!({ "records": [record] })).await,
        ),
        ("cancel", backend.delete(&format!("/api/v1/commands/{cancelled}")).await),
        ("results", calls.post("/api/v1/sync/results", &results).await),
        ("register", calls.post("/api/v1/devices/register", &register).await),
        ("poll of a new stream", calls.get(&poll).await),
        ("delete a device", calls.delete(&delete).await),
    ]
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

/// Calls that only read, and what is written late, go on.
pub(super) async fn reads_go_on(world: &World, before: &Before) {
    let (backend, calls) = (world.backend(), world.calls_of(&before.phone));
    let (user, device) = (&before.phone.user, &before.phone.id);
    for id in &before.waiting {
        backend.get(&format!("/api/v1/commands/{id}")).await.expect(200);
    }
    backend.get(&format!("/api/v1/commands?user_id={user}")).await.expect(200);
    backend.get(&format!("/api/v1/users/{user}/devices")).await.expect(200);
    calls.get("/api/v1/devices").await.expect(200);
    let poll = calls.get(&format!("/api/v1/sync/poll?device_id={device}")).await;
    let cursors = poll.clone().expect(200)["streams"].clone();
    let stream = format!("user:{user}");
    let cursor = json!({ "epoch": cursors[&stream]["epoch"], "seq": 0 });
    let ack = json!({ "device_id": device, "cursors": { stream: cursor } });
    calls.post("/api/v1/sync/ack", &ack).await.expect(200);
}
