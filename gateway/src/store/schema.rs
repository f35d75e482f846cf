//! Bringing the schema up to date, by one process at a time.

use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr, Statement, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use tidegate_migration::Migrator;

use crate::store::Store;

/// Names the advisory lock among all users of the PostgreSQL server: "tidegate"
/// as ASCII.
const ADVISORY_LOCK: i64 = 0x7469_6465_6761_7465;

/// Applies the migrations that are missing. On PostgreSQL an advisory lock
/// keeps other nodes waiting; on SQLite the caller is alone by convention.
pub async fn migrate(store: &Store) -> Result<(), DbErr> {
    let connection = store.connect_migrator().await?;
    let migrated = migrate_over(&connection).await;
    connection.close().await?;
    migrated
}

async fn migrate_over(connection: &DatabaseConnection) -> Result<(), DbErr> {
    if connection.get_database_backend() != DatabaseBackend::Postgres {
        return Migrator::up(connection, None).await;
    }
    let lock = connection.begin().await?;
    lock.execute_raw(Statement::from_sql_and_values(
        DatabaseBackend::Postgres,
        "SELECT pg_advisory_xact_lock($1)",
        [ADVISORY_LOCK.into()],
    ))
    .await?;
    let migrated = Migrator::up(connection, None).await;
    lock.rollback().await?;
    migrated
}

/// Names of the migrations that are missing.
pub async fn pending(store: &Store) -> Result<Vec<String>, DbErr> {
    let connection = store.connect_migrator().await?;
    let pending = Migrator::get_pending_migrations_read_only(&connection).await;
    connection.close().await?;
    Ok(pending?.iter().map(|migration| migration.name().to_owned()).collect())
}
