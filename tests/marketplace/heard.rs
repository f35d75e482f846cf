//! What the marketplace says on its socket: what counts, what is left out,
//! and what is older than what is known.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::atom::skill_id;

use crate::marketplace::world::{Stage, World};
use crate::support::{Socket, eventually};

async fn stage() -> World {
    Stage::new().await.filled(20).with_socket().synced().await
}

/// The next entry of a device that has nothing else to come.
async fn entry(socket: &mut Socket) -> Value {
    socket.entries(1).await.remove(0)
}

/// Waits until so many messages have been dealt with.
async fn dealt_with(world: &World, result: &str, count: u64) {
    eventually("the messages", async || (world.messages(result).await >= count).then_some(()))
        .await;
    assert_eq!(world.messages(result).await, count);
}

/// Skills, categories and deletions, each one entry for devices.
#[tokio::test]
async fn updates_and_deletions_are_taken_in() {
    let world = stage().await;
    let (mut socket, _) = world.follow("phone").await;
    let id = skill_id(3);
    world.atom.edit_skill(&id, |skill| skill["description"] = json!("Changed."));
    world.atom.announce_skill(&id);
    let body = entry(&mut socket).await["body"].take();
    assert_eq!((&body["op"], &body["patch"]["description"]), (&json!("patch"), &json!("Changed.")));
    assert_eq!(world.skill(&id).await["data"], world.atom.skill(&id).unwrap());

    let mut category = world.atom.category("data").unwrap();
    category["description"] = json!("All about data");
    world.atom.put_category(category.clone());
    world.atom.announce_category("data");
    let said = entry(&mut socket).await;
    assert_eq!(said["kind"], "category");
    assert_eq!(said["body"]["patch"], json!({ "description": "All about data" }));

    world.atom.remove_skill(&id);
    world.atom.announce_delete(&id);
    let body = entry(&mut socket).await["body"].take();
    assert_eq!(body, json!({ "id": id, "version": 3, "op": "delete" }));
    assert_eq!(world.skill(&id).await, Value::Null);

    // A poll finds everything as the socket told it.
    let head = world.head().await;
    world.sync().await;
    assert_eq!(world.head().await, head, "socket and listing agree");
    world.assert_same(20).await;
}

/// A rating is an entry of its own; the skill stays at its version until a
/// listing has the new average.
#[tokio::test]
async fn a_rating_does_not_change_the_skill() {
    let world = stage().await;
    let (mut socket, _) = world.follow("phone").await;
    let id = skill_id(4);
    world.atom.announce_rating(&id, 5);
    let said = entry(&mut socket).await;
    let skill = world.atom.skill(&id).unwrap();
    assert_eq!(said["kind"], "rating");
    assert_eq!(
        said["body"],
        json!({
            "skill_id": id,
            "average_rating": skill["average_rating"],
            "rating_count": skill["rating_count"],
        })
    );
    assert_eq!(world.skill(&id).await["version"], 1);
    world.sync().await;
    let body = entry(&mut socket).await["body"].take();
    assert_eq!((&body["base_version"], &body["version"]), (&json!(1), &json!(2)));
    world.assert_same(20).await;

    // Of a skill that nobody knows: nothing.
    let unknown =
        json!({ "type": "rating_update", "data": { "skill_id": "unknown", "rating": 3 } });
    let head = world.head().await;
    world.atom.broadcast(unknown);
    dealt_with(&world, "taken", 2).await;
    assert_eq!(world.head().await, head);
}

/// Says `rating_update` of a skill with these figures.
fn say_rating(world: &World, id: &str, figures: &Value) {
    let mut data = json!({ "skill_id": id, "rating": 3 });
    for (name, value) in figures.as_object().unwrap() {
        data[name] = value.clone();
    }
    world.atom.broadcast(json!({ "type": "rating_update", "data": data }));
}

