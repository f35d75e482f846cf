//! What each job does to the working rows: pure functions without I/O, in
//! one file per area.

use std::sync::Arc;

use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::ResultAnswer;
use tidegate_protocol::id::{CommandId, Seq, StreamName};
use tidegate_protocol::rest::{CommandAccepted, Published};
use tidegate_protocol::time::Timestamp;

use crate::error::{ApiError, ApiResult};
use crate::ingest::IngestOptions;
use crate::ingest::job::{Answer, Created, Job, PublishedAnswer, Registered};
use crate::ingest::working::{Needs, Working, stream_key, user_stream};
use crate::store::device::DeviceKey;

mod create;
mod device;
mod lifecycle;
mod market;
mod publish;
mod report;
mod wake;

pub(crate) use lifecycle::status_at;
pub(crate) use market::rating::{NO_UPDATES, of_subject as rating_of};
pub(crate) use market::rule::item_of;

/// An answer that may still lack the positions of this batch.
#[derive(Debug)]
pub(crate) enum Draft {
    /// To `Create`: the command's id, and whether it is new.
    Created(Vec<ApiResult<(String, bool)>>),
    /// To `Report`.
    Reported(Vec<ResultAnswer>),
    /// To `Register`.
    Registered(ApiResult<(DeviceKey, Vec<String>)>),
    /// To `Ensure`.
    Ensured(Vec<String>),
    /// To `Publish`.
    Published(ApiResult<PublishDraft>),
    /// To everything that answers nothing but success.
    Done(ApiResult<()>),
    /// To `Sweep` and `Behind`.
    Swept,
    /// An answer that lacks nothing.
    Whole(Answer),
}

/// What a publish came to.
#[derive(Debug)]
pub(crate) enum PublishDraft {
    /// It was answered before.
    Stored(Published),
    /// Its last entry, by its place among the batch's entries.
    New { stream: StreamName, last: usize, versions: Vec<i64>, key: Option<NewKey> },
    /// An earlier job of this batch has the same key and body.
    Twin(usize),
}

/// A key to store with the answer of a publish.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) caller: String,
    pub(crate) key: String,
    pub(crate) request_hash: String,
    pub(crate) expires_at: Timestamp,
}

/// Notes what the job needs loaded.
pub(crate) fn needs(job: &Job, options: &IngestOptions, needs: &mut Needs) {
    match job {
        Job::Create(commands) => create::needs(commands, options, needs),
        Job::Report(report) => {
            let user_id = report.user_id.as_str().to_owned();
            needs.streams.insert(user_stream(&user_id));
            needs.users.insert(user_id);
            let ids = report.results.iter().map(|result| result.command_id.as_str().to_owned());
            needs.commands.extend(ids);
        }
        Job::Register(registration) => device::needs(registration, needs),
        Job::Ensure(streams) => needs.streams.extend(streams.iter().map(stream_key)),
        Job::Publish(publish) => publish::needs(publish, needs),
        Job::Cancel(id) => {
            needs.unplaced_commands.insert(id.as_str().to_owned());
        }
        Job::RemoveDevice(key) => {
            needs.streams.insert(user_stream(&key.user_id));
            needs.users.insert(key.user_id.clone());
            needs.removed_devices.push(key.clone());
        }
        Job::Sweep(ids) => needs.unplaced_commands.extend(ids.iter().cloned()),
        Job::Behind(batch) => {
            if let Some(late) = &mut needs.late {
                batch.needs(late);
            }
            needs.behind.push(Arc::clone(batch));
        }
        Job::Observe(observed) => market::needs(observed, needs),
        Job::EditSkill(edit) => market::edit::needs(edit, needs),
        Job::Rule(ruling) => market::rule::needs(ruling, needs),
        Job::SettleRating(settled) => market::rating::needs(settled, needs),
        Job::WithdrawRating(rating) => market::rating::withdraw::needs(rating, needs),
        Job::Withdraw(overdue) => market::overdue::needs(overdue, needs),
    }
}

