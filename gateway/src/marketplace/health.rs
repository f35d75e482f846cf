//! How healthy the synchronisation is, by the age of its last success: a pure
//! rule.

/// Minutes up to which it is healthy; with a slow schedule, two runs of it.
pub const HEALTHY_MIN: i64 = 30;

/// Minutes up to which it is degraded; with a slow schedule, four runs of it.
pub const DEGRADED_MIN: i64 = 60;

/// How healthy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// A run ended well not long ago.
    Healthy,
    /// Some time ago.
    Degraded,
    /// Too long ago.
    Unhealthy,
}

impl Health {
    /// By minutes since the last success, and between two runs.
    pub fn of_age(minutes: i64, interval: i64) -> Self {
        if minutes <= HEALTHY_MIN.max(2 * interval) {
            Self::Healthy
        } else if minutes <= DEGRADED_MIN.max(4 * interval) {
            Self::Degraded
        } else {
            Self::Unhealthy
        }
    }

    /// Its name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_decides() {
        let expected = [(0, "healthy"), (30, "healthy"), (31, "degraded"), (60, "degraded")];
        for (minutes, health) in expected {
            assert_eq!(Health::of_age(minutes, 15).as_str(), health, "{minutes}");
        }
        assert_eq!(Health::of_age(61, 15), Health::Unhealthy);
        assert_eq!(Health::of_age(61, 60), Health::Healthy, "an hourly schedule");
    }
}
