//! A second gateway on the database of a first one.

use tempfile::TempDir;
use tidegate::app::{self, Running};
use tidegate::clock::Clock;

use crate::seed::say;
use crate::support::gateway::Gateway;
use crate::support::wait::bounded;

/// A gateway with a folder and a clock of its own.
pub(crate) struct SecondNode {
    running: Running,
    _folder: TempDir,
}

impl SecondNode {
    /// Starts one beside the first. `None`, and says so, on SQLite, which
    /// belongs to one process: CI runs the suite on PostgreSQL too.
    pub(crate) async fn beside(first: &Gateway) -> Option<Self> {
        if first.running().state().store.is_embedded() {
            say("skipped: two nodes need PostgreSQL (DATABASE_URL)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut config = first.config().clone();
        config.data_dir = folder.path().to_owned();
        let starting = Box::pin(app::start(config, Clock::system()));
        let running = bounded("a second node", starting).await.unwrap();
        Some(Self { running, _folder: folder })
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        self.running.address().to_string()
    }

    pub(crate) const fn running(&self) -> &Running {
        &self.running
    }

    pub(crate) async fn stop(self) {
        bounded("stop", Box::pin(self.running.stop())).await;
    }
}
