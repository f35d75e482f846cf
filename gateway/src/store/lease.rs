//! Leases: what only one node may do at a time. Each taking of one raises its
//! generation; a node that lost it is recognised by that.

use crate::store::order::Place;
use crate::store::table::{Changes, Table};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, Set};
use tidegate_entity::lease::{ActiveModel, Column, Entity, Model};

use crate::store::write::Transaction;

/// What a write under a lease must still hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The lease.
    pub name: String,
    /// Its generation when this node took it.
    pub generation: i64,
}

/// Who wants a lease.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// Its name, the same after a restart.
    pub holder: &'a str,
    /// Whether it takes back what stands under its name: once, at its start,
    /// from what it was before. Otherwise two nodes that share a name would
    /// take it from each other for ever.
    pub retakes: bool,
    /// An end that it has watched for longer than a lease lasts, and that was
    /// not moved: whatever the clock was that wrote it, its holder is gone.
    pub unmoved: Option<i64>,
}

/// What came of trying to take a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taking {
    /// It is this node's.
    Taken(Fence),
    /// Another node holds it, by its own words until then.
    Held(i64),
}

/// Takes a lease that is free or has run out.
pub async fn take(
    db: &Transaction,
    name: &str,
    applicant: Applicant<'_>,
    now: i64,
    until: i64,
) -> Result<Taking, DbErr> {
    let Applicant { holder, retakes, unmoved } = applicant;
    let Some(row) = lock(db, name).await? else {
        let row = ActiveModel {
            name: Set(name.to_owned()),
            holder: Set(holder.to_owned()),
            generation: Set(1),
            held_until: Set(until),
        };
        // Another node that is as fast as this one makes it, and keeps it.
        let on_conflict = OnConflict::column(Column::Name).do_nothing().to_owned();
        let made = Entity::insert(row).on_conflict(on_conflict).exec_without_returning(db).await?;
        let fence = Fence { name: name.to_owned(), generation: 1 };
        return Ok(if made == 1 { Taking::Taken(fence) } else { Taking::Held(until) });
    };
    let is_over = row.held_until <= now || unmoved == Some(row.held_until);
    let is_free = is_over || (retakes && row.holder == holder);
    if !is_free {
        return Ok(Taking::Held(row.held_until));
    }
    let generation = row.generation + 1;
    Entity::update_many()
        .col_expr(Column::Holder, Expr::value(holder))
        .col_expr(Column::Generation, Expr::value(generation))
        .col_expr(Column::HeldUntil, Expr::value(until))
        .filter(Column::Name.eq(name))
        .exec(db)
        .await?;
    Ok(Taking::Taken(Fence { name: name.to_owned(), generation }))
}

/// Keeps a lease for longer; false when it is another node's by now.
pub async fn renew(db: &impl ConnectionTrait, fence: &Fence, until: i64) -> Result<bool, DbErr> {
    let updated = Entity::update_many()
        .col_expr(Column::HeldUntil, Expr::value(until))
        .filter(Column::Name.eq(&fence.name))
        .filter(Column::Generation.eq(fence.generation))
        .exec(db)
        .await?;
    Ok(updated.rows_affected > 0)
}

/// Gives a lease back, if it is still held.
pub async fn release(db: &impl ConnectionTrait, fence: &Fence) -> Result<(), DbErr> {
    renew(db, fence, 0).await.map(drop)
}

/// Whether a lease is still what the fence says; locks it for the rest of the
/// transaction, so that nobody takes it in between.
pub async fn holds(db: &Transaction, fence: &Fence) -> Result<bool, DbErr> {
    Ok(lock(db, &fence.name).await?.is_some_and(|row| row.generation == fence.generation))
}

/// The lease, locked for the rest of the transaction.
pub async fn lock(db: &Transaction, name: &str) -> Result<Option<Model>, DbErr> {
    db.locks(Place::Lease);
    Entity::find().filter(Column::Name.eq(name)).lock_exclusive().one(db).await
}

/// Who holds a lease at this time. An end later than `latest` is of a clock that
/// was wrong: nobody knows whether its holder is there.
pub async fn holder(
    db: &impl ConnectionTrait,
    name: &str,
    now: i64,
    latest: i64,
) -> Result<Option<String>, DbErr> {
    let row = Entity::find()
        .filter(Column::Name.eq(name))
        .filter(Expr::col(Column::HeldUntil).gt(now))
        .filter(Expr::col(Column::HeldUntil).lte(latest))
        .one(db)
        .await?;
    Ok(row.map(|row| row.holder))
}

impl Table for Entity {
    type Key = String;
    type Row = Model;
    type Select = String;

    const PLACE: Place = Place::Lease;
    const LOCKS: bool = true;

    fn key(row: &Model) -> String {
        row.name.clone()
    }

    async fn load(tx: &Transaction, wanted: &[String]) -> Result<Vec<Model>, DbErr> {
        let mut found = Vec::new();
        for name in wanted {
            found.extend(lock(tx, name).await?);
        }
        Ok(found)
    }

    /// Leases are taken and kept outside of units of work, which only check them.
    async fn write(_: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        let count = changes.removed.len() + changes.new.len() + changes.changed.len();
        debug_assert_eq!(count, 0, "a unit of work changed a lease");
        Ok(())
    }
}
