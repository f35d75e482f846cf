//! What survives a kill: a folder, and with `DATABASE_URL` a database of its
//! own on that server.

use std::path::Path;

use tempfile::TempDir;

use crate::support::PostgresDatabase;

/// Data of one gateway.
pub(crate) struct Data {
    /// On the server; `None`: SQLite in the folder.
    database: Option<PostgresDatabase>,
    folder: TempDir,
}

impl Data {
    /// Nothing in it yet.
    pub(crate) async fn fresh() -> Self {
        Self { database: PostgresDatabase::create().await, folder: TempDir::new().unwrap() }
    }

    /// SQLite, whatever `DATABASE_URL` says: for what is about its files.
    pub(crate) fn embedded() -> Self {
        Self { database: None, folder: TempDir::new().unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// As the setting `database.url` has it.
    pub(super) fn url(&self) -> String {
        self.database.as_ref().map(PostgresDatabase::url).unwrap_or_default()
    }
}
