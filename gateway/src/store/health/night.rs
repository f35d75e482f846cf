//! Nights, by the day on which they end.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use tidegate_entity::sleep_record::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, in_pairs, insert_rows};
use crate::store::health::{DayKey, Days};
use crate::store::order::Place;
use crate::store::portion::{Portion, Portioned};
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// How many days back a night is looked for that its source deleted.
const NEWEST: u64 = 60;

/// Days with nights of a user, newest first.
pub async fn page(
    db: &impl ConnectionTrait,
    user_id: &str,
    days: Days<'_>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let existing = Condition::all().add(Column::UserId.eq(user_id)).add(Column::Body.is_not_null());
    days.of(Entity::find().filter(existing), Column::Date)
        .order_by_desc(Column::Date)
        .limit(limit)
        .all(db)
        .await
}

/// Days with nights of a user after one, oldest first.
pub async fn after(
    db: &impl ConnectionTrait,
    user_id: &str,
    date: &str,
    portion: Portion,
) -> Result<Portioned<Model>, DbErr> {
    let later = |date: &str| {
        Condition::all()
            .add(Column::UserId.eq(user_id))
            .add(Column::Date.gt(date))
            .add(Column::Body.is_not_null())
    };
    let query = Entity::find()
        .filter(later(date))
        .filter(portion.holds::<Entity, _>([Column::Date], &[Column::Body], later(date)))
        .order_by_asc(Column::Date);
    let rows = query.limit(portion.rows as u64).all(db).await?;
    let bytes = |row: &Model| row.body.as_ref().map_or(0, String::len);
    portion.of::<Entity, _>(db, rows, bytes, |row| later(&row.date)).await
}

/// Which nights a unit of work asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Those that end on a day.
    Day(DayKey),
    /// The newest of a user: those that a source may have deleted.
    Newest(String),
}

impl Table for Entity {
    type Key = DayKey;
    type Row = Model;
    type Select = Wanted;

    const PLACE: Place = Place::SleepRecord;

    fn key(row: &Model) -> DayKey {
        (row.user_id.clone(), row.date.clone())
    }

    async fn load(tx: &Transaction, wanted: &[Wanted]) -> Result<Vec<Model>, DbErr> {
        let (mut found, mut days) = (Vec::new(), Vec::new());
        for wanted in wanted {
            match wanted {
                Wanted::Day(key) => days.push(key),
                Wanted::Newest(user_id) => {
                    let of_user = Entity::find().filter(Column::UserId.eq(user_id));
                    let newest = of_user.order_by_desc(Column::Date).limit(NEWEST);
                    found.extend(newest.all(tx).await?);
                }
            }
        }
        for chunk in days.chunks(KEYS_PER_STATEMENT) {
            let pairs = chunk.iter().map(|(user_id, date)| (user_id.as_str(), date.as_str()));
            let these = in_pairs(tx, [Column::UserId, Column::Date], pairs);
            found.extend(Entity::find().filter(these).all(tx).await?);
        }
        Ok(found)
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        let known = OnConflict::columns([Column::UserId, Column::Date])
            .update_columns([Column::Version, Column::Nights, Column::Body, Column::UpdatedAt])
            .to_owned();
        insert_rows(tx, changes.upserts().into_iter().map(ActiveModel::from), Some(&known)).await
    }
}
