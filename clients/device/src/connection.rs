//! Keeps a device connected: which transport, when to try again, when to stop.
//!
//! Owns the fallback from the socket to polling and back. Never reads frames;
//! `socket` and `polling` do, through the same apply path. `push` acts on
//! wake-ups between runs.

mod apply;
mod polling;
mod push;
mod refusals;
mod renewal;
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
use crate::store::StoreError;
use crate::token::TokenProvider;

/// How one attempt or session ended.
#[derive(Debug)]
enum Ended {
    /// The app asked for it.
    Cancelled,
    /// No socket, or one that ended without a close code before `welcome`.
    NotConnected,
    /// The token was refused, or there is none.
    Unauthorized {
        /// Calls with an earlier one worked.
        worked: bool,
    },
    /// The socket was closed.
    Closed {
        closed: Closed,
        /// How long after `welcome`; `None` before it.
        lived: Option<Duration>,
        /// Where a drain said so: not before this.
        reconnect_at: Option<Instant>,
    },
    /// While polling: time to try for a socket again.
    SocketDue,
    /// A poll did not succeed.
    PollFailed {
        /// Others did before it.
        worked: bool,
    },
    /// Nothing that trying again can mend.
    Stopped(StopReason),
}

impl Ended {
    /// The store failed: it says whether that is for good. If not, it ended so.
    fn by_store(error: &StoreError, otherwise: Self) -> Self {
        error.stops().map_or(otherwise, Self::Stopped)
    }
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
    device.forget_wake();
    // Asked for before this run, of a round or by an answer to a push.
    if let Some(left) = device.hold().left()
        && !rest(device, cancel, &Pause::For(left)).await
    {
        return Ok(());
    }
    loop {
        let ended = if plan.is_polling_next() {
            polling::run(device, cancel, plan.socket_due).await
        } else {
            socket::run(device, cancel).await
        };
        tracing::debug!(?ended, "connection ended");
        let pause = match plan.after(ended, device.hold().left()) {
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

    /// `held`: how long the gateway asked to be left alone. `Err` ends the run,
    /// with a reason unless it was asked for.
    fn after(&mut self, ended: Ended, held: Option<Duration>) -> Result<Pause, Option<StopReason>> {
        self.needs_auth = matches!(ended, Ended::Unauthorized { .. });
        match ended {
            Ended::Cancelled => Err(None),
            Ended::Stopped(reason) => Err(Some(reason)),
            Ended::SocketDue => {
                self.delays.reset();
                self.socket_due = None;
                Ok(Pause::None)
            }
            Ended::Unauthorized { worked } | Ended::PollFailed { worked } => {
                if worked {
                    self.delays.reset();
                }
                Ok(self.delay(held))
            }
            Ended::NotConnected => Ok(self.not_connected(held)),
            Ended::Closed { closed, lived, reconnect_at } => {
                self.after_close(&closed, lived, reconnect_at, held)
            }
        }
    }

    /// An attempt failed. Whoever closed the socket before `welcome`: where no
    /// session begins, polling has to do.
    fn not_connected(&mut self, held: Option<Duration>) -> Pause {
        self.failures = self.failures.saturating_add(1);
        let wait = held.unwrap_or_default();
        self.socket_due = Some(Instant::now() + wait + self.settings.socket_interval);
        match held {
            None if self.is_polling_next() => Pause::None,
            Some(wait) if self.is_polling_next() => Pause::For(wait),
            _ => self.delay(held),
        }
    }

    fn after_close(
        &mut self,
        closed: &Closed,
        lived: Option<Duration>,
        reconnect_at: Option<Instant>,
        held: Option<Duration>,
    ) -> Result<Pause, Option<StopReason>> {
        if let Some(lived) = lived {
            self.failures = 0;
            // One that lasted as long as its token let it was good too.
            let good =
                if closed.is_token_ended() { renewal::SPACING } else { self.settings.stable_after };
            if lived >= good {
                self.delays.reset();
            }
        }
        match closed.next() {
            Next::Stop(_) if lived.is_none() && closed.is_foreign() => Ok(self.not_connected(held)),
            Next::Stop(reason) => Err(Some(reason)),
            Next::StayAway => Ok(self.settings.replaced_wait.map_or(Pause::Forever, Pause::For)),
            Next::Authenticate => {
                self.needs_auth = true;
                Ok(self.delay(held))
            }
            Next::ComeLater => Ok(self.delay(Some(held.unwrap_or(self.settings.retry_longest)))),
            Next::Retry if lived.is_none() && reconnect_at.is_none() => {
                Ok(self.not_connected(held))
            }
            Next::Retry => Ok(match reconnect_at {
                // The node spread its clients over this time: keep to it.
                Some(at) => Pause::For(at.saturating_duration_since(Instant::now())),
                None => self.delay(held),
            }),
        }
    }

    /// The next delay, and no less than what the gateway asked for.
    fn delay(&mut self, held: Option<Duration>) -> Pause {
        Pause::For(self.delays.next_delay().max(held.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests;