/// Decides the `index`-th job of the batch.
pub(crate) fn decide(working: &mut Working, index: usize, job: &Job) -> Draft {
    match job {
        Job::Create(commands) => Draft::Created(
            commands.iter().map(|command| create::create(working, command)).collect(),
        ),
        Job::Report(report) => Draft::Reported(report::report(working, report)),
        Job::Register(registration) => Draft::Registered(device::register(working, registration)),
        Job::Ensure(streams) => {
            let names: Vec<String> = streams.iter().map(stream_key).collect();
            working.changes.ensured.extend(names.iter().cloned());
            Draft::Ensured(names)
        }
        Job::Publish(publish) => Draft::Published(publish::publish(working, index, publish)),
        Job::Cancel(id) => Draft::Done(lifecycle::cancel(working, id)),
        Job::RemoveDevice(key) => Draft::Done(device::remove(working, key)),
        Job::Sweep(ids) => {
            ids.iter().for_each(|id| lifecycle::sweep(working, id));
            Draft::Swept
        }
        Job::Behind(_) => Draft::Swept,
        Job::Observe(observed) => {
            Draft::Whole(Answer::Observed(market::observe(working, observed)))
        }
        Job::EditSkill(edit) => Draft::Whole(Answer::Edited(market::edit::edit(working, edit))),
        Job::Rule(ruling) => Draft::Whole(Answer::Ruled(market::rule::rule(working, ruling))),
        Job::SettleRating(settled) => Draft::Done(market::rating::settled(working, settled)),
        Job::WithdrawRating(rating) => {
            Draft::Whole(Answer::Unrated(market::rating::withdraw::withdraw(working, rating)))
        }
        Job::Withdraw(overdue) => {
            market::overdue::withdraw(working, overdue);
            Draft::Done(Ok(()))
        }
    }
}

/// Completes the answers, now that positions are known, and stores the
/// answers that a repeated request must get again.
pub(crate) fn finish(working: &mut Working, drafts: Vec<Draft>) -> Vec<ApiResult<Answer>> {
    let mut answers: Vec<ApiResult<Answer>> = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let answer = match draft {
            Draft::Created(rows) => Ok(Answer::Created(
                rows.into_iter().map(|row| row.and_then(|row| created(working, &row))).collect(),
            )),
            Draft::Reported(rows) => Ok(Answer::Reported(rows)),
            Draft::Registered(registered) => {
                registered.and_then(|draft| registered_answer(working, &draft))
            }
            Draft::Ensured(names) => Ok(Answer::Ensured(heads(working, &names))),
            Draft::Published(draft) => {
                let published = draft.and_then(|draft| published(working, draft, &answers));
                Ok(Answer::Published(published))
            }
            Draft::Done(done) => Ok(Answer::Done(done)),
            Draft::Swept => Ok(Answer::Swept),
            Draft::Whole(answer) => Ok(answer),
        };
        answers.push(answer);
    }
    answers
}

fn created(working: &Working, (id, is_new): &(String, bool)) -> ApiResult<Created> {
    let state = working.commands.get(id);
    let row = &state.ok_or_else(|| ApiError::internal(&"a command of the batch is gone"))?.row;
    let accepted = CommandAccepted {
        command_id: CommandId::parse(&row.id).map_err(|e| ApiError::internal(&e))?,
        status: lifecycle::status_at(row, working.now),
        stream: StreamName::parse(&user_stream(&row.user_id))
            .map_err(|e| ApiError::internal(&e))?,
        seq: Seq::new(row.seq),
        expires_at: Timestamp::from_millis(row.expires_at),
    };
    Ok(Created { accepted, is_new: *is_new })
}

fn registered_answer(
    working: &Working,
    (key, streams): &(DeviceKey, Vec<String>),
) -> ApiResult<Answer> {
    let device = working.devices.get(&key.user_id).and_then(|of_user| of_user.get(&key.device_id));
    let device = device.ok_or_else(|| {
        // Another job of the batch deleted it.
        ApiError::new(ErrorCode::DeviceNotFound, "the device was just deleted")
    })?;
    let heads = heads(working, streams);
    Ok(Answer::Registered(Box::new(Registered { device: device.clone(), heads })))
}

fn heads(working: &Working, names: &[String]) -> crate::store::head::Heads {
    let of = |name: &String| Some((name.clone(), working.heads.get(name)?.clone()));
    names.iter().filter_map(of).collect()
}

fn published(
    working: &mut Working,
    draft: PublishDraft,
    earlier: &[ApiResult<Answer>],
) -> ApiResult<PublishedAnswer> {
    match draft {
        PublishDraft::Stored(published) => Ok(PublishedAnswer { published, is_new: false }),
        PublishDraft::Twin(index) => match earlier.get(index) {
            Some(Ok(Answer::Published(Ok(first)))) => {
                Ok(PublishedAnswer { is_new: false, ..first.clone() })
            }
            _ => Err(ApiError::unavailable("the first request with this key failed; try again")),
        },
        PublishDraft::New { stream, last, versions, key } => {
            let seq = working.changes.appends[last].seq;
            let published = Published { stream, seq, versions };
            if let Some(key) = key {
                publish::remember(working, key, &published);
            }
            Ok(PublishedAnswer { published, is_new: true })
        }
    }
}
