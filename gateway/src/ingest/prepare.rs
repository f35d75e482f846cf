//! Turning checked requests into jobs, in the caller's task, and the typed
//! calls that the rest of the gateway makes.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidegate_entity::command;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::{CommandStatus, Priority, ResultAnswer};
use tidegate_protocol::entry::CommandBody;
use tidegate_protocol::id::{CommandId, StreamName};
use tidegate_protocol::limits::{COMMAND_TTL_DEFAULT_S, ENTRY_BYTES};
use tidegate_protocol::rest::{CreateCommand, RecordChange};
use tidegate_protocol::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::error::{ApiError, ApiResult};
use crate::ingest::behind::BehindBatch;
use crate::ingest::job::{
    Answer, Created, Idempotency, Job, NewCommand, Publish, PublishedAnswer, Registered,
    Registration, Report,
};
use crate::ingest::{Ingest, Pending};
use crate::store::device::DeviceKey;
use crate::store::head::Heads;

/// Bytes of an entry around its body: position, kind and time.
pub(crate) const ENTRY_FRAME_BYTES: usize = 96;

/// A caller and its key, before the request is known.
pub type CallerKey = Option<(String, String)>;

impl Ingest {
    /// Makes a checked request a command: id, times, entry body.
    pub fn prepare(&self, request: &CreateCommand, key: CallerKey) -> ApiResult<NewCommand> {
        let now = self.clock().now();
        let ttl_s = request.ttl_s.unwrap_or(COMMAND_TTL_DEFAULT_S);
        let body = CommandBody {
            command_id: CommandId::generate(),
            attempt: 1,
            data_type: request.data_type.clone(),
            value: request.value.clone(),
            priority: request.priority.unwrap_or(Priority::Normal),
            expires_at: now.plus_millis(ttl_s * 1000),
            device_id: request.device_id.clone(),
        };
        let body_json = serde_json::to_string(&body).map_err(|e| ApiError::internal(&e))?;
        if body_json.len() + ENTRY_FRAME_BYTES > ENTRY_BYTES {
            return Err(ApiError::new(ErrorCode::TooLarge, "the command is larger than 128 KiB"));
        }
        let idempotency = key.map(|(caller, key)| {
            let request_hash = hash_command(request);
            Idempotency { caller, key, request_hash }
        });
        Ok(NewCommand { row: new_row(request, &body, now), body: body_json, idempotency })
    }

    /// Commits new commands; an answer for each, in order.
    pub async fn create(&self, commands: Vec<NewCommand>) -> ApiResult<Vec<ApiResult<Created>>> {
        match self.submit(Job::Create(Arc::new(commands))).await? {
            Answer::Created(rows) => Ok(rows),
            other => Err(wrong_answer(&other)),
        }
    }

    /// Commits outcomes a device reports; an answer for each, in order.
    pub async fn report(&self, report: Report) -> ApiResult<Vec<ResultAnswer>> {
        match self.submit(Job::Report(Arc::new(report))).await? {
            Answer::Reported(rows) => Ok(rows),
            other => Err(wrong_answer(&other)),
        }
    }

    /// Registers or refreshes a device and makes sure its streams exist.
    pub async fn register(&self, registration: Registration) -> ApiResult<Registered> {
        match self.submit(Job::Register(Arc::new(registration))).await? {
            Answer::Registered(registered) => Ok(*registered),
            other => Err(wrong_answer(&other)),
        }
    }

    /// Makes sure that streams exist; their heads.
    pub async fn ensure(&self, streams: Vec<StreamName>) -> ApiResult<Heads> {
        match self.submit(Job::Ensure(Arc::new(streams))).await? {
            Answer::Ensured(heads) => Ok(heads),
            other => Err(wrong_answer(&other)),
        }
    }

    /// Changes records of a shared stream.
    pub async fn publish(
        &self,
        stream: StreamName,
        changes: Vec<RecordChange>,
        key: CallerKey,
    ) -> ApiResult<PublishedAnswer> {
        let idempotency = key.map(|(caller, key)| {
            let request_hash = hash_publish(&stream, &changes);
            Idempotency { caller, key, request_hash }
        });
        let publish = Publish { stream, changes, idempotency };
        match self.submit(Job::Publish(Arc::new(publish))).await? {
            Answer::Published(published) => published,
            other => Err(wrong_answer(&other)),
        }
    }

