//! Upstream has a rating of the same user already, or takes one twice.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;

use crate::market::world::World;
use crate::support::{Token, eventually};

/// Puts a rating upstream that this user left elsewhere.
fn elsewhere(world: &World, user: &str, rating: u8) {
    world.atom.put_rating(json!({
        "skill_id": "s1",
        "user_id": user,
        "rating": rating,
        "comment": "from elsewhere",
        "created_at": world.atom.stamp(),
    }));
}

/// The conflict of a user's rating, as that user sees it.
async fn conflict_of(world: &World, user: &str) -> Value {
    let path = format!("/api/v1/conflicts?subject=rating:s1:{user}");
    let caller = world.caller(&Token::device(user));
    eventually("the conflict", async || {
        let page = caller.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() < 2, "{page}");
        items.first().cloned()
    })
    .await
}

/// The newer rating is upstream's: it takes the place of ours, and the user
/// is told.
#[tokio::test]
async fn a_newer_rating_upstream_replaces_ours() {
    let world = World::start().await;
    let mut own = world.gateway.device("phone", "u1").open().await;
    let mut other = world.gateway.device("tablet", "u2").open().await;
    world.rate("u1", "s1", &json!({ "rating": 5 })).await.expect(202);
    world.pass(Duration::from_mins(1));
    elsewhere(&world, "u1", 2);
    world.upload_all().await;
    assert!(world.failed().await.is_empty());
    let entry = own.entries(1).await.remove(0);
    let conflict = conflict_of(&world, "u1").await;
    assert_eq!(entry["body"]["subject"], "rating:s1:u1");
    assert_eq!(entry["body"]["conflict_id"], conflict["conflict_id"]);
    assert_eq!((&conflict["status"], &conflict["losers"]), (&json!("resolved"), &json!(["local"])));
    assert_eq!(conflict["strategy"], "newest_wins");
    assert_eq!(conflict["result"]["data"], json!({ "rating": 2, "comment": "from elsewhere" }));
    assert_eq!(conflict["local"]["data"], json!({ "rating": 5, "comment": null }));
    other.expect_nothing_pending().await;
    // Taken back, ours waits for a person: upstream takes no second rating.
    let restored = world.restore(&conflict, "local", 1).await.expect(200);
    assert!(restored["restored_at"].is_string(), "{restored}");
    let told = own.entries(1).await.remove(0);
    assert_eq!(told["body"]["conflict_id"], conflict["conflict_id"]);
    assert_eq!(told["body"]["restored_at"], restored["restored_at"]);
    let failed = world.failed().await;
    assert_eq!(failed.len(), 1);
    let words = ["rating", "error_message"].map(|word| failed[0][word].clone());
    assert_eq!(words, [json!(5), json!("update_not_supported")]);
    assert_eq!(world.atom.count("rate"), 1);
}

/// The newer rating is ours: upstream takes no second one, so that it waits
/// for a person.
#[tokio::test]
async fn a_newer_rating_of_ours_is_a_dead_letter() {
    let world = World::start().await;
    elsewhere(&world, "u1", 2);
    world.pass(Duration::from_mins(1));
    world.rate("u1", "s1", &json!({ "rating": 5 })).await.expect(202);
    world.upload_all().await;
    let failed = world.failed().await;
    assert_eq!(failed.len(), 1);
    let words = ["user_id", "rating", "error_message", "retry_count"];
    let row = words.map(|word| failed[0][word].clone());
    assert_eq!(row, [json!("u1"), json!(5), json!("update_not_supported"), json!(1)]);
    assert_eq!(conflict_of(&world, "u1").await["losers"], json!(["remote"]));
}

/// The same rating twice is no conflict.
#[tokio::test]
async fn the_same_rating_is_no_conflict() {
    let world = World::start().await;
    elsewhere(&world, "u1", 2);
    let same = json!({ "rating": 2, "comment": "from elsewhere" });
    world.rate("u1", "s1", &same).await.expect(202);
    world.upload_all().await;
    assert!(world.failed().await.is_empty());
    let conflicts = world.admin.get("/api/v1/conflicts").await.expect(200);
    assert_eq!(conflicts["items"], json!([]));
}

