//! Ratings: taken, uploaded in batches, tried again, given up.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::store;
use tidegate_fakes::atom::answer::Answer;

use crate::market::world::{World, skill};
use crate::support::{Setup, Token, check, eventually};

const INTERVAL: Duration = Duration::from_mins(30);

/// How the upload of a rating stands.
#[derive(Debug)]
struct Stored {
    tried_at: Option<i64>,
    retries: i64,
    due_at: i64,
}

impl Stored {
    /// How long after it was tried it is tried again.
    fn wait_ms(&self) -> i64 {
        self.due_at - self.tried_at.unwrap()
    }
}

impl World {
    pub(super) async fn rate(&self, user: &str, id: &str, body: &Value) -> crate::support::Answer {
        let path = format!("/api/v1/marketplace/skills/{id}/rate");
        self.caller(&Token::device(user)).post(&path, body).await
    }

    /// Asks for an upload; how many wait.
    pub(super) async fn upload(&self) -> i64 {
        let asked = self.admin.post("/api/v1/admin/sync/ratings", &json!({})).await.expect(202);
        asked["pending_count"].as_i64().unwrap()
    }

    /// Uploads what waits, until nothing does.
    pub(super) async fn upload_all(&self) {
        self.upload().await;
        let readers = self.gateway.running().state().store.readers();
        eventually("the uploads", async || {
            let waiting =
                store::rating::count(readers, store::rating::UploadState::Pending).await.unwrap();
            (waiting == 0).then_some(())
        })
        .await;
    }

    /// How the upload of a rating stands.
    async fn stored(&self, user: &str, id: &str) -> Stored {
        let tx = self.gateway.running().state().store.begin_write().await.unwrap();
        let row = store::rating::lock(&tx, id, user).await.unwrap().unwrap();
        tx.rollback().await;
        Stored { tried_at: row.last_try_at, retries: row.retry_count, due_at: row.due_at }
    }

    /// Uploads what waits, and waits until this rating was tried once more.
    pub(super) async fn try_upload(&self, user: &str, id: &str) {
        let before = self.stored(user, id).await.tried_at;
        self.upload().await;
        eventually("an attempt", async || {
            (self.stored(user, id).await.tried_at != before).then_some(())
        })
        .await;
    }

    pub(super) async fn failed(&self) -> Vec<Value> {
        let page = self.admin.get("/api/v1/admin/ratings/failed").await.expect(200);
        page["items"].as_array().unwrap().clone()
    }
}

/// A rating is taken at once and uploaded with the next batch, once.
#[tokio::test]
async fn ratings_are_taken_and_uploaded() {
    let world = World::start().await;
    world.shown();
    let taken = world.rate("u1", "s1", &json!({ "rating": 5, "comment": "très bien" })).await;
    world.show("a rating", &taken.expect(202));
    let bare = world.rate("u2", "s1", &json!({ "rating": 1 })).await.expect(202);
    assert_eq!(bare["comment"], Value::Null);
    world.rate("u1", "s2", &json!({ "rating": 3, "comment": "" })).await.expect(202);
    assert_eq!(world.upload().await, 3);
    world.atom.request_seen("rate", 3).await;
    world.upload_all().await;
    let mut uploaded: Vec<_> = world
        .atom
        .ratings()
        .iter()
        .map(|rating| ["user_id", "skill_id", "rating", "comment"].map(|f| rating[f].to_string()))
        .collect();
    uploaded.sort();
    assert_eq!(
        uploaded,
        [
            ["\"u1\"", "\"s1\"", "5", "\"très bien\""],
            ["\"u1\"", "\"s2\"", "3", "null"],
            ["\"u2\"", "\"s1\"", "1", "null"],
        ]
    );
    assert_eq!(world.atom.count("rate"), 3, "each once");
    assert_eq!(world.skill("s1").await["version"], 1, "a rating is no edit");
    let wrong = world.rate("u1", "s1", &json!({ "rating": 6 })).await;
    world.show("no rating", &wrong.body);
    check!("rating", world.shown());
}

