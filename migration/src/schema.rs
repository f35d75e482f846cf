//! Columns that mean the same on both databases.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

/// Makes columns for the database at hand.
pub(crate) struct Schema {
    backend: DatabaseBackend,
}

impl Schema {
    /// For the database the manager is connected to.
    pub(crate) fn of(manager: &SchemaManager<'_>) -> Self {
        Self { backend: manager.get_database_backend() }
    }

    /// Text that compares byte by byte on both databases.
    fn text(&self, name: &'static str) -> ColumnDef {
        let mut column = ColumnDef::new(name);
        column.text();
        if self.backend == DatabaseBackend::Postgres {
            column.extra("COLLATE \"C\"");
        }
        column
    }

    /// Text that is always there.
    pub(crate) fn required(&self, name: &'static str) -> ColumnDef {
        self.text(name).not_null().take()
    }

    /// Text that may be missing.
    pub(crate) fn optional(&self, name: &'static str) -> ColumnDef {
        self.text(name).null().take()
    }
}

/// A 64-bit number that is always there: positions, and times in milliseconds.
pub(crate) fn integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

/// A 64-bit number that may be missing.
pub(crate) fn integer_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().take()
}

/// An index over columns, in this order.
pub(crate) fn index(
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
) -> IndexCreateStatement {
    let mut index = Index::create().name(name).table(table).take();
    for column in columns {
        index.col(*column);
    }
    index
}

/// Yes or no.
pub(crate) fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().take()
}
