//! Locking the heads of the streams that a batch writes to.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng as _;
use sea_orm::DbErr;

use crate::store;
use crate::store::head::{Advance, Heads};
use crate::store::write::Transaction;

/// Locks the heads of these streams. A head also guards what the stream tells
/// of (versions, a user's devices and open commands), so it is created where it
/// is missing: two nodes must not both find nothing and both write the first
/// version, or the last device that a user may have. Who only wants the stream
/// to exist pays nothing for that: it is created once, here instead of later.
/// Of SQLite this is the only node, so that a user's stream may wait for its
/// first positions, which create it with the same statement.
pub(crate) async fn lock(db: &Transaction, streams: &BTreeSet<String>) -> Result<Heads, DbErr> {
    let names: Vec<String> = streams.iter().cloned().collect();
    let mut heads = store::head::lock(db, &names).await?;
    let is_alone = db.is_embedded();
    let missing: BTreeMap<String, Advance> = names
        .into_iter()
        .filter(|name| !heads.contains_key(name))
        .filter(|name| !is_alone || !name.starts_with("user:"))
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