/// An answer that was lost on its way does not double the rating, and is no
/// failure.
#[tokio::test]
async fn a_lost_answer_does_not_double_a_rating() {
    let world = World::start().await;
    world.rate("u1", "s1", &json!({ "rating": 5 })).await.expect(202);
    world.atom.script().extend("rate", [Answer::OkThenDrop]);
    world.try_upload("u1", "s1").await;
    assert_eq!(world.atom.ratings().len(), 1);
    world.pass(Duration::from_mins(30));
    world.upload_all().await;
    assert_eq!(world.atom.ratings().len(), 1);
    assert!(world.failed().await.is_empty());
    let conflicts = world.admin.get("/api/v1/conflicts").await.expect(200);
    assert_eq!(conflicts["items"], json!([]));
}

/// Who rates again while the first rating is on its way is not forgotten.
#[tokio::test]
async fn rating_again_during_an_upload_is_not_lost() {
    let world = World::start().await;
    world.rate("u1", "s1", &json!({ "rating": 3 })).await.expect(202);
    world.atom.script().extend("rate", [Answer::Slow(Duration::from_millis(500))]);
    world.upload().await;
    world.atom.request_seen("rate", 1).await;
    world.rate("u1", "s1", &json!({ "rating": 5 })).await.expect(202);
    world.atom.request_seen("rate", 2).await;
    world.upload_all().await;
    // Upstream has the first and takes no second one: that is said, not lost.
    let failed = world.failed().await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["rating"], 5);
    assert_eq!(world.atom.ratings()[0]["rating"], 3);
}

/// What upstream says of ratings goes to devices, and is no change of the
/// skill.
#[tokio::test]
async fn devices_hear_what_ratings_come_to() {
    let world = World::with_socket().await;
    let mut phone = world.follower("u1").await;
    world.atom.announce_rating("s1", 5);
    let entry = phone.entries(1).await.remove(0);
    assert_eq!(entry["kind"], "rating");
    let counted = world.atom.skill("s1").unwrap();
    assert_eq!(entry["body"]["average_rating"], counted["average_rating"]);
    assert_eq!(entry["body"]["rating_count"], counted["rating_count"]);
    assert_eq!(world.skill("s1").await["version"], 1);
}

