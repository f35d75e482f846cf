//! What a database's error means for whoever asked.

use sea_orm::sqlx::error::{DatabaseError, Error as SqlxError};
use sea_orm::sqlx::sqlite::SqliteError;
use sea_orm::{DbErr, RuntimeErr};

/// What kind of trouble an error is. Everything but [`Fault::Statement`] is the
/// database's own: the same statement may go through later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The statement or its values are at fault: a constraint, a type, a table
    /// that is not there.
    Statement,
    /// A unique key is taken. On PostgreSQL maybe by a transaction of another
    /// node that this one could not see yet.
    Taken,
    /// The locks of another transaction broke this one: serialisation failure,
    /// deadlock, SQLite's busy. Worth running again at once.
    Contended,
    /// A row stayed locked for longer than the lock time-out.
    Locked,
    /// No room: the disk or a quota is full.
    Full,
    /// The database does not take writes.
    ReadOnly,
    /// The disk failed: an error on reading, writing, syncing or opening.
    Io,
    /// The database cannot be reached, goes away, or did not answer in time.
    Unreachable,
    /// The file is damaged or no database. Nothing must be written any more.
    Corrupt,
}

impl Fault {
    /// Reads an error.
    pub fn of(error: &DbErr) -> Self {
        match error {
            DbErr::Conn(RuntimeErr::SqlxError(cause))
            | DbErr::Exec(RuntimeErr::SqlxError(cause))
            | DbErr::Query(RuntimeErr::SqlxError(cause)) => match Self::of_driver(cause) {
                // Nobody asked a statement: it was the connecting that failed.
                Self::Statement if matches!(error, DbErr::Conn(_)) => Self::Unreachable,
                fault => fault,
            },
            DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => Self::Unreachable,
            _ => Self::Statement,
        }
    }

    /// Every fault, in the order written above.
    pub const ALL: &'static [Self] = &[
        Self::Statement,
        Self::Taken,
        Self::Contended,
        Self::Locked,
        Self::Full,
        Self::ReadOnly,
        Self::Io,
        Self::Unreachable,
        Self::Corrupt,
    ];

    /// The stable word for logs, figures and readiness.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Taken => "taken",
            Self::Contended => "contended",
            Self::Locked => "locked",
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Io => "io_error",
            Self::Unreachable => "unreachable",
            Self::Corrupt => "corrupt",
        }
    }

    /// Whether the statement itself is in order: it may go through later. Then
    /// it is the database's trouble, or that of a lock.
    pub const fn is_passing(self) -> bool {
        !matches!(self, Self::Statement | Self::Taken)
    }

    /// Whether it says something about the database rather than about one
    /// statement or one row: then nothing can be written.
    pub const fn is_of_database(self) -> bool {
        matches!(self, Self::Full | Self::ReadOnly | Self::Io | Self::Unreachable | Self::Corrupt)
    }

    /// Whether another connection may fare better: SQLite opens a file that
    /// cannot be written read-only, and stays so; PostgreSQL may be a standby
    /// while another server has taken over.
    pub const fn is_of_connection(self) -> bool {
        matches!(self, Self::ReadOnly | Self::Io)
    }

    fn of_driver(error: &SqlxError) -> Self {
        match error {
            SqlxError::Database(error) => Self::of_code(&**error),
            SqlxError::Io(_)
            | SqlxError::Tls(_)
            | SqlxError::Protocol(_)
            | SqlxError::PoolTimedOut
            | SqlxError::PoolClosed
            | SqlxError::WorkerCrashed
            | SqlxError::BeginFailed
            | SqlxError::InvalidSavePointStatement => Self::Unreachable,
            _ => Self::Statement,
        }
    }

    fn of_code(error: &dyn DatabaseError) -> Self {
        let Some(code) = error.code() else { return Self::Statement };
        if error.try_downcast_ref::<SqliteError>().is_some() {
            code.parse().map_or(Self::Statement, Self::of_sqlite)
        } else {
            Self::of_postgres(&code)
        }
    }

    /// SQLite's extended result codes (<https://sqlite.org/rescode.html>): the
    /// low byte is the primary one. What cannot be read is damaged: SQLite
    /// itself turns `EIO` on reading (`IOERR_CORRUPTFS`) into `CORRUPT`.
    const fn of_sqlite(code: i32) -> Self {
        const IOERR_CORRUPTFS: i32 = 8_458;
        const CONSTRAINT_PRIMARYKEY: i32 = 1_555;
        const CONSTRAINT_UNIQUE: i32 = 2_067;
        match code {
            IOERR_CORRUPTFS => return Self::Corrupt,
            CONSTRAINT_PRIMARYKEY | CONSTRAINT_UNIQUE => return Self::Taken,
            _ => {}
        }
        match code & 0xff {
            // BUSY, LOCKED, PROTOCOL (a race for the log's locks).
            5 | 6 | 15 => Self::Contended,
            // PERM, READONLY.
            3 | 8 => Self::ReadOnly,
            // NOMEM, IOERR, CANTOPEN, NOLFS (larger than the file system takes).
            7 | 10 | 14 | 22 => Self::Io,
            // INTERRUPT.
            9 => Self::Unreachable,
            // CORRUPT, NOTADB.
            11 | 26 => Self::Corrupt,
            13 => Self::Full,
            _ => Self::Statement,
        }
    }

    /// PostgreSQL's SQLSTATE
    /// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    fn of_postgres(code: &str) -> Self {
        match code {
            "40001" | "40P01" => Self::Contended,
            "23505" => Self::Taken,
            "55P03" => Self::Locked,
            "53100" => Self::Full,
            "25006" => Self::ReadOnly,
            // Time-outs of a statement and of an idle transaction or session;
            // the database or the role's login is not there.
            "57014" | "25P03" | "25P04" | "57P05" | "3D000" => Self::Unreachable,
            "58030" | "58P01" => Self::Io,
            "XX001" | "XX002" => Self::Corrupt,
            _ => match code.get(..2) {
                // Connections, authorisation on reconnecting, resources,
                // shutting down and starting up, the system around it.
                Some("08" | "28" | "53" | "57" | "58") => Self::Unreachable,
                _ => Self::Statement,
            },
        }
    }
}

