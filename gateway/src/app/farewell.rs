//! Telling every session to go, spread over a window, so that they do not all
//! come back at once.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::code::CloseReason;
use tokio::time::Instant;

use crate::hub::signal::Signal;
use crate::state::AppState;

/// Tells every session to go, over the window.
pub(super) async fn drain_sessions(state: &AppState) {
    let spread = Duration::from_millis(state.config.drain.spread_ms);
    close_over(&state.hub.all_sessions(), spread).await;
    // Those that said hello in the meantime.
    for session in state.hub.all_sessions() {
        session.close(CloseReason::Drain);
    }
}

/// Closes these one after the other, and lasts as long as the window.
async fn close_over(sessions: &[Arc<Signal>], window: Duration) {
    let step = window / u32::try_from(sessions.len().max(1)).unwrap_or(u32::MAX);
    let mut due = Instant::now();
    for session in sessions {
        session.close(CloseReason::Drain);
        // After the last one too: whoever watches readiness needs the window.
        // By the clock: a sleep takes a millisecond at least, and thousands of
        // sessions would take many times the window.
        due += step;
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In time that stands still but for sleeps: each takes a millisecond.
    #[tokio::test(start_paused = true)]
    async fn thousands_of_sessions_are_told_within_the_window() {
        for count in [1, 7, 20_000] {
            let sessions: Vec<Arc<Signal>> = (0..count).map(|_| Arc::default()).collect();
            let (began, window) = (Instant::now(), Duration::from_millis(100));
            close_over(&sessions, window).await;
            let took = began.elapsed();
            assert!((window..window * 2).contains(&took), "{count}: {took:?}");
            assert!(sessions.iter().all(|session| session.order().is_some()));
        }
    }
}
