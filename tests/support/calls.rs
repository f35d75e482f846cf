//! Calls that many tests make on their way.

use serde_json::{Value, json};

use crate::support::http::Caller;
use crate::support::socket::Device;
use crate::support::wait::eventually;

impl Caller {
    /// Makes a command for any device of the user; its id.
    pub(crate) async fn make(&self, user: &str, data_type: &str) -> String {
        self.make_with(&json!({ "user_id": user, "data_type": data_type, "value": { "n": 1 } }))
            .await
    }

    /// Makes a command for one device; its id.
    pub(crate) async fn make_for(&self, device: &Device, data_type: &str) -> String {
        let (user, id) = (&device.user, &device.id);
        self.make_with(&json!({
            "user_id": user, "device_id": id, "data_type": data_type, "value": { "n": 1 },
        }))
        .await
    }

    /// Makes a command; its id.
    pub(crate) async fn make_with(&self, command: &Value) -> String {
        let accepted = self.post("/api/v1/commands", command).await.expect(202);
        accepted["command_id"].as_str().unwrap().to_owned()
    }

    /// Makes so many commands in one call, with values of this many bytes, not
    /// written down; their ids.
    pub(crate) async fn make_many(&self, user: &str, count: usize, bytes: usize) -> Vec<String> {
        let value = "x".repeat(bytes);
        let command =
            |n: usize| json!({ "user_id": user, "data_type": format!("t{n}"), "value": value });
        let mut ids = Vec::new();
        let numbers: Vec<usize> = (1..=count).collect();
        // A body holds 2 MiB.
        let per_call = (1_900_000 / (bytes + 100)).min(500);
        for chunk in numbers.chunks(per_call) {
            let commands: Vec<Value> = chunk.iter().map(|n| command(*n)).collect();
            let body = json!({ "commands": commands });
            let answer = self.quiet().post("/api/v1/commands/batch", &body).await.expect(207);
            ids.extend(answer["results"].as_array().unwrap().iter().map(|row| {
                assert_eq!(row["status"], 202, "{row}");
                row["command"]["command_id"].as_str().unwrap().to_owned()
            }));
        }
        ids
    }

    /// The command as it stands.
    pub(crate) async fn command(&self, id: &str) -> Value {
        self.quiet().get(&format!("/api/v1/commands/{id}")).await.expect(200)
    }

    /// The command's timeline once it has so many rows: some are written late.
    pub(crate) async fn timeline(&self, id: &str, rows: usize) -> Value {
        eventually("the timeline's rows", async || {
            let command = self.command(id).await;
            let count = command["timeline"].as_array().unwrap().len();
            assert!(count <= rows, "{command}");
            (count == rows).then_some(command)
        })
        .await
    }

    /// Publishes changes to a shared stream.
    pub(crate) async fn publish(&self, stream: &str, records: Value) -> Value {
        let path = format!("/api/v1/streams/{stream}/records");
        self.post(&path, &json!({ "records": records })).await.expect(202)
    }

    /// Registers the device.
    pub(crate) async fn register(&self, device: &Device) {
        let body = json!({ "device_id": device.id, "platform": "android" });
        self.quiet().post("/api/v1/devices/register", &body).await.expect(200);
    }
}

/// A `put` of a record in the collection `items`.
pub(crate) fn put(id: &str, data: &Value) -> Value {
    json!({ "collection": "items", "id": id, "op": "put", "data": data })
}

/// Cursors with this one position.
pub(crate) fn cursor(stream: &str, epoch: &Value, seq: i64) -> Value {
    json!({ stream: { "epoch": epoch, "seq": seq } })
}
