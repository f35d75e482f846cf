//! What can be asked of the writer about the marketplace and its conflicts,
//! and the typed calls for it.

use std::sync::Arc;

use sea_orm::DbErr;
use serde_json::{Map, Value};
pub use tidegate_entity::market_item::Fault;
use tidegate_entity::{conflict, market_item, skill_rating};
use tidegate_protocol::time::Timestamp;

use crate::error::{ApiError, ApiResult};
use crate::ingest::Ingest;
use crate::ingest::unit::{ReadSet, user_stream};
use crate::resolve::conflict::Conflict;
use crate::resolve::person::{Decision, Undo};
use crate::resolve::side::Side;
use crate::store;
use crate::store::lease::Fence;
use crate::store::market::ItemKey;
use crate::store::write::Transaction;

mod edit;
mod figures;
mod item;
mod observe;
mod overdue;
mod rating;
mod rule;
mod weigh;

pub use crate::store::market::Confirmed;
pub(crate) use rating::NO_UPDATES;

/// What upstream said, in one page or one message.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The lease under which it was fetched.
    pub fence: Fence,
    /// In the order said.
    pub facts: Vec<Fact>,
    /// Items that a listing named as they are here: nothing of them is written
    /// but when.
    pub confirmed: Option<Confirmed>,
    /// Where the run would go on from here, stored with the facts.
    pub checkpoint: Option<String>,
    /// When the socket brought it, if it did.
    pub message_at: Option<Timestamp>,
}

/// One thing upstream said.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Of which item.
    pub key: ItemKey,
    /// When it was asked, or when it came by itself, by our clock.
    pub as_of: Timestamp,
    /// What.
    pub said: Said,
}

/// What upstream said of an item.
#[derive(Clone, Debug)]
pub enum Said {
    /// It is like this.
    Is {
        /// An object.
        value: Value,
        /// When upstream changed it, by upstream's clock.
        updated_at: Option<Timestamp>,
        /// Whether fields that are not there are unchanged, instead of gone:
        /// what the socket brings is not complete.
        is_partial: bool,
        /// Whether it counts although it is older than what is known: upstream
        /// was restored, and says so over and over.
        is_restored: bool,
    },
    /// It is there, but cannot be taken.
    Faulty(Fault),
    /// It is no more.
    Gone {
        /// Since when, by upstream's clock.
        at: Option<Timestamp>,
    },
    /// Its rating is this now; the item itself stays as it is.
    Rated {
        /// The average.
        average_rating: Option<f64>,
        /// How many rated it.
        rating_count: Option<i64>,
        /// Since when, by upstream's clock.
        updated_at: Option<Timestamp>,
    },
}

/// What became of facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Items that changed, new ones included.
    pub changed: u32,
    /// Items that were deleted.
    pub deleted: u32,
    /// Facts that said nothing new.
    pub unchanged: u32,
    /// Facts older than what is known.
    pub stale: u32,
    /// Facts that could not be stored.
    pub refused: u32,
    /// Items of which not even the id could be read.
    pub unnamed: u32,
    /// Conflicts found.
    pub conflicts: u32,
}

impl Tally {
    /// Adds another one.
    pub const fn add(&mut self, other: Self) {
        self.changed += other.changed;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
        self.stale += other.stale;
        self.refused += other.refused;
        self.unnamed += other.unnamed;
        self.conflicts += other.conflicts;
    }
}

/// What became of the upload of a rating.
#[derive(Clone, Debug)]
pub struct SettledRating {
    /// The lease under which it was uploaded.
    pub fence: Fence,
    /// The rating after it; `rated_at` says which word of the user it was.
    pub row: skill_rating::Model,
    /// What was decided where upstream had another one of the same user.
    pub verdict: Option<Conflict>,
}

/// Items that upstream has not confirmed for too long.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// Which.
    pub keys: Vec<ItemKey>,
    /// Those that it has not confirmed since, milliseconds, are taken back from
    /// devices.
    pub since: i64,
}

/// A user takes a rating back.
#[derive(Clone, Debug)]
pub struct WithdrawnRating {
    /// The skill.
    pub skill_id: String,
    /// Whose.
    pub user_id: String,
}

/// A local edit of a skill.
#[derive(Clone, Debug)]
pub struct SkillEdit {
    /// The skill.
    pub id: String,
    /// An RFC 7396 merge patch on its data.
    pub patch: Map<String, Value>,
    /// The version it was made on, where the editor said so.
    pub expected_version: Option<i64>,
    /// `sub` of the editor.
    pub editor: String,
}

/// A person's word on a conflict.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// The conflict.
    pub conflict_id: String,
    /// What is to happen.
    pub word: Word,
    /// `sub` of the person.
    pub actor: String,
}

/// What a person can do with a conflict.
#[derive(Clone, Debug)]
pub enum Word {
    /// Decide an open one.
    Settle(Decision),
    /// Bring back a loser of a decided one.
    Restore(Undo),
}

/// Why a ruling is refused.
#[derive(Clone, Debug)]
pub enum RulingError {
    /// The published state moved; this is the present one.
    Moved(Box<Side>),
    /// Anything else.
    Refused(ApiError),
}

impl From<ApiError> for RulingError {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl Ingest {
    /// Takes in what upstream said. Refused as a whole when the lease is lost.
    pub async fn observe(&self, observed: Arc<Observed>) -> ApiResult<Tally> {
        self.submit(observe::Observe(observed)).await
    }

    /// Edits a skill; the item after it.
    pub async fn edit_skill(&self, edit: SkillEdit) -> ApiResult<market_item::Model> {
        self.submit(edit).await
    }

    /// Takes items back from devices until upstream is heard again.
    pub async fn withdraw(&self, overdue: Overdue) -> ApiResult<()> {
        self.submit(overdue).await
    }

    /// Takes a rating back; the rating as it was.
    pub async fn withdraw_rating(&self, rating: WithdrawnRating) -> ApiResult<skill_rating::Model> {
        self.submit(rating).await
    }

    /// Keeps what became of the upload of a rating, and the verdict where
    /// upstream had another one. Refused when the lease is lost.
    pub async fn settle_rating(&self, settled: SettledRating) -> ApiResult<()> {
        self.submit(settled).await
    }

    /// Decides a conflict, or brings back a loser; the conflict after it.
    pub async fn rule(&self, ruling: Ruling) -> Result<conflict::Model, RulingError> {
        self.submit(ruling).await?
    }
}

/// Finds out who edited items and whom their open conflicts concern: those
/// users' streams tell of it.
async fn locate_editors(
    tx: &Transaction,
    reads: &mut ReadSet,
    keys: &[ItemKey],
) -> Result<(), DbErr> {
    let mut open = Vec::new();
    let mut users = Vec::new();
    for item in store::market::edited(tx, keys).await? {
        users.extend(item.editors);
        open.extend(item.conflict_id);
    }
    for row in store::conflict::load(tx, &open).await? {
        users.extend(store::conflict::editors(&row));
    }
    reads.streams.extend(users.iter().map(|user_id| user_stream(user_id)));
    Ok(())
}
