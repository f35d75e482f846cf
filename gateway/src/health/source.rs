//! Who says something about a user's health.

use serde::{Deserialize, Serialize};

macro_rules! sources {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, rank $rank:literal, priority $priority:literal;)+) => {
        /// A source; one word each everywhere.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Source { $($(#[$doc])* $variant,)+ }

        impl Source {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Whose values win: a person's over a device's over a provider's.
            pub const fn rank(self) -> u8 {
                match self { $(Self::$variant => $rank),+ }
            }

            /// Which of two reports of one workout is shown, and which of two values
            /// of equal rank and age: the higher.
            pub const fn priority(self) -> u8 {
                match self { $(Self::$variant => $priority),+ }
            }

            /// What a word stands for; `healthkit` is `apple_health`.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    "healthkit" => Some(Self::AppleHealth),
                    _ => None,
                }
            }
        }
    };
}

sources! {
    /// A person: the user, or a coach for the user.
    Manual = "manual", rank 3, priority 5;
    /// HealthKit on the user's phone.
    AppleHealth = "apple_health", rank 2, priority 10;
    /// Health Connect on the user's phone.
    HealthConnect = "health_connect", rank 2, priority 10;
    /// Google Health.
    GoogleHealth = "google_health", rank 1, priority 9;
    /// Oura.
    Oura = "oura", rank 1, priority 9;
    /// Strava.
    Strava = "strava", rank 1, priority 8;
    /// The former Fitbit Web API.
    Fitbit = "fitbit", rank 1, priority 7;
}

impl Source {
    /// Whether a device may send in its name; backends may send in all.
    pub const fn is_of_devices(self) -> bool {
        self.rank() >= 2
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
