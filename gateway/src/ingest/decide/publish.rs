//! Changes to records of a shared stream: all or none.

use serde_json::value::RawValue;
use tidegate_entity::{idempotency_key, shared_record};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::{RecordBody, RecordOp, kind};
use tidegate_protocol::id::Seq;
use tidegate_protocol::limits::ENTRY_BYTES;
use tidegate_protocol::rest::{Published, RecordChange};

use crate::error::{ApiError, ApiResult};
use crate::ingest::decide::create::{KEY_LIFE_MS, mismatch};
use crate::ingest::decide::{NewKey, PublishDraft};
use crate::ingest::job::{Idempotency, Publish};
use crate::ingest::prepare::ENTRY_FRAME_BYTES;
use crate::ingest::working::{Append, Needs, Working, stream_key};
use crate::resolve::patch::may_be_sent;
use crate::store::record::RecordKey;

/// Marks a key that was used by an earlier job of the same batch: the answer
/// is the job's number until the real one is known.
const IN_BATCH: &str = "batch:";

pub(super) fn needs(publish: &Publish, needs: &mut Needs) {
    needs.streams.insert(stream_key(&publish.stream));
    needs.records.extend(publish.changes.iter().map(|change| record_key(publish, change)));
    if let Some(idempotency) = &publish.idempotency {
        needs.keys.insert((idempotency.caller.clone(), idempotency.key.clone()));
    }
}

fn record_key(publish: &Publish, change: &RecordChange) -> RecordKey {
    (stream_key(&publish.stream), change.collection.clone(), change.id.clone())
}

/// Applies the changes, or none of them.
pub(super) fn publish(
    working: &mut Working,
    index: usize,
    publish: &Publish,
) -> ApiResult<PublishDraft> {
    if let Some(idempotency) = &publish.idempotency
        && let Some(known) = known(working, idempotency)?
    {
        return Ok(known);
    }
    let mut staged: Vec<(RecordKey, shared_record::Model, String)> = Vec::new();
    for (at, change) in publish.changes.iter().enumerate() {
        let key = record_key(publish, change);
        let current = staged
            .iter()
            .rev()
            .find(|(staged_key, ..)| *staged_key == key)
            .map(|(_, row, _)| row)
            .or_else(|| working.records.get(&key));
        let (row, body) = apply(&key, current, change, at, working.now.millis())?;
        staged.push((key, row, body));
    }
    let versions = staged.iter().map(|(_, row, _)| row.version).collect();
    for (key, row, body) in staged {
        working.changes.appends.push(Append {
            stream: stream_key(&publish.stream),
            seq: Seq::ZERO,
            kind: kind::RECORD,
            body,
            device_id: None,
            requires: None,
            command_id: None,
        });
        working.changes.changed_records.insert(key.clone());
        working.records.insert(key, row);
    }
    let last = working.changes.appends.len().saturating_sub(1);
    let key = publish.idempotency.as_ref().map(|idempotency| claim(working, index, idempotency));
    Ok(PublishDraft::New { stream: publish.stream.clone(), last, versions, key })
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

/// What this key stands for already.
fn known(working: &Working, idempotency: &Idempotency) -> ApiResult<Option<PublishDraft>> {
    let key = (idempotency.caller.clone(), idempotency.key.clone());
    let Some(known) = working.idempotency.get(&key) else { return Ok(None) };
    let Some(answer) =
        known.answer.as_deref().filter(|_| known.request_hash == idempotency.request_hash)
    else {
        return Err(mismatch());
    };
    if let Some(index) = answer.strip_prefix(IN_BATCH) {
        return Ok(index.parse().ok().map(PublishDraft::Twin));
    }
    let stored: Published = serde_json::from_str(answer).map_err(|e| ApiError::internal(&e))?;
    Ok(Some(PublishDraft::Stored(stored)))
}

/// Makes the key known to later jobs of this batch.
fn claim(working: &mut Working, index: usize, idempotency: &Idempotency) -> NewKey {
    let expires_at = working.now.plus_millis(KEY_LIFE_MS);
    let row = idempotency_key::Model {
        caller: idempotency.caller.clone(),
        key: idempotency.key.clone(),
        request_hash: idempotency.request_hash.clone(),
        command_id: None,
        answer: Some(format!("{IN_BATCH}{index}")),
        expires_at: expires_at.millis(),
    };
    working.idempotency.insert((row.caller.clone(), row.key.clone()), row);
    NewKey {
        caller: idempotency.caller.clone(),
        key: idempotency.key.clone(),
        request_hash: idempotency.request_hash.clone(),
        expires_at,
    }
}

/// Stores the answer of a publish under its key.
pub(super) fn remember(working: &mut Working, key: NewKey, published: &Published) {
    working.changes.idempotency.push(idempotency_key::Model {
        caller: key.caller,
        key: key.key,
        request_hash: key.request_hash,
        command_id: None,
        answer: serde_json::to_string(published).ok(),
        expires_at: key.expires_at.millis(),
    });
}
