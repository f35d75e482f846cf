//! Notices a database whose history went back, and begins the streams concerned
//! anew before devices skip what is written to them.
//!
//! The writer does so by itself for a stream that is written to. This is for
//! those that are not, and for what was announced before this process started.
//! Looks as well whether commits wait for the disk: what an operator sets there
//! decides whether history can go back.

use std::time::Duration;

use sea_orm::DbErr;
use tidegate_durable::{Fault, Health};
use tidegate_protocol::id::StreamName;
use tokio_util::sync::CancellationToken;

use crate::ingest::new_epoch;
use crate::limits::STREAMS_PER_STEP;
use crate::store::{self, Store};
use crate::upkeep::Handles;
use crate::upkeep::turns::Turns;
use crate::upkeep::writing;

/// How often PostgreSQL is asked which timeline it is on: as often as heads are
/// read again.
const INTERVAL: Duration = Duration::from_secs(4);

/// Compares the history that this node saw last with today's, and renews all
/// epochs where it is another one: nobody knows what was announced then. Before
/// anybody is served.
///
/// # Errors
/// Those of the database, where the epochs must be renewed and cannot be.
pub async fn check_at_start(store: &Store, node: &str) -> Result<(), DbErr> {
    let known = store::probe::read(store.readers(), node).await?;
    let known = known.and_then(|row| row.history);
    let now = store::probe::history(store, store.readers()).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "PostgreSQL does not tell its timeline: a failover is only noticed by heads that went back");
        None
    });
    if known.is_some() && now.is_some() && known != now {
        let renewed = renew_all(store).await?;
        tracing::warn!(
            streams = renewed,
            "the database is in another history than the one this node saw last; all epochs were renewed"
        );
    }
    Ok(())
}

/// Gives every stream a new epoch; how many there are.
///
/// # Errors
/// Those of the database; then none is renewed.
pub async fn renew_all(store: &Store) -> Result<u64, DbErr> {
    let renewed = store.write(|tx| async move {
        let (mut after, mut renewed) = (String::new(), 0);
        loop {
            let names = store::head::names(&tx, &after, STREAMS_PER_STEP).await?;
            let Some(last) = names.last() else { return Ok(renewed) };
            after.clone_from(last);
            for name in &names {
                store::head::renew_epoch(&tx, name, &new_epoch()).await?;
                renewed += 1;
            }
        }
    });
    let renewed = renewed.await?;
    store.epochs_renewed().map_err(|error| DbErr::Custom(error.to_string()))?;
    Ok(renewed)
}

/// Asks now and then, and after every time that writing did not work. A history
/// is noted for the next start only when what was announced in the one before
/// was compared with it.
pub(super) async fn watch(state: Handles, stop: CancellationToken) {
    let mut health = state.store.health_changes();
    let (mut known, mut must_check) = (None, false);
    let mut turns = Turns::every(INTERVAL, stop);
    loop {
        tokio::select! {
            biased;
            Ok(()) = health.changed() => {
                must_check |= *health.borrow_and_update() != Health::Writing;
                continue;
            }
            goes_on = turns.next() => {
                if !goes_on {
                    return;
                }
            }
        }
        match look(&state, known.as_deref(), must_check).await {
            Ok(now) => (known, must_check) = (now.or(known), false),
            Err(error) => {
                tracing::debug!(%error, "the database's history was not compared; tried again");
                must_check = true;
            }
        }
    }
}

/// One look: the history there is.
async fn look(
    state: &Handles,
    known: Option<&str>,
    must_check: bool,
) -> anyhow::Result<Option<String>> {
    let now = match store::probe::history(&state.store, state.store.readers()).await {
        // It does not tell, which `check_at_start` has said.
        Err(error) if !Fault::of(&error).is_passing() => None,
        now => now?,
    };
    let is_another = known.is_some() && now.is_some() && now.as_deref() != known;
    if is_another {
        tracing::warn!(timeline = ?now, "PostgreSQL is on another timeline");
    }
    state.store.note_durability().await?;
    if is_another || must_check {
        check_announced(state, is_another).await?;
    }
    if now.is_some() && now.as_deref() != known {
        writing::write_row(state, now.clone()).await?;
    }
    Ok(now)
}

/// The writer compares each head it locks with what was announced.
async fn check_announced(state: &Handles, is_another: bool) -> anyhow::Result<()> {
    let (streams, are_all) = state.ingest.history().streams();
    if is_another && !are_all {
        let renewed = renew_all(&state.store).await?;
        tracing::warn!(streams = renewed, "too much was announced to know it all: epochs renewed");
        for stream in state.hub.watched_streams() {
            state.hub.restart(&stream);
        }
        return Ok(());
    }
    for names in streams.chunks(usize::try_from(STREAMS_PER_STEP)?) {
        let names = names.iter().filter_map(|name| StreamName::parse(name).ok()).collect();
        state.ingest.ensure(names).await?;
    }
    Ok(())
}
