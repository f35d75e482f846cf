//! Days, nights and activities of a user, as far back as snapshots go.

use chrono::DateTime;
use sea_orm::DbErr;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use tidegate_entity::{activity, daily_entry, sleep_record};
use tidegate_protocol::entry::{Item, kind};

use crate::health::date::days_before;
use crate::journal::frame::StreamId;
use crate::journal::health::{activity_put, with_op};
use crate::journal::snapshot::{Part, Reading, Room, Source, gather};
use crate::store;

/// The last day that is left out.
fn before_first(reading: &Reading<'_>) -> String {
    let now = DateTime::from_timestamp_millis(reading.now.millis()).unwrap_or_default();
    days_before(now.date_naive(), u64::from(reading.days) + 1).to_string()
}

fn item(kind: &str, body: String) -> Option<Item> {
    let body = RawValue::from_string(body).ok()?;
    Some(Item { kind: kind.to_owned(), body })
}

pub(super) struct Days;

impl Source for Days {
    /// The day.
    type After = String;

    const NAME: &'static str = "days";

    fn tells_of(stream: &StreamId) -> bool {
        stream.name.owner().is_some()
    }

    async fn read(
        reading: Reading<'_>,
        after: Option<String>,
        room: Room,
    ) -> Result<Part<String>, DbErr> {
        let Some(user_id) = reading.stream.name.owner() else { return Ok(Part::default()) };
        let from = after.clone().unwrap_or_else(|| before_first(&reading));
        let db = reading.store.readers();
        let read = store::health::day::after(db, user_id, &from, room.portion()).await?;
        let of_row = |row: daily_entry::Model| (row.date, item(kind::DAILY_ENTRY, row.body));
        Ok(gather(after, read, of_row, room))
    }
}

pub(super) struct Nights;

impl Source for Nights {
    /// The day it ends on.
    type After = String;

    const NAME: &'static str = "nights";

    fn tells_of(stream: &StreamId) -> bool {
        stream.name.owner().is_some()
    }

    async fn read(
        reading: Reading<'_>,
        after: Option<String>,
        room: Room,
    ) -> Result<Part<String>, DbErr> {
        let Some(user_id) = reading.stream.name.owner() else { return Ok(Part::default()) };
        let from = after.clone().unwrap_or_else(|| before_first(&reading));
        let db = reading.store.readers();
        let read = store::health::night::after(db, user_id, &from, room.portion()).await?;
        let of_row = |row: sleep_record::Model| {
            let body = row.body.as_deref().map(with_op);
            (row.date, body.and_then(|body| item(kind::SLEEP, body)))
        };
        Ok(gather(after, read, of_row, room))
    }
}

pub(super) struct Activities;

impl Source for Activities {
    /// The day it started on, and its id.
    type After = (String, String);

    const NAME: &'static str = "activities";

    fn tells_of(stream: &StreamId) -> bool {
        stream.name.owner().is_some()
    }

    async fn read(
        reading: Reading<'_>,
        after: Option<(String, String)>,
        room: Room,
    ) -> Result<Part<(String, String)>, DbErr> {
        let Some(user_id) = reading.stream.name.owner() else { return Ok(Part::default()) };
        // No id is as large as this.
        let first = || (before_first(&reading), char::MAX.to_string());
        let (date, id) = after.clone().unwrap_or_else(first);
        let db = reading.store.readers();
        let from = (date.as_str(), id.as_str());
        let read = store::health::activity::after(db, user_id, from, room.portion()).await?;
        let of_row = |row: activity::Model| {
            let body = Json::Object(activity_put(&row)).to_string();
            ((row.date, row.id), item(kind::ACTIVITY, body))
        };
        Ok(gather(after, read, of_row, room))
    }
}
