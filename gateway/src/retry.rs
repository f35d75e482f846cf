//! Delays between attempts: the only place that names the `backoff` crate.
//!
//! Gives delays and nothing else: the caller waits, cancels, and decides what
//! is permanent. It never gives up by itself; bound the attempts with `take`.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use rand::Rng as _;

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

/// By which share the waits of a list differ, so that many that failed together
/// do not return together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Jitter {
    /// Longer or shorter.
    Around(f64),
    /// Only longer: the list is what the other side asks for at least.
    Above(f64),
}

/// Waits as an operator lists them: one for each failure in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Waits {
    list: Vec<Duration>,
    jitter: Jitter,
}

impl Waits {
    /// From milliseconds.
    pub fn new(list_ms: &[u64], jitter: Jitter) -> Self {
        Self { list: list_ms.iter().map(|ms| Duration::from_millis(*ms)).collect(), jitter }
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.list.len()
    }

    /// The longest that any of them can be.
    pub fn longest(&self) -> Duration {
        self.list.iter().map(|wait| self.spread(*wait, 1.0)).max().unwrap_or_default()
    }

    /// The wait after so many failures before this one, at least `floor`, which
    /// the other side asked for. `None`: the list is used up. `random` is 0 to
    /// 1.
    pub fn wait(&self, before: usize, floor: Duration, random: f64) -> Option<Duration> {
        self.list.get(before).map(|wait| self.spread(*wait, random).max(floor))
    }

    /// As [`wait`](Self::wait), with the last one over and over.
    pub fn wait_or_last(&self, before: usize, floor: Duration, random: f64) -> Duration {
        let wait = self.wait(before.min(self.list.len().saturating_sub(1)), floor, random);
        wait.unwrap_or(floor)
    }

    /// The waits of one walk over the list, to its end.
    pub fn walk(&self) -> impl Iterator<Item = Duration> + Send + '_ {
        let random = || rand::rng().random_range(0.0..1.0);
        (0..self.list.len()).filter_map(move |step| self.wait(step, Duration::ZERO, random()))
    }

    fn spread(&self, wait: Duration, random: f64) -> Duration {
        match self.jitter {
            Jitter::Around(share) => wait.mul_f64((1.0 + share * (2.0 * random - 1.0)).max(0.0)),
            Jitter::Above(share) => wait.mul_f64(1.0 + share * random),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_FLOOR: Duration = Duration::ZERO;

    #[test]
    fn a_list_is_walked_to_its_end() {
        let waits = Waits::new(&[2_000, 4_000], Jitter::Around(0.0));
        assert_eq!(seconds(waits.walk()), [2, 4]);
        assert_eq!(waits.wait(2, NO_FLOOR, 0.0), None);
        let last = |before| waits.wait_or_last(before, NO_FLOOR, 0.0).as_secs();
        assert_eq!([0, 1, 2, usize::MAX].map(last), [2, 4, 4, 4]);
        assert_eq!(Waits::new(&[], Jitter::Above(0.5)).wait_or_last(3, NO_FLOOR, 0.5), NO_FLOOR);
    }

    #[test]
    fn no_wait_is_shorter_than_the_other_side_asks_for() {
        let waits = Waits::new(&[2_000, 40_000], Jitter::Above(0.25));
        let floor = Duration::from_secs(30);
        assert_eq!(waits.wait(0, floor, 1.0), Some(floor));
        assert_eq!(waits.wait(1, floor, 0.0), Some(Duration::from_secs(40)));
        assert_eq!(waits.wait(2, floor, 0.0), None, "the list is used up all the same");
        assert_eq!(waits.wait_or_last(9, Duration::from_mins(1), 0.0).as_secs(), 60);
    }

    #[test]
    fn jitter_keeps_to_its_side() {
        let around = Waits::new(&[10_000], Jitter::Around(0.25));
        let above = Waits::new(&[10_000], Jitter::Above(0.25));
        let ms = |waits: &Waits, random| waits.wait(0, NO_FLOOR, random).unwrap().as_millis();
        assert_eq!([0.0, 0.5, 1.0].map(|random| ms(&around, random)), [7_500, 10_000, 12_500]);
        assert_eq!([0.0, 0.5, 1.0].map(|random| ms(&above, random)), [10_000, 11_250, 12_500]);
        assert_eq!(above.longest().as_millis(), 12_500);
    }

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
