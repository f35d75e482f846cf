//! What callers' Idempotency-Keys stand for.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use tidegate_entity::idempotency_key::{ActiveModel, Column, Entity, Model};

use crate::store::{KEYS_PER_STATEMENT, in_pairs, insert_rows};

/// The rows of these (caller, key) pairs.
pub async fn load(
    db: &impl ConnectionTrait,
    keys: &[(String, String)],
) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in keys.chunks(KEYS_PER_STATEMENT) {
        let pairs = chunk.iter().map(|(caller, key)| (caller.as_str(), key.as_str()));
        let query = Entity::find()
            // One caller may have millions of keys.
            .filter(Column::Key.is_in(chunk.iter().map(|(_, key)| key.as_str())))
            .filter(in_pairs([Column::Caller, Column::Key], pairs));
        found.extend(query.all(db).await?);
    }
    Ok(found)
}

/// New keys.
pub async fn insert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    insert_rows(db, rows.into_iter().map(ActiveModel::from), None).await
}

/// Forgets keys that had their time.
pub async fn remove_expired(db: &impl ConnectionTrait, now: i64) -> Result<u64, DbErr> {
    Ok(Entity::delete_many().filter(Column::ExpiresAt.lte(now)).exec(db).await?.rows_affected)
}
