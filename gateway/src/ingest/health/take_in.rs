//! Facts that come in.

use tidegate_entity::activity::{self, State};
use tidegate_entity::{daily_entry, day_sample, sleep_record};

use crate::error::ApiResult;
use crate::health::date::neighbours;
use crate::health::fact::{DayValues, Fact, LOCAL_CHANNEL, What};
use crate::health::source::Source;
use crate::ingest::IngestOptions;
use crate::ingest::health::activities::{self, Activities, id_of_source};
use crate::ingest::health::days::Days;
use crate::ingest::health::nights::Nights;
use crate::ingest::health::{Fate, Touched, audit_days, weight};
use crate::ingest::unit::{ReadSet, UnitOfWork, user_stream};
use crate::ingest::write::Write;
use crate::store::health::{activity as activity_store, night as night_store};

/// Facts about a user.
pub(super) struct TakeIn {
    pub(super) user_id: String,
    pub(super) facts: Vec<Fact>,
    /// Who says so, where that is not the user.
    pub(super) by: Option<String>,
}

impl Write for TakeIn {
    type Draft = Vec<Fate>;
    /// What became of each fact.
    type Answer = Vec<Fate>;

    fn weight(&self) -> usize {
        self.facts.iter().map(weight).sum()
    }

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        let user_id = || self.user_id.clone();
        reads.streams.insert(user_stream(&self.user_id));
        for fact in &self.facts {
            match &fact.what {
                What::Activity(activity) => activities::reads(reads, &self.user_id, activity),
                What::ActivityGone { source, source_id } => {
                    let id = id_of_source(&self.user_id, *source, source_id);
                    let wanted = activity_store::Wanted::Id((user_id(), id));
                    reads.rows.want::<activity::Entity>(wanted);
                }
                What::Night(night) => {
                    for date in neighbours(night.date).chain([night.date]) {
                        let wanted = night_store::Wanted::Day((user_id(), date.to_string()));
                        reads.rows.want::<sleep_record::Entity>(wanted);
                    }
                }
                What::NightGone { .. } => {
                    reads.rows.want::<sleep_record::Entity>(night_store::Wanted::Newest(user_id()));
                }
                What::Values(values) => {
                    let near = neighbours(values.date).filter(|_| values.follows);
                    for date in near.chain([values.date]) {
                        reads.rows.want::<daily_entry::Entity>((user_id(), date.to_string()));
                    }
                }
                What::Samples(samples) => {
                    let is_local = samples.channel == LOCAL_CHANNEL;
                    let near = neighbours(samples.date).filter(|_| !is_local);
                    for date in near.chain([samples.date]) {
                        let day = (user_id(), date.to_string());
                        reads.rows.want::<daily_entry::Entity>(day.clone());
                        reads.rows.want::<day_sample::Entity>(day);
                    }
                }
            }
        }
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<Vec<Fate>> {
        let mut days = Days::of(&self.user_id);
        let mut nights = Nights::of(&self.user_id);
        let mut activities = Activities::of(&self.user_id);
        let mut by_hand = Touched::new();
        let mut fates = Vec::with_capacity(self.facts.len());
        for fact in &self.facts {
            fates.push(match &fact.what {
                What::Activity(activity) => activities.activity(unit, activity),
                What::ActivityGone { source, source_id } => {
                    let id = activities.of_source(unit, *source, source_id);
                    updated_if(id.is_some_and(|id| activities.remove(unit, &id, State::Gone)))
                }
                What::Night(night) => nights.night(unit, night)?,
                What::NightGone { source, source_id } => nights.gone(unit, *source, source_id)?,
                What::Values(values) => {
                    let fate = days.values(unit, values)?;
                    if fate != Fate::Unchanged {
                        note(&mut by_hand, values);
                    }
                    fate
                }
                What::Samples(samples) => days.samples(unit, samples)?,
            });
        }
        days.end(unit);
        nights.end(unit)?;
        activities.end(unit);
        audit_days(unit, &self.user_id, self.by.as_deref(), &by_hand);
        Ok(fates)
    }

    fn answer(&self, _: &mut UnitOfWork, fates: Vec<Fate>) -> ApiResult<Vec<Fate>> {
        Ok(fates)
    }
}

const fn updated_if(is_changed: bool) -> Fate {
    if is_changed { Fate::Updated } else { Fate::Unchanged }
}

/// Notes which fields a person set or withdrew.
pub(super) fn note(by_hand: &mut Touched, values: &DayValues) {
    if values.source != Source::Manual {
        return;
    }
    let [set, withdrawn] = by_hand.entry(values.date).or_default();
    for (field, value) in &values.values {
        let fields = if value.is_some() { &mut *set } else { &mut *withdrawn };
        fields.push(field.as_str());
    }
}
