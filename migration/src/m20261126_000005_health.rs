//! Health data: days, nights, activities, the parts that sums are made of, body
//! metrics, and what is known of a user.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

use crate::schema::{Schema, index, integer, integer_null};

/// This migration.
#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let schema = Schema::of(manager);
        let is_sqlite = manager.get_database_backend() == DatabaseBackend::Sqlite;
        // Looked up by beginnings of their keys only: the table is the index.
        for mut table in [
            daily_entry(&schema),
            sleep_record(&schema),
            day_sample(&schema),
            body_metric(&schema),
            health_profile(&schema),
            activity_raw(&schema),
        ] {
            if is_sqlite {
                table.extra("WITHOUT ROWID");
            }
            manager.create_table(table).await?;
        }
        manager.create_table(activity(&schema)).await?;
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// `said` holds what every source said of each field, `body` the row as devices
/// hold it.
fn daily_entry(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("daily_entry")
        .col(schema.required("user_id"))
        .col(schema.required("date"))
        .col(integer("version"))
        .col(schema.required("said"))
        .col(schema.required("body"))
        .col(integer("updated_at"))
        .primary_key(Index::create().col("user_id").col("date"))
        .take()
}

/// `nights` holds one of each source, `body` the one that devices hold.
fn sleep_record(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("sleep_record")
        .col(schema.required("user_id"))
        .col(schema.required("date"))
        .col(integer("version"))
        .col(schema.required("nights"))
        .col(schema.optional("body"))
        .col(integer("updated_at"))
        .primary_key(Index::create().col("user_id").col("date"))
        .take()
}

fn day_sample(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("day_sample")
        .col(schema.required("user_id"))
        .col(schema.required("date"))
        .col(schema.required("source"))
        .col(schema.required("field"))
        .col(schema.required("channel"))
        .col(schema.required("points"))
        .col(integer("updated_at"))
        .primary_key(
            Index::create().col("user_id").col("date").col("source").col("field").col("channel"),
        )
        .take()
}

fn body_metric(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("body_metric")
        .col(schema.required("user_id"))
        .col(schema.required("metric"))
        .col(schema.required("date"))
        .col(integer("value"))
        .col(integer("at"))
        .col(schema.required("source"))
        .primary_key(Index::create().col("user_id").col("metric").col("date"))
        .take()
}

fn health_profile(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("health_profile")
        .col(schema.required("user_id"))
        .col(schema.optional("time_zone"))
        .col(integer("updated_at"))
        .primary_key(Index::create().col("user_id"))
        .take()
}

fn activity(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("activity")
        .col(schema.required("user_id"))
        .col(schema.required("id"))
        .col(integer("version"))
        .col(schema.required("state"))
        .col(schema.required("source"))
        .col(schema.optional("source_id"))
        .col(schema.required("activity_type"))
        .col(schema.required("sport"))
        .col(schema.required("date"))
        .col(integer("start_at"))
        .col(integer("end_at"))
        .col(integer("duration_s"))
        .col(integer("elapsed_s"))
        .col(ColumnDef::new("length_class").integer().not_null())
        .col(integer_null("distance"))
        .col(integer_null("calories"))
        .col(integer_null("avg_heart_rate"))
        .col(integer_null("max_heart_rate"))
        .col(schema.optional("device"))
        .col(integer_null("utc_offset_s"))
        .col(schema.optional("duplicate_of"))
        .col(integer("updated_at"))
        .primary_key(Index::create().col("user_id").col("id"))
        .take()
}

fn activity_raw(schema: &Schema) -> TableCreateStatement {
    Table::create()
        .table("activity_raw")
        .col(schema.required("user_id"))
        .col(schema.required("id"))
        .col(schema.required("raw"))
        .primary_key(Index::create().col("user_id").col("id"))
        .take()
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index("activity_by_time", "activity", &["user_id", "length_class", "start_at", "end_at"]),
        index("activity_by_date", "activity", &["user_id", "date", "start_at", "id"]),
        index("activity_by_original", "activity", &["user_id", "duplicate_of"]),
    ]
}
