//! `tidegate renew-epochs`: after a backup was restored, positions that
//! devices hold may name entries that the restored journal never had. New
//! epochs make every such cursor begin anew.

use anyhow::Context;

use crate::app::connect;
use crate::config::Config;
use crate::ingest::new_epoch;
use crate::limits::STREAMS_PER_STEP;
use crate::store;

/// Gives every stream a new epoch; how many there were. The gateway must not
/// be running.
pub async fn renew(config: &Config) -> anyhow::Result<u64> {
    let store = connect(config).await?;
    let tx = store.begin_write().await.context("starting the write")?;
    let (mut after, mut renewed) = (String::new(), 0);
    loop {
        let heads = store::head::page(&tx, &after, STREAMS_PER_STEP).await?;
        let Some(last) = heads.last() else { break };
        after.clone_from(&last.stream);
        for head in &heads {
            store::head::renew_epoch(&tx, &head.stream, &new_epoch()).await?;
            renewed += 1;
        }
    }
    tx.commit().await.context("committing the new epochs")?;
    store.close().await.context("closing the database")?;
    Ok(renewed)
}
