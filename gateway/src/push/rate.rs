//! How fast this node sends: a token bucket that comes up to its rate slowly,
//! so that a restart is no burst for the provider.

use tokio::time::{Duration, Instant};

/// A share of the full rate that is there from the first moment.
const RAMP_START: f64 = 0.05;

/// Seconds of sends that may be saved up.
const BURST_S: f64 = 1.0;

/// Shortest wait for the next send: at high rates several come together.
const WAIT_MIN: Duration = Duration::from_millis(5);

/// Sends per second, with a ramp.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: f64,
    ramp: Duration,
    started: Instant,
    tokens: f64,
    counted: Instant,
}

impl Rate {
    /// Starts the ramp.
    pub(crate) fn new(per_minute: u32, ramp: Duration, now: Instant) -> Self {
        let per_second = f64::from(per_minute) / 60.0;
        Self { per_second, ramp, started: now, tokens: 1.0, counted: now }
    }

    /// How many may be sent now, at most `wanted`; those are taken.
    pub(crate) fn take(&mut self, wanted: usize, now: Instant) -> usize {
        let rate = self.per_second * self.share(now);
        let refill = rate * now.duration_since(self.counted).as_secs_f64();
        self.counted = now;
        self.tokens = (self.tokens + refill).min((rate * BURST_S).max(1.0));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded by the rate, and never negative"
        )]
        let whole = self.tokens.floor() as usize;
        let taken = whole.min(wanted);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        {
            self.tokens -= taken as f64;
        }
        taken
    }

    /// How long until one more may be sent, as it stands.
    pub(crate) fn until_next(&self) -> Duration {
        let rate = self.per_second * self.share(self.counted);
        let missing = (1.0 - self.tokens).max(0.0);
        Duration::try_from_secs_f64(missing / rate).unwrap_or(Duration::MAX).max(WAIT_MIN)
    }

    /// Gives back what was taken and not sent.
    pub(crate) fn give_back(&mut self, unused: usize) {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        {
            self.tokens += unused as f64;
        }
    }

    fn share(&self, now: Instant) -> f64 {
        if self.ramp.is_zero() {
            return 1.0;
        }
        let run = now.duration_since(self.started).as_secs_f64() / self.ramp.as_secs_f64();
        (RAMP_START + run).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_comes_up_over_the_ramp() {
        let start = Instant::now();
        let mut rate = Rate::new(60_000, Duration::from_mins(1), start);
        assert_eq!(rate.take(10_000, start), 1, "nothing was saved up");
        assert_eq!(rate.until_next(), Duration::from_millis(20), "5 % of 1,000 a second");
        assert_eq!(rate.take(10_000, start + Duration::from_secs(1)), 66, "5 % and a second");
        let later = start + Duration::from_mins(2);
        assert_eq!(rate.take(10_000, later), 1_000, "the full rate, one second saved up");
    }
}
