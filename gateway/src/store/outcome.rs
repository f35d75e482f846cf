//! What devices reported about commands.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use tidegate_entity::command_outcome::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, insert_rows, one_of};

/// All outcomes of these commands, oldest first.
pub async fn of_commands(db: &impl ConnectionTrait, ids: &[String]) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        let query = Entity::find()
            .filter(one_of(db, Column::CommandId, chunk.iter().map(String::as_str)))
            .order_by_asc(Column::At)
            // Of the same millisecond: those that counted went first.
            .order_by_asc(Column::Late)
            .order_by_asc(Column::Attempt);
        found.extend(query.all(db).await?);
    }
    Ok(found)
}

/// Which of these commands the device has settled for itself.
pub async fn settled_by(
    db: &impl ConnectionTrait,
    device_id: &str,
    ids: &[String],
) -> Result<Vec<String>, DbErr> {
    let mut found: Vec<String> = Vec::new();
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        let query = Entity::find()
            .select_only()
            .column(Column::CommandId)
            .filter(one_of(db, Column::CommandId, chunk.iter().map(String::as_str)))
            .filter(Column::DeviceId.eq(device_id))
            .filter(Column::Settles.eq(true));
        found.extend(query.into_tuple::<String>().all(db).await?);
    }
    Ok(found)
}

/// New outcomes.
pub async fn insert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    insert_rows(db, rows.into_iter().map(ActiveModel::from), None).await
}

/// Forgets the outcomes of these commands.
pub async fn remove_of(db: &impl ConnectionTrait, ids: &[String]) -> Result<(), DbErr> {
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        Entity::delete_many()
            .filter(one_of(db, Column::CommandId, chunk.iter().map(String::as_str)))
            .exec(db)
            .await?;
    }
    Ok(())
}
