//! Opening the database that the settings name, and bringing it up to date.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::config::{Config, Synchronous};
use crate::store::{self, Store, StoreOptions};
use crate::upkeep::history;

/// Opens the database that the settings name.
pub async fn connect(config: &Config) -> anyhow::Result<Store> {
    let url = database_url(config)?;
    let options = StoreOptions {
        url,
        connections: config.database.connections,
        synchronous_full: config.database.synchronous == Synchronous::Full,
        acquire_timeout: Duration::from_millis(config.database.acquire_timeout_ms),
        statement_timeout: Duration::from_millis(config.database.statement_timeout_ms),
        lock_timeout: Duration::from_millis(config.database.lock_timeout_ms),
    };
    Store::open(&options).await.context("opening the database")
}

fn database_url(config: &Config) -> anyhow::Result<String> {
    if !config.database.url.is_empty() {
        return Ok(config.database.url.clone());
    }
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("creating the data folder {}", config.data_dir.display()))?;
    let path = config.data_dir.join("tidegate.db");
    Ok(format!("sqlite://{}?mode=rwc", Path::new(&path).display()))
}

/// Opens it to serve: brings the schema up to date, or refuses an old one, as
/// the settings say, and begins streams anew whose history went back.
pub(super) async fn open(config: &Config, node: &str) -> anyhow::Result<Store> {
    let store = connect(config).await?;
    bring_up_to_date(config, &store).await?;
    let checked = history::check_at_start(&store, node).await;
    checked.context("comparing the database's history with the one known")?;
    if !store.is_durable().await.context("reading how durable commits are")? {
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
