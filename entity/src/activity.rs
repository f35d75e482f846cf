//! A workout as one source tells of it. One that is gone stays as a row, so that its
//! versions go on.

use sea_orm::entity::prelude::*;

use crate::word::words;

words! {
    /// Whether an activity is there.
    State {
        /// It is.
        Live = "live";
        /// A person deleted it: it does not return.
        Deleted = "deleted";
        /// Its source deleted it: it returns when it is sent again.
        Gone = "gone";
        /// It is another name of the one in `duplicate_of`, and tells nothing itself.
        Alias = "alias";
    }
}

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "activity")]
pub struct Model {
    /// The user.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// Made from what names it: the same wherever it is taken in.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub id: String,
    /// From 1.
    pub version: i64,
    /// Whether it is there.
    pub state: State,
    /// Who tells.
    #[sea_orm(column_type = "Text")]
    pub source: String,
    /// The source's own id.
    #[sea_orm(column_type = "Text", nullable)]
    pub source_id: Option<String>,
    /// What it was, in few words.
    #[sea_orm(column_type = "Text")]
    pub activity_type: String,
    /// The source's own word.
    #[sea_orm(column_type = "Text")]
    pub sport: String,
    /// The local day it started on.
    #[sea_orm(column_type = "Text")]
    pub date: String,
    /// Milliseconds since the epoch.
    pub start_at: i64,
    /// Milliseconds since the epoch.
    pub end_at: i64,
    /// Moving time where the source has it.
    pub duration_s: i64,
    /// From start to end.
    pub elapsed_s: i64,
    /// By which those that overlap a time are found.
    pub length_class: i32,
    /// Metres, in thousandths.
    #[sea_orm(nullable)]
    pub distance: Option<i64>,
    /// kcal, in thousandths.
    #[sea_orm(nullable)]
    pub calories: Option<i64>,
    /// Beats per minute, in thousandths.
    #[sea_orm(nullable)]
    pub avg_heart_rate: Option<i64>,
    /// Beats per minute, in thousandths.
    #[sea_orm(nullable)]
    pub max_heart_rate: Option<i64>,
    /// What recorded it.
    #[sea_orm(column_type = "Text", nullable)]
    pub device: Option<String>,
    /// Of the local time it started in.
    #[sea_orm(nullable)]
    pub utc_offset_s: Option<i64>,
    /// The one that is shown instead.
    #[sea_orm(column_type = "Text", nullable)]
    pub duplicate_of: Option<String>,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
