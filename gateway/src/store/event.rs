//! Timeline rows of pushes, written behind.

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use tidegate_entity::command_event::{ActiveModel, Column, Entity, Model};
use tidegate_protocol::command::{Channel, TimelineEvent};

use crate::store::bulk::{KEYS_PER_STATEMENT, insert_rows, one_of};

/// A row to write; the database numbers it.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The command.
    pub command_id: String,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// What happened.
    pub event: TimelineEvent,
    /// What carried it.
    pub channel: Option<Channel>,
    /// The device.
    pub device_id: Option<String>,
    /// More, in words.
    pub detail: Option<String>,
    /// Rows with the same text are written once; null ones may repeat.
    pub once: Option<String>,
}

/// Writes rows, in order.
pub async fn insert(db: &impl ConnectionTrait, rows: Vec<NewEvent>) -> Result<(), DbErr> {
    let rows = rows.into_iter().map(|row| ActiveModel {
        id: NotSet,
        command_id: Set(row.command_id),
        at: Set(row.at),
        event: Set(row.event),
        channel: Set(row.channel),
        device_id: Set(row.device_id),
        detail: Set(row.detail),
        once: Set(row.once),
    });
    let once = OnConflict::columns([Column::CommandId, Column::Once]).do_nothing().to_owned();
    insert_rows(db, rows, Some(&once)).await
}

/// The rows of one command, oldest first.
pub async fn of_commands(db: &impl ConnectionTrait, ids: &[String]) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        let query = Entity::find()
            .filter(one_of(db, Column::CommandId, chunk.iter().map(String::as_str)))
            .order_by_asc(Column::Id);
        found.extend(query.all(db).await?);
    }
    Ok(found)
}

/// Forgets the rows of these commands.
pub async fn remove_of(db: &impl ConnectionTrait, ids: &[String]) -> Result<(), DbErr> {
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        Entity::delete_many()
            .filter(one_of(db, Column::CommandId, chunk.iter().map(String::as_str)))
            .exec(db)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sea_orm::{Database, DatabaseBackend, Schema};

    use super::*;

    #[tokio::test]
    async fn a_word_of_a_newer_version_is_an_error_that_names_its_column() {
        let db = Database::connect("sqlite::memory:").await.unwrap();
        let schema = Schema::new(DatabaseBackend::Sqlite);
        db.execute(&schema.create_table_from_entity(Entity)).await.unwrap();
        let index = "CREATE UNIQUE INDEX once ON command_event (command_id, once)";
        db.execute_unprepared(index).await.unwrap();
        let event = NewEvent {
            command_id: "c".to_owned(),
            at: 1,
            event: TimelineEvent::PushOk,
            channel: None,
            device_id: None,
            detail: None,
            once: None,
        };
        insert(&db, vec![event]).await.unwrap();
        let read = of_commands(&db, &["c".to_owned()]).await.unwrap();
        assert_eq!((read[0].event, read[0].channel), (TimelineEvent::PushOk, None));
        db.execute_unprepared("UPDATE command_event SET channel = 'pigeon'").await.unwrap();
        let error = of_commands(&db, &["c".to_owned()]).await.unwrap_err().to_string();
        assert!(error.contains("\"channel\"") && error.contains("Channel"), "{error}");
    }
}
