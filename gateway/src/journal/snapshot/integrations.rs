//! Integrations of a user that are connected.

use sea_orm::DbErr;
use serde_json::value::to_raw_value;
use tidegate_entity::integration;
use tidegate_protocol::entry::{IntegrationBody, Item, kind};
use tidegate_protocol::time::Timestamp;

use crate::journal::frame::StreamId;
use crate::journal::snapshot::{Part, Reading, Room, Source, gather};
use crate::store;
use crate::store::portion::{Cost, Portioned};

pub(super) struct Integrations;

impl Source for Integrations {
    /// The provider.
    type After = String;

    const NAME: &'static str = "integrations";

    fn tells_of(stream: &StreamId) -> bool {
        stream.name.owner().is_some()
    }

    async fn read(
        reading: Reading<'_>,
        after: Option<String>,
        room: Room,
    ) -> Result<Part<String>, DbErr> {
        let Some(user_id) = reading.stream.name.owner() else { return Ok(Part::default()) };
        // There are as many as providers: a handful.
        let mut rows = store::integration::of_user(reading.store.readers(), user_id).await?;
        rows.retain(|row| row.connected && after.as_ref().is_none_or(|at| row.provider > *at));
        let cost = Cost::of(rows.iter().map(|row| row.checkpoint.as_ref().map_or(0, String::len)));
        let read = Portioned { rows, is_last: true, cost };
        let item = |row: integration::Model| {
            let body = to_raw_value(&integration_body(&row)).ok();
            (row.provider, body.map(|body| Item { kind: kind::INTEGRATION.to_owned(), body }))
        };
        Ok(gather(after, read, item, room))
    }
}

/// What devices are told of an integration.
pub fn integration_body(row: &integration::Model) -> IntegrationBody {
    IntegrationBody {
        provider: row.provider.clone(),
        connected: row.connected,
        sync_status: row.status,
        sync_error: row.error,
        last_synced_at: row.last_synced_at.map(Timestamp::from_millis),
    }
}
