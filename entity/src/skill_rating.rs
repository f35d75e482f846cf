//! A user's rating of a skill, and how its upload stands.

use sea_orm::entity::prelude::*;

use crate::word::words;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "skill_rating")]
pub struct Model {
    /// The skill.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub skill_id: String,
    /// Who rated it.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// A UUID, stable while the user changes the rating.
    #[sea_orm(column_type = "Text")]
    pub id: String,
    /// 1 to 5.
    pub rating: i64,
    /// At most 1,000 characters.
    #[sea_orm(column_type = "Text", nullable)]
    pub comment: Option<String>,
    /// When, milliseconds.
    pub rated_at: i64,
    /// How its upload stands.
    #[sea_orm(column_type = "Text")]
    pub state: UploadState,
    /// The id that upstream gave it.
    #[sea_orm(column_type = "Text", nullable)]
    pub remote_id: Option<String>,
    /// Uploads that failed.
    pub retry_count: i64,
    /// Why the last one did, as a stable word.
    #[sea_orm(column_type = "Text", nullable)]
    pub last_error: Option<String>,
    /// When the last one was tried, milliseconds.
    pub last_try_at: Option<i64>,
    /// When it is to be uploaded, at the earliest.
    pub due_at: i64,
    /// No longer used: what upstream asks for holds for all ratings, and stands
    /// in the sync state.
    pub asked_until: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}

words! {
    /// How the upload of a rating stands.
    UploadState {
        /// It waits.
        Pending = "pending";
        /// Upstream has it.
        Uploaded = "uploaded";
        /// A dead letter.
        Failed = "failed";
    }
}
