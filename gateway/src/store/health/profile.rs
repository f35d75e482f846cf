//! What is known of users.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use tidegate_entity::health_profile::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, insert_rows, one_of};
use crate::store::order::Place;
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// What is known of a user.
pub async fn load(db: &impl ConnectionTrait, user_id: &str) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::UserId.eq(user_id)).one(db).await
}

impl Table for Entity {
    type Key = String;
    type Row = Model;
    type Select = String;

    const PLACE: Place = Place::HealthProfile;

    fn key(row: &Model) -> String {
        row.user_id.clone()
    }

    async fn load(tx: &Transaction, wanted: &[String]) -> Result<Vec<Model>, DbErr> {
        let mut found = Vec::new();
        for chunk in wanted.chunks(KEYS_PER_STATEMENT) {
            let these = one_of(tx, Column::UserId, chunk.iter().map(String::as_str));
            found.extend(Entity::find().filter(these).all(tx).await?);
        }
        Ok(found)
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        let known = OnConflict::column(Column::UserId)
            .update_columns([Column::TimeZone, Column::UpdatedAt])
            .to_owned();
        insert_rows(tx, changes.upserts().into_iter().map(ActiveModel::from), Some(&known)).await
    }
}
