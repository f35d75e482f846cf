//! Delays between attempts: the only place that names the `backoff` crate.
//!
//! Gives delays and nothing else: the caller waits, cancels, and decides what
//! is permanent. It never gives up by itself; bound the attempts with `take`.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// A schedule of delays, as data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The first delay.
    pub base: Duration,
    /// By how much each delay exceeds the one before; at least 1.
    pub factor: f64,
    /// No delay is longer than this, jitter included.
    pub cap: Duration,
    /// Share of a delay by which it may be longer or shorter, 0 to 1, so that
    /// many that failed together do not return together.
    pub jitter: f64,
}

impl Schedule {
    /// The delays, without end.
    pub fn delays(&self) -> Delays {
        Delays {
            inner: ExponentialBackoff {
                current_interval: self.base,
                initial_interval: self.base,
                multiplier: self.factor,
                max_interval: self.cap,
                randomization_factor: self.jitter.clamp(0.0, 1.0),
                max_elapsed_time: None,
                ..ExponentialBackoff::default()
            },
            cap: self.cap,
        }
    }
}

/// The delays of a [`Schedule`].
#[derive(Debug)]
pub struct Delays {
    inner: ExponentialBackoff,
    cap: Duration,
}

impl Delays {
    /// Begins anew, after a success.
    pub fn reset(&mut self) {
        self.inner.reset();
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // The crate adds its jitter after the cap: a cap of 60 s gave 89.6 s.
        self.inner.next_backoff().map(|delay| delay.min(self.cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUSH: Schedule = Schedule {
        base: Duration::from_secs(2),
        factor: 2.0,
        cap: Duration::from_secs(32),
        jitter: 0.0,
    };

    fn seconds(delays: impl Iterator<Item = Duration>) -> Vec<u64> {
        delays.map(|delay| delay.as_secs()).collect()
    }

    #[test]
    fn delays_double_up_to_the_cap_and_stay_there() {
        assert_eq!(seconds(PUSH.delays().take(7)), [2, 4, 8, 16, 32, 32, 32]);
    }

    #[test]
    fn jitter_spreads_but_never_passes_the_cap() {
        let schedule = Schedule { jitter: 0.5, ..PUSH };
        for _ in 0..100 {
            for (delay, plain) in schedule.delays().zip(PUSH.delays()).take(8) {
                assert!(delay <= schedule.cap, "{delay:?}");
                assert!(delay >= plain.mul_f64(0.5), "{delay:?} of {plain:?}");
            }
        }
    }

    #[test]
    fn reset_begins_anew() {
        let mut delays = PUSH.delays();
        delays.by_ref().take(4).for_each(drop);
        delays.reset();
        assert_eq!(delays.next(), Some(PUSH.base));
    }
}
