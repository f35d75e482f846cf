//! Opening the database that the settings name, and bringing it up to date.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::config::{Config, Synchronous};
use crate::store::file::DatabaseFile;
use crate::store::open::OpenError;
use crate::store::{self, Store, StoreOptions};
use crate::upkeep::history;

/// Opens the database that the settings name.
pub async fn connect(config: &Config) -> anyhow::Result<Store> {
    if config.database.url.is_empty() {
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("creating the data folder {}", config.data_dir.display()))?;
    }
    Store::open(&options(config)).await.context("opening the database")
}

/// Opens it also while a gateway has it open: to change rows that no gateway
/// remembers, in transactions as short as its own.
pub(super) async fn connect_beside(config: &Config) -> anyhow::Result<Store> {
    let options = options(config);
    let opened = match Store::open(&options).await {
        Err(OpenError::InUse { .. }) => Store::open_beside(&options).await,
        opened => opened,
    };
    opened.context("opening the database")
}

/// Where and how the settings keep data.
pub(super) fn options(config: &Config) -> StoreOptions {
    StoreOptions {
        url: database_url(config),
        connections: config.database.connections,
        synchronous_full: config.database.synchronous == Synchronous::Full,
        acquire_timeout: Duration::from_millis(config.database.acquire_timeout_ms),
        statement_timeout: Duration::from_millis(config.database.statement_timeout_ms),
        lock_timeout: Duration::from_millis(config.database.lock_timeout_ms),
        check_limit: Duration::from_secs(config.database.check_s),
    }
}

fn database_url(config: &Config) -> String {
    if !config.database.url.is_empty() {
        return config.database.url.clone();
    }
    DatabaseFile::at(&config.data_dir.join("tidegate.db")).url()
}

/// The SQLite file that the settings name. `None`: they name another database.
pub(super) fn file(config: &Config) -> anyhow::Result<Option<DatabaseFile>> {
    DatabaseFile::of_url(&database_url(config)).context("reading `database.url`")
}

/// Opens it to serve: brings the schema up to date, or refuses an old one, as
/// the settings say, and begins streams anew whose history went back.
pub(super) async fn open(config: &Config, node: &str) -> anyhow::Result<Store> {
    let store = connect(config).await?;
    bring_up_to_date(config, &store).await?;
    if store.must_renew_epochs() {
        let renewed = history::renew_all(&store).await.context("renewing the epochs")?;
        tracing::warn!(
            streams = renewed,
            "the database file is not the one that was left here; all epochs were renewed"
        );
    }
    let checked = history::check_at_start(&store, node).await;
    checked.context("comparing the database's history with the one known")?;
    store.note_durability().await.context("reading how durable commits are")?;
    if !store.is_durable() {
        tracing::warn!(
            "commits do not wait for the disk (PostgreSQL's `synchronous_commit` or \
             `database.synchronous`): a power cut may take accepted writes; `/readyz` says so"
        );
    }
    Ok(store)
}

async fn bring_up_to_date(config: &Config, store: &Store) -> anyhow::Result<()> {
    if config.database.auto_migrate {
        store::schema::migrate(store).await.context("migrating the database")?;
        return Ok(());
    }
    let pending = store::schema::pending(store).await.context("reading the schema's version")?;
    if !pending.is_empty() {
        bail!(
            "the database lacks {} migration(s): {}; run `tidegate migrate`, or set `database.auto_migrate`",
            pending.len(),
            pending.join(", ")
        );
    }
    Ok(())
}

/// Brings the database up to date.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    let store = connect(config).await?;
    store::schema::migrate(&store).await.context("migrating the database")?;
    store.close().await.context("closing the database")
}
