//! Keeps a device connected: which transport, when to try again, when to stop.
//!
//! Owns the fallback from the socket to polling and back. Never reads frames;
//! `socket` and `polling` do, through the same apply path. `push` acts on
//! wake-ups between runs.

mod apply;
mod polling;
mod push;
mod socket;
mod wire;

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use crate::connection::polling::SyncError;
pub(crate) use crate::connection::polling::sync_once;
pub(crate) use crate::connection::push::handle as handle_push;

use crate::device::Device;
use crate::handler::Handler;
use crate::retry::Delays;
use crate::settings::{Settings, Transport};
use crate::state::{Closed, Next, State, StopReason};
use crate::token::TokenProvider;

/// How one attempt or session ended.
#[derive(Debug)]
enum Ended {
    /// The app asked for it.
    Cancelled,
    /// No `welcome` came.
    NotConnected,
    /// The token was refused, or there is none.
    Unauthorized,
    /// A welcomed session ended.
    Closed {
        closed: Closed,
        lived: Duration,
        /// Where a drain said so: not before this.
        reconnect_at: Option<Instant>,
    },
    /// While polling: time to try for a socket again.
    SocketDue,
    /// A poll did not succeed.
    PollFailed {
        /// Others did before it.
        worked: bool,
        retry_after: Option<Duration>,
    },
    /// Nothing that trying again can mend.
    Stopped(StopReason),
}

/// What to do before the next attempt.
#[derive(Debug, PartialEq, Eq)]
enum Pause {
    None,
    For(Duration),
    /// Until the app wakes the device.
    Forever,
}

/// Keeps the device connected until it is cancelled or has to stop.
pub(crate) async fn run<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    cancel: &CancellationToken,
) -> Result<(), StopReason> {
    let mut plan = AttemptPlan::new(device.settings().clone());
    loop {
        let ended = if plan.is_polling_next() {
            polling::run(device, cancel, plan.socket_due).await
        } else {
            socket::run(device, cancel).await
        };
        tracing::debug!(?ended, "connection ended");
        let pause = match plan.after(ended) {
            Ok(pause) => pause,
            Err(None) => return Ok(()),
            Err(Some(reason)) => return Err(reason),
        };
        device.set_state(plan.state_between(device.is_polling()));
        if !rest(device, cancel, &pause).await {
            return Ok(());
        }
    }
}

/// Waits; false when cancelled meanwhile.
async fn rest<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    cancel: &CancellationToken,
    pause: &Pause,
) -> bool {
    let sleep = async {
        match pause {
            Pause::None => {}
            Pause::For(delay) => tokio::time::sleep(*delay).await,
            Pause::Forever => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => false,
        () = device.woken().notified() => true,
        () = sleep => true,
    }
}

/// Decides what the next attempt is and when. Does not wait itself.
#[derive(Debug)]
struct AttemptPlan {
    settings: Settings,
    delays: Delays,
    /// Attempts in a row that got no `welcome`.
    failures: u32,
    /// Not before this is a socket tried again; `None` when polling is all
    /// there is.
    socket_due: Option<Instant>,
    needs_auth: bool,
}

impl AttemptPlan {
    fn new(settings: Settings) -> Self {
        Self {
            delays: Delays::new(settings.retry_initial, settings.retry_longest),
            settings,
            failures: 0,
            socket_due: None,
            needs_auth: false,
        }
    }

    fn is_polling_next(&self) -> bool {
        match self.settings.transport {
            Transport::PollOnly => true,
            Transport::SocketOnly => false,
            Transport::SocketThenPoll => {
                self.failures >= self.settings.socket_attempts
                    && self.socket_due.is_some_and(|due| Instant::now() < due)
            }
        }
    }

    /// What the app is shown until the next attempt.
    fn state_between(&self, is_polling: bool) -> State {
        match () {
            () if self.needs_auth => State::NeedsAuth,
            // A try for a socket between two polls is no interruption.
            () if is_polling && self.failures > 0 => State::Polling,
            () => State::Offline,
        }
    }

    /// `Err` ends the run, with a reason unless it was asked for.
    fn after(&mut self, ended: Ended) -> Result<Pause, Option<StopReason>> {
        self.needs_auth = matches!(ended, Ended::Unauthorized);
        match ended {
            Ended::Cancelled => Err(None),
            Ended::Stopped(reason) => Err(Some(reason)),
            Ended::Unauthorized => Ok(self.delay()),
            Ended::SocketDue => {
                self.delays.reset();
                self.socket_due = None;
                Ok(Pause::None)
            }
            Ended::PollFailed { worked, retry_after } => {
                if worked {
                    self.delays.reset();
                }
                let delay = self.delays.next_delay();
                Ok(Pause::For(retry_after.map_or(delay, |least| delay.max(least))))
            }
            Ended::NotConnected => {
                self.failures = self.failures.saturating_add(1);
                self.socket_due = Some(Instant::now() + self.settings.socket_interval);
                Ok(if self.is_polling_next() { Pause::None } else { self.delay() })
            }
            Ended::Closed { closed, lived, reconnect_at } => {
                self.failures = 0;
                self.after_session(&closed, lived, reconnect_at)
            }
        }
    }

    fn after_session(
        &mut self,
        closed: &Closed,
        lived: Duration,
        reconnect_at: Option<Instant>,
    ) -> Result<Pause, Option<StopReason>> {
        if lived >= self.settings.stable_after {
            self.delays.reset();
        }
        match closed.next() {
            Next::Stop(reason) => Err(Some(reason)),
            Next::StayAway => Ok(self.settings.replaced_wait.map_or(Pause::Forever, Pause::For)),
            Next::Authenticate => {
                self.needs_auth = true;
                Ok(self.delay())
            }
            Next::Retry => Ok(match reconnect_at {
                // The node spread its clients over this time: keep to it.
                Some(at) => Pause::For(at.saturating_duration_since(Instant::now())),
                None => self.delay(),
            }),
        }
    }

    fn delay(&mut self) -> Pause {
        Pause::For(self.delays.next_delay())
    }
}

#[cfg(test)]
mod tests;