/// What is no rating is refused, and named.
#[tokio::test]
async fn wrong_ratings_are_refused() {
    let world = World::start().await;
    let long = "é".repeat(1_001);
    for (body, field) in [
        (json!({ "rating": 0 }), "rating"),
        (json!({ "rating": 6 }), "rating"),
        (json!({ "rating": -1 }), "rating"),
        (json!({ "rating": 257 }), "rating"),
        (json!({ "rating": 4.5 }), "rating"),
        (json!({ "rating": "5" }), "rating"),
        (json!({ "rating": true }), "rating"),
        (json!({ "rating": null }), "rating"),
        (json!({}), "rating"),
        (json!({ "rating": 5, "comment": long }), "comment"),
        (json!({ "rating": 5, "comment": 7 }), "comment"),
    ] {
        let error = world.rate("u1", "s1", &body).await.expect_error(422, "invalid");
        assert_eq!(error["details"][0]["field"], field, "{body}: {error}");
    }
    let fits = json!({ "rating": 5, "comment": "é".repeat(1_000) });
    world.rate("u1", "s1", &fits).await.expect(202);
    let good = json!({ "rating": 5 });
    world.rate("u1", "nobody", &good).await.expect_error(404, "not_found");
    let stranger = world.admin.clone().without_token();
    let path = "/api/v1/marketplace/skills/s1/rate";
    stranger.post(path, &good).await.expect_error(401, "unauthenticated");
    for token in [Token::service("backend"), Token::admin("root")] {
        world.caller(&token).post(path, &good).await.expect(202);
    }
}

/// Who rates again before the upload replaces the rating, under its id.
#[tokio::test]
async fn the_last_word_before_the_upload_counts() {
    let world = World::start().await;
    let first = world.rate("u1", "s1", &json!({ "rating": 2, "comment": "no" })).await.expect(202);
    let second = world.rate("u1", "s1", &json!({ "rating": 4 })).await.expect(202);
    assert_eq!(first["rating_id"], second["rating_id"]);
    world.upload_all().await;
    let ratings = world.atom.ratings();
    assert_eq!(ratings.len(), 1);
    assert_eq!((&ratings[0]["rating"], &ratings[0]["comment"]), (&json!(4), &Value::Null));
}

/// More than a batch goes up with one call, never more than ten at a time.
#[tokio::test]
async fn uploads_are_bounded() {
    let skills: Vec<Value> = (0..130).map(|n| skill(&format!("s{n}"), "Skill")).collect();
    let world = World::filled(&skills, |setup, _| setup).await;
    for number in 0..130 {
        world.rate("u1", &format!("s{number}"), &json!({ "rating": 3 })).await.expect(202);
    }
    let slow = Answer::Slow(Duration::from_millis(5));
    world.atom.script().extend("rate", vec![slow; 130]);
    assert_eq!(world.upload().await, 130);
    world.atom.request_seen("rate", 130).await;
    world.upload_all().await;
    assert_eq!(world.atom.ratings().len(), 130);
    assert_eq!(world.atom.count("rate"), 130);
    let most = world.atom.most_at_once();
    assert!((2..=10).contains(&most), "{most}");
}

/// A failure of upstream's leaves the rating for the next round; after three
/// it waits for a person, who can have it tried again.
#[tokio::test]
async fn ratings_are_tried_again_and_given_up() {
    let world = World::start().await;
    world.rate("u1", "s1", &json!({ "rating": 5 })).await.expect(202);
    let down = Answer::Unavailable { retry_after: None };
    for (times, answer) in (1..=3).zip([Answer::Status(500), Answer::Html502, down]) {
        world.atom.script().extend("rate", [answer]);
        world.try_upload("u1", "s1").await;
        let stored = world.stored("u1", "s1").await;
        assert_eq!(stored.retries, times);
        assert_eq!(world.failed().await.len(), usize::from(times == 3));
        assert!(times == 3 || stored.wait_ms() == 1_800_000, "{stored:?}");
        world.pass(INTERVAL);
    }
    world.shown();
    let page = world.admin.get("/api/v1/admin/ratings/failed").await.expect(200);
    assert_eq!(page["items"][0]["retry_count"], 3);
    world.show("a dead letter", &page);
    check!("failed_rating", world.shown());

    let id = page["items"][0]["id"].as_str().unwrap();
    let retry = format!("/api/v1/admin/ratings/failed/{id}/retry");
    world.admin.post(&retry, &json!({})).await.expect(202);
    world.upload_all().await;
    assert!(world.failed().await.is_empty());
    assert!(world.atom.ratings().iter().any(|rating| rating["user_id"] == "u1"));
    world.admin.post(&retry, &json!({})).await.expect_error(404, "not_found");
    let unknown = "/api/v1/admin/ratings/failed/nobody/retry";
    world.admin.post(unknown, &json!({})).await.expect_error(404, "not_found");
    let audit = world.audit(&format!("rating:{id}")).await;
    assert_eq!(audit.len(), 1);
    assert_eq!((&*audit[0].0, &*audit[0].1), ("ann", "rating.retry"));
}

