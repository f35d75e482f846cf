//! Schema migrations of the Tidegate database: append-only, one source for
//! SQLite and PostgreSQL.
//!
//! Owns the schema. It takes no lock: whoever runs it makes sure that nobody
//! else does at the same time.

use sea_orm_migration::prelude::*;

mod m20261121_000001_live_path;
mod m20261121_000002_push_tier;
mod m20261121_000003_marketplace;
mod m20261126_000001_write_probe;
mod m20261126_000002_push_refusals;
mod m20261126_000003_marketplace_care;
mod m20261126_000004_command_delivery;
mod m20261126_000005_health;
mod m20261126_000006_integrations;
mod schema;

/// All migrations, in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_live_path::Migration),
            Box::new(m20261121_000002_push_tier::Migration),
            Box::new(m20261121_000003_marketplace::Migration),
            Box::new(m20261126_000001_write_probe::Migration),
            Box::new(m20261126_000002_push_refusals::Migration),
            Box::new(m20261126_000003_marketplace_care::Migration),
            Box::new(m20261126_000004_command_delivery::Migration),
            Box::new(m20261126_000005_health::Migration),
            Box::new(m20261126_000006_integrations::Migration),
        ]
    }
}