/// What the socket told of ratings is what reads and new devices get, at the same
/// version; until upstream lists other figures.
#[tokio::test]
async fn reads_and_snapshots_carry_the_newest_rating() {
    let world = World::with_socket().await;
    let mut phone = world.follower("u1").await;
    let before = world.admin.get("/api/v1/marketplace/skills/s1").await;
    let told = json!({ "average_rating": 3.2, "rating_count": 41 });
    world.atom.broadcast(json!({ "type": "rating_update", "data": {
        "skill_id": "s1", "rating": 1, "average_rating": 3.2, "rating_count": 40,
    } }));
    // Only the count: the average stays as it was told.
    world.atom.broadcast(json!({ "type": "rating_update", "data": {
        "skill_id": "s1", "rating": 3, "rating_count": 41, "updated_at": world.atom.stamp(),
    } }));
    assert_eq!(phone.entries(2).await[1]["body"]["rating_count"], 41);
    let figures = |data: &Value| json!({ "average_rating": data["average_rating"], "rating_count": data["rating_count"] });
    let is_shown = async || {
        let item = world.skill("s1").await;
        assert_eq!((&item["version"], figures(&item["data"])), (&json!(1), told.clone()));
        let page = world.admin.get("/api/v1/marketplace/skills?query=send").await.expect(200);
        assert_eq!(figures(&page["items"][0]["data"]), told);
        let device = world.gateway.device("tablet", "u2");
        let mut hello = device.hello();
        hello["subscribe"] = json!(["marketplace"]);
        let (mut socket, _) = device.open_with(&hello).await;
        socket.snapshot().await;
        let items = socket.snapshot().await;
        let item = items.iter().find(|item| item["body"]["id"] == "s1").unwrap();
        assert_eq!(
            (&item["body"]["version"], figures(&item["body"]["data"])),
            (&json!(1), told.clone())
        );
    };
    is_shown().await;
    let after = world.admin.get("/api/v1/marketplace/skills/s1").await;
    assert_ne!(before.header("etag"), after.header("etag"));
    // A listing without news of it, and one that is older than the rating.
    world.sync().await;
    is_shown().await;
    phone.expect_nothing_pending().await;
    // A local edit keeps them, and tells them to all.
    let edited = world.edit("s1", json!({ "description": "edited" })).await;
    assert_eq!((&edited["version"], figures(&edited["data"])), (&json!(2), told.clone()));
    let body = phone.entries(1).await[0]["body"].clone();
    assert_eq!((&body["op"], figures(&body["patch"])), (&json!("patch"), told.clone()));
    // Upstream lists other figures: these are newer.
    let mut listed = world.atom.skill("s1").unwrap();
    (listed["average_rating"], listed["rating_count"]) = (json!(3.5), json!(43));
    world.atom.put_skill(listed);
    world.sync().await;
    let expected = json!({ "average_rating": 3.5, "rating_count": 43 });
    let item = world.skill("s1").await;
    assert_eq!(figures(&item["data"]), expected);
    let body = phone.entries(1).await[0]["body"].clone();
    assert_eq!((&body["base_version"], figures(&body["patch"])), (&json!(2), expected));
    assert_eq!(body["version"], item["version"]);
}

/// Where a person decides, one question stands at a time: who rates again takes
/// the older one back, and who says what upstream has takes back all.
#[tokio::test]
async fn rating_again_takes_the_open_question_back() {
    let files = tempfile::TempDir::new().unwrap();
    let rules = files.path().join("rules.toml");
    std::fs::write(&rules, "[rating]\nstrategy = \"manual\"\n").unwrap();
    let path = rules.to_str().unwrap().to_owned();
    let world = World::with(|setup, _| setup.set("conflicts.rules_file", &path)).await;
    elsewhere(&world, "u1", 2);
    let all = async |status: &str| {
        let path = format!("/api/v1/conflicts?subject=rating:s1:u1&status={status}");
        let page = world.admin.get(&path).await.expect(200);
        page["items"].as_array().unwrap().clone()
    };
    for (ended, rating) in [5, 4, 3, 5].into_iter().enumerate() {
        world.rate("u1", "s1", &json!({ "rating": rating })).await.expect(202);
        world.upload_all().await;
        let open = all("open").await;
        assert_eq!((open.len(), all("resolved").await.len()), (1, ended), "{open:?}");
        assert_eq!(open[0]["local"]["data"]["rating"], rating);
    }
    // The same once more, by a person's retry: it is asked already.
    let failed = world.failed().await.remove(0)["id"].as_str().unwrap().to_owned();
    let retry = format!("/api/v1/admin/ratings/failed/{failed}/retry");
    world.admin.post(&retry, &json!({})).await.expect(202);
    world.upload_all().await;
    assert_eq!((all("open").await.len(), all("resolved").await.len()), (1, 3));
    let conflict = all("open").await.remove(0);
    let remote = json!({ "choice": "remote", "expected_remote_version": 1 });
    world.resolve(&conflict, &remote).await.expect(200);
    // Decided or not, the next word is a new question.
    world.rate("u1", "s1", &json!({ "rating": 5 })).await.expect(202);
    world.upload_all().await;
    assert_eq!((all("open").await.len(), all("resolved").await.len()), (1, 4));
    let same = json!({ "rating": 2, "comment": "from elsewhere" });
    world.rate("u1", "s1", &same).await.expect(202);
    world.upload_all().await;
    assert_eq!((all("open").await.len(), all("resolved").await.len()), (0, 5));
    assert!(world.failed().await.is_empty());
}
