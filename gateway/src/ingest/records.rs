//! Changes to records of a shared stream: all or none.

use serde_json::value::RawValue;
use tidegate_entity::shared_record;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::{RecordBody, RecordOp, kind};
use tidegate_protocol::id::{Seq, StreamName};
use tidegate_protocol::limits::ENTRY_BYTES;
use tidegate_protocol::rest::{Published, RecordChange};

use crate::error::{ApiError, ApiResult};
use crate::ingest::commands::ENTRY_FRAME_BYTES;
use crate::ingest::idempotency::{CallerKey, Idempotency};
use crate::ingest::unit::{EntryRef, NewEntry, ReadSet, UnitOfWork, stream_key};
use crate::ingest::write::Write;
use crate::ingest::{Ingest, IngestOptions};
use crate::resolve::patch::may_be_sent;
use crate::store::record::RecordKey;

/// Changes to records of a shared stream.
#[derive(Clone, Debug)]
struct Publish {
    /// The stream; configured as shared.
    stream: StreamName,
    /// In order; all or none.
    changes: Vec<RecordChange>,
    /// The caller's key.
    idempotency: Option<Idempotency>,
}

/// What a publish came to.
#[derive(Clone, Debug)]
pub struct PublishedAnswer {
    /// The answer.
    pub published: Published,
    /// Whether this request did it.
    pub is_new: bool,
}

impl Ingest {
    /// Changes records of a shared stream.
    pub async fn publish(
        &self,
        stream: StreamName,
        changes: Vec<RecordChange>,
        key: CallerKey,
    ) -> ApiResult<PublishedAnswer> {
        let idempotency = Idempotency::of(key, "publish", &(&stream, &changes));
        self.submit(Publish { stream, changes, idempotency }).await
    }
}

/// What a publish came to, before positions are known.
enum Draft {
    /// Its last entry, and the versions of the records.
    New { last: Option<EntryRef>, versions: Vec<i64> },
    /// A request with the same key came before, in this batch or long ago.
    Known(Idempotency),
}

impl Write for Publish {
    type Draft = Draft;
    type Answer = PublishedAnswer;

    fn weight(&self) -> usize {
        self.changes.len()
    }

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.insert(stream_key(&self.stream));
        for change in &self.changes {
            reads.rows.want::<shared_record::Entity>(record_key(self, change));
        }
        if let Some(idempotency) = &self.idempotency {
            idempotency.reads(reads);
        }
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<Draft> {
        if let Some(idempotency) = &self.idempotency
            && let Some(known) = idempotency.known(unit)?
        {
            // That of a command: another request, whatever it hashes to.
            if known.command_id.is_some() {
                return Err(Idempotency::mismatch());
            }
            return Ok(Draft::Known(idempotency.clone()));
        }
        let draft = publish(unit, self)?;
        if let Some(idempotency) = &self.idempotency {
            // Without an answer yet: later requests of this batch wait for it.
            idempotency.keep(unit, None, None, 0);
        }
        Ok(draft)
    }

    fn answer(&self, unit: &mut UnitOfWork, draft: Draft) -> ApiResult<PublishedAnswer> {
        match draft {
            Draft::New { last, versions } => {
                let seq = last.map_or(Seq::ZERO, |last| unit.position(last));
                let published = Published { stream: self.stream.clone(), seq, versions };
                if let Some(idempotency) = &self.idempotency {
                    let answer = serde_json::to_string(&published);
                    idempotency.keep(unit, None, answer.ok(), 0);
                }
                Ok(PublishedAnswer { published, is_new: true })
            }
            Draft::Known(idempotency) => {
                let known = idempotency.known(unit)?.and_then(|known| known.answer.as_deref());
                let answer = known.ok_or_else(|| {
                    ApiError::unavailable("the first request with this key failed; try again")
                })?;
                let published = serde_json::from_str(answer).map_err(|e| ApiError::internal(&e))?;
                Ok(PublishedAnswer { published, is_new: false })
            }
        }
    }
}

