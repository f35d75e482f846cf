//! Ratings that are sent, and what is told of them.

use serde_json::json;
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::{Generation, skill_id};

use crate::stage::Stage;

#[tokio::test]
async fn a_rating_is_taken_once() {
    for generation in [Generation::A, Generation::B, Generation::C] {
        let stage = Stage::new(generation).await;
        let skill = json!({"skill_id": "s", "average_rating": 4.0, "rating_count": 1});
        stage.atom.put_skill(skill);
        let sent =
            json!({"skill_id": "s", "user_id": "u@example.com", "rating": 5, "comment": "Good"});
        let (status, answer) = stage.rate("s", &sent).await;
        let id = answer["rating_id"].clone();
        let now = "2026-11-18T11:06:40Z";
        let expected = json!({
            "success": true, "rating_id": id, "skill_id": "s", "rating": 5,
            "average_rating": 4.5, "rating_count": 2, "created_at": now,
        });
        assert_eq!((status, answer), (200, expected));

        let (status, answer) = stage.rate("s", &sent).await;
        assert_eq!(
            (status, answer),
            (409, json!({"error": "Rating already exists (update only)"}))
        );
        let other = json!({"skill_id": "s", "user_id": "other", "rating": 1});
        assert_eq!(stage.rate("s", &other).await.0, 200);

        assert_eq!(stage.atom.ratings().len(), 2);
        let (_, shown) = stage.json(&format!("{}/s", stage.names().skills)).await;
        let first =
            json!({"user_id": "u@example.com", "rating": 5, "comment": "Good", "created_at": now});
        assert_eq!((&shown["ratings"][0], &shown["rating_count"]), (&first, &json!(3)));
    }
}

#[tokio::test]
async fn a_bad_rating_is_refused() {
    let stage = Stage::filled(1).await;
    let id = skill_id(0);
    let bad = json!({"skill_id": id, "user_id": "u", "rating": 6});
    let expected = json!({"error": "Rating must be between 1 and 5"});
    assert_eq!(stage.rate(&id, &bad).await, (400, expected));
    let long = json!({"skill_id": id, "user_id": "u", "rating": 5, "comment": "x".repeat(1001)});
    assert_eq!(stage.rate(&id, &long).await.0, 400);
    let unknown = json!({"skill_id": "nobody", "user_id": "u", "rating": 5});
    assert_eq!(stage.rate("nobody", &unknown).await.0, 404);
    assert_eq!(stage.atom.ratings(), Vec::<serde_json::Value>::new());
    assert_eq!(stage.atom.requests()[0].body, bad);
}

/// What a client cannot know: the answer is lost, the rating is not.
#[tokio::test]
async fn a_rating_with_a_lost_answer_was_taken() {
    let stage = Stage::filled(1).await;
    stage.atom.script().extend("rate", [Answer::OkThenDrop, Answer::Drop, Answer::EmptyBody]);
    let id = skill_id(0);
    let sent = json!({"skill_id": id, "user_id": "u", "rating": 4});
    let rate = || stage.request("POST", "/api/v1/ratings").json(&sent).send();
    assert!(rate().await.is_err());
    assert_eq!(stage.atom.ratings().len(), 1);
    assert!(rate().await.is_err());
    assert_eq!(rate().await.unwrap().bytes().await.unwrap(), "");
    assert_eq!(rate().await.unwrap().status(), 409);
}

#[tokio::test]
async fn a_rating_from_elsewhere_is_shown_and_blocks_its_user() {
    let stage = Stage::filled(1).await;
    let id = skill_id(0);
    let left = json!({
        "skill_id": id, "user_id": "u", "rating": 2, "comment": null,
        "created_at": "2026-01-01T00:00:00Z",
    });
    stage.atom.put_rating(left);
    let (_, shown) = stage.json(&format!("/api/v1/skills/{id}")).await;
    assert_eq!(shown["ratings"][0]["created_at"], "2026-01-01T00:00:00Z");
    let sent = json!({"skill_id": id, "user_id": "u", "rating": 4});
    assert_eq!(stage.rate(&id, &sent).await.0, 409);
}

/// Told on the socket only when it is asked for.
#[tokio::test]
async fn a_rating_may_be_echoed() {
    let stage = Stage::filled(1).await;
    let id = skill_id(0);
    let mut socket = stage.connect().await.unwrap();
    let rate = |user| json!({"skill_id": id, "user_id": user, "rating": 4});
    stage.rate(&id, &rate("a")).await;
    stage.atom.echo_ratings(true);
    let (_, answer) = stage.rate(&id, &rate("b")).await;
    let told = socket.message().await;
    assert_eq!((&told["type"], &told["data"]["rating"]), (&json!("rating_update"), &json!(4)));
    assert_eq!(told["data"]["rating_count"], answer["rating_count"]);
}
