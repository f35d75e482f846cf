//! A skill or a category of the marketplace: the effective state that devices
//! hold, what upstream said last, and the local edit between them. A deleted one
//! stays as a row without data, so that its versions go on.

use sea_orm::entity::prelude::*;

use crate::word::words;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "market_item")]
pub struct Model {
    /// What it is.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub kind: Kind,
    /// The skill's id, the category's name.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub id: String,
    /// Of `data`, from 1; raised by every change of it, deletes included.
    pub version: i64,
    /// The effective value as JSON text; null when deleted.
    #[sea_orm(column_type = "Text", nullable)]
    pub data: Option<String>,
    /// Name and description in lower case, for searching.
    #[sea_orm(column_type = "Text")]
    pub search: String,
    /// The category of a skill.
    #[sea_orm(column_type = "Text", nullable)]
    pub category: Option<String>,
    /// What upstream said last, as JSON text; null when upstream has it no more.
    #[sea_orm(column_type = "Text", nullable)]
    pub remote_data: Option<String>,
    /// Upstream's `updated_at` (at a delete: when it was deleted), milliseconds; 0
    /// where it said none. Older news never overwrite newer ones.
    pub remote_updated_at: i64,
    /// Upstream's `updated_at` of the last rating that the socket told of,
    /// milliseconds; 0 where there was none. Ratings do not move
    /// `remote_updated_at`.
    pub rating_updated_at: i64,
    /// When upstream last said something new of this item, by our clock.
    pub confirmed_at: i64,
    /// When a listing last named it as it is here, by our clock. Written by pages,
    /// beside everything else in the row: reading what did not change is no change.
    pub listed_at: i64,
    /// Why upstream's newest word on it was not taken. Nothing confirms the item
    /// while it stands.
    #[sea_orm(column_type = "Text", nullable)]
    pub fault: Option<Fault>,
    /// Since when, milliseconds.
    pub fault_at: Option<i64>,
    /// When it was taken back from devices because upstream had not confirmed it
    /// for too long, milliseconds. `data` is kept until upstream is heard again.
    pub withdrawn_at: Option<i64>,
    /// What the newest `rating_update` said, as JSON text of the fields it
    /// replaces in what is served; null where upstream's own figures are newer.
    #[sea_orm(column_type = "Text", nullable)]
    pub rated: Option<String>,
    /// With a local edit: the version it started from. Null without one.
    pub base_version: Option<i64>,
    /// With a local edit: what it started from.
    #[sea_orm(column_type = "Text", nullable)]
    pub base_data: Option<String>,
    /// With a local edit: who made it last.
    #[sea_orm(column_type = "Text", nullable)]
    pub edited_by: Option<String>,
    /// With a local edit: everybody whose edit is in it, as a JSON list.
    #[sea_orm(column_type = "Text", nullable)]
    pub editors: Option<String>,
    /// With a local edit: when, milliseconds.
    pub edited_at: Option<i64>,
    /// The open conflict that keeps further local edits waiting.
    #[sea_orm(column_type = "Text", nullable)]
    pub conflict_id: Option<String>,
    /// When `data` changed last, milliseconds.
    pub updated_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}

words! {
    /// What an item is; ordered as the words are.
    Kind {
        /// A category.
        Category = "category";
        /// A skill.
        Skill = "skill";
    }
}

words! {
    /// Why upstream's word on an item is not taken.
    Fault {
        /// It is no item that could be stored and sent on.
        Unreadable = "unreadable";
        /// It, or what merging it with a local edit gives, is larger than entries
        /// are.
        TooLarge = "too_large";
        /// Upstream says that it has it no more, where only a whole listing is
        /// believed.
        NotFound = "not_found";
    }
}
