//! Records of shared streams.

use std::collections::BTreeMap;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use tidegate_entity::shared_record::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, insert_rows, one_of};
use crate::store::later;
use crate::store::order::Place;
use crate::store::portion::{Portion, Portioned};
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// Names a record: stream, collection, id.
pub type RecordKey = (String, String, String);

/// These records, deleted ones included. The stream's head is locked by the
/// same transaction, which keeps other writers away from its records.
pub async fn load(db: &impl ConnectionTrait, keys: &[RecordKey]) -> Result<Vec<Model>, DbErr> {
    // A statement for each collection: SQLite looks tuples up by no index.
    let mut collections: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (stream, collection, id) in keys {
        collections.entry((stream, collection)).or_default().push(id);
    }
    let mut found = Vec::new();
    for ((stream, collection), ids) in collections {
        for chunk in ids.chunks(KEYS_PER_STATEMENT) {
            let query = Entity::find()
                .filter(Column::Stream.eq(stream))
                .filter(Column::Collection.eq(collection))
                .filter(one_of(db, Column::Id, chunk.iter().copied()));
            found.extend(query.all(db).await?);
        }
    }
    Ok(found)
}

/// Existing records of a stream after (collection, id), in that order.
pub async fn page(
    db: &impl ConnectionTrait,
    stream: &str,
    after: (&str, &str),
    portion: Portion,
) -> Result<Portioned<Model>, DbErr> {
    let keys = [Column::Collection, Column::Id];
    let existing = |after: [&str; 2]| {
        Condition::all()
            .add(Column::Stream.eq(stream))
            .add(Column::Data.is_not_null())
            .add(later(keys, after))
    };
    let after = [after.0, after.1];
    let query = Entity::find()
        .filter(existing(after))
        .filter(portion.holds::<Entity, _>(keys, &[Column::Data], existing(after)))
        .order_by_asc(Column::Collection)
        .order_by_asc(Column::Id);
    let rows = query.limit(portion.rows as u64).all(db).await?;
    let bytes = |row: &Model| row.data.as_ref().map_or(0, String::len);
    portion.of::<Entity, _>(db, rows, bytes, |row| existing([&row.collection, &row.id])).await
}

/// Writes new and changed records.
pub async fn upsert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    let on_conflict = OnConflict::columns([Column::Stream, Column::Collection, Column::Id])
        .update_columns([Column::Version, Column::Data, Column::UpdatedAt])
        .to_owned();
    insert_rows(db, rows.into_iter().map(ActiveModel::from), Some(&on_conflict)).await
}

impl Table for Entity {
    type Key = RecordKey;
    type Row = Model;
    type Select = RecordKey;

    const PLACE: Place = Place::SharedRecord;

    fn key(row: &Model) -> RecordKey {
        (row.stream.clone(), row.collection.clone(), row.id.clone())
    }

    async fn load(tx: &Transaction, wanted: &[RecordKey]) -> Result<Vec<Model>, DbErr> {
        load(tx, wanted).await
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        upsert(tx, changes.upserts()).await
    }
}
