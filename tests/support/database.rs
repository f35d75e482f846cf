//! A database of its own for each gateway on PostgreSQL.

use std::path::Path;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbErr};
use uuid::Uuid;

use crate::support::{Server, skip};

/// The server that `DATABASE_URL` names.
pub(crate) fn named_server() -> Option<String> {
    std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty())
}

/// The same, or the one that tests share: for what needs PostgreSQL whatever
/// else the tests run on. `None`, and says so, where it is not installed.
pub(crate) async fn needed_server() -> Option<String> {
    if let Some(named) = named_server() {
        return Some(named);
    }
    let shared = Server::shared().await;
    if shared.is_none() {
        skip("PostgreSQL is not installed");
    }
    shared.map(Server::url)
}

/// A database that is dropped with its owner.
#[derive(Debug)]
pub(crate) struct PostgresDatabase {
    server: String,
    name: String,
}

impl PostgresDatabase {
    /// Makes one on the server that `DATABASE_URL` names; `None` without it.
    pub(crate) async fn create() -> Option<Self> {
        Some(Self::create_on(named_server()?).await)
    }

    /// Makes one on this server.
    pub(crate) async fn create_on(server: String) -> Self {
        let name = format!("tidegate_test_{}", Uuid::new_v4().simple());
        execute(&server, &format!("CREATE DATABASE {name}")).await.expect("a fresh database");
        Self { server, name }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        let (address, query) = match self.server.split_once('?') {
            Some((address, query)) => (address, format!("?{query}")),
            None => (&*self.server, String::new()),
        };
        let (authority, _) =
            address.rsplit_once('/').expect("the server's address names a database");
        format!("{authority}/{}{query}", self.name)
    }
}

impl PostgresDatabase {
    /// `host:port` of the server.
    pub(crate) fn server(&self) -> String {
        let address = self.server.split_once('?').map_or(&*self.server, |(address, _)| address);
        let authority = address.split('/').nth(2).expect("the address names a server");
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if host.contains(':') { host.to_owned() } else { format!("{host}:5432") }
    }

    /// As an operator at its console; not through the gateway.
    pub(crate) async fn console(&self) -> DatabaseConnection {
        Database::connect(self.url()).await.unwrap()
    }

    /// Sets a parameter for sessions to come.
    pub(crate) async fn set(&self, parameter: &str, value: &str) {
        let statement = format!("ALTER DATABASE {} SET {parameter} = {value}", self.name);
        execute(&self.server, &statement).await.unwrap();
    }

    /// Runs a statement at the console.
    pub(crate) async fn run(&self, statement: &str) {
        execute(&self.url(), statement).await.unwrap();
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        // The test's own runtime may be going down.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.is_ok_and(|runtime| runtime.block_on(execute(&server, &statement)).is_ok())
        });
        let _ = dropping.join();
    }
}

async fn execute(url: &str, statement: &str) -> Result<(), DbErr> {
    let db = Database::connect(url).await?;
    db.execute_unprepared(statement).await?;
    db.close().await
}

/// Makes a SQLite database of a dump.
pub(crate) async fn fill(file: &Path, dump: &str) {
    execute(&format!("sqlite://{}?mode=rwc", file.display()), dump).await.unwrap();
}
