//! What can be asked of the writer, and what it answers.

use std::sync::Arc;

use tidegate_entity::{command, conflict, device, market_item, skill_rating};
use tidegate_protocol::client::HelloDevice;
use tidegate_protocol::command::{Channel, CommandResult, ResultAnswer};
use tidegate_protocol::id::{CommandId, DeviceId, StreamName, UserId};
use tidegate_protocol::rest::{CommandAccepted, Published, RecordChange};

use crate::error::ApiResult;
use crate::ingest::behind::BehindBatch;
use crate::ingest::market::{
    Observed, Overdue, Ruling, RulingError, SettledRating, SkillEdit, Tally, WithdrawnRating,
};
use crate::store::device::DeviceKey;
use crate::store::head::Heads;

/// One unit that commits or fails as a whole.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// New commands, judged one by one.
    Create(Arc<Vec<NewCommand>>),
    /// Outcomes a device reports.
    Report(Arc<Report>),
    /// A device says hello or registers.
    Register(Arc<Registration>),
    /// Streams that must exist.
    Ensure(Arc<Vec<StreamName>>),
    /// Changes to records of a shared stream, all or none.
    Publish(Arc<Publish>),
    /// The backend takes a command back.
    Cancel(CommandId),
    /// A device is deleted.
    RemoveDevice(DeviceKey),
    /// Commands whose time has come.
    Sweep(Arc<Vec<String>>),
    /// What was written late.
    Behind(Arc<BehindBatch>),
    /// What the marketplace's upstream said.
    Observe(Arc<Observed>),
    /// A local edit of a skill.
    EditSkill(Arc<SkillEdit>),
    /// A person's word on a conflict.
    Rule(Arc<Ruling>),
    /// What became of the upload of a rating.
    SettleRating(Arc<SettledRating>),
    /// A user takes a rating back.
    WithdrawRating(Arc<WithdrawnRating>),
    /// Items of the marketplace that nobody vouches for any more.
    Withdraw(Arc<Overdue>),
}

impl Job {
    /// How many items it adds to a batch.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Create(commands) => commands.len(),
            Self::Report(report) => report.results.len(),
            Self::Publish(publish) => publish.changes.len(),
            Self::Sweep(ids) => ids.len(),
            Self::Behind(batch) => batch.len(),
            Self::Observe(observed) => observed.facts.len(),
            Self::Withdraw(overdue) => overdue.keys.len(),
            Self::Register(_)
            | Self::Ensure(_)
            | Self::Cancel(_)
            | Self::RemoveDevice(_)
            | Self::EditSkill(_)
            | Self::Rule(_)
            | Self::SettleRating(_)
            | Self::WithdrawRating(_) => 1,
        }
    }
}

/// What the writer answers, after the commit.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// To `Create`.
    Created(Vec<ApiResult<Created>>),
    /// To `Report`.
    Reported(Vec<ResultAnswer>),
    /// To `Register`.
    Registered(Box<Registered>),
    /// To `Ensure`.
    Ensured(Heads),
    /// To `Publish`.
    Published(ApiResult<PublishedAnswer>),
    /// To everything that answers nothing but success.
    Done(ApiResult<()>),
    /// To `Sweep` and `Behind`.
    Swept,
    /// To `Observe`.
    Observed(ApiResult<Tally>),
    /// To `EditSkill`.
    Edited(ApiResult<Box<market_item::Model>>),
    /// To `WithdrawRating`.
    Unrated(ApiResult<Box<skill_rating::Model>>),
    /// To `Rule`.
    Ruled(Result<Box<conflict::Model>, RulingError>),
}

/// A command ready to be stored: checked and serialised by its caller, so
/// that the writer does neither.
#[derive(Clone, Debug)]
pub struct NewCommand {
    /// The row, without positions.
    pub(crate) row: command::Model,
    /// The body of its first entry.
    pub(crate) body: String,
    /// The caller's key.
    pub(crate) idempotency: Option<Idempotency>,
}

/// A caller's Idempotency-Key.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// `sub` of the caller.
    pub caller: String,
    /// The key: 1 to 255 visible ASCII characters.
    pub key: String,
    /// What the request was.
    pub(crate) request_hash: String,
}

/// A command as accepted now or before.
#[derive(Clone, Debug)]
pub struct Created {
    /// The command as it stands.
    pub accepted: CommandAccepted,
    /// Whether this request made it.
    pub is_new: bool,
}

/// Outcomes a device reports.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose device.
    pub user_id: UserId,
    /// Which device.
    pub device_id: DeviceId,
    /// How the report came: socket or HTTP.
    pub channel: Channel,
    /// At most 100.
    pub results: Vec<CommandResult>,
}

/// A device says hello or registers.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Whose device.
    pub user_id: UserId,
    /// What it says of itself.
    pub device: HelloDevice,
    /// Streams that must exist, the user's own among them.
    pub streams: Vec<StreamName>,
    /// Whether it says so over its socket, which is about to live.
    pub has_socket: bool,
}

/// A device as registered.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The device.
    pub device: device::Model,
    /// Heads of the streams asked for.
    pub heads: Heads,
}

/// Changes to records of a shared stream.
#[derive(Clone, Debug)]
pub struct Publish {
    /// The stream; configured as shared.
    pub stream: StreamName,
    /// In order; all or none.
    pub changes: Vec<RecordChange>,
    /// The caller's key.
    pub idempotency: Option<Idempotency>,
}

/// What a publish came to.
#[derive(Clone, Debug)]
pub struct PublishedAnswer {
    /// The answer.
    pub published: Published,
    /// Whether this request did it.
    pub is_new: bool,
}
