//! Ratings: what became of their uploads, and what a person makes of a
//! conflict with the one that upstream has.

use serde_json::Value;
use tidegate_entity::skill_rating::UploadState;
use tidegate_entity::{conflict, lease, skill_rating};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::ConflictStatus;
use tidegate_protocol::time::Timestamp;

use crate::error::{ApiError, ApiResult};
use crate::ingest::IngestOptions;
use crate::ingest::market::observe::is_led;
use crate::ingest::market::rule;
use crate::ingest::market::{Ruling, RulingError, SettledRating, Word};
use crate::ingest::unit::{ReadSet, UnitOfWork, user_stream};
use crate::ingest::write::Write;
use crate::resolve::conflict::{Conflict, DecidedBy};
use crate::resolve::person::{Actor, restore, settle};
use crate::resolve::side::Side;
use crate::store::conflict::Wanted;
use crate::store::rating::RatingKey;

mod withdraw;

/// Why a rating waits that upstream has in another form: it takes no second
/// one of a user.
pub(crate) const NO_UPDATES: &str = "update_not_supported";

impl Write for SettledRating {
    type Draft = ();
    type Answer = ();

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.insert(user_stream(&self.row.user_id));
        reads.rows.want::<lease::Entity>(self.fence.name.clone());
        reads.rows.want::<conflict::Entity>(Wanted::StandingOf(subject(&self.row)));
        reads.rows.want::<skill_rating::Entity>(key(&self.row));
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<()> {
        settled(unit, self)
    }

    fn answer(&self, _: &mut UnitOfWork, (): ()) -> ApiResult<()> {
        Ok(())
    }
}

fn key(row: &skill_rating::Model) -> RatingKey {
    (row.skill_id.clone(), row.user_id.clone())
}

fn subject(row: &skill_rating::Model) -> String {
    format!("rating:{}:{}", row.skill_id, row.user_id)
}

/// The rating that a subject names.
pub(in crate::ingest::market) fn of_subject(row: &conflict::Model) -> Option<RatingKey> {
    let user_id = row.user_id.as_deref()?;
    let rest = row.subject.strip_prefix("rating:")?;
    let skill_id = rest.strip_suffix(user_id)?.strip_suffix(':')?;
    Some((skill_id.to_owned(), user_id.to_owned()))
}

/// Keeps what became of an upload, and the verdict with it, unless the user
/// changed the rating since.
fn settled(unit: &mut UnitOfWork, settled: &SettledRating) -> ApiResult<()> {
    is_led(unit, &settled.fence)?;
    let key = key(&settled.row);
    let standing = unit.rows.get::<skill_rating::Entity>(&key);
    if standing.is_none_or(|standing| standing.rated_at != settled.row.rated_at) {
        return Ok(());
    }
    unit.rows.put::<skill_rating::Entity>(settled.row.clone());
    let known = about(unit, &key);
    let verdict = settled.verdict.as_ref();
    let is_same = |(row, found): &(conflict::Model, Conflict)| {
        verdict.is_some_and(|verdict| {
            (row.status == ConflictStatus::Open) == verdict.is_open()
                && found.local.data == verdict.local.data
                && found.remote.data == verdict.remote.data
        })
    };
    let is_known = known.iter().any(is_same);
    // A question is over when the rating was given anew, or is taken, or
    // another verdict stands in its place. A failed attempt answers nothing.
    let is_answered = verdict.is_some() || settled.row.state == UploadState::Uploaded;
    for (row, found) in known.into_iter().filter(|known| !is_same(known)) {
        let is_older = found.local.edited_at.millis() != settled.row.rated_at;
        if row.status == ConflictStatus::Open && (is_answered || is_older) {
            end(unit, row, found, &settled.row.user_id);
        }
    }
    if let Some(verdict) = verdict.filter(|_| !is_known) {
        let user_id = &settled.row.user_id;
        let editors = std::slice::from_ref(user_id);
        let subject = subject(&settled.row);
        let row = rule::new_row(unit, &subject, Some(user_id), editors, verdict);
        rule::tell(unit, &row);
        rule::count(unit, verdict.clone());
        unit.rows.put::<conflict::Entity>(row);
    }
    Ok(())
}

