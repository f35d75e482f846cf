//! A device holds what the gateway shows of its user's health.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_protocol::id::StreamName;

use crate::sdk::phone::Phone;
use crate::sdk::setup;
use crate::support::{Caller, Token, bounded};

/// Rows by kind and id, as a device holds them.
type Rows = BTreeMap<(String, String), Value>;

/// Connects once; what the device holds then.
async fn held(phone: &Phone, url: &str) -> Rows {
    let device = phone.open(url).await;
    bounded("one round", device.sync_once(0)).await.unwrap();
    let stream = StreamName::parse("user:u1").unwrap();
    let replica = device.replica(&stream).await.unwrap();
    device.close().await.unwrap();
    let row = |change: tidegate_device::handler::Change| {
        let data = serde_json::from_str(change.data.unwrap().get()).unwrap();
        ((change.kind, change.id), data)
    };
    replica.into_iter().map(row).collect()
}

/// What the gateway's lists show, as devices are told of it.
async fn shown(user: &Caller) -> Rows {
    let mut rows = Rows::new();
    for (path, kind, id) in [
        ("entries", "daily_entry", "date"),
        ("sleep", "sleep", "date"),
        ("activities?canonical=false", "activity", "id"),
    ] {
        let page = user.get(&format!("/api/v1/{path}")).await.expect(200);
        for mut row in page["items"].as_array().unwrap().clone() {
            if kind != "daily_entry" {
                row["op"] = json!("put");
            }
            rows.insert((kind.to_owned(), row[id].as_str().unwrap().to_owned()), row);
        }
    }
    rows
}

fn run(source: &str) -> Value {
    json!({ "source": source, "workouts": [{
        "workout_type": "running",
        "start_time": "2026-11-25T07:00:00Z", "end_time": "2026-11-25T07:30:00Z",
    }] })
}

/// From the journal and from a snapshot alike; what is deleted is gone there too.
#[tokio::test]
async fn a_replica_is_what_the_lists_show() {
    let gateway = setup().clock_at("2026-11-26T12:00:00Z").start().await;
    let (url, token) = (format!("http://{}", gateway.address()), Token::device("u1").sign());
    let phone = Phone::with_token(token.clone());
    let user = gateway.caller("user", &token).quiet();
    assert_eq!(held(&phone, &url).await, Rows::new());
    let night = |minutes: u32| json!({ "sleep_records": [{ "date": "2026-11-25", "total_sleep_minutes": minutes }] });
    let steps = |steps: u32| json!({ "steps": [{ "date": "2026-11-25", "total_steps": steps }] });
    let bodies = [
        ("steps", steps(4_000)),
        ("sleep", night(400)),
        ("workouts", run("health_connect")),
        ("workouts", run("apple_health")),
        ("steps", steps(5_000)),
        ("sleep", night(410)),
        ("entry", json!({ "date": "2026-11-25", "steps": 6_000 })),
    ];
    for (what, body) in bodies {
        user.post(&format!("/api/v1/ingest/{what}"), &body).await.expect(200);
        assert_eq!(held(&phone, &url).await, shown(&user).await);
    }
    let activities = user.get("/api/v1/activities").await.expect(200);
    let path = format!("/api/v1/activities/{}", activities["items"][0]["id"].as_str().unwrap());
    user.delete(&path).await.expect(204);
    let after = shown(&user).await;
    assert_eq!(after.len(), 3, "{after:?}");
    assert_eq!(held(&phone, &url).await, after);
    let another = Phone::with_token(token);
    assert_eq!(held(&another, &url).await, after);
}
