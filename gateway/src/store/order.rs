//! The order in which every transaction locks and writes rows, as data.
//!
//! Two nodes that lock the same rows in different orders wait for each other
//! until PostgreSQL breaks one of them. So there is one order, and a table has
//! its place in it once.

/// Where a table stands in the order. Heads of streams are locked before all
/// of them, in name order: see [`head`](crate::store::head).
///
/// A table that joins units of work gets a line here, and nothing else to
/// register it: see [`Table`](crate::store::table::Table).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Place {
    /// Callers' keys: read without a lock, a unique index guards them.
    IdempotencyKey,
    /// Devices of users.
    Device,
    /// Commands with what devices reported about them.
    Command,
    /// Records of shared streams, guarded by the stream's head.
    SharedRecord,
    /// Leases that a write must still hold.
    Lease,
    /// The state of the synchronisation.
    SyncState,
    /// Items of the marketplace, guarded by the head of their stream.
    MarketItem,
    /// When listings named items.
    Listing,
    /// Conflicts.
    Conflict,
    /// Ratings of skills.
    SkillRating,
    /// The audit log, only appended to.
    AuditLog,
    /// Wake requests.
    PushWake,
}

impl Place {
    /// The last of all.
    pub const LAST: Self = Self::PushWake;

    /// How many there are.
    pub const COUNT: usize = Self::LAST as usize + 1;
}
