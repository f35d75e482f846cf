//! What a sender or a provider says, in the form in which it is merged.
//!
//! Items that are wrong are errors beside the facts of the others: one bad item
//! fails nothing else.

use chrono::NaiveDate;
use tidegate_protocol::time::Timestamp;

use crate::health::activity::Activity;
use crate::health::field::{Field, Value};
use crate::health::source::Source;

/// What one item, or several that belong together, say.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// How many items of the request it stands for: they share its fate.
    pub items: u32,
    /// What is said.
    pub what: What,
}

/// What is said.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A workout.
    Activity(Box<Activity>),
    /// The source deleted a workout.
    ActivityGone {
        /// Which source.
        source: Source,
        /// Its id of the workout.
        source_id: String,
    },
    /// A night.
    Night(Box<Night>),
    /// The source deleted a night.
    NightGone {
        /// Which source.
        source: Source,
        /// Its id of the night.
        source_id: String,
    },
    /// Values of a day.
    Values(DayValues),
    /// Parts that add up to a value of a day.
    Samples(DaySamples),
}

/// Values that a source gives a day.
#[derive(Clone, Debug, PartialEq)]
pub struct DayValues {
    /// The local day.
    pub date: NaiveDate,
    /// Who says so.
    pub source: Source,
    /// When it was measured; `None`: when it arrived.
    pub at: Option<Timestamp>,
    /// Whether the day follows from that time: said again from another time zone, it
    /// stays on the day where it is known.
    pub follows: bool,
    /// `None` withdraws what a person said; from other sources it says nothing.
    pub values: Vec<(Field, Option<Value>)>,
}

/// Parts of one day that add up; what came before by the same channel is
/// remembered, so that windows may overlap and follow each other.
#[derive(Clone, Debug, PartialEq)]
pub struct DaySamples {
    /// The local day.
    pub date: NaiveDate,
    /// Who says so.
    pub source: Source,
    /// What they add up to: a field that holds a number.
    pub field: Field,
    /// The format they came in: sums of two formats are not mixed.
    pub channel: &'static str,
    /// Who measured. Sums are made for each origin, and the greatest counts.
    pub origin: String,
    /// Each part once, by what names it in its day and origin; in thousandths.
    pub points: Vec<(String, i64)>,
}

/// The channel whose parts are named by local times. Those of the others are named by
/// instants: sent again from another time zone, a part stays where it is known.
pub const LOCAL_CHANNEL: &str = "health_auto_export";

/// A night, or another period of sleep, as one source tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Night {
    /// Who tells.
    pub source: Source,
    /// The local day it ends on.
    pub date: NaiveDate,
    /// The source's own id.
    pub source_id: Option<String>,
    /// Asleep; the sum of the stages.
    pub total_sleep_minutes: Option<i64>,
    /// In bed.
    pub in_bed_minutes: Option<i64>,
    /// Awake between the first and the last sleep.
    pub awake_minutes: Option<i64>,
    /// Light sleep.
    pub asleep_core_minutes: Option<i64>,
    /// Deep sleep.
    pub asleep_deep_minutes: Option<i64>,
    /// REM sleep.
    pub asleep_rem_minutes: Option<i64>,
    /// Milliseconds since the epoch.
    pub sleep_start_ms: Option<i64>,
    /// Milliseconds since the epoch.
    pub sleep_end_ms: Option<i64>,
    /// What recorded it.
    pub source_devices: Vec<String>,
    /// When it was measured; `None`: when it arrived.
    pub at: Option<Timestamp>,
}

impl Night {
    /// A night of which nothing else is known.
    pub const fn of(source: Source, date: NaiveDate) -> Self {
        Self {
            source,
            date,
            source_id: None,
            total_sleep_minutes: None,
            in_bed_minutes: None,
            awake_minutes: None,
            asleep_core_minutes: None,
            asleep_deep_minutes: None,
            asleep_rem_minutes: None,
            sleep_start_ms: None,
            sleep_end_ms: None,
            source_devices: Vec::new(),
            at: None,
        }
    }
}

/// An item that is not stored, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemError {
    /// The list it stands in, such as `steps`.
    pub list: String,
    /// Where in that list, from 0.
    pub index: usize,
    /// The field at fault; empty: the item itself.
    pub field: String,
    /// What is allowed. Never holds what was sent.
    pub reason: String,
}

/// What a request, or a page of a provider, says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// To be merged, in the order of the items.
    pub facts: Vec<Fact>,
    /// Items there were, wrong and ignored ones included.
    pub total: u64,
    /// Items of names that nobody knows.
    pub ignored: u64,
    /// Items that are wrong: the first of them.
    pub errors: Vec<ItemError>,
    /// Items that are wrong beyond those, only counted: a body of commas alone
    /// would otherwise become a hundred times as large.
    pub unlisted: u64,
    /// Items taken from each list, where the answer tells it.
    pub counts: Vec<(&'static str, u64)>,
}

/// Why nothing of a request is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The field at fault.
    pub field: String,
    /// What is allowed.
    pub reason: String,
}

/// What facts are read by.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The gateway's time.
    pub now: Timestamp,
    /// The user's time zone, as it stands when the request arrives.
    pub zone: Option<chrono_tz::Tz>,
    /// Items of a kind in a call at most; `None`: any number.
    pub items_max: Option<usize>,
    /// Whether all sources may be named, or only those of devices.
    pub may_name_all: bool,
}
