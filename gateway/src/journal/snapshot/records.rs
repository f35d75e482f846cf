//! Records of shared streams.

use sea_orm::DbErr;
use serde_json::value::{RawValue, to_raw_value};
use tidegate_entity::shared_record;
use tidegate_protocol::entry::{Item, RecordBody, RecordOp, kind};

use crate::config::check::MARKETPLACE;
use crate::journal::frame::StreamId;
use crate::journal::snapshot::{Part, Reading, Room, Source, gather};
use crate::store;

pub(super) struct Records;

impl Source for Records {
    /// Collection and id.
    type After = (String, String);

    const NAME: &'static str = "records";

    fn tells_of(stream: &StreamId) -> bool {
        stream.name.owner().is_none() && stream.name.as_str() != MARKETPLACE
    }

    async fn read(
        reading: Reading<'_>,
        after: Option<Self::After>,
        room: Room,
    ) -> Result<Part<Self::After>, DbErr> {
        let (collection, id) = after.clone().unwrap_or_default();
        let (db, name) = (reading.store.readers(), reading.stream.name.as_str());
        let read = store::record::page(db, name, (&collection, &id), room.portion()).await?;
        let item = |row: shared_record::Model| {
            let at = (row.collection.clone(), row.id.clone());
            (at, record_item(row))
        };
        Ok(gather(after, read, item, room))
    }
}

fn record_item(row: shared_record::Model) -> Option<Item> {
    let data = RawValue::from_string(row.data?).ok()?;
    let body = RecordBody {
        collection: row.collection,
        id: row.id,
        version: row.version,
        op: RecordOp::Put,
        base_version: None,
        data: Some(data),
        patch: None,
    };
    let body = to_raw_value(&body).ok()?;
    Some(Item { kind: kind::RECORD.to_owned(), body })
}
