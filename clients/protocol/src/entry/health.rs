//! Bodies of `sleep` and `activity`: a row, or that it is gone. A day's row, the
//! body of `daily_entry`, is [`DailyEntry`](crate::rest::health::day::DailyEntry).

use serde::{Deserialize, Serialize};

use crate::entry::RecordOp;
use crate::rest::health::{Activity, SleepNight};

/// Body of [`kind::SLEEP`](crate::entry::kind::SLEEP): the night that is shown for
/// a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SleepBody {
    /// As it is now.
    Put {
        /// The night.
        #[serde(flatten)]
        night: Box<SleepNight>,
        /// `put`.
        op: RecordOp,
    },
    /// No night is shown for the day any more.
    Gone {
        /// The day.
        date: String,
        /// The version after it.
        version: i64,
        /// `delete`.
        op: RecordOp,
    },
}

/// Body of [`kind::ACTIVITY`](crate::entry::kind::ACTIVITY).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ActivityBody {
    /// As it is now, without `members` and `raw`.
    Put {
        /// The workout.
        #[serde(flatten)]
        activity: Box<Activity>,
        /// `put`.
        op: RecordOp,
    },
    /// It was deleted.
    Gone {
        /// The workout.
        id: String,
        /// The version after it.
        version: i64,
        /// `delete`.
        op: RecordOp,
    },
}
