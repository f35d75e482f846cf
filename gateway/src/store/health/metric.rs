//! Body metrics by day.

use std::convert::Infallible;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
};
use tidegate_entity::body_metric::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::insert_rows;
use crate::store::order::Place;
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// Names a metric of a day: user, metric, date.
pub type MetricKey = (String, String, String);

/// What a metric of a user is on the newest day that has it.
pub async fn newest(
    db: &impl ConnectionTrait,
    user_id: &str,
    metric: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Metric.eq(metric))
        .order_by_desc(Column::Date)
        .one(db)
        .await
}

impl Table for Entity {
    type Key = MetricKey;
    type Row = Model;
    /// It follows from the day's entry.
    type Select = Infallible;

    const PLACE: Place = Place::BodyMetric;

    fn key(row: &Model) -> MetricKey {
        (row.user_id.clone(), row.metric.clone(), row.date.clone())
    }

    async fn load(_: &Transaction, _: &[Infallible]) -> Result<Vec<Model>, DbErr> {
        Ok(Vec::new())
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        // Seldom more than one: a person took the only value of a day back.
        for (user_id, metric, date) in &changes.removed {
            let this = Condition::all()
                .add(Column::UserId.eq(user_id))
                .add(Column::Metric.eq(metric))
                .add(Column::Date.eq(date));
            Entity::delete_many().filter(this).exec(tx).await?;
        }
        let known = OnConflict::columns([Column::UserId, Column::Metric, Column::Date])
            .update_columns([Column::Value, Column::At, Column::Source])
            .to_owned();
        insert_rows(tx, changes.upserts().into_iter().map(ActiveModel::from), Some(&known)).await
    }
}
