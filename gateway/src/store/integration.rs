//! Integrations with cloud providers.

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use tidegate_entity::integration::{ActiveModel, Column, Entity, Model, Phase};
use tidegate_protocol::entry::IntegrationStatus;

use crate::store::bulk::insert_rows;
use crate::store::later;
use crate::store::order::Place;
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// Names an integration: user, provider.
pub type IntegrationKey = (String, String);

/// The row as it is before anything happened.
pub fn initial(user_id: &str, provider: &str) -> Model {
    Model {
        user_id: user_id.to_owned(),
        provider: provider.to_owned(),
        connected: false,
        connection: 0,
        owner_id: None,
        status: IntegrationStatus::Idle,
        error: None,
        error_detail: None,
        access_token: None,
        refresh_token: None,
        refresh_token_before: None,
        token_expires_at: None,
        token_version: 0,
        refresh_claim: None,
        refresh_claimed_until: None,
        scopes: None,
        connected_at: None,
        last_synced_at: None,
        due_at: None,
        served_at: 0,
        phase: Phase::None,
        run_id: None,
        is_told: false,
        checkpoint: None,
        newest: None,
    }
}

/// A user's integrations, in order of providers.
pub async fn of_user(db: &impl ConnectionTrait, user_id: &str) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(Column::UserId.eq(user_id));
    query.order_by_asc(Column::Provider).all(db).await
}

/// One integration.
pub async fn load(
    db: &impl ConnectionTrait,
    (user_id, provider): &IntegrationKey,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id((user_id.clone(), provider.clone())).one(db).await
}

/// Users with something to be done at a provider, who waits for longest first.
pub async fn due(
    db: &impl ConnectionTrait,
    provider: &str,
    now: i64,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::UserId)
        .filter(Column::Provider.eq(provider))
        .filter(Column::DueAt.lte(now))
        .order_by_asc(Column::ServedAt)
        .order_by_asc(Column::UserId)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// Connected ones of a provider whose access token ends before a time, after a
/// user, in order of users.
pub async fn expiring(
    db: &impl ConnectionTrait,
    provider: &str,
    before: i64,
    after: &str,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Provider.eq(provider))
        .filter(Column::TokenExpiresAt.lt(before))
        .filter(Column::Connected.eq(true))
        // Others need no token until their user connects again.
        .filter(Column::DueAt.is_not_null())
        .filter(Column::UserId.gt(after))
        .order_by_asc(Column::UserId)
        .limit(limit)
        .all(db)
        .await
}

/// Users whom a provider knows by this id. One account may be connected by
/// several.
pub async fn of_owner(
    db: &impl ConnectionTrait,
    provider: &str,
    owner_id: &str,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::UserId)
        .filter(Column::Provider.eq(provider))
        .filter(Column::OwnerId.eq(owner_id))
        .filter(Column::Connected.eq(true))
        .order_by_asc(Column::UserId)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// Those of a provider with a run that is queued or goes on.
pub async fn in_hand(
    db: &impl ConnectionTrait,
    provider: &str,
    now: i64,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Provider.eq(provider))
        .filter(Column::DueAt.lte(now))
        .filter(Column::Phase.is_in([Phase::Queued, Phase::Running]))
        .limit(limit)
        .all(db)
        .await
}

/// How many are connected.
pub async fn connected_count(db: &impl ConnectionTrait, provider: &str) -> Result<u64, DbErr> {
    let query = Entity::find().filter(Column::Provider.eq(provider));
    query.filter(Column::Connected.eq(true)).count(db).await
}

/// Makes due no later than `latest` what is due later, which nothing asks for: it
/// was written under a clock that was wrong.
pub async fn redate(db: &impl ConnectionTrait, latest: i64) -> Result<u64, DbErr> {
    let done = Entity::update_many()
        .col_expr(Column::DueAt, Expr::value(latest))
        .filter(Column::DueAt.gt(latest))
        .exec(db)
        .await?;
    Ok(done.rows_affected)
}

/// Rows with tokens after one, in order.
pub async fn sealed(
    db: &impl ConnectionTrait,
    after: (&str, &str),
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::AccessToken.is_not_null().or(Column::RefreshToken.is_not_null()))
        .filter(later([Column::UserId, Column::Provider], [after.0, after.1]))
        .order_by_asc(Column::UserId)
        .order_by_asc(Column::Provider)
        .limit(limit)
        .all(db)
        .await
}

/// Puts other texts in the place of the sealed ones, unless they changed since
/// they were read; whether it did.
pub async fn reseal(db: &Transaction, before: &Model, after: &Model) -> Result<bool, DbErr> {
    let mut update = Entity::update_many()
        .filter(Column::UserId.eq(&before.user_id))
        .filter(Column::Provider.eq(&before.provider));
    for (column, before, after) in [
        (Column::AccessToken, &before.access_token, &after.access_token),
        (Column::RefreshToken, &before.refresh_token, &after.refresh_token),
        (Column::RefreshTokenBefore, &before.refresh_token_before, &after.refresh_token_before),
    ] {
        update = match before {
            Some(text) => update.filter(column.eq(text)),
            None => update.filter(column.is_null()),
        };
        update = update.col_expr(column, Expr::value(after.clone()));
    }
    Ok(update.exec(db).await?.rows_affected > 0)
}

impl Table for Entity {
    type Key = IntegrationKey;
    type Row = Model;
    type Select = IntegrationKey;

    const PLACE: Place = Place::Integration;
    /// Sealed texts are replaced under no stream's head.
    const LOCKS: bool = true;

    fn key(row: &Model) -> IntegrationKey {
        (row.user_id.clone(), row.provider.clone())
    }

    async fn load(tx: &Transaction, wanted: &[IntegrationKey]) -> Result<Vec<Model>, DbErr> {
        tx.locks(Place::Integration);
        let mut found = Vec::new();
        // A few: those that are worked on at once.
        for (user_id, provider) in wanted {
            let query = Entity::find()
                .filter(Column::UserId.eq(user_id))
                .filter(Column::Provider.eq(provider));
            found.extend(query.lock_exclusive().one(tx).await?);
        }
        Ok(found)
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        let known = OnConflict::columns([Column::UserId, Column::Provider])
            .update_columns([Column::Connected, Column::Connection, Column::OwnerId])
            .update_columns([Column::Status, Column::Error, Column::ErrorDetail])
            .update_columns([Column::AccessToken, Column::RefreshToken])
            .update_columns([Column::RefreshTokenBefore, Column::TokenExpiresAt])
            .update_columns([Column::TokenVersion, Column::RefreshClaim])
            .update_columns([Column::RefreshClaimedUntil, Column::Scopes])
            .update_columns([Column::ConnectedAt, Column::LastSyncedAt, Column::DueAt])
            .update_columns([Column::ServedAt, Column::Phase, Column::RunId, Column::IsTold])
            .update_columns([Column::Checkpoint, Column::Newest])
            .to_owned();
        insert_rows(tx, changes.upserts().into_iter().map(ActiveModel::from), Some(&known)).await
    }
}
