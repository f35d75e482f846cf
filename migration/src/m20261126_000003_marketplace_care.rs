//! What the marketplace's items are worth by themselves: when each was read
//! last, what is wrong with it, whether devices hold it; until when upstream
//! asked for patience; and everybody whose edit is in a conflict.

use sea_orm_migration::prelude::*;

use crate::schema::{Schema, index, integer_null};

/// This migration.
#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let schema = Schema::of(manager);
        // One column a statement: SQLite takes no more.
        for column in [
            count("listed_at"),
            schema.optional("fault"),
            integer_null("fault_at"),
            integer_null("withdrawn_at"),
            schema.optional("rated"),
            schema.optional("editors"),
        ] {
            add(manager, "market_item", column).await?;
        }
        for column in [integer_null("asked_until"), count("unnamed_faults")] {
            add(manager, "sync_state", column).await?;
        }
        add(manager, "conflict", schema.optional("editors")).await?;
        manager.create_table(conflict_editor(&schema)).await?;
        let by_conflict = index("conflict_editor_conflict", "conflict_editor", &["conflict_id"]);
        manager.create_index(by_conflict).await?;
        manager
            .create_index(index("market_item_fault", "market_item", &["fault", "kind", "id"]))
            .await?;
        carry_over(manager).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// A 64-bit number that rows of before have as 0.
fn count(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().default(0).take()
}

async fn add(
    manager: &SchemaManager<'_>,
    table: &'static str,
    column: ColumnDef,
) -> Result<(), DbErr> {
    manager.alter_table(Table::alter().table(table).add_column(column).take()).await
}

fn conflict_editor(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("conflict_editor")
        .col(schema.required("user_id"))
        .col(schema.required("conflict_id"))
        .primary_key(Index::create().col("user_id").col("conflict_id"))
        .take()
}

/// A complete listing confirmed all items at once until now, and an edit had
/// one editor.
async fn carry_over(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let db = manager.get_connection();
    for statement in [
        "UPDATE market_item SET listed_at = COALESCE((SELECT MAX(listed_at) FROM sync_state), 0) \
         WHERE remote_data IS NOT NULL",
        "INSERT INTO conflict_editor (user_id, conflict_id) \
         SELECT user_id, id FROM conflict WHERE user_id IS NOT NULL",
    ] {
        db.execute_unprepared(statement).await?;
    }
    Ok(())
}
