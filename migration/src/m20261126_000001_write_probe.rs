//! A row that each node writes when nothing else is written.

use sea_orm_migration::prelude::*;

use crate::schema::{Schema, integer};

/// This migration.
#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let schema = Schema::of(manager);
        let table = Table::create()
            .table("write_probe")
            .col(schema.required("node"))
            .col(integer("at"))
            .col(schema.optional("history"))
            .primary_key(Index::create().col("node"))
            .take();
        manager.create_table(table).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
