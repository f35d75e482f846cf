//! Whose turn it is to execute commands and to apply pages.
//!
//! One at a time: two executors would carry commands out twice. Never says
//! what is done with a turn.

use tokio::sync::{Semaphore, SemaphorePermit, watch};

/// The turns of one device.
#[derive(Debug)]
pub(crate) struct Turns {
    one: Semaphore,
    /// Whether a run has the turn.
    running: watch::Sender<bool>,
}

/// Who executes commands at this moment.
pub(crate) enum Turn<'t> {
    /// The holder, until it is dropped.
    Ours(SemaphorePermit<'t>),
    /// A run: it executes what is handed to it.
    Running,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { one: Semaphore::new(1), running: watch::Sender::new(false) }
    }

    /// Waits for the turn, for a short piece of work.
    pub(crate) async fn take(&self) -> SemaphorePermit<'_> {
        self.one.acquire().await.expect("the semaphore is never closed")
    }

    /// Waits for the turn, for a run.
    pub(crate) async fn run(&self) -> Run<'_> {
        let turn = self.take().await;
        self.running.send_replace(true);
        Run { running: &self.running, _turn: turn }
    }

    /// Waits for the turn, or finds that a run has it.
    pub(crate) async fn take_unless_running(&self) -> Turn<'_> {
        let mut running = self.running.subscribe();
        tokio::select! {
            // The turn first: it may have become free in the same moment.
            biased;
            turn = self.take() => Turn::Ours(turn),
            _ = running.wait_for(|running| *running) => Turn::Running,
        }
    }
}

/// A run under way; however its future ends, it is not under way any more.
pub(crate) struct Run<'t> {
    running: &'t watch::Sender<bool>,
    _turn: SemaphorePermit<'t>,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.running.send_replace(false);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Short work waits for short work, and does not wait for a run.
    #[tokio::test]
    async fn a_run_is_handed_work_and_short_work_is_waited_for() {
        let turns = Turns::new();
        let short = turns.take().await;
        assert!(turns.take_unless_running().now_or_never().is_none());
        drop(short);
        let run = turns.run().await;
        assert!(matches!(turns.take_unless_running().await, Turn::Running));
        drop(run);
        assert!(matches!(turns.take_unless_running().await, Turn::Ours(_)));
    }
}
