//! Integrations with cloud providers: connections with their sealed tokens,
//! authorizations under way, rate windows, and what webhooks told.

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
            integration(&schema),
            oauth_state(&schema),
            rate_window(&schema),
            webhook_event(&schema),
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

fn integration(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("integration")
        .col(schema.required("user_id"))
        .col(schema.required("provider"))
        .col(flag("connected"))
        .col(integer("connection"))
        .col(schema.optional("owner_id"))
        .col(schema.required("status"))
        .col(schema.optional("error"))
        .col(schema.optional("error_detail"))
        .col(schema.optional("access_token"))
        .col(schema.optional("refresh_token"))
        .col(schema.optional("refresh_token_before"))
        .col(integer_null("token_expires_at"))
        .col(integer("token_version"))
        .col(schema.optional("refresh_claim"))
        .col(integer_null("refresh_claimed_until"))
        .col(schema.optional("scopes"))
        .col(integer_null("connected_at"))
        .col(integer_null("last_synced_at"))
        .col(integer_null("due_at"))
        .col(integer("served_at"))
        .col(schema.required("phase"))
        .col(schema.optional("run_id"))
        .col(flag("is_told"))
        .col(schema.optional("checkpoint"))
        .col(schema.optional("newest"))
        .primary_key(Index::create().col("user_id").col("provider"))
        .take()
}

fn oauth_state(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("oauth_state")
        .col(schema.required("state_hash").primary_key().take())
        .col(schema.required("user_id"))
        .col(schema.required("provider"))
        .col(schema.required("actor"))
        .col(schema.optional("verifier"))
        .col(schema.optional("return_url"))
        .col(integer("expires_at"))
        .take()
}

fn rate_window(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("rate_window")
        .col(schema.required("provider"))
        .col(schema.required("user_id"))
        .col(schema.required("name"))
        .col(integer("ends_at"))
        .col(integer("used"))
        .col(integer("allowed"))
        .primary_key(Index::create().col("provider").col("user_id").col("name"))
        .take()
}

fn webhook_event(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("webhook_event")
        .col(schema.required("user_id"))
        .col(schema.required("key"))
        .col(schema.required("provider"))
        .col(schema.required("state"))
        .col(schema.required("what"))
        .col(schema.optional("page"))
        .col(integer("received_at"))
        .col(integer("due_at"))
        .col(integer("attempts"))
        .primary_key(Index::create().col("user_id").col("key"))
        .take()
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index("integration_due", "integration", &["provider", "due_at"]),
        index("integration_expires", "integration", &["token_expires_at"]),
        index("integration_owner", "integration", &["provider", "owner_id"]),
        index("oauth_state_user", "oauth_state", &["user_id", "provider"]),
        index("oauth_state_expires", "oauth_state", &["expires_at"]),
        index("rate_window_ends", "rate_window", &["ends_at"]),
        index("webhook_event_due", "webhook_event", &["state", "due_at"]),
        index("webhook_event_received", "webhook_event", &["received_at"]),
    ]
}
