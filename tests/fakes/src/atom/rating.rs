//! Ratings that callers send: what is refused, and what is taken.

use serde_json::{Value, json};

use crate::atom::catalogue::Catalogue;
use crate::atom::filling::rating_id;

/// Longest comment in characters.
const COMMENT_CHARS: usize = 1000;

/// What is said about a rating.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// With the answer's body and the rating, 1 to 5.
    Taken(Value, u8),
    /// 400, with a sentence.
    Bad(&'static str),
    /// 404.
    NoSkill,
    /// 409: this user rated this skill already.
    Again,
}

/// Judges a rating, and keeps and counts it if it is good. `id` is the one in
/// the path, where the contract has it there.
pub(crate) fn take(
    catalogue: &mut Catalogue,
    id: Option<&str>,
    body: &[u8],
    stamp: &str,
) -> Verdict {
    let Ok(sent) = serde_json::from_slice::<Value>(body) else {
        return Verdict::Bad("the body must be JSON");
    };
    let Some(id) = id.or_else(|| sent["skill_id"].as_str()) else {
        return Verdict::Bad("skill_id is required");
    };
    let Some(user_id) = sent["user_id"].as_str().filter(|user| !user.is_empty()) else {
        return Verdict::Bad("user_id is required");
    };
    let rating = sent["rating"].as_u64().and_then(|rating| u8::try_from(rating).ok());
    let Some(rating) = rating.filter(|rating| (1..=5).contains(rating)) else {
        return Verdict::Bad("Rating must be between 1 and 5");
    };
    let is_comment = match &sent["comment"] {
        Value::Null => true,
        Value::String(comment) => comment.chars().count() <= COMMENT_CHARS,
        _ => false,
    };
    if !is_comment {
        return Verdict::Bad("comment must be a text of at most 1000 characters");
    }
    if catalogue.skill(id).is_none() {
        return Verdict::NoSkill;
    }
    let rating_id = rating_id(catalogue.ratings().len());
    let kept = json!({
        "rating_id": rating_id,
        "skill_id": id,
        "user_id": user_id,
        "rating": rating,
        "comment": sent["comment"],
        "created_at": stamp,
    });
    if !catalogue.keep_rating(kept) {
        return Verdict::Again;
    }
    catalogue.count_rating(id, rating);
    let skill = catalogue.skill(id).expect("it was there just now");
    let answer = json!({
        "success": true,
        "rating_id": rating_id,
        "skill_id": id,
        "rating": rating,
        "average_rating": skill["average_rating"],
        "rating_count": skill["rating_count"],
        "created_at": stamp,
    });
    Verdict::Taken(answer, rating)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_good_ratings_are_taken_and_only_once() {
        let mut catalogue = Catalogue::default();
        catalogue.put_skill(json!({"skill_id": "a"}));
        let mut rate =
            |body: &Value| take(&mut catalogue, None, body.to_string().as_bytes(), "now");
        for rating in
            [json!(0), json!(6), json!(4.0), json!(true), json!("5"), json!(-1), json!(261)]
        {
            let verdict = rate(&json!({"skill_id": "a", "user_id": "u", "rating": rating}));
            assert_eq!(verdict, Verdict::Bad("Rating must be between 1 and 5"), "{rating}");
        }
        let long = "é".repeat(1001);
        for body in [
            json!({"skill_id": "a", "rating": 5}),
            json!({"user_id": "u", "rating": 5}),
            json!({"skill_id": "a", "user_id": "u", "rating": 5, "comment": long}),
            json!({"skill_id": "a", "user_id": "u", "rating": 5, "comment": 5}),
        ] {
            assert!(matches!(rate(&body), Verdict::Bad(_)), "{body}");
        }
        let unknown = json!({"skill_id": "b", "user_id": "u", "rating": 5});
        assert_eq!(rate(&unknown), Verdict::NoSkill);
        let long = "é".repeat(1000);
        let good = json!({"skill_id": "a", "user_id": "u", "rating": 5, "comment": long});
        assert!(matches!(rate(&good), Verdict::Taken(_, 5)));
        assert_eq!(rate(&good), Verdict::Again);
        assert_eq!(catalogue.ratings().len(), 1);
        assert_eq!(catalogue.skill("a").unwrap()["rating_count"], 1);
    }
}