/// Whether the connection that a statement was asked on is gone, and a new one
/// may serve. One that could not be made, or was not had in time, is not cut.
pub(crate) fn is_cut(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) =
        error
    else {
        return false;
    };
    match &**cause {
        SqlxError::Io(_) => true,
        // ADMIN_SHUTDOWN, CRASH_SHUTDOWN, and what went wrong with the connection.
        SqlxError::Database(error) => error
            .code()
            .is_some_and(|code| matches!(&*code, "57P01" | "57P02") || code.starts_with("08")),
        _ => false,
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_codes_are_read_by_their_primary_part() {
        let cases = [
            (5, Fault::Contended),
            (517, Fault::Contended),
            (8, Fault::ReadOnly),
            (1032, Fault::ReadOnly),
            (10, Fault::Io),
            (778, Fault::Io),
            (1034, Fault::Io),
            (14, Fault::Io),
            (11, Fault::Corrupt),
            (8458, Fault::Corrupt),
            (26, Fault::Corrupt),
            (13, Fault::Full),
            (2067, Fault::Taken),
            (1555, Fault::Taken),
            (787, Fault::Statement),
            (1, Fault::Statement),
        ];
        for (code, fault) in cases {
            assert_eq!(Fault::of_sqlite(code), fault, "{code}");
        }
    }

    #[test]
    fn sql_states_are_read_by_code_and_then_by_class() {
        let cases = [
            ("40001", Fault::Contended),
            ("40P01", Fault::Contended),
            ("23505", Fault::Taken),
            ("23502", Fault::Statement),
            ("55P03", Fault::Locked),
            ("53100", Fault::Full),
            ("53300", Fault::Unreachable),
            ("25006", Fault::ReadOnly),
            ("57014", Fault::Unreachable),
            ("57P01", Fault::Unreachable),
            ("57P03", Fault::Unreachable),
            ("08006", Fault::Unreachable),
            ("58030", Fault::Io),
            ("XX002", Fault::Corrupt),
            ("42P01", Fault::Statement),
        ];
        for (code, fault) in cases {
            assert_eq!(Fault::of_postgres(code), fault, "{code}");
        }
    }
}
