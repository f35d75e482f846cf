//! Activities: a workout as one source tells of it.

pub mod apple_health;
pub mod fitbit;
pub mod google_health;
pub mod health_connect;
pub mod native;
pub mod oura;
pub mod strava;
mod table;

use chrono::NaiveDate;

use crate::health::source::Source;

macro_rules! types {
    ($($(#[$doc:meta])* $variant:ident = $word:literal;)+) => {
        /// What somebody did, in a few words; the source's own word stays beside it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ActivityType { $($(#[$doc])* $variant,)+ }

        impl ActivityType {
            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// What a word stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

types! {
    /// Running, trail and treadmill included.
    Run = "RUN";
    /// Cycling of all kinds.
    Cycle = "CYCLE";
    /// Walking and hiking.
    Walk = "WALK";
    /// Swimming, in a pool or open water.
    Swim = "SWIM";
    /// Strength, core, yoga, pilates, HIIT, crossfit.
    Strength = "STRENGTH";
    /// Everything else, and what nobody knows yet.
    Unknown = "UNKNOWN";
}

/// A workout as one source tells of it. Absent is unknown, never 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Who tells.
    pub source: Source,
    /// The source's own id, as text. Without one, (type, start, end) name it.
    pub source_id: Option<String>,
    /// An id that may be that of a command which made a device write it.
    pub external_id: Option<String>,
    /// What it was.
    pub activity_type: ActivityType,
    /// The source's own word; numbers as text.
    pub sport: String,
    /// The local day it started on.
    pub date: NaiveDate,
    /// Milliseconds since the epoch.
    pub start_ms: i64,
    /// Milliseconds since the epoch; never before `start_ms`.
    pub end_ms: i64,
    /// Moving time where the source has it, seconds.
    pub duration_s: i64,
    /// From start to end, seconds.
    pub elapsed_s: i64,
    /// Metres, in thousandths.
    pub distance_m: Option<i64>,
    /// In thousandths.
    pub calories_kcal: Option<i64>,
    /// Beats per minute, in thousandths.
    pub avg_heart_rate: Option<i64>,
    /// Beats per minute, in thousandths.
    pub max_heart_rate: Option<i64>,
    /// What recorded it.
    pub device: Option<String>,
    /// Of the local time it started in, where the source says.
    pub utc_offset_s: Option<i32>,
    /// The item as it came: JSON text.
    pub raw: String,
}

/// What a source's word, or its number as text, stands for. What a source's own
/// table does not know may be a word that senders use with any source.
pub fn type_of(source: Source, word: &str) -> ActivityType {
    let own = match source {
        // The word tells itself whose it is: senders mix them up.
        _ if word.starts_with(apple_health::PREFIX) => apple_health::of(word),
        _ if word.starts_with(health_connect::PREFIX) => health_connect::of(word),
        Source::Manual => ActivityType::Unknown,
        Source::AppleHealth => apple_health::of(word),
        Source::HealthConnect => health_connect::of(word),
        Source::GoogleHealth => google_health::of(word),
        Source::Oura => oura::of(word),
        Source::Strava => strava::of(word),
        Source::Fitbit => fitbit::of(word),
    };
    if own == ActivityType::Unknown { native::of(word) } else { own }
}

#[cfg(test)]
mod tests;
