//! Random senders against the rules written out: in the end each list is what the
//! rules make of what was said, in whatever order it came, and a device that
//! followed the stream holds the same as one that begins anew.

use std::collections::BTreeMap;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use crate::health::world::{USER, World, patch};
use crate::seed;
use crate::support::{Device, Socket, cursor};

const ROUNDS: usize = 4;
const STEPS: usize = 50;
const SOURCES: [(&str, u32); 7] = [
    ("manual", 5),
    ("apple_health", 10),
    ("health_connect", 10),
    ("google_health", 9),
    ("oura", 9),
    ("strava", 8),
    ("fitbit", 7),
];

#[tokio::test]
async fn lists_and_devices_are_what_the_rules_make_of_it() {
    for seed in seed::rounds("random health data", ROUNDS) {
        seed::say(&seed::replay(seed));
        history(&mut seed::rng(seed)).await;
    }
}

async fn history(rng: &mut StdRng) {
    let mut world = World::start().await;
    let mut follower = Follower::begin(world.gateway.device("phone", USER)).await;
    for step in 0..STEPS {
        take(&world, rng).await;
        if step == STEPS / 2 {
            // What is in memory is gone; what was said stands.
            follower.follow(head(&world).await).await;
            world.restart().await;
            follower.resume(&world).await;
        }
    }
    follower.follow(head(&world).await).await;
    let mut held = follower.held;
    held.retain(|_, body| body["op"] != "delete");
    let all = world.pages("activities?canonical=false").await;
    check_walk(&all);
    let tablet = world.gateway.device("tablet", USER);
    let (mut socket, _) = tablet.open_with(&tablet.hello()).await;
    let mut anew = Held::new();
    for item in socket.snapshot().await {
        fold(&mut anew, &item);
    }
    assert_eq!(held, anew, "a device that followed, and one that begins anew");
    let count = |kind: &str| anew.keys().filter(|(known, _)| known == kind).count();
    assert_eq!(count("activity"), all.len());
    let days = world.pages("entries").await;
    assert_eq!(count("daily_entry"), days.len());
    for day in days {
        let key = ("daily_entry".to_owned(), day["date"].as_str().unwrap().to_owned());
        assert_eq!(anew[&key], day);
    }
    assert_eq!(count("sleep"), world.pages("sleep").await.len());
}

async fn head(world: &World) -> i64 {
    let probe = world.gateway.device("probe", USER);
    let (_socket, welcome) = probe.open_with(&probe.hello()).await;
    welcome["streams"][probe.stream()]["head"].as_i64().unwrap()
}

/// What is held, by kind and name.
type Held = BTreeMap<(String, String), Value>;

/// A device that holds what it was told.
struct Follower {
    device: Device,
    socket: Socket,
    epoch: Value,
    at: i64,
    held: Held,
}

impl Follower {
    async fn begin(device: Device) -> Self {
        let (mut socket, welcome) = device.open_with(&device.hello()).await;
        socket.snapshot().await;
        socket.quiet(true);
        let epoch = welcome["streams"][device.stream()]["epoch"].clone();
        Self { device, socket, epoch, at: 0, held: Held::new() }
    }

    /// Goes on, on a gateway that was started anew.
    async fn resume(&mut self, world: &World) {
        self.device = world.gateway.device_with_id("phone", USER, &self.device.id);
        let mut hello = self.device.hello();
        hello["cursors"] = cursor(&self.device.stream(), &self.epoch, self.at);
        let (socket, welcome) = self.device.open_with(&hello).await;
        let verdict = &welcome["streams"][self.device.stream()]["verdict"];
        assert_eq!(verdict, "resumed", "{welcome}");
        self.socket = socket;
        self.socket.quiet(true);
    }

    /// Takes what it is told, up to the head.
    async fn follow(&mut self, head: i64) {
        while self.at < head {
            let frame = self.socket.expect("events").await;
            self.at = frame["seq"].as_i64().unwrap();
            for entry in frame["entries"].as_array().unwrap() {
                fold(&mut self.held, entry);
            }
            self.socket.ack(&frame).await;
        }
    }
}

/// The rules of a replica: what is not newer is skipped.
fn fold(held: &mut Held, told: &Value) {
    let (kind, body) = (told["kind"].as_str().unwrap(), &told["body"]);
    let id = body.get("id").or_else(|| body.get("date")).unwrap().as_str().unwrap();
    let key = (kind.to_owned(), id.to_owned());
    let version = |body: &Value| body["version"].as_i64().unwrap();
    if let Some(known) = held.get(&key) {
        assert!(version(body) > version(known), "each entry is newer: {known} {body}");
    }
    held.insert(key, body.clone());
}

