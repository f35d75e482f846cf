//! A rating of ours against the one that upstream has of the same user. It
//! takes no second one, so that what it does not have waits for a person.

use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_entity::skill_rating;
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::error::ErrorKind;
use tidegate_services::atom::item::parse_time;

use crate::ingest::market::NO_UPDATES;
use crate::marketplace::lead::Leader;
use crate::marketplace::ratings::{dead, refused, uploaded};
use crate::resolve::conflict::Conflict;
use crate::resolve::side::{Edits, Side};
use crate::resolve::{Policy, Verdict, is_same};

/// Decides by the rules of ratings, and changes the row to what was decided;
/// the verdict, where the two differ.
pub(super) async fn weigh(
    leader: &Leader,
    row: &mut skill_rating::Model,
    now: Timestamp,
) -> Option<Conflict> {
    let remote = match leader.atom.skill(&row.skill_id).await {
        Ok(found) => found.and_then(|raw| remote_rating(raw.get(), &row.user_id)),
        Err(error) => {
            leader.heed(error.retry).await;
            refused(leader, row, &error, now);
            return None;
        }
    };
    let Some(remote) = remote else {
        dead(row, ErrorKind::Conflict.as_str());
        return None;
    };
    let local = Side {
        version: 1,
        data: Some(data(row.rating, row.comment.as_deref())),
        edited_at: Timestamp::from_millis(row.rated_at),
        source_id: row.user_id.clone(),
    };
    let remote = Side {
        version: 1,
        data: Some(data(remote.rating, remote.comment.as_deref())),
        edited_at: remote.at(),
        source_id: "upstream".to_owned(),
    };
    let edits = Edits { base: None, local: &local, remote: &remote };
    let policy = Policy::new(&leader.market.rules.rating, now);
    match crate::resolve::resolve(edits, policy) {
        Verdict::NoConflict(_) => {
            uploaded(row, None);
            None
        }
        Verdict::Open(found) => {
            dead(row, "conflict_open");
            Some(*found)
        }
        Verdict::Resolved(found) => {
            let result = found.result.data.as_ref();
            take(row, result);
            if is_same(result, remote.data.as_ref()) {
                uploaded(row, None);
            } else {
                dead(row, NO_UPDATES);
            }
            Some(*found)
        }
    }
}

fn data(rating: i64, comment: Option<&str>) -> Value {
    json!({ "rating": rating, "comment": comment })
}

/// Makes the row say what was decided.
fn take(row: &mut skill_rating::Model, decided: Option<&Value>) {
    let Some(decided) = decided else { return };
    let rating = decided.get("rating").and_then(Value::as_i64);
    row.rating = rating.filter(|rating| (1..=5).contains(rating)).unwrap_or(row.rating);
    row.comment = decided.get("comment").and_then(Value::as_str).map(str::to_owned);
}

/// A rating as upstream has it.
#[derive(Debug, Deserialize)]
struct Remote {
    user_id: String,
    rating: i64,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default, alias = "timestamp")]
    created_at: Option<String>,
}

impl Remote {
    fn at(&self) -> Timestamp {
        self.created_at.as_deref().and_then(parse_time).unwrap_or_default()
    }
}

fn remote_rating(skill: &str, user_id: &str) -> Option<Remote> {
    #[derive(Deserialize)]
    struct Detail {
        #[serde(default)]
        ratings: Vec<Remote>,
    }
    let detail: Detail = serde_json::from_str(skill).ok()?;
    let mine = |rating: &Remote| rating.user_id == user_id && (1..=5).contains(&rating.rating);
    detail.ratings.into_iter().find(mine)
}
