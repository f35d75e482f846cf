//! A second gateway on the database of a first one.

use tempfile::TempDir;
use tidegate::app::{self, Running};

use crate::support::gateway::Gateway;
use crate::support::wait::bounded;

/// A gateway with a folder of its own.
pub(crate) struct SecondNode {
    running: Running,
    _folder: TempDir,
}

impl SecondNode {
    /// Starts one beside the first, which is on PostgreSQL: a SQLite database
    /// belongs to one process.
    pub(crate) async fn beside(first: &Gateway) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = first.config().clone();
        config.data_dir = folder.path().to_owned();
        let starting = Box::pin(app::start(config, first.clock()));
        let running = bounded("a second node", starting).await.unwrap();
        Self { running, _folder: folder }
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
