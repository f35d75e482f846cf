//! Ratings of skills, and how their uploads stand.

use sea_orm::sea_query::{Expr, LockBehavior, LockType, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
pub use tidegate_entity::skill_rating::UploadState;
use tidegate_entity::skill_rating::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, one_of};
use crate::store::order::Place;
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// Names a rating: the skill, and who rated it.
pub type RatingKey = (String, String);

/// A user's rating of a skill, locked for the rest of the transaction.
pub async fn lock(db: &Transaction, skill_id: &str, user_id: &str) -> Result<Option<Model>, DbErr> {
    db.locks(Place::SkillRating);
    Entity::find()
        .filter(Column::SkillId.eq(skill_id))
        .filter(Column::UserId.eq(user_id))
        .lock_exclusive()
        .one(db)
        .await
}

/// The rating with this id, locked for the rest of the transaction.
pub async fn lock_by_id(db: &Transaction, id: &str) -> Result<Option<Model>, DbErr> {
    db.locks(Place::SkillRating);
    Entity::find().filter(Column::Id.eq(id)).lock_exclusive().one(db).await
}

/// Makes a rating, or replaces what the user said before.
pub async fn upsert(db: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    let on_conflict = OnConflict::columns([Column::SkillId, Column::UserId])
        .update_columns([
            Column::Rating,
            Column::Comment,
            Column::RatedAt,
            Column::State,
            Column::RemoteId,
            Column::RetryCount,
            Column::LastError,
            Column::LastTryAt,
            Column::DueAt,
        ])
        .to_owned();
    let row: ActiveModel = row.into();
    Entity::insert(row).on_conflict(on_conflict).exec_without_returning(db).await.map(drop)
}

/// Forgets a user's rating of a skill.
pub async fn remove(
    db: &impl ConnectionTrait,
    (skill_id, user_id): &RatingKey,
) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::SkillId.eq(skill_id))
        .filter(Column::UserId.eq(user_id))
        .exec(db)
        .await
        .map(drop)
}

/// Ratings whose upload is due, oldest first.
pub async fn due(db: &impl ConnectionTrait, now: i64, limit: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::State.eq(UploadState::Pending))
        .filter(Column::DueAt.lte(now))
        .order_by_asc(Column::DueAt)
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Makes everything due now that waits for its time.
pub async fn bring_forward(db: &impl ConnectionTrait, now: i64) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::DueAt, Expr::value(now))
        .filter(Column::State.eq(UploadState::Pending))
        .filter(Column::DueAt.gt(now))
        .exec(db)
        .await
        .map(drop)
}

/// Makes uploads due now that are due later than `latest`, which nothing asks
/// for: they were written under a clock that was wrong. At most `limit`; how
/// many there were. Those in somebody's hands are left for the next time.
pub async fn redate(
    db: &impl ConnectionTrait,
    now: i64,
    latest: i64,
    limit: u64,
) -> Result<u64, DbErr> {
    let found: Vec<String> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::State.eq(UploadState::Pending))
        .filter(Column::DueAt.gt(latest))
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    let mut redated = 0;
    for chunk in found.chunks(KEYS_PER_STATEMENT) {
        let done = Entity::update_many()
            .col_expr(Column::DueAt, Expr::value(now))
            .filter(one_of(db, Column::Id, chunk.iter().map(String::as_str)))
            .exec(db)
            .await?;
        redated += done.rows_affected;
    }
    Ok(redated)
}

/// Dead letters after an id, in order of ids: those first rated come first.
pub async fn failed(
    db: &impl ConnectionTrait,
    after: &str,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::State.eq(UploadState::Failed))
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// How many are in a state.
pub async fn count(db: &impl ConnectionTrait, state: UploadState) -> Result<u64, DbErr> {
    Entity::find().filter(Column::State.eq(state)).count(db).await
}

impl Table for Entity {
    type Key = RatingKey;
    type Row = Model;
    type Select = RatingKey;

    const PLACE: Place = Place::SkillRating;
    const LOCKS: bool = true;

    fn key(row: &Model) -> RatingKey {
        (row.skill_id.clone(), row.user_id.clone())
    }

    async fn load(tx: &Transaction, wanted: &[RatingKey]) -> Result<Vec<Model>, DbErr> {
        let mut found = Vec::new();
        for (skill_id, user_id) in wanted {
            found.extend(lock(tx, skill_id, user_id).await?);
        }
        Ok(found)
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        for key in &changes.removed {
            remove(tx, key).await?;
        }
        for row in changes.upserts() {
            upsert(tx, row).await?;
        }
        Ok(())
    }
}
