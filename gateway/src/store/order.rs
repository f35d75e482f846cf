//! The order in which every transaction locks rows, as data.
//!
//! Two transactions that lock rows of two tables in opposite order wait for
//! each other, and PostgreSQL breaks one of them. Debug builds check the order
//! of every transaction, on SQLite as well, where nothing is locked: what the
//! tests run is what PostgreSQL would lock.

use std::sync::atomic::{AtomicU32, Ordering};

macro_rules! places {
    ($($(#[$doc:meta])* $place:ident = $table:literal,)*) => {
        /// A table whose rows a transaction locks, by asking for it or by writing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(usize)]
        #[expect(missing_docs, reason = "the tables' own names")]
        pub enum Place {
            $($(#[$doc])* $place,)*
        }

        /// The tables by place.
        const TABLES: &[&str] = &[$($table),*];
    };
}

// First to last. Heads guard what their streams tell, so they come first, and
// then what the writer loads before it decides. What it writes without having
// loaded it follows in the order in which it does. Rows of one table are locked
// in the order of their keys.
//
// A table that joins units of work is registered by its line here: see `Table` in
// `store/table.rs`.
places! {
    StreamHead = "stream_head",
    Device = "device",
    Command = "command",
    Lease = "lease",
    Integration = "integration",
    OauthState = "oauth_state",
    WebhookEvent = "webhook_event",
    SyncState = "sync_state",
    SkillRating = "skill_rating",
    CommandOutcome = "command_outcome",
    IdempotencyKey = "idempotency_key",
    SharedRecord = "shared_record",
    MarketItem = "market_item",
    /// Times of `market_item` that are written without loading the item.
    MarketListing = "",
    DailyEntry = "daily_entry",
    SleepRecord = "sleep_record",
    DaySample = "day_sample",
    Activity = "activity",
    ActivityRaw = "activity_raw",
    BodyMetric = "body_metric",
    HealthProfile = "health_profile",
    Conflict = "conflict",
    ConflictEditor = "conflict_editor",
    AuditLog = "audit_log",
    PushWake = "push_wake",
    JournalEntry = "journal_entry",
    DeviceCursor = "device_cursor",
    CommandDelivery = "command_delivery",
    CommandEvent = "command_event",
    WriteProbe = "write_probe",
    RateWindow = "rate_window",
}

impl Place {
    /// How many there are.
    pub const COUNT: usize = TABLES.len();
}

// A bit for each.
const _: () = assert!(Place::COUNT <= u32::BITS as usize, "`Locked` needs a wider number");

/// What one transaction has locked so far: a bit for each table.
#[derive(Debug, Default)]
pub(super) struct Locked(AtomicU32);

impl Locked {
    /// Notes that rows of a table are locked now. Again is in order at any time:
    /// what is written then was locked before.
    pub(super) fn note(&self, table: Place) {
        if cfg!(debug_assertions) {
            self.note_place(Some(table as usize));
        }
    }

    /// Notes the table that a statement writes to.
    pub(super) fn note_statement(&self, sql: &str) {
        if cfg!(debug_assertions)
            && let Some(name) = written(sql)
        {
            self.note_place(TABLES.iter().position(|table| *table == name));
        }
    }

    fn note_place(&self, place: Option<usize>) {
        debug_assert!(place.is_some(), "the table has no place in `store/order.rs`");
        let Some(place) = place else { return };
        let before = self.0.fetch_or(1 << place, Ordering::Relaxed);
        let is_known = before & (1 << place) != 0;
        let later = before >> place;
        debug_assert!(
            is_known || later == 0,
            "`{}` is locked after `{}`: see `store/order.rs`",
            TABLES[place],
            TABLES[before.max(1).ilog2() as usize]
        );
    }
}

/// The table that a statement writes to.
fn written(sql: &str) -> Option<&str> {
    let sql = sql.trim_start();
    let beginnings = ["INSERT INTO ", "UPDATE ", "DELETE FROM "];
    let rest = beginnings.iter().find_map(|beginning| sql.strip_prefix(beginning))?;
    let rest = rest.trim_start().trim_start_matches('"');
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    Some(rest.split(|character| !is_of_name(character)).next().unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_name_what_they_write_to() {
        assert_eq!(written(r#"INSERT INTO "device" ("user_id") VALUES (?)"#), Some("device"));
        assert_eq!(written(r#"UPDATE "push_wake" SET "due_at" = $1"#), Some("push_wake"));
        assert_eq!(written("DELETE FROM command WHERE id = ?"), Some("command"));
        assert_eq!(written(r#"SELECT "id" FROM "command" FOR UPDATE"#), None);
        assert_eq!(written("PRAGMA user_version = 7"), None);
    }

    #[test]
    fn what_was_locked_may_be_written_at_any_time() {
        let locked = Locked::default();
        locked.note(Place::StreamHead);
        locked.note(Place::Command);
        locked.note_statement(r#"INSERT INTO "journal_entry" ("seq") VALUES (1)"#);
        locked.note_statement(r#"UPDATE "command" SET "status" = 'sent'"#);
        locked.note_statement(r#"UPDATE "stream_head" SET "seq" = 1"#);
    }

    #[test]
    #[should_panic(expected = "`skill_rating` is locked after `push_wake`")]
    fn a_table_is_not_locked_after_a_later_one() {
        let locked = Locked::default();
        locked.note(Place::StreamHead);
        locked.note_statement(r#"DELETE FROM "push_wake""#);
        locked.note(Place::SkillRating);
    }

    #[test]
    #[should_panic(expected = "no place")]
    fn a_table_without_a_place_is_refused() {
        Locked::default().note_statement(r#"INSERT INTO "provider_link" VALUES (1)"#);
    }
}
