//! Facts of a user's health: merged into days, nights and activities, each with
//! its entry, in one transaction.
//!
//! Owns what is written when a sender, a provider or a person says something.
//! What facts mean is [`crate::health`]'s.

use std::collections::BTreeMap;

use tidegate_entity::audit_log;
use uuid::Uuid;

use crate::error::ApiResult;
use crate::health::fact::{Fact, What};
use crate::health::source::Source;
use crate::ingest::Ingest;
use crate::ingest::unit::UnitOfWork;

mod activities;
mod days;
mod nights;
pub mod person;
mod take_in;

/// Facts merged in one transaction at most, about: others wait for it.
const FACTS_PER_WRITE: usize = 250;

/// Parts of a sum that take about as long as a fact.
const POINTS_PER_FACT: usize = 16;

/// How long merging it takes, in facts.
fn weight(fact: &Fact) -> usize {
    match &fact.what {
        What::Samples(samples) => 1 + samples.points.len() / POINTS_PER_FACT,
        _ => 1,
    }
}

/// What became of the items that a fact stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The row did not exist.
    Created,
    /// The row changed.
    Updated,
    /// They say nothing new.
    Unchanged,
    /// They cannot be taken, for this reason.
    Refused(&'static str),
}

/// What became of the items that facts stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Of rows that did not exist.
    pub created: u64,
    /// Of rows that changed.
    pub updated: u64,
    /// That said nothing new.
    pub unchanged: u64,
    /// That cannot be taken, by fact: where it stood, and why.
    pub refused: Vec<(usize, &'static str)>,
}

impl Tally {
    /// Items that are stored, whether they said something new or not.
    pub const fn stored(&self) -> u64 {
        self.created + self.updated + self.unchanged
    }

    fn count(&mut self, at: usize, items: u32, fate: Fate) {
        let items = u64::from(items);
        match fate {
            Fate::Created => self.created += items,
            Fate::Updated => self.updated += items,
            Fate::Unchanged => self.unchanged += items,
            Fate::Refused(reason) => self.refused.push((at, reason)),
        }
    }
}

impl Ingest {
    /// Merges facts about a user, in order. `by`: who says so, where that is not
    /// the user. In several transactions where they are many; each fact is merged
    /// whole or not at all, and merging it again changes nothing.
    pub async fn take_in(
        &self,
        user_id: &str,
        facts: Vec<Fact>,
        by: Option<&str>,
    ) -> ApiResult<Tally> {
        let mut tally = Tally::default();
        for part in parts(facts) {
            let (places, facts): (Vec<usize>, Vec<Fact>) = part.into_iter().unzip();
            let items: Vec<u32> = facts.iter().map(|fact| fact.items).collect();
            let (user_id, by) = (user_id.to_owned(), by.map(str::to_owned));
            let fates = self.submit(take_in::TakeIn { user_id, facts, by }).await?;
            for ((at, items), fate) in places.into_iter().zip(items).zip(fates) {
                tally.count(at, items, fate);
            }
        }
        Ok(tally)
    }

    /// Deletes all activities that a source told of, as if it had deleted them;
    /// how many there were.
    pub async fn forget_activities(&self, user_id: &str, source: Source) -> ApiResult<u64> {
        let mut forgotten = 0;
        loop {
            let forget = person::ForgetActivities { user_id: user_id.to_owned(), source };
            match self.submit(forget).await? {
                0 => return Ok(forgotten),
                some => forgotten += some,
            }
        }
    }
}

/// Facts with their places, a part for each transaction. Facts of one day stay
/// together, in their order, so that its row changes once.
fn parts(facts: Vec<Fact>) -> Vec<Vec<(usize, Fact)>> {
    let mut placed: Vec<(usize, Fact)> = facts.into_iter().enumerate().collect();
    if placed.iter().map(|(_, fact)| weight(fact)).sum::<usize>() > FACTS_PER_WRITE {
        placed.sort_by_key(|(_, fact)| day_of(fact));
    }
    let mut parts: Vec<Vec<(usize, Fact)>> = Vec::new();
    let mut heavy = 0;
    for (at, fact) in placed {
        let more = weight(&fact);
        match parts.last_mut() {
            Some(part) if heavy + more <= FACTS_PER_WRITE || is_same_row(part, &fact) => {
                heavy += more;
                part.push((at, fact));
            }
            _ => {
                heavy = more;
                parts.push(vec![(at, fact)]);
            }
        }
    }
    parts
}

fn is_same_row(part: &[(usize, Fact)], fact: &Fact) -> bool {
    let is_of_day =
        |fact: &Fact| !matches!(fact.what, What::Activity(_) | What::ActivityGone { .. });
    let last = part.last().map(|(_, last)| last);
    last.is_some_and(|last| is_of_day(fact) && is_of_day(last) && day_of(last) == day_of(fact))
}

fn day_of(fact: &Fact) -> Option<chrono::NaiveDate> {
    match &fact.what {
        What::Activity(activity) => Some(activity.date),
        What::Night(night) => Some(night.date),
        What::Values(values) => Some(values.date),
        What::Samples(samples) => Some(samples.date),
        What::ActivityGone { .. } | What::NightGone { .. } => None,
    }
}

/// Notes what somebody did to another one's data; names of fields, never values.
fn audit(unit: &mut UnitOfWork, actor: &str, action: &str, subject: String, fields: &[&str]) {
    let detail = (!fields.is_empty()).then(|| serde_json::json!({"fields": fields}).to_string());
    let row = audit_log::Model {
        id: Uuid::now_v7().to_string(),
        at: unit.now.millis(),
        actor: actor.to_owned(),
        action: action.to_owned(),
        subject,
        detail,
    };
    unit.rows.put::<audit_log::Entity>(row);
}

/// Fields that a person set and withdrew, by day.
type Touched = BTreeMap<chrono::NaiveDate, [Vec<&'static str>; 2]>;

/// Notes by day which fields somebody set or withdrew for the user.
fn audit_days(unit: &mut UnitOfWork, user_id: &str, by: Option<&str>, touched: &Touched) {
    let Some(by) = by else { return };
    for (date, fields) in touched {
        for (action, fields) in ["entry.override", "entry.withdraw"].into_iter().zip(fields) {
            if !fields.is_empty() {
                audit(unit, by, action, format!("user:{user_id}/entry:{date}"), fields);
            }
        }
    }
}
