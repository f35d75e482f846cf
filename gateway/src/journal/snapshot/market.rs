//! Items of the marketplace that devices hold.

use sea_orm::DbErr;
use serde_json::value::{RawValue, to_raw_value};
use tidegate_protocol::entry::{Item, ItemBody, RecordOp};

use crate::config::check::MARKETPLACE;
use crate::journal::frame::StreamId;
use crate::journal::snapshot::{Part, Reading, Room, Source, gather};
use crate::store;
use crate::store::market::Held;
use crate::store::market::shown::shown_text;

pub(super) struct Items;

impl Source for Items {
    /// Kind and id.
    type After = (String, String);

    const NAME: &'static str = "market";

    fn tells_of(stream: &StreamId) -> bool {
        stream.name.as_str() == MARKETPLACE
    }

    async fn read(
        reading: Reading<'_>,
        after: Option<Self::After>,
        room: Room,
    ) -> Result<Part<Self::After>, DbErr> {
        let (kind, id) = after.clone().unwrap_or_default();
        let db = reading.store.readers();
        let read = store::market::page(db, (&kind, &id), room.portion()).await?;
        let item = |row: Held| {
            let at = (row.kind.to_string(), row.id.clone());
            (at, market_item(row))
        };
        Ok(gather(after, read, item, room))
    }
}

fn market_item(row: Held) -> Option<Item> {
    let data = RawValue::from_string(shown_text(row.data, row.rated.as_deref())?).ok()?;
    let body = ItemBody {
        id: row.id,
        version: row.version,
        op: RecordOp::Put,
        base_version: None,
        data: Some(data),
        patch: None,
    };
    Some(Item { kind: row.kind.to_string(), body: to_raw_value(&body).ok()? })
}
