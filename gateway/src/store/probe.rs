//! A row that a node writes when nothing else is written, to learn whether
//! writing works, and which history of the database it saw last.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseBackend, DbErr, EntityTrait,
    QueryFilter, Statement,
};
use tidegate_entity::write_probe::{ActiveModel, Column, Entity, Model};

use crate::store::Store;

/// The node's row.
pub async fn read(db: &impl ConnectionTrait, node: &str) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(node).one(db).await
}

/// Writes the node's row, and removes those of nodes that wrote none since
/// `forgotten_before`, milliseconds. A history that is not known now leaves the
/// one that was.
pub async fn write(
    db: &impl ConnectionTrait,
    row: Model,
    forgotten_before: i64,
) -> Result<(), DbErr> {
    let has_history = row.history.is_some();
    let row = ActiveModel { node: Set(row.node), at: Set(row.at), history: Set(row.history) };
    let mut update = OnConflict::column(Column::Node);
    update.update_column(Column::At);
    if has_history {
        update.update_column(Column::History);
    }
    Entity::insert(row).on_conflict(update).exec_without_returning(db).await?;
    Entity::delete_many().filter(Column::At.lt(forgotten_before)).exec(db).await?;
    Ok(())
}

/// Forgets which history the node saw: it ends in order, with everything on
/// disk.
pub async fn forget_history(db: &impl ConnectionTrait, node: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::History, Expr::value(Option::<String>::None))
        .filter(Column::Node.eq(node))
        .exec(db)
        .await?;
    Ok(())
}

/// Which history the database is in; another one may lack commits that this one
/// confirmed. `None` where that cannot be.
///
/// PostgreSQL: its timeline, which a standby that takes over and a restore from
/// an archive raise. SQLite: the boot of the machine, where commits do not wait
/// for the disk, for a power cut may take the last ones.
pub async fn history(store: &Store, db: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    if !store.is_embedded() {
        let sql = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
        return one_text(db, sql).await;
    }
    if store.waits_for_disk() {
        return Ok(None);
    }
    // Linux only; elsewhere it is not known, as it was before.
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    Ok(boot.ok().map(|id| id.trim().to_owned()))
}

/// What PostgreSQL's `synchronous_commit` is for writers. `None` on SQLite.
pub async fn synchronous_commit(db: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    one_text(db, "SELECT current_setting('synchronous_commit')").await
}

async fn one_text(db: &impl ConnectionTrait, sql: &str) -> Result<Option<String>, DbErr> {
    if db.get_database_backend() != DatabaseBackend::Postgres {
        return Ok(None);
    }
    let row = db.query_one_raw(Statement::from_string(DatabaseBackend::Postgres, sql)).await?;
    row.map(|row| row.try_get_by_index(0)).transpose()
}
