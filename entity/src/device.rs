//! One app install of a user.

use std::ops::Deref;
use std::sync::Arc;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr};
use sea_orm::{ColIdx, QueryResult, TryGetError, TryGetable};
use tidegate_protocol::command::{Platform, PushProvider};
use tidegate_protocol::rest::PushState;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "device")]
pub struct Model {
    /// Its user. The same device id under another user is another device.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// Client-made UUID, in lower case.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub device_id: String,
    /// What it runs on.
    #[sea_orm(column_type = "Text")]
    pub platform: Platform,
    /// A name a person recognises.
    #[sea_orm(column_type = "Text", nullable)]
    pub name: Option<String>,
    /// The app's version.
    #[sea_orm(column_type = "Text", nullable)]
    pub app_version: Option<String>,
    /// What it can carry out.
    #[sea_orm(column_type = "Text")]
    pub capabilities: Capabilities,
    /// Who issued its push token.
    #[sea_orm(column_type = "Text", nullable)]
    pub push_provider: Option<PushProvider>,
    /// The provider's token; a secret. One device holds it at a time.
    #[sea_orm(column_type = "Text", nullable)]
    pub push_token: Option<String>,
    /// SHA-256 of the token, hex: what makes it unique, for tokens are longer
    /// than an index takes.
    #[sea_orm(column_type = "Text", nullable)]
    pub push_token_hash: Option<String>,
    /// Whether it can be woken.
    #[sea_orm(column_type = "Text")]
    pub push_state: PushState,
    /// Why the last token ended, in words for an operator.
    #[sea_orm(column_type = "Text", nullable)]
    pub push_error: Option<String>,
    /// When the token was last registered.
    pub push_refreshed_at: Option<i64>,
    /// Whether data changes may wake it.
    pub wants_delta_push: bool,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// When it last said hello, polled, acked or reported.
    pub last_seen_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}

/// What a device can carry out: names, stored as a JSON array. Shared, because
/// sessions keep them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(Arc<[String]>);

impl Deref for Capabilities {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl From<&[String]> for Capabilities {
    fn from(names: &[String]) -> Self {
        Self(names.into())
    }
}

impl Capabilities {
    fn from_json(text: &str) -> Option<Self> {
        let names: Vec<String> = serde_json::from_str(text).ok()?;
        Some(Self(names.into()))
    }
}

impl From<Capabilities> for Value {
    fn from(names: Capabilities) -> Self {
        serde_json::to_string(&*names).expect("a list of texts serialises").into()
    }
}

impl TryGetable for Capabilities {
    fn try_get_by<I: ColIdx>(row: &QueryResult, column: I) -> Result<Self, TryGetError> {
        let text = String::try_get_by(row, column)?;
        Self::from_json(&text).ok_or_else(|| {
            DbErr::Type(format!("device, column {column:?}: not a JSON array of texts")).into()
        })
    }
}

impl ValueType for Capabilities {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        match value {
            Value::String(Some(text)) => Self::from_json(&text).ok_or(ValueTypeErr),
            _ => Err(ValueTypeErr),
        }
    }

    fn type_name() -> String {
        "Capabilities".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::String
    }

    fn column_type() -> ColumnType {
        ColumnType::Text
    }
}

impl Nullable for Capabilities {
    fn null() -> Value {
        Value::String(None)
    }
}
