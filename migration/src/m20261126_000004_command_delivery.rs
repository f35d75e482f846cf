//! What was sent and acked in one row a command and device, the entry of a
//! command's first attempt nowhere but in the command's row, and tables of SQLite
//! that are their own index.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

use crate::schema::{Schema, integer_null};

/// This migration.
#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let schema = Schema::of(manager);
        let mut deliveries = command_delivery(&schema);
        let is_sqlite = manager.get_database_backend() == DatabaseBackend::Sqlite;
        if is_sqlite {
            deliveries.extra(WITHOUT_ROWID);
        }
        manager.create_table(deliveries).await?;
        let db = manager.get_connection();
        db.execute_unprepared(FORGET_FIRST_ENTRIES).await?;
        if is_sqlite {
            for statement in REBUILD {
                db.execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const WITHOUT_ROWID: &str = "WITHOUT ROWID";

fn command_delivery(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("command_delivery")
        .col(schema.required("command_id"))
        .col(schema.required("device_id"))
        .col(ColumnDef::new("attempt").integer().not_null())
        .col(integer_null("socket_at"))
        .col(integer_null("poll_at"))
        .col(integer_null("acked_at"))
        .primary_key(Index::create().col("command_id").col("device_id").col("attempt"))
        .take()
}

/// The command's row tells what they told.
const FORGET_FIRST_ENTRIES: &str = "
    DELETE FROM journal_entry WHERE kind = 'command' AND EXISTS (
        SELECT 1 FROM command
        WHERE command.id = journal_entry.command_id AND command.seq = journal_entry.seq
    )";

/// Rows that are looked up by their whole key only: beside the table there was an
/// index of all of it. SQLite makes a table anew for that.
const REBUILD: [&str; 12] = [
    r#"CREATE TABLE "stream_head_new" (
        "stream" text NOT NULL PRIMARY KEY, "epoch" text NOT NULL, "seq" bigint NOT NULL,
        "trimmed" bigint NOT NULL, "pending" bigint NOT NULL
    ) WITHOUT ROWID"#,
    "INSERT INTO stream_head_new SELECT stream, epoch, seq, trimmed, pending FROM stream_head
        ORDER BY stream",
    "DROP TABLE stream_head",
    "ALTER TABLE stream_head_new RENAME TO stream_head",
    r#"CREATE TABLE "device_cursor_new" (
        "user_id" text NOT NULL, "device_id" text NOT NULL, "stream" text NOT NULL,
        "epoch" text NOT NULL, "seq" bigint NOT NULL, "at" bigint NOT NULL,
        PRIMARY KEY ("user_id", "device_id", "stream")
    ) WITHOUT ROWID"#,
    r#"INSERT INTO device_cursor_new SELECT user_id, device_id, stream, epoch, seq, "at"
        FROM device_cursor ORDER BY user_id, device_id, stream"#,
    "DROP TABLE device_cursor",
    "ALTER TABLE device_cursor_new RENAME TO device_cursor",
    r#"CREATE TABLE "command_outcome_new" (
        "command_id" text NOT NULL, "device_id" text NOT NULL, "attempt" integer NOT NULL,
        "status" text NOT NULL, "error" text NULL, "settles" boolean NOT NULL,
        "late" boolean NOT NULL, "channel" text NOT NULL, "at" bigint NOT NULL,
        PRIMARY KEY ("command_id", "device_id", "attempt", "status")
    ) WITHOUT ROWID"#,
    r#"INSERT INTO command_outcome_new SELECT command_id, device_id, attempt, status, error,
        settles, late, channel, "at"
        FROM command_outcome ORDER BY command_id, device_id, attempt, status"#,
    "DROP TABLE command_outcome",
    "ALTER TABLE command_outcome_new RENAME TO command_outcome",
];