/// What a rating does not say is left out: a null would wipe what devices
/// know. One that says nothing is no entry.
#[tokio::test]
async fn a_rating_tells_only_what_was_said() {
    let world = stage().await;
    let (mut socket, _) = world.follow("phone").await;
    let id = skill_id(4);
    say_rating(&world, &id, &json!({}));
    say_rating(&world, &id, &json!({ "average_rating": null, "rating_count": "many" }));
    say_rating(&world, &id, &json!({ "rating_count": 9 }));
    let body = entry(&mut socket).await["body"].take();
    assert_eq!(body, json!({ "skill_id": id, "rating_count": 9 }));
    say_rating(&world, &id, &json!({ "average_rating": 3.5 }));
    let body = entry(&mut socket).await["body"].take();
    assert_eq!(body, json!({ "skill_id": id, "average_rating": 3.5 }));
    dealt_with(&world, "taken", 4).await;
}

/// A rating that comes late is dropped: older than the last one, also after a
/// restart, or than the skill, which has the average of its own time.
#[tokio::test]
async fn a_late_rating_never_overwrites_a_newer_one() {
    let mut world = stage().await;
    let (rated, edited) = (skill_id(4), skill_id(5));
    world.atom.skew_clock(-60_000);
    let a_minute_ago = world.atom.stamp();
    world.atom.skew_clock(0);
    let rating = |average: f64, at: &str| json!({ "average_rating": average, "updated_at": at });
    let head = world.head().await;
    say_rating(&world, &rated, &rating(4.7, &world.atom.stamp()));
    say_rating(&world, &rated, &rating(1.0, &a_minute_ago));
    world.atom.edit_skill(&edited, |skill| skill["version"] = json!("5.0.0"));
    world.atom.announce_skill(&edited);
    say_rating(&world, &edited, &rating(1.0, &a_minute_ago));
    dealt_with(&world, "taken", 4).await;
    eventually("both", async || (world.head().await == head + 2).then_some(())).await;

    world.gateway.stop().await;
    world.atom.sockets_gone().await;
    world.gateway.restart().await;
    world.atom.socket_connected().await;
    let (mut socket, _) = world.follow("phone").await;
    say_rating(&world, &rated, &rating(1.5, &a_minute_ago));
    // One without a time is as new as it came.
    say_rating(&world, &rated, &json!({ "average_rating": 4.6 }));
    assert_eq!(entry(&mut socket).await["body"]["average_rating"], 4.6);
    say_rating(&world, &rated, &rating(4.5, &world.atom.stamp()));
    assert_eq!(entry(&mut socket).await["body"]["average_rating"], 4.5);
    assert_eq!(world.skill(&rated).await["version"], 1, "a rating is no change of the skill");
}

/// What is older than what is known changes nothing, whatever it is.
#[tokio::test]
async fn older_news_never_overwrite_newer_ones() {
    let world = stage().await;
    let id = skill_id(5);
    let old = world.atom.skill(&id).unwrap();
    world.atom.edit_skill(&id, |skill| skill["version"] = json!("5.0.0"));
    world.atom.announce_skill(&id);
    world.skill_is(&id, |skill| skill["data"]["version"] == "5.0.0").await;
    let head = world.head().await;
    world.atom.broadcast(json!({ "type": "skill_update", "data": old }));
    let long_ago = json!({ "skill_id": id, "deleted_at": old["updated_at"] });
    world.atom.broadcast(json!({ "type": "skill_delete", "data": long_ago }));
    dealt_with(&world, "taken", 3).await;
    assert_eq!(world.skill(&id).await["data"], world.atom.skill(&id).unwrap());
    assert_eq!(world.head().await, head);

    // A listing that is behind the socket is as old.
    let new = world.atom.skill(&id).unwrap();
    world.atom.put_skill(old);
    world.sync().await;
    assert_eq!(world.skill(&id).await["data"], new);
    assert_eq!(world.head().await, head);
    world.atom.put_skill(new);
    world.sync().await;
    assert_eq!(world.head().await, head);
}

/// A deletion stands, whatever older update arrives after it.
#[tokio::test]
async fn an_older_update_does_not_bring_a_deleted_skill_back() {
    let world = stage().await;
    let id = skill_id(6);
    let old = world.atom.skill(&id).unwrap();
    world.atom.remove_skill(&id);
    world.atom.announce_delete(&id);
    world.skill_is(&id, Value::is_null).await;
    world.atom.broadcast(json!({ "type": "skill_update", "data": old }));
    dealt_with(&world, "taken", 2).await;
    assert_eq!(world.skill(&id).await, Value::Null);
    world.sync().await;
    assert_eq!(world.skill(&id).await, Value::Null);
}

