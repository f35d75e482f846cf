//! Refusals of one push token in a row, and why a token ended.

use sea_orm_migration::prelude::*;

use crate::schema::Schema;

/// This migration.
#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let schema = Schema::of(manager);
        let refusals = ColumnDef::new("refusals").integer().not_null().default(0).take();
        manager.alter_table(Table::alter().table("push_wake").add_column(refusals).take()).await?;
        let push_error = schema.optional("push_error");
        manager.alter_table(Table::alter().table("device").add_column(push_error).take()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
