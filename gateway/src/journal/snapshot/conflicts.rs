//! Open conflicts that hold an edit of a user.

use sea_orm::DbErr;
use serde_json::value::to_raw_value;
use tidegate_entity::conflict;
use tidegate_protocol::entry::{ConflictBody, Item, kind};
use tidegate_protocol::time::Timestamp;

use crate::journal::frame::StreamId;
use crate::journal::snapshot::{Part, Reading, Room, Source, gather};
use crate::resolve::conflict::Conflict;
use crate::store;

pub(super) struct Conflicts;

impl Source for Conflicts {
    /// The conflict's id.
    type After = String;

    const NAME: &'static str = "conflicts";

    fn tells_of(stream: &StreamId) -> bool {
        stream.name.owner().is_some()
    }

    async fn read(
        reading: Reading<'_>,
        after: Option<String>,
        room: Room,
    ) -> Result<Part<String>, DbErr> {
        let Some(user_id) = reading.stream.name.owner() else { return Ok(Part::default()) };
        let from = after.as_deref().unwrap_or_default();
        let db = reading.store.readers();
        let read = store::conflict::open_of_user(db, user_id, from, room.portion()).await?;
        let item = |row: conflict::Model| {
            let body = conflict_body(&row).and_then(|body| to_raw_value(&body).ok());
            (row.id, body.map(|body| Item { kind: kind::CONFLICT.to_owned(), body }))
        };
        Ok(gather(after, read, item, room))
    }
}

/// What devices are told of a conflict. `None` if a stored verdict is not what
/// the gateway writes.
pub fn conflict_body(row: &conflict::Model) -> Option<ConflictBody> {
    let verdict: Conflict = serde_json::from_str(&row.verdict).ok()?;
    Some(ConflictBody {
        conflict_id: row.id.clone(),
        subject: row.subject.clone(),
        status: row.status,
        conflict_type: verdict.conflict_type.as_str().to_owned(),
        severity: row.severity.to_string(),
        fields: verdict.fields.into_iter().map(|disputed| disputed.field).collect(),
        strategy: verdict.strategy.as_str().to_owned(),
        decided_by: verdict.decided_by.word(),
        restored_at: row.restored_at.map(Timestamp::from_millis),
        version: verdict.result.version,
    })
}
