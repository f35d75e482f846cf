//! `tidegate rotate-keys`: seals everything again with the first key, so that
//! others can be removed.
//!
//! In small transactions, each row only as it was read: a gateway that changes it
//! meanwhile seals it itself, and it is looked at again. So it may run beside a
//! gateway, and be killed at any moment.

use anyhow::{Context, bail};
use sea_orm::DbErr;
use serde_json::json;
use tidegate_clock::Clock;
use tidegate_entity::audit_log;
use uuid::Uuid;

use crate::app::database;
use crate::config::{Config, Environment};
use crate::providers::tokens;
use crate::sealing::resolve::{Found, resolve};
use crate::sealing::{SealError, Sealing};
use crate::store::{self, Store};

/// Rows of one step.
const ROWS: u64 = 100;

/// Passes over all rows at most: rows that a gateway changes all the time are
/// sealed by the gateway.
const PASSES: u32 = 10;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// The key that everything is sealed with now.
    pub key: String,
    /// Rows that were sealed again.
    pub resealed: u64,
    /// Rows whose key is not there.
    pub unreadable: u64,
    /// Rows that changed each time they were looked at.
    pub left: u64,
}

/// The keys that the settings name.
pub(super) fn keys(config: &Config) -> anyhow::Result<Sealing> {
    // Nothing is sealed where nobody can connect.
    let is_needed = config.providers.is_any_configured();
    let may_make = is_needed && config.environment == Environment::Development;
    let found = Found { keys: &config.sealing.keys, data_dir: &config.data_dir, may_make };
    resolve(found).context("reading the keys to seal with")
}

/// Seals everything with the first key.
pub async fn rotate(config: &Config, clock: &Clock) -> anyhow::Result<Rotated> {
    let sealing = keys(config)?;
    let Some(key) = sealing.first() else { bail!("`sealing.keys` is empty: there is no key") };
    let store = database::connect_beside(config).await?;
    let mut rotated = Rotated { key: key.to_owned(), ..Rotated::default() };
    for _ in 0..PASSES {
        rotated.unreadable = 0;
        rotated.left = 0;
        pass(&store, &sealing, &mut rotated).await.context("sealing again")?;
        if rotated.left == 0 {
            break;
        }
    }
    note(&store, clock, &rotated).await.context("noting it in the audit log")?;
    store.close().await.context("closing the database")?;
    Ok(rotated)
}

async fn pass(store: &Store, sealing: &Sealing, rotated: &mut Rotated) -> Result<(), DbErr> {
    let mut after = (String::new(), String::new());
    loop {
        let place = (after.0.as_str(), after.1.as_str());
        let rows = store::integration::sealed(store.readers(), place, ROWS).await?;
        let Some(last) = rows.last() else { break };
        after = (last.user_id.clone(), last.provider.clone());
        for row in &rows {
            let after = tokens::reseal(sealing, row);
            let Some(after) = count_unreadable(after, rotated) else { continue };
            let after = &after;
            let done =
                store.write(|tx| async move { store::integration::reseal(&tx, row, after).await });
            count(done.await?, rotated);
        }
    }
    let mut after = String::new();
    loop {
        let rows = store::oauth_state::sealed(store.readers(), &after, ROWS).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after.clone_from(&last.state_hash);
        for row in &rows {
            let sealed = tokens::reseal_verifier(sealing, row);
            let Some(sealed) = count_unreadable(sealed, rotated) else { continue };
            let (hash, before) = (&row.state_hash, row.verifier.as_deref().unwrap_or_default());
            let sealed = &sealed;
            let done = store.write(|tx| async move {
                store::oauth_state::reseal(&tx, hash, before, sealed).await
            });
            count(done.await?, rotated);
        }
    }
}

fn count_unreadable<T>(after: Result<Option<T>, SealError>, rotated: &mut Rotated) -> Option<T> {
    after.unwrap_or_else(|error| {
        tracing::warn!(%error, "something sealed does not open");
        rotated.unreadable += 1;
        None
    })
}

fn count(is_done: bool, rotated: &mut Rotated) {
    let counter = if is_done { &mut rotated.resealed } else { &mut rotated.left };
    *counter += 1;
}

async fn note(store: &Store, clock: &Clock, rotated: &Rotated) -> Result<(), DbErr> {
    let row = &audit_log::Model {
        id: Uuid::now_v7().to_string(),
        at: clock.now().millis(),
        actor: "operator".to_owned(),
        action: "keys.rotate".to_owned(),
        subject: "sealing".to_owned(),
        detail: Some(json!({ "key": rotated.key, "resealed": rotated.resealed }).to_string()),
    };
    let noted = store.write(|tx| async move { store::audit::insert(&tx, vec![row.clone()]).await });
    Ok(noted.await?)
}
