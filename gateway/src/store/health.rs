//! Health data: days, nights, activities and what they are made of. All of it is
//! guarded by the head of the user's stream.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Select};

pub mod activity;
pub mod day;
pub mod metric;
pub mod night;
pub mod profile;
pub mod sample;

/// Names a day of a user: user, `yyyy-mm-dd`.
pub type DayKey = (String, String);

/// A part of a list by days, newest first. All bounds are `yyyy-mm-dd`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Days<'a> {
    /// The first day.
    pub from: Option<&'a str>,
    /// The last day.
    pub upto: Option<&'a str>,
    /// Only days before this one: where the page before ended.
    pub below: Option<&'a str>,
}

impl Days<'_> {
    fn of<E: EntityTrait>(self, query: Select<E>, date: E::Column) -> Select<E> {
        let bounds = [
            self.from.map(|from| date.gte(from)),
            self.upto.map(|upto| date.lte(upto)),
            self.below.map(|below| date.lt(below)),
        ];
        bounds.into_iter().flatten().fold(query, QueryFilter::filter)
    }
}
