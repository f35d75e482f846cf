//! The fields of a day, as answers show them, senders give them and a person
//! corrects them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::client::double_option;
use crate::rest::health::{FieldSource, Overridden};
use crate::time::Timestamp;

/// Hands the numbers of a day to a macro, after what else it is given.
macro_rules! with_numbers {
    ($macro:ident! $($rest:tt)*) => {
        $macro! { $($rest)*
            /// Steps, 0 to 200000.
            steps;
            /// Flights of stairs, 0 to 10000.
            flights_climbed;
            /// Metres walked and run, 0 to 1000000.
            distance_m;
            /// kcal burnt by moving, 0 to 20000.
            active_calories;
            /// kcal eaten, 0 to 20000.
            calories;
            /// Grams, 0 to 1000.
            protein_g;
            /// Grams, 0 to 1000.
            fat_g;
            /// Grams, 0 to 2000.
            carbs_g;
            /// Grams, 0 to 500.
            fiber_g;
            /// Kilograms, above 0, at most 500.
            weight_kg;
            /// Kilograms, above 0, at most 500.
            lean_body_mass_kg;
            /// Metres, above 0, at most 3.
            height_m;
            /// Percent.
            body_fat_percentage;
            /// Percent.
            oxygen_saturation;
            /// Beats per minute, 20 to 250.
            resting_heart_rate;
            /// Beats per minute, 20 to 250.
            heart_rate_avg;
            /// RMSSD in milliseconds, 0 to 1000.
            hrv_ms;
            /// SDNN in milliseconds, 0 to 1000: not comparable with `hrv_ms`.
            hrv_sdnn_ms;
            /// ml/(kg·min), 0 to 100.
            vo2_max;
            /// Breaths per minute, 0 to 100.
            respiratory_rate;
            /// How the user slept, 1 to 10.
            sleep_quality;
            /// How stressed the user feels, 1 to 10.
            stress;
        }
    };
}

/// A struct with the fields of a day between two parts of its own.
macro_rules! row {
    ($(#[$meta:meta])* $row:ident { $($head:tt)* } { $($tail:tt)* } $($(#[$doc:meta])* $name:ident;)+) => {
        $(#[$meta])*
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct $row {
            $($head)*
            $($(#[$doc])*
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
            pub $name: Option<Number>,)+
            /// Words of the user, at most 2000 characters.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub notes: Option<String>,
            $($tail)*
        }
    };
}

with_numbers! { row!
    /// A day of a user. What is absent is unknown.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    DailyEntry {
        /// The local day, `yyyy-mm-dd`.
        pub date: String,
        /// From 1.
        pub version: i64,
    } {
        /// Everybody who ever contributed.
        pub data_sources: Vec<String>,
        /// Whose value counts, by field.
        pub field_sources: BTreeMap<String, FieldSource>,
        /// Where a person said otherwise.
        pub overridden: Vec<Overridden>,
        /// When it changed.
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
        pub updated_at: Timestamp,
    }
}

with_numbers! { row!
    /// What one source says of a day: at least one field.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    SentEntry {
        /// The local day.
        pub date: String,
        /// `manual` (default), `apple_health`, `health_connect`; backends may name all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub source: Option<String>,
        /// When it was measured; absent: on receipt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(format = DateTime))]
        pub measured_at: Option<String>,
    } {}
}

/// What a person says of each field of a day, or takes back.
macro_rules! correction {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        /// `PATCH /api/v1/entries/{date}`: at least one field, each with what a person
        /// says, or null to take that back. Other names are refused.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(deny_unknown_fields)]
        pub struct CorrectDay {
            $($(#[$doc])*
            #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
            #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
            pub $name: Option<Option<Number>>,)+
            /// Words of the user, at most 2000 characters.
            #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
            #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
            pub notes: Option<Option<String>>,
        }

        impl CorrectDay {
            /// The names of the fields, in the order in which rows show them.
            pub const NAMES: &[&str] = &[$(stringify!($name),)+ "notes"];
        }
    };
}

with_numbers! { correction! }
