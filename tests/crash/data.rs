//! What survives a kill: a folder, and a database in it, of its own on the
//! server of `DATABASE_URL`, or on a server of the harness.

use std::path::Path;

use sea_orm::{ConnectionTrait as _, Database, DbErr};
use tempfile::TempDir;

use crate::support::{PostgresDatabase, Server};

/// Data of one gateway.
pub(crate) struct Data {
    place: Place,
    folder: TempDir,
}

enum Place {
    /// SQLite in the folder.
    Folder,
    /// A database on the server of `DATABASE_URL`.
    Database(PostgresDatabase),
    Server(Server),
}

impl Data {
    /// Nothing in it yet: on the server of `DATABASE_URL`, or SQLite.
    pub(crate) async fn fresh() -> Self {
        let database = PostgresDatabase::create().await;
        Self::at(database.map_or(Place::Folder, Place::Database))
    }

    /// SQLite, whatever `DATABASE_URL` says: for what is about its files.
    pub(crate) fn embedded() -> Self {
        Self::at(Place::Folder)
    }

    /// On a server that nobody else uses.
    pub(super) fn on(server: Server) -> Self {
        Self::at(Place::Server(server))
    }

    fn at(place: Place) -> Self {
        Self { place, folder: TempDir::new().unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) const fn is_embedded(&self) -> bool {
        matches!(self.place, Place::Folder)
    }

    /// The server, if it may be restarted and stopped.
    pub(super) const fn server(&self) -> Option<&Server> {
        match &self.place {
            Place::Server(server) => Some(server),
            Place::Folder | Place::Database(_) => None,
        }
    }

    /// As the setting `database.url` has it.
    pub(super) fn url(&self) -> String {
        match &self.place {
            Place::Folder => String::new(),
            Place::Database(database) => database.url(),
            Place::Server(server) => server.url(),
        }
    }

    /// Where it is for another process.
    pub(super) fn address(&self) -> String {
        match &self.place {
            Place::Folder => format!("sqlite://{}/tidegate.db", self.folder().display()),
            Place::Database(_) | Place::Server(_) => self.url(),
        }
    }

    /// PostgreSQL: ends what others do there, those in COMMIT and some more.
    pub(super) async fn terminate_backends(&self) -> Result<(), DbErr> {
        let db = Database::connect(self.address()).await?;
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid() \
                   AND ((state = 'active' AND query ILIKE 'commit%') OR random() < 0.1)";
        db.execute_unprepared(sql).await?;
        db.close().await
    }
}