/// A marketplace whose clock was a year ahead for a moment can change its
/// skills again once it is right.
#[tokio::test]
async fn a_time_from_the_future_does_not_freeze_a_skill() {
    let world = stage().await;
    let id = skill_id(7);
    world.atom.skew_clock(365 * 86_400_000);
    world.atom.edit_skill(&id, |skill| skill["version"] = json!("6.0.0"));
    world.atom.announce_skill(&id);
    world.skill_is(&id, |skill| skill["data"]["version"] == "6.0.0").await;
    world.atom.skew_clock(0);
    world.move_clock(Duration::from_mins(6));
    world.atom.edit_skill(&id, |skill| skill["version"] = json!("6.0.1"));
    world.atom.announce_skill(&id);
    world.skill_is(&id, |skill| skill["data"]["version"] == "6.0.1").await;
    world.atom.edit_skill(&id, |skill| skill["version"] = json!("6.0.2"));
    world.sync().await;
    world.assert_same(20).await;
}

/// What is not a valid message is counted and changes nothing, and the socket
/// stays: Atom's own client takes `true` for a rating.
#[tokio::test]
async fn invalid_messages_are_counted_and_change_nothing() {
    let world = stage().await;
    let (id, head) = (skill_id(8), world.head().await);
    let message = |kind: &str, data: Value| json!({ "type": kind, "data": data }).to_string();
    let rating =
        |rating: Value| message("rating_update", json!({ "skill_id": id, "rating": rating }));
    let large = message(
        "skill_update",
        json!({ "skill_id": id, "name": "Large", "code": "x".repeat(1_100_000) }),
    );
    let invalid = [
        "not JSON".to_owned(),
        "[]".to_owned(),
        json!({ "data": {} }).to_string(),
        json!({ "type": 7, "data": {} }).to_string(),
        json!({ "type": "skill_update" }).to_string(),
        message("skill_update", json!([])),
        message("skill_update", json!({ "skill_id": id })),
        message("skill_update", json!({ "name": "Nobody" })),
        message("category_update", json!({ "description": "of nothing" })),
        message("skill_delete", json!({})),
        message("rating_update", json!({ "rating": 3 })),
        rating(json!(0)),
        rating(json!(6)),
        rating(json!(true)),
        rating(json!(4.5)),
        rating(json!("5")),
        rating(Value::Null),
        large,
    ];
    let count = invalid.len() as u64;
    for text in invalid {
        world.atom.broadcast_text(text);
    }
    dealt_with(&world, "invalid", count).await;
    // From the future: no error, and nothing to do.
    world.atom.broadcast(json!({ "type": "workflow_update", "data": {} }));
    dealt_with(&world, "passed", 1).await;
    assert_eq!((world.head().await, world.messages("taken").await), (head, 0));
    world.assert_same(20).await;
    assert_eq!((world.atom.sockets(), world.atom.count("ws")), (1, 1), "the socket stays");
    world.atom.edit_skill(&id, |skill| skill["version"] = json!("7.0.0"));
    world.atom.announce_skill(&id);
    world.skill_is(&id, |skill| skill["data"]["version"] == "7.0.0").await;
}

/// A flood: what is beyond the limit is counted, and a poll soon after brings
/// it.
#[tokio::test]
async fn a_flood_is_cut_and_repaired() {
    let world = Stage::new().await.filled(150).with_socket().synced().await;
    for index in 0..150 {
        world.atom.edit_skill(&skill_id(index), |skill| skill["version"] = json!("8.0.0"));
    }
    for index in 0..150 {
        world.atom.announce_skill(&skill_id(index));
    }
    dealt_with(&world, "limited", 50).await;
    dealt_with(&world, "taken", 100).await;
    assert_eq!(world.ended(2).await["status"], "idle", "asked for by the cut");
    world.assert_same(150).await;
    assert_eq!(world.head().await, 158 + 150, "each change once");
    assert_eq!(world.atom.count("ws"), 1);
}