/// What waits after a failure goes up when an operator says so: upstream may be
/// well again long before the next round.
#[tokio::test]
async fn an_operator_need_not_wait_for_the_next_round() {
    let world = World::start().await;
    world.rate("u1", "s1", &json!({ "rating": 5 })).await.expect(202);
    world.atom.script().extend("rate", [Answer::Unavailable { retry_after: None }]);
    world.try_upload("u1", "s1").await;
    assert!(world.stored("u1", "s1").await.due_at > world.gateway.now_ms());
    assert_eq!(world.upload().await, 1);
    world.atom.request_seen("rate", 2).await;
    world.upload_all().await;
    assert_eq!(world.atom.ratings().len(), 1);
    let uploads = world.audit("marketplace_sync").await;
    let uploads = uploads.iter().filter(|(_, action, _)| action == "ratings.upload");
    assert_eq!(uploads.count(), 3);
}

/// `Retry-After` is not undercut, also where it is longer than the interval,
/// and not by an operator; where it is shorter an operator need not wait longer.
/// It is no longer than the longest that is heeded.
#[tokio::test]
async fn a_rating_waits_as_long_as_upstream_asks() {
    for (asked_s, max_s, heeded_s) in
        [(3_600, "3600", 3_600), (60, "3600", 60), (3_600, "600", 600)]
    {
        let heed = |setup: Setup, _: &_| setup.set("marketplace.retry_after_max_s", max_s);
        let world = World::with(heed).await;
        let now_ms = world.gateway.stop_clock();
        world.rate("u1", "s1", &json!({ "rating": 5 })).await.expect(202);
        let limited = Answer::RateLimited { retry_after: Some(asked_s) };
        world.atom.script().extend("rate", [limited]);
        world.try_upload("u1", "s1").await;
        assert!(world.failed().await.is_empty());
        let stored = world.stored("u1", "s1").await;
        assert_eq!((stored.retries, stored.wait_ms()), (0, 1_800_000), "no failure of its own");
        let refused = world.admin.post("/api/v1/admin/sync/ratings", &json!({})).await;
        let retry_s: i64 = refused.header("retry-after").unwrap().parse().unwrap();
        let until = world.status().await["sync"]["asked_until"].as_str().unwrap().to_owned();
        let until = chrono::DateTime::parse_from_rfc3339(&until).unwrap().timestamp_millis();
        assert_eq!((until - now_ms, retry_s), (heeded_s * 1_000, heeded_s));
        refused.expect_error(503, "unavailable");
        assert_eq!(world.stored("u1", "s1").await.due_at, stored.due_at, "asked for patience");
        world.pass(Duration::from_secs(heeded_s.try_into().unwrap()));
        world.upload_all().await;
        assert_eq!((world.atom.ratings().len(), world.atom.count("rate")), (1, 2));
    }
}

/// Upstream fails over some ratings: the others go up in the same round, and
/// only those wait. Where it fails over one after the other the round ends.
#[tokio::test]
async fn a_failure_over_one_rating_stops_only_that_one() {
    let skills: Vec<Value> = (0..40).map(|n| skill(&format!("s{n}"), "Skill")).collect();
    let world = World::filled(&skills, |setup, _| setup).await;
    let rate_all = async |user: &str| {
        for number in 0..40 {
            world.rate(user, &format!("s{number}"), &json!({ "rating": 3 })).await.expect(202);
        }
    };
    let readers = world.gateway.running().state().store.readers();
    let waiting =
        async || store::rating::count(readers, store::rating::UploadState::Pending).await.unwrap();
    rate_all("u1").await;
    let ok = Answer::Ok;
    let bad = [Answer::Status(500), ok.clone(), Answer::Html502, ok.clone(), Answer::EmptyBody];
    world.atom.script().extend("rate", bad);
    world.upload().await;
    eventually("the others", async || (world.atom.ratings().len() == 37).then_some(())).await;
    eventually("the outcomes", async || (waiting().await == 3).then_some(())).await;
    assert_eq!(world.atom.count("rate"), 40, "each was tried once");
    world.upload_all().await;
    assert_eq!((world.atom.ratings().len(), world.failed().await.len()), (40, 0));

    rate_all("u2").await;
    let before = world.atom.count("rate");
    world.atom.script().extend("rate", vec![Answer::Status(500); 40]);
    world.upload().await;
    let all_tried = async || {
        let row = store::rating::due(readers, i64::MAX, 100).await.unwrap();
        let tried = row.iter().filter(|row| row.last_try_at.is_some()).count();
        (tried > 0 && tried == world.atom.count("rate") - before).then_some(tried)
    };
    let tried = eventually("the end of the round", all_tried).await;
    assert!((5..=14).contains(&tried), "{tried}: ten at once, and five in a row");
}

