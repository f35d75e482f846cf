//! `tidegate renew-epochs`: after a backup was restored, positions that
//! devices hold may name entries that the restored journal never had. New
//! epochs make every such cursor begin anew.

use anyhow::Context;

use crate::app::database::connect;
use crate::config::Config;
use crate::upkeep::history;

/// Gives every stream a new epoch; how many there were. The gateway must not
/// be running.
pub async fn renew(config: &Config) -> anyhow::Result<u64> {
    let store = connect(config).await?;
    let renewed = history::renew_all(&store).await.context("renewing the epochs")?;
    store.close().await.context("closing the database")?;
    Ok(renewed)
}