    /// Takes a command back.
    pub async fn cancel(&self, id: CommandId) -> ApiResult<()> {
        self.done(Job::Cancel(id)).await
    }

    /// Deletes a device and cancels what was addressed to it.
    pub async fn remove_device(&self, key: DeviceKey) -> ApiResult<()> {
        self.done(Job::RemoveDevice(key)).await
    }

    pub(super) async fn done(&self, job: Job) -> ApiResult<()> {
        match self.submit(job).await? {
            Answer::Done(done) => done,
            other => Err(wrong_answer(&other)),
        }
    }

    /// Ends or retries commands whose time has come.
    pub async fn sweep(&self, ids: Vec<String>) -> ApiResult<()> {
        self.submit(Job::Sweep(Arc::new(ids))).await.map(drop)
    }

    /// Writes what was noted for later, slice by slice, and waits until it is
    /// committed. What is noted meanwhile waits for the next time.
    pub async fn flush_behind(&self) -> ApiResult<()> {
        let mut waiting = self.behind().len();
        while waiting > 0 {
            // The place first: a caller that goes away while it waits must not
            // take a slice with it.
            let place = self.behind_place().await?;
            let slice = self.behind().take_slice();
            waiting = waiting.saturating_sub(slice.len());
            if slice.is_empty() {
                return Ok(());
            }
            self.hand_in_behind(place, slice).await?;
        }
        Ok(())
    }

    /// As [`Ingest::flush_behind`], and waits for what others are writing too:
    /// the writer takes batches in order, so an empty one comes after theirs.
    pub async fn catch_up_behind(&self) -> ApiResult<()> {
        self.flush_behind().await?;
        if self.behind().is_being_written() {
            self.write_behind(BehindBatch::default()).await?;
        }
        Ok(())
    }

    /// Writes a batch of what may be late; for callers that wait for it. What
    /// a database that is away did not take waits for the next time.
    pub async fn write_behind(&self, batch: BehindBatch) -> ApiResult<()> {
        let place = self.behind_place().await?;
        self.hand_in_behind(place, batch).await
    }

    /// Waits for room in the queue instead of being refused: it is the
    /// gateway's own work, and one batch at a time.
    async fn behind_place(&self) -> ApiResult<mpsc::Permit<'_, Pending>> {
        self.queue.reserve().await.map_err(|_| super::stopping())
    }

    async fn hand_in_behind(
        &self,
        place: mpsc::Permit<'_, Pending>,
        batch: BehindBatch,
    ) -> ApiResult<()> {
        let (reply, answer) = oneshot::channel();
        self.behind().hand_in();
        place.send(Pending { job: Job::Behind(Arc::new(batch)), reply });
        answer.await.map_err(|_| super::stopping())?.map(drop)
    }
}

pub(super) fn wrong_answer(answer: &Answer) -> ApiError {
    tracing::error!(answer = ?std::mem::discriminant(answer), "writer answered another job");
    ApiError::new(ErrorCode::Internal, "something failed inside; try again later")
}

fn new_row(request: &CreateCommand, body: &CommandBody, now: Timestamp) -> command::Model {
    command::Model {
        id: body.command_id.as_str().to_owned(),
        user_id: request.user_id.as_str().to_owned(),
        device_id: request.device_id.as_ref().map(|id| id.as_str().to_owned()),
        data_type: request.data_type.clone(),
        value: request.value.get().to_owned(),
        priority: body.priority.as_str().to_owned(),
        requires: request.requires.clone(),
        status: CommandStatus::Pending.as_str().to_owned(),
        open: true,
        attempt: 1,
        seq: 0,
        last_seq: 0,
        created_at: now.millis(),
        expires_at: body.expires_at.millis(),
        closed_at: None,
        due_at: body.expires_at.millis(),
        decided_by: None,
        decided_attempt: None,
        decided_error: None,
        pushed_by: None,
    }
}

/// What makes two requests the same: every field as the gateway understood
/// it, so that white space around them does not matter.
fn hash_command(request: &CreateCommand) -> String {
    hash("command", serde_json::to_vec(request))
}

fn hash_publish(stream: &StreamName, changes: &[RecordChange]) -> String {
    hash("publish", serde_json::to_vec(&(stream, changes)))
}

fn hash(what: &str, request: serde_json::Result<Vec<u8>>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(what);
    hasher.update(request.unwrap_or_default());
    format!("{:x}", hasher.finalize())
}