/// A user takes a rating back: it is not uploaded any more, a dead letter is
/// gone, and what upstream has is said to stay there.
#[tokio::test]
async fn a_rating_can_be_withdrawn() {
    let world = World::start().await;
    let path = "/api/v1/marketplace/skills/s1/rate";
    let withdraw = async |user: &str| {
        world.caller(&Token::device(user)).call(reqwest::Method::DELETE, path, None).await
    };
    withdraw("u1").await.expect_error(404, "not_found");
    let given = world.rate("u1", "s1", &json!({ "rating": 5 })).await.expect(202);
    world.rate("u2", "s1", &json!({ "rating": 4 })).await.expect(202);
    let gone = withdraw("u1").await.expect(200);
    assert_eq!(
        gone,
        json!({
            "success": true,
            "rating_id": given["rating_id"],
            "skill_id": "s1",
            "kept_upstream": false,
        })
    );
    withdraw("u1").await.expect_error(404, "not_found");
    world.upload_all().await;
    let users: Vec<_> =
        world.atom.ratings().iter().map(|rating| rating["user_id"].clone()).collect();
    assert_eq!(users, [json!("u2")], "only what was not taken back");
    assert_eq!(withdraw("u2").await.expect(200)["kept_upstream"], true);

    world.rate("u3", "s1", &json!({ "rating": 2 })).await.expect(202);
    world.atom.script().extend("rate", [Answer::Status(400)]);
    world.upload_all().await;
    assert_eq!(world.failed().await.len(), 1);
    withdraw("u3").await.expect(200);
    assert!(world.failed().await.is_empty());

    // Taken back while it is on its way: what became of it makes no rating.
    world.rate("u4", "s1", &json!({ "rating": 1 })).await.expect(202);
    world.atom.script().extend("rate", [Answer::Slow(Duration::from_millis(200))]);
    world.upload().await;
    world.atom.request_seen("rate", 3).await;
    withdraw("u4").await.expect(200);
    eventually("the upload", async || (world.atom.ratings().len() == 2).then_some(())).await;
    world.upload_all().await;
    withdraw("u4").await.expect_error(404, "not_found");
    let stranger = world.admin.clone().without_token();
    let refused = stranger.call(reqwest::Method::DELETE, path, None).await;
    refused.expect_error(401, "unauthenticated");
}

/// What upstream will never take is given up at once.
#[tokio::test]
async fn refused_ratings_are_dead_letters_at_once() {
    let world = World::start().await;
    for (user, status) in [("u1", 400), ("u2", 404)] {
        world.rate(user, "s1", &json!({ "rating": 2 })).await.expect(202);
        world.atom.script().extend("rate", [Answer::Status(status)]);
        world.upload_all().await;
    }
    let words = ["user_id", "skill_id", "rating", "error_message", "retry_count"];
    let failed: Vec<_> =
        world.failed().await.iter().map(|row| words.map(|word| row[word].clone())).collect();
    assert_eq!(
        failed,
        [
            [json!("u1"), json!("s1"), json!(2), json!("bad_request"), json!(1)],
            [json!("u2"), json!("s1"), json!(2), json!("not_found"), json!(1)],
        ]
    );
    let first = world.admin.get("/api/v1/admin/ratings/failed?limit=1").await.expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let path = format!("/api/v1/admin/ratings/failed?limit=1&cursor={cursor}");
    let second = world.admin.get(&path).await.expect(200);
    assert_eq!(second["items"][0]["user_id"], "u2");
    assert_eq!(second["next_cursor"], Value::Null);
    // A new word of the user's is a new attempt.
    world.rate("u1", "s1", &json!({ "rating": 4 })).await.expect(202);
    world.upload_all().await;
    assert_eq!(world.failed().await.len(), 1);
    assert_eq!(world.atom.ratings()[0]["rating"], 4);
}
