//! Locking the heads of the streams that a batch writes to.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng as _;
use sea_orm::{ConnectionTrait, DbErr};

use crate::store;
use crate::store::head::{Advance, Heads};

/// Locks the heads of these streams. A shared stream's head also guards the
/// versions of what it tells of, so it is created where it is missing: two
/// nodes must not both find nothing and both write the first version.
pub(crate) async fn lock(
    db: &impl ConnectionTrait,
    streams: &BTreeSet<String>,
) -> Result<Heads, DbErr> {
    let names: Vec<String> = streams.iter().cloned().collect();
    let mut heads = store::head::lock(db, &names).await?;
    let missing: BTreeMap<String, Advance> = names
        .into_iter()
        .filter(|name| !name.starts_with("user:") && !heads.contains_key(name))
        .map(|name| (name, Advance { new_epoch: new_epoch(), ..Advance::default() }))
        .collect();
    if !missing.is_empty() {
        let created = store::head::advance(db, &heads, &missing).await?;
        heads.extend(created);
    }
    Ok(heads)
}

/// A new epoch: 8 characters of `[0-9a-z]`, 41 bits.
pub(crate) fn new_epoch() -> String {
    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut random = rand::rng();
    (0..8).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
}
