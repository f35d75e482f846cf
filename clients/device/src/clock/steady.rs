//! A moment on clocks that nobody sets.

use std::time::Duration;

use tokio::time::Instant;

/// A moment, to measure from. The clock that timers use may stand still while
/// a phone sleeps, and then commands that expired in its sleep would seem to
/// have time left; so the one that counts sleep is asked too, where the system
/// has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steady {
    timers: Instant,
    slept_too: Option<Duration>,
}

impl Steady {
    pub(super) fn now() -> Self {
        Self { timers: Instant::now(), slept_too: with_sleep() }
    }

    /// For a device on a clock of its own, which does not sleep: what timers
    /// say is all there is.
    pub(super) fn sleepless() -> Self {
        Self { timers: Instant::now(), slept_too: None }
    }

    /// The longer of the two: sleep stops the one.
    pub(super) fn elapsed(&self) -> Duration {
        let timers = self.timers.elapsed();
        match (self.slept_too, with_sleep()) {
            (Some(then), Some(now)) => timers.max(now.saturating_sub(then)),
            _ => timers,
        }
    }
}

/// Time since some moment, the system's sleep included.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn with_sleep() -> Option<Duration> {
    duration(rustix::time::clock_gettime(rustix::time::ClockId::Boottime))
}

/// Time since some moment, the system's sleep included: on Apple's systems
/// this clock goes on in sleep, and the one behind `Instant` does not.
#[cfg(target_vendor = "apple")]
fn with_sleep() -> Option<Duration> {
    duration(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
}

/// The clock of timers counts sleep, or nothing does.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn with_sleep() -> Option<Duration> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn duration(time: rustix::time::Timespec) -> Option<Duration> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
}
