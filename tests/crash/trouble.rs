//! What happens to a gateway in a round, chosen by the round's seed.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;

use crate::crash::data::Data;
use crate::support::{Fault, Files};

/// How much happens in a round.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Troubles of a round.
    pub(super) troubles: RangeInclusive<usize>,
    /// How long one lasts, milliseconds; short ones are more likely.
    pub(super) lasts_ms: RangeInclusive<u64>,
    /// Whether the gateway's clock jumps. Commands then expire, and are tried
    /// again.
    pub(super) clock_jumps: bool,
    /// No round takes this long unless something is stuck.
    pub(super) stuck: Duration,
}

impl Plan {
    /// For every run of the tests.
    pub(super) const fn short() -> Self {
        let stuck = Duration::from_mins(1);
        Self { troubles: 1..=2, lasts_ms: 10..=500, clock_jumps: false, stuck }
    }

    /// For runs of minutes and hours.
    pub(super) const fn long() -> Self {
        let stuck = Duration::from_mins(15);
        Self { troubles: 3..=25, lasts_ms: 10..=6_000, clock_jumps: true, stuck }
    }

    /// How long the next trouble lasts.
    pub(super) fn lasts(&self, rng: &mut StdRng) -> Duration {
        let most = rng.random_range(self.lasts_ms.clone());
        Duration::from_millis(rng.random_range(*self.lasts_ms.start()..=most))
    }
}

/// A trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Terminate,
    /// The disk fails, after so many calls.
    Disk(Fault, u32),
    /// The gateway's wall clock is ahead by so many minutes.
    Clock(i16),
    /// PostgreSQL's backends are terminated again and again, those in COMMIT
    /// first.
    Backends,
    /// PostgreSQL starts again; `true`: as after a crash.
    Restart(bool),
    /// PostgreSQL stands still.
    Freeze,
}

impl Trouble {
    /// One that can happen to this data.
    pub(super) fn pick(rng: &mut StdRng, data: &Data, plan: &Plan) -> Self {
        if plan.clock_jumps && rng.random_bool(0.1) {
            // Within the hours for which a key is known.
            return Self::Clock(rng.random_range(-600..=600));
        }
        match rng.random_range(0..10) {
            0..=2 => Self::Kill,
            3 => Self::Terminate,
            _ if data.is_embedded() => Self::Disk(fault(rng), skip(rng)),
            4..=6 if data.server().is_some() => Self::Restart(rng.random()),
            7 if data.server().is_some() => Self::Freeze,
            _ => Self::Backends,
        }
    }

    /// For the count.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Kill => "killed",
            Self::Terminate => "terminated",
            Self::Disk(Fault::Full { room: None }, _) => "disk full",
            Self::Disk(Fault::Full { room: Some(_) }, _) => "disk fills",
            Self::Disk(Fault::WriteError, _) => "write fails",
            Self::Disk(Fault::SyncError, _) => "sync fails",
            Self::Disk(Fault::ReadOnly, _) => "read-only",
            Self::Disk(Fault::ReadError, _) => "read fails",
            Self::Disk(Fault::Hang, _) => "disk hangs",
            Self::Disk(Fault::Slow { .. }, _) => "disk slow",
            Self::Clock(_) => "clock jumps",
            Self::Backends => "backends terminated",
            Self::Restart(true) => "database crashes",
            Self::Restart(false) => "database restarts",
            Self::Freeze => "database frozen",
        }
    }
}

/// All but a failing read: it ends the writing of the process for good.
pub(super) fn fault(rng: &mut StdRng) -> Fault {
    match rng.random_range(0..8) {
        0 | 1 => Fault::Full { room: None },
        2 => Fault::Full { room: Some(rng.random_range(0..200_000)) },
        3 => Fault::WriteError,
        4 => Fault::SyncError,
        5 => Fault::ReadOnly,
        6 => Fault::Hang,
        _ => Fault::Slow { ms: rng.random_range(1..50) },
    }
}

/// Calls of the system before it begins: within a commit, or between two.
pub(super) fn skip(rng: &mut StdRng) -> u32 {
    if rng.random() { 0 } else { rng.random_range(1..40) }
}

/// Which files fail: mostly all, for they lie on one disk.
pub(super) fn files(rng: &mut StdRng) -> Files {
    match rng.random_range(0..6) {
        0 => Files::LOG,
        1 => Files::DATABASE,
        _ => Files::ALL,
    }
}
