//! Wake-ups by push.

use sea_orm_migration::prelude::*;

use crate::schema::{Schema, index, integer, integer_null};

/// This migration.
#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let schema = Schema::of(manager);
        manager.create_table(push_wake(&schema)).await?;
        manager.create_index(index("push_wake_due", "push_wake", &["due_at"])).await?;
        let pushed_by = schema.optional("pushed_by");
        let alter = Table::alter().table("command").add_column(pushed_by).take();
        manager.alter_table(alter).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

fn push_wake(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("push_wake")
        .col(schema.required("user_id"))
        .col(schema.required("device_id"))
        .col(integer("due_at"))
        .col(integer("not_before"))
        .col(integer("wanted"))
        .col(ColumnDef::new("failures").integer().not_null())
        .col(ColumnDef::new("repeats").integer().not_null())
        .col(integer_null("delta_sent_at"))
        .col(integer("bucket_milli"))
        .col(integer("bucket_at"))
        .col(schema.optional("claimed_by"))
        .col(integer("claimed_until"))
        .col(integer("claim"))
        .primary_key(Index::create().col("user_id").col("device_id"))
        .take()
}
