//! Days' entries.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use tidegate_entity::daily_entry::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, in_pairs, insert_rows};
use crate::store::health::{DayKey, Days};
use crate::store::order::Place;
use crate::store::portion::{Portion, Portioned};
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// These days.
pub async fn load(db: &impl ConnectionTrait, keys: &[DayKey]) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in keys.chunks(KEYS_PER_STATEMENT) {
        let pairs = chunk.iter().map(|(user_id, date)| (user_id.as_str(), date.as_str()));
        let these = in_pairs(db, [Column::UserId, Column::Date], pairs);
        found.extend(Entity::find().filter(these).all(db).await?);
    }
    Ok(found)
}

/// Days of a user, newest first.
pub async fn page(
    db: &impl ConnectionTrait,
    user_id: &str,
    days: Days<'_>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let of_user = Entity::find().filter(Column::UserId.eq(user_id));
    days.of(of_user, Column::Date).order_by_desc(Column::Date).limit(limit).all(db).await
}

/// Days of a user after one, oldest first.
pub async fn after(
    db: &impl ConnectionTrait,
    user_id: &str,
    date: &str,
    portion: Portion,
) -> Result<Portioned<Model>, DbErr> {
    let later = |date: &str| {
        sea_orm::Condition::all().add(Column::UserId.eq(user_id)).add(Column::Date.gt(date))
    };
    let query: Select<Entity> = Entity::find()
        .filter(later(date))
        .filter(portion.holds::<Entity, _>([Column::Date], &[Column::Body], later(date)))
        .order_by_asc(Column::Date);
    let rows = query.limit(portion.rows as u64).all(db).await?;
    portion.of::<Entity, _>(db, rows, |row| row.body.len(), |row| later(&row.date)).await
}

impl Table for Entity {
    type Key = DayKey;
    type Row = Model;
    type Select = DayKey;

    const PLACE: Place = Place::DailyEntry;

    fn key(row: &Model) -> DayKey {
        (row.user_id.clone(), row.date.clone())
    }

    async fn load(tx: &Transaction, wanted: &[DayKey]) -> Result<Vec<Model>, DbErr> {
        load(tx, wanted).await
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        let known = OnConflict::columns([Column::UserId, Column::Date])
            .update_columns([Column::Version, Column::Said, Column::Body, Column::UpdatedAt])
            .to_owned();
        insert_rows(tx, changes.upserts().into_iter().map(ActiveModel::from), Some(&known)).await
    }
}
