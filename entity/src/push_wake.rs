//! The wake-up of a device by push: at most one is on its way per device, for
//! everything that waits there.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "push_wake")]
pub struct Model {
    /// The device's user.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The device.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub device_id: String,
    /// When the next look is due, milliseconds since the epoch; the largest
    /// number when nothing is to be done.
    pub due_at: i64,
    /// Not earlier, whatever is wanted: `Retry-After`, backoff, bucket.
    pub not_before: i64,
    /// How often commands or tokens wanted a wake-up; tells a sender that more came meanwhile.
    pub wanted: i64,
    /// Sends that failed in a row.
    pub failures: i32,
    /// Refusals of this token in a row, none of them the service's fault.
    pub refusals: i32,
    /// Sends that went well since the last command came.
    pub repeats: i32,
    /// When a wake-up went out last, or was given up: until the device is seen
    /// again, data gives it no other.
    pub delta_sent_at: Option<i64>,
    /// Thousandths of a push left in the device's bucket.
    pub bucket_milli: i64,
    /// When the bucket was counted.
    pub bucket_at: i64,
    /// The node that is sending.
    #[sea_orm(column_type = "Text", nullable)]
    pub claimed_by: Option<String>,
    /// Until when the claim holds.
    pub claimed_until: i64,
    /// Counts claims: a node that lost one cannot write with it.
    pub claim: i64,
}

impl ActiveModelBehavior for ActiveModel {}
