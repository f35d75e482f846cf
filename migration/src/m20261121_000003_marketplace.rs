//! The marketplace: items with what upstream and local editors made of them,
//! its sync state, ratings, conflicts, leases, and the audit log.

use sea_orm_migration::prelude::*;

use crate::schema::{Schema, flag, index, integer, integer_null};

/// This migration.
#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let schema = Schema::of(manager);
        for table in [
            market_item(&schema),
            sync_state(&schema),
            lease(&schema),
            conflict(&schema),
            skill_rating(&schema),
            audit_log(&schema),
        ] {
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

fn market_item(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("market_item")
        .col(schema.required("kind"))
        .col(schema.required("id"))
        .col(integer("version"))
        .col(schema.optional("data"))
        .col(schema.required("search"))
        .col(schema.optional("category"))
        .col(schema.optional("remote_data"))
        .col(integer("remote_updated_at"))
        .col(integer("rating_updated_at"))
        .col(integer("confirmed_at"))
        .col(integer_null("base_version"))
        .col(schema.optional("base_data"))
        .col(schema.optional("edited_by"))
        .col(integer_null("edited_at"))
        .col(schema.optional("conflict_id"))
        .col(integer("updated_at"))
        .primary_key(Index::create().col("kind").col("id"))
        .take()
}

fn sync_state(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("sync_state")
        .col(schema.required("id").primary_key().take())
        .col(schema.required("status"))
        .col(schema.optional("run_id"))
        .col(integer_null("requested_at"))
        .col(integer_null("last_sync_at"))
        .col(integer_null("last_successful_sync_at"))
        .col(integer("total_syncs"))
        .col(integer("successful_syncs"))
        .col(integer("failed_syncs"))
        .col(integer("error_count"))
        .col(schema.optional("last_error"))
        .col(schema.optional("cursor"))
        .col(integer("listed_at"))
        .col(integer_null("interval_s"))
        .col(schema.optional("strategy"))
        .col(flag("socket_enabled"))
        .col(flag("socket_connected"))
        .col(integer_null("socket_connected_at"))
        .col(integer_null("socket_message_at"))
        .col(integer("socket_attempts"))
        .col(integer("socket_failures"))
        .col(schema.optional("socket_reason"))
        .col(flag("fallback_to_polling"))
        .col(integer_null("next_attempt_at"))
        .col(integer_null("reconnect_requested_at"))
        .col(integer_null("ratings_requested_at"))
        .take()
}

fn lease(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("lease")
        .col(schema.required("name").primary_key().take())
        .col(schema.required("holder"))
        .col(integer("generation"))
        .col(integer("held_until"))
        .take()
}

fn conflict(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("conflict")
        .col(schema.required("id").primary_key().take())
        .col(schema.required("subject"))
        .col(schema.optional("user_id"))
        .col(schema.required("status"))
        .col(schema.required("severity"))
        .col(schema.required("verdict"))
        .col(integer("created_at"))
        .col(integer_null("resolved_at"))
        .col(integer_null("restored_at"))
        .take()
}

fn skill_rating(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("skill_rating")
        .col(schema.required("skill_id"))
        .col(schema.required("user_id"))
        .col(schema.required("id"))
        .col(integer("rating"))
        .col(schema.optional("comment"))
        .col(integer("rated_at"))
        .col(schema.required("state"))
        .col(schema.optional("remote_id"))
        .col(integer("retry_count"))
        .col(schema.optional("last_error"))
        .col(integer_null("last_try_at"))
        .col(integer("due_at"))
        .col(integer_null("asked_until"))
        .primary_key(Index::create().col("skill_id").col("user_id"))
        .take()
}

fn audit_log(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("audit_log")
        .col(schema.required("id").primary_key().take())
        .col(integer("at"))
        .col(schema.required("actor"))
        .col(schema.required("action"))
        .col(schema.required("subject"))
        .col(schema.optional("detail"))
        .take()
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index("market_item_category", "market_item", &["kind", "category", "id"]),
        // Lists by status, and the open ones of a user's snapshot.
        index("conflict_status", "conflict", &["status", "id"]),
        index("conflict_user", "conflict", &["user_id", "status", "id"]),
        index("conflict_subject", "conflict", &["subject", "id"]),
        index("conflict_resolved", "conflict", &["resolved_at"]),
        index("skill_rating_id", "skill_rating", &["id"]).unique().take(),
        index("skill_rating_upload", "skill_rating", &["state", "due_at"]),
        index("audit_log_at", "audit_log", &["at"]),
    ]
}