fn record_key(publish: &Publish, change: &RecordChange) -> RecordKey {
    (stream_key(&publish.stream), change.collection.clone(), change.id.clone())
}

/// Applies the changes, or none of them.
fn publish(unit: &mut UnitOfWork, publish: &Publish) -> ApiResult<Draft> {
    let mut staged: Vec<(RecordKey, shared_record::Model, String)> = Vec::new();
    for (at, change) in publish.changes.iter().enumerate() {
        let key = record_key(publish, change);
        let current = staged
            .iter()
            .rev()
            .find(|(staged_key, ..)| *staged_key == key)
            .map(|(_, row, _)| row)
            .or_else(|| unit.rows.get::<shared_record::Entity>(&key));
        let (row, body) = apply(&key, current, change, at, unit.now.millis())?;
        staged.push((key, row, body));
    }
    let versions = staged.iter().map(|(_, row, _)| row.version).collect();
    let mut last = None;
    for (_, row, body) in staged {
        last = Some(unit.append(NewEntry::for_all(row.stream.clone(), kind::RECORD, body)));
        unit.rows.put::<shared_record::Entity>(row);
    }
    Ok(Draft::New { last, versions })
}

/// One change: the record after it and the body of its entry.
fn apply(
    key: &RecordKey,
    current: Option<&shared_record::Model>,
    change: &RecordChange,
    at: usize,
    now: i64,
) -> ApiResult<(shared_record::Model, String)> {
    let data = current.and_then(|row| row.data.as_deref());
    let standing = current.filter(|row| row.data.is_some()).map_or(0, |row| row.version);
    let needs_one = change.op != RecordOp::Put;
    if change.base_version.is_some_and(|base| base != standing) || (needs_one && standing == 0) {
        return Err(moved(at, standing));
    }
    let version = current.map_or(0, |row| row.version) + 1;
    let mut body = RecordBody {
        collection: change.collection.clone(),
        id: change.id.clone(),
        version,
        op: change.op,
        base_version: None,
        data: None,
        patch: None,
    };
    let after = match change.op {
        RecordOp::Put => change.data.as_ref().map(|data| data.get().to_owned()),
        RecordOp::Patch => change.patch.as_ref().and_then(|patch| merge(data?, patch)),
        RecordOp::Delete => None,
    };
    if let Some(after) = &after {
        body.op = RecordOp::Put;
        body.data = RawValue::from_string(after.clone()).ok();
        too_large_check(&body, at)?;
        if let Some(patch) = change.patch.as_ref().filter(|patch| may_be_sent(patch.get(), after)) {
            body.op = RecordOp::Patch;
            body.base_version = Some(standing);
            body.data = None;
            body.patch = Some(patch.clone());
        }
    }
    let row = shared_record::Model {
        stream: key.0.clone(),
        collection: key.1.clone(),
        id: key.2.clone(),
        version,
        data: after,
        updated_at: now,
    };
    Ok((row, serde_json::to_string(&body).expect("a record's body serialises")))
}

fn moved(at: usize, standing: i64) -> ApiError {
    ApiError::new(
        ErrorCode::VersionConflict,
        "a record is not at the version the change is based on",
    )
    .with_current_version(format!("records[{at}].base_version"), standing)
}

fn too_large_check(body: &RecordBody, at: usize) -> ApiResult<()> {
    let bytes = serde_json::to_string(body).map_or(usize::MAX, |json| json.len());
    if bytes.saturating_add(ENTRY_FRAME_BYTES) > ENTRY_BYTES {
        return Err(ApiError::new(ErrorCode::TooLarge, "a record is larger than 128 KiB")
            .with_detail(format!("records[{at}]"), "larger than 128 KiB"));
    }
    Ok(())
}

/// The record after a patch; what the patch does not touch keeps its text.
fn merge(base: &str, patch: &RawValue) -> Option<String> {
    let base: &RawValue = serde_json::from_str(base).ok()?;
    tidegate_protocol::patch::merge(base, patch).ok().map(|merged| merged.get().to_owned())
}
