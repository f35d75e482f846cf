//! The parts that sums of days are made of.

use sea_orm::sea_query::OnConflict;
use sea_orm::{DbErr, EntityTrait, QueryFilter};
use tidegate_entity::day_sample::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, in_pairs, insert_rows};
use crate::store::order::Place;
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// Names a sum: user, date, source, field, channel.
pub type SampleKey = (String, String, String, String, String);

impl Table for Entity {
    type Key = SampleKey;
    type Row = Model;
    /// All sums of a day: there are few.
    type Select = (String, String);

    const PLACE: Place = Place::DaySample;

    fn key(row: &Model) -> SampleKey {
        let (user_id, date) = (row.user_id.clone(), row.date.clone());
        (user_id, date, row.source.clone(), row.field.clone(), row.channel.clone())
    }

    async fn load(tx: &Transaction, wanted: &[(String, String)]) -> Result<Vec<Model>, DbErr> {
        let mut found = Vec::new();
        for chunk in wanted.chunks(KEYS_PER_STATEMENT) {
            let pairs = chunk.iter().map(|(user_id, date)| (user_id.as_str(), date.as_str()));
            let these = in_pairs(tx, [Column::UserId, Column::Date], pairs);
            found.extend(Entity::find().filter(these).all(tx).await?);
        }
        Ok(found)
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        let key = [Column::UserId, Column::Date, Column::Source, Column::Field, Column::Channel];
        let known =
            OnConflict::columns(key).update_columns([Column::Points, Column::UpdatedAt]).to_owned();
        insert_rows(tx, changes.upserts().into_iter().map(ActiveModel::from), Some(&known)).await
    }
}
