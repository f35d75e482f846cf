//! Ids that an app gave what it wrote on a device, and what a platform tells of
//! them: it may have been a command of the user.

use serde_json::value::RawValue;

use crate::health::format::{lists, sent};
use crate::health::item::{Item, Wrong};

/// The fields that are read.
pub(super) const NAMES: [&str; 6] =
    ["external_id", "externalId", "HKExternalUUID", "clientRecordId", "client_record_id", METADATA];

const METADATA: &str = "metadata";

/// The id of an item, of its metadata, or of one of several metadata.
pub(super) fn id(item: &Item<'_>) -> Result<Option<String>, Wrong> {
    if let Some(id) = named(item)? {
        return Ok(Some(id));
    }
    let Some(metadata) = item.get(METADATA) else { return Ok(None) };
    if metadata.get().starts_with('{') {
        return of_metadata(metadata);
    }
    let mut found = Ok(None);
    lists::each(metadata, |_, one: &RawValue| {
        if matches!(found, Ok(None)) && one.get().starts_with('{') {
            found = of_metadata(one);
        }
    });
    found
}

fn of_metadata(raw: &RawValue) -> Result<Option<String>, Wrong> {
    let item = Item::pick(raw.get(), |name| NAMES.contains(&name) || is_pair(name))?;
    let key = ["key", "name"].iter().find_map(|name| item.text(name).ok().flatten());
    match key {
        Some(key) if NAMES.contains(&key.as_ref()) => of(&item, "value"),
        _ => named(&item),
    }
}

fn is_pair(name: &str) -> bool {
    matches!(name, "key" | "name" | "value")
}

fn named(item: &Item<'_>) -> Result<Option<String>, Wrong> {
    for name in NAMES.iter().filter(|name| **name != METADATA) {
        if let Some(id) = of(item, name)? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn of(item: &Item<'_>, name: &str) -> Result<Option<String>, Wrong> {
    Ok(sent::id(item, name, sent::ID)?.map(Into::into))
}
