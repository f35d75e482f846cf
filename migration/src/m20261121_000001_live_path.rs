//! Streams and their journal, devices, commands, shared records.

use sea_orm_migration::prelude::*;

use crate::schema::{Schema, index, integer, integer_null};

/// This migration.
#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let schema = Schema::of(manager);
        for table in schema.tables() {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

impl Schema {
    fn tables(&self) -> Vec<TableCreateStatement> {
        vec![
            self.stream_head(),
            self.journal_entry(),
            self.command(),
            self.command_outcome(),
            self.command_event(),
            self.device(),
            self.device_cursor(),
            self.idempotency_key(),
            self.shared_record(),
        ]
    }

    fn stream_head(&self) -> TableCreateStatement {
        Table::create()
            .table("stream_head")
            .col(self.required("stream").primary_key())
            .col(self.required("epoch"))
            .col(integer("seq"))
            .col(integer("trimmed"))
            .col(integer("pending"))
            .take()
    }

    fn journal_entry(&self) -> TableCreateStatement {
        Table::create()
            .table("journal_entry")
            .col(self.required("stream"))
            .col(integer("seq"))
            .col(self.required("kind"))
            .col(integer("at"))
            .col(self.required("body"))
            .col(self.optional("device_id"))
            .col(self.optional("requires"))
            .col(self.optional("command_id"))
            .primary_key(Index::create().col("stream").col("seq"))
            .take()
    }

    fn command(&self) -> TableCreateStatement {
        Table::create()
            .table("command")
            .col(self.required("id").primary_key())
            .col(self.required("user_id"))
            .col(self.optional("device_id"))
            .col(self.required("data_type"))
            .col(self.required("value"))
            .col(self.required("priority"))
            .col(self.optional("requires"))
            .col(self.required("status"))
            .col(ColumnDef::new("open").boolean().not_null())
            .col(ColumnDef::new("attempt").integer().not_null())
            .col(integer("seq"))
            .col(integer("last_seq"))
            .col(integer("created_at"))
            .col(integer("expires_at"))
            .col(integer_null("closed_at"))
            .col(integer("due_at"))
            .col(self.optional("decided_by"))
            .col(ColumnDef::new("decided_attempt").integer().null())
            .col(self.optional("decided_error"))
            .take()
    }

    fn command_outcome(&self) -> TableCreateStatement {
        Table::create()
            .table("command_outcome")
            .col(self.required("command_id"))
            .col(self.required("device_id"))
            .col(ColumnDef::new("attempt").integer().not_null())
            .col(self.required("status"))
            .col(self.optional("error"))
            .col(ColumnDef::new("settles").boolean().not_null())
            .col(ColumnDef::new("late").boolean().not_null())
            .col(self.required("channel"))
            .col(integer("at"))
            .primary_key(
                Index::create().col("command_id").col("device_id").col("attempt").col("status"),
            )
            .take()
    }

    fn command_event(&self) -> TableCreateStatement {
        Table::create()
            .table("command_event")
            .col(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
            .col(self.required("command_id"))
            .col(integer("at"))
            .col(self.required("event"))
            .col(self.optional("channel"))
            .col(self.optional("device_id"))
            .col(self.optional("detail"))
            .col(self.optional("once"))
            .take()
    }

    fn device(&self) -> TableCreateStatement {
        Table::create()
            .table("device")
            .col(self.required("user_id"))
            .col(self.required("device_id"))
            .col(self.required("platform"))
            .col(self.optional("name"))
            .col(self.optional("app_version"))
            .col(self.required("capabilities"))
            .col(self.optional("push_provider"))
            .col(self.optional("push_token"))
            .col(self.optional("push_token_hash"))
            .col(self.required("push_state"))
            .col(integer_null("push_refreshed_at"))
            .col(ColumnDef::new("wants_delta_push").boolean().not_null())
            .col(integer("created_at"))
            .col(integer("last_seen_at"))
            .primary_key(Index::create().col("user_id").col("device_id"))
            .take()
    }

    fn device_cursor(&self) -> TableCreateStatement {
        Table::create()
            .table("device_cursor")
            .col(self.required("user_id"))
            .col(self.required("device_id"))
            .col(self.required("stream"))
            .col(self.required("epoch"))
            .col(integer("seq"))
            .col(integer("at"))
            .primary_key(Index::create().col("user_id").col("device_id").col("stream"))
            .take()
    }

    fn idempotency_key(&self) -> TableCreateStatement {
        Table::create()
            .table("idempotency_key")
            .col(self.required("caller"))
            .col(self.required("key"))
            .col(self.required("request_hash"))
            .col(self.optional("command_id"))
            .col(self.optional("answer"))
            .col(integer("expires_at"))
            .primary_key(Index::create().col("caller").col("key"))
            .take()
    }

    fn shared_record(&self) -> TableCreateStatement {
        Table::create()
            .table("shared_record")
            .col(self.required("stream"))
            .col(self.required("collection"))
            .col(self.required("id"))
            .col(integer("version"))
            .col(self.optional("data"))
            .col(integer("updated_at"))
            .primary_key(Index::create().col("stream").col("collection").col("id"))
            .take()
    }
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        // Snapshots, acks and lists of a user's commands.
        index("command_user", "command", &["user_id", "open", "last_seq"]),
        // The sweep for expiry and retry.
        index("command_due", "command", &["open", "due_at"]),
        // A push token belongs to one device.
        index("device_push_token", "device", &["push_provider", "push_token_hash"]).unique().take(),
        // Timelines. A device is told of a delivery, or its ack, once.
        index("command_event_once", "command_event", &["command_id", "once"]).unique().take(),
        index("device_last_seen", "device", &["last_seen_at"]),
        index("idempotency_key_expiry", "idempotency_key", &["expires_at"]),
    ]
}