/// The rule of the walk, over what is listed.
fn check_walk(all: &[Value]) {
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let time = |one: &Value, name: &str| {
        chrono::DateTime::parse_from_rfc3339(&text(one, name)).unwrap().timestamp_millis()
    };
    let priority = |one: &Value| SOURCES.iter().find(|(name, _)| one["source"] == *name).unwrap().1;
    let elapsed = |one: &Value| one["elapsed_s"].as_i64().unwrap();
    let mut order: Vec<&Value> = all.iter().collect();
    order.sort_by_key(|one| {
        (
            -i64::from(priority(one)),
            -elapsed(one),
            time(one, "start"),
            text(one, "source"),
            text(one, "id"),
        )
    });
    let mut shown: Vec<&Value> = Vec::new();
    for one in order {
        let same = shown.iter().find(|other| {
            let begin = time(one, "start").max(time(other, "start"));
            let overlap_ms = time(one, "end").min(time(other, "end")) - begin;
            let shorter = elapsed(one).min(elapsed(other));
            one["source"] != other["source"] && shorter > 0 && overlap_ms * 2 > shorter * 1000
        });
        let expected = same.map_or(Value::Null, |other| other["id"].clone());
        assert_eq!(one["duplicate_of"], expected, "{one}");
        if same.is_none() {
            shown.push(one);
        }
    }
}

fn time(rng: &mut StdRng, minute: u32) -> String {
    let (hour, minute) = (minute / 60 % 24, minute % 60);
    match rng.random_range(0..3) {
        0 => format!("2026-11-25T{hour:02}:{minute:02}:00Z"),
        // The same instant, told from elsewhere.
        1 => format!("2026-11-25T{hour:02}:{minute:02}:00+00:00"),
        _ => {
            let day = if hour + 5 >= 24 { 26 } else { 25 };
            format!("2026-11-{day}T{:02}:{minute:02}:00+05:00", (hour + 5) % 24)
        }
    }
}

fn workout(rng: &mut StdRng) -> Value {
    let start = rng.random_range(0..600);
    let long = *[5, 10, 30, 30, 60, 200].choose(rng).unwrap();
    let mut workout = json!({
        "workout_type": *["running", "cycling", "57"].choose(rng).unwrap(),
        "start_time": time(rng, start),
        "end_time": time(rng, start + long),
    });
    if rng.random_bool(0.6) {
        workout["source_id"] = json!(rng.random_range(0..8));
    }
    workout
}

/// One thing that somebody says; what is refused for good reason is not looked at.
async fn take(world: &World, rng: &mut StdRng) {
    let source = SOURCES.choose(rng).unwrap().0;
    let ingest = |what: &str| format!("/api/v1/ingest/{what}?user_id={USER}");
    let date = format!("2026-11-{:02}", rng.random_range(23..26));
    match rng.random_range(0..10) {
        0..5 => {
            let count = rng.random_range(1..6);
            let workouts: Vec<Value> = (0..count).map(|_| workout(rng)).collect();
            let body = json!({ "source": source, "workouts": workouts });
            world.coach.post(&ingest("workouts"), &body).await.expect(200);
        }
        5 => {
            let body = json!({ "source": source, "deleted": [rng.random_range(0..8).to_string()] });
            world.coach.post(&ingest("workouts"), &body).await.expect(200);
        }
        6 => {
            let all = world.pages("activities?canonical=false").await;
            let Some(one) = all.choose(rng) else { return };
            let path = format!("/api/v1/activities/{}", one["id"].as_str().unwrap());
            assert_eq!(world.phone.delete(&path).await.status, 204);
        }
        7 => {
            let body = json!({
                "date": date, "source": source, "steps": rng.random_range(0..5),
                "weight_kg": rng.random_range(60..63),
            });
            world.coach.post(&ingest("entry"), &body).await.expect(200);
        }
        8 => {
            let value =
                if rng.random_bool(0.5) { json!(rng.random_range(0..5)) } else { Value::Null };
            let path = format!("/api/v1/entries/{date}");
            let status = patch(&world.phone, &path, &json!({ "steps": value })).await.status;
            assert!(status == 200 || (status == 404 && value.is_null()), "{status}");
        }
        _ => {
            let start = rng.random_range(0..300);
            let night = json!({
                "date": date, "total_sleep_minutes": rng.random_range(0..500),
                "sleep_start": time(rng, start), "sleep_end": time(rng, start + 60),
            });
            let body = json!({ "source": source, "sleep_records": [night] });
            world.coach.post(&ingest("sleep"), &body).await.expect(200);
        }
    }
}
