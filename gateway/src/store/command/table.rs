//! Commands, with what devices reported about them, in units of work.

use std::collections::BTreeMap;

use sea_orm::sea_query::ExprTrait as _;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use tidegate_entity::command::{Column, Entity, Model};
use tidegate_entity::command_outcome;

use crate::store::command::{insert, lock, update};
use crate::store::order::Place;
use crate::store::outcome;
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// A command with what devices reported about it.
#[derive(Clone, Debug)]
pub struct Command {
    /// The command.
    pub row: Model,
    /// Oldest first.
    pub outcomes: Vec<command_outcome::Model>,
    /// How many of the outcomes are stored.
    stored: usize,
}

impl Command {
    /// One that does not exist yet.
    pub const fn new(row: Model) -> Self {
        Self { row, outcomes: Vec::new(), stored: 0 }
    }
}

/// Which commands a unit of work asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// One.
    Id(String),
    /// A user's open ones, whomever they are for.
    OpenOf {
        /// The user.
        user_id: String,
    },
    /// A user's open ones that a device may carry out: those addressed to it,
    /// or to nobody.
    OpenFor {
        /// The user.
        user_id: String,
        /// The device.
        device_id: String,
    },
    /// A user's open ones that require one of these capabilities.
    OpenRequiring {
        /// The user.
        user_id: String,
        /// The capabilities.
        capabilities: Vec<String>,
    },
}

impl Wanted {
    async fn ids(&self, db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
        let open = |user_id: &str| {
            let ids = Entity::find().select_only().column(Column::Id);
            ids.filter(Column::UserId.eq(user_id)).filter(Column::Open.eq(true))
        };
        let query = match self {
            Self::Id(id) => return Ok(vec![id.clone()]),
            Self::OpenOf { user_id } => open(user_id),
            Self::OpenFor { user_id, device_id } => {
                let addressed = Column::DeviceId.eq(device_id.as_str());
                open(user_id).filter(addressed.or(Column::DeviceId.is_null()))
            }
            Self::OpenRequiring { user_id, capabilities } => {
                let any = capabilities.iter().map(String::as_str);
                open(user_id).filter(Column::Requires.is_in(any))
            }
        };
        query.into_tuple().all(db).await
    }
}

impl Table for Entity {
    type Key = String;
    type Row = Command;
    type Select = Wanted;

    const PLACE: Place = Place::Command;
    const LOCKS: bool = true;

    fn key(command: &Command) -> String {
        command.row.id.clone()
    }

    async fn load(tx: &Transaction, wanted: &[Wanted]) -> Result<Vec<Command>, DbErr> {
        let mut ids = Vec::new();
        for wanted in wanted {
            ids.extend(wanted.ids(tx).await?);
        }
        ids.sort_unstable();
        ids.dedup();
        let mut commands: BTreeMap<String, Command> = lock(tx, &ids)
            .await?
            .into_iter()
            .map(|row| (row.id.clone(), Command::new(row)))
            .collect();
        for outcome in outcome::of_commands(tx, &ids).await? {
            if let Some(command) = commands.get_mut(&outcome.command_id) {
                command.outcomes.push(outcome);
                command.stored += 1;
            }
        }
        Ok(commands.into_values().collect())
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        let written = changes.new.iter().chain(&changes.changed);
        let outcomes: Vec<command_outcome::Model> =
            written.flat_map(|command| command.outcomes[command.stored..].to_vec()).collect();
        let rows = |commands: Vec<Command>| commands.into_iter().map(|command| command.row);
        insert(tx, rows(changes.new).collect()).await?;
        update(tx, rows(changes.changed).collect()).await?;
        outcome::insert(tx, outcomes).await
    }
}