/// The conflicts about a rating that were loaded: the newest, and all that are
/// open.
fn about(unit: &UnitOfWork, key: &RatingKey) -> Vec<(conflict::Model, Conflict)> {
    let of_it =
        unit.rows.all::<conflict::Entity>().filter(|row| of_subject(row).as_ref() == Some(key));
    of_it.filter_map(|row| Some((row.clone(), serde_json::from_str(&row.verdict).ok()?))).collect()
}

/// Ends a conflict because its user said something else since: nobody has to
/// decide it any more.
fn end(unit: &mut UnitOfWork, mut row: conflict::Model, found: Conflict, user_id: &str) {
    let decided_by = DecidedBy::Person(user_id.to_owned());
    let decided = Conflict { decided_by, at: unit.now, ..found };
    rule::resolve(unit, &mut row, &decided);
    rule::count_decided(unit, decided.strategy);
    rule::tell(unit, &row);
    unit.rows.put::<conflict::Entity>(row);
}

/// Carries out a person's word on a conflict of ratings.
pub(in crate::ingest::market) fn rule(
    unit: &mut UnitOfWork,
    ruling: &Ruling,
    mut row: conflict::Model,
    found: &Conflict,
) -> Result<conflict::Model, RulingError> {
    let missing = || ApiError::new(ErrorCode::NotFound, "the rating is there no more");
    let key = of_subject(&row).ok_or_else(missing)?;
    let mut rating = unit.rows.get::<skill_rating::Entity>(&key).cloned().ok_or_else(missing)?;
    let rules = unit.options.rules.rating.clone();
    let actor = Actor { person: &ruling.actor, at: unit.now };
    let (action, outcome) = match &ruling.word {
        Word::Settle(decision) => {
            let decided = settle(found, &found.remote, &rules, decision, actor)
                .map_err(|refused| rule::refusal(refused, &found.remote))?;
            check(decided.result.data.as_ref())?;
            rule::resolve(unit, &mut row, &decided);
            rule::count_decided(unit, found.strategy);
            ("conflict.resolve", decided.result)
        }
        Word::Restore(undo) => {
            let now = Side {
                version: found.remote.version,
                data: Some(serde_json::json!({
                    "rating": rating.rating, "comment": rating.comment,
                })),
                edited_at: Timestamp::from_millis(rating.rated_at),
                source_id: rating.user_id.clone(),
            };
            let next = restore(found, &now, &rules, *undo, actor)
                .map_err(|refused| rule::refusal(refused, &now))?;
            row.restored_at = Some(unit.now.millis());
            ("conflict.restore", next.outcome)
        }
    };
    put(unit, &mut rating, outcome.data.as_ref(), found);
    unit.rows.put::<skill_rating::Entity>(rating);
    let detail = serde_json::json!({ "conflict_id": row.id });
    rule::audit(unit, &ruling.actor, action, &row.subject, &detail);
    rule::tell_published(unit, &row, outcome.version);
    unit.rows.put::<conflict::Entity>(row.clone());
    Ok(row)
}

/// Makes the rating say what was decided. Where upstream says something else
/// it stays a dead letter: it cannot be told.
fn put(
    unit: &UnitOfWork,
    rating: &mut skill_rating::Model,
    data: Option<&Value>,
    found: &Conflict,
) {
    if let Some(stars) = data.and_then(|data| data.get("rating")).and_then(Value::as_i64) {
        rating.rating = stars;
    }
    let comment = data.and_then(|data| data.get("comment")).and_then(Value::as_str);
    rating.comment = comment.map(str::to_owned);
    rating.rated_at = unit.now.millis().max(rating.rated_at + 1);
    if crate::resolve::is_same(data, found.remote.data.as_ref()) {
        rating.state = UploadState::Uploaded;
        rating.last_error = None;
    } else {
        rating.state = UploadState::Failed;
        rating.last_error = Some(NO_UPDATES.to_owned());
    }
}

/// A person's merged value is a rating too.
fn check(data: Option<&Value>) -> ApiResult<()> {
    let stars = data.and_then(|data| data.get("rating")).and_then(Value::as_i64);
    if stars.is_some_and(|stars| (1..=5).contains(&stars)) {
        return Ok(());
    }
    Err(ApiError::invalid("data.rating", "a whole number, 1 to 5"))
}
