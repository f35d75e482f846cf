//! What is on disk, read without the gateway: every position that was given
//! out, and what stands there: an entry, or a command, which is the entry of its
//! first attempt.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait as _, Database, DatabaseBackend, DbErr, Statement};
use serde_json::Value;
use tidegate_protocol::id::{CommandId, StreamName};

use crate::crash::data::Data;
use crate::crash::device::Device;
use crate::crash::load::{Asked, Load};
use crate::crash::walker;

/// An entry.
struct Row {
    kind: String,
    command_id: Option<String>,
    body: String,
}

/// A stream: its epoch, its head, and its entries by position.
struct Stream {
    epoch: String,
    head: i64,
    rows: BTreeMap<i64, Row>,
}

/// The streams by name.
struct Journal(BTreeMap<String, Stream>);

/// Compares everything that was promised and told with what is there. How many
/// rows there are.
pub(super) async fn check(data: &Data, load: &Load, devices: &[Device]) -> Result<usize, String> {
    let journal = Journal::read(data).await.map_err(|error| error.to_string())?;
    for (name, stream) in &journal.0 {
        let positions: Vec<i64> = stream.rows.keys().copied().collect();
        if positions != (1..=stream.head).collect::<Vec<_>>() {
            return Err(format!("{name} up to {} is not dense: {positions:?}", stream.head));
        }
    }
    for asked in &*load.asked() {
        journal.has_command(asked)?;
    }
    for (seq, id, version) in load.published() {
        let row = journal.row("news", seq)?;
        let body: Value = serde_json::from_str(&row.body).map_err(|error| error.to_string())?;
        if body["id"] != *id || body["version"] != version {
            return Err(format!("{id} in version {version} is not at {seq} of news: {body}"));
        }
    }
    devices.iter().try_for_each(|device| journal.has_what_was_told(device))?;
    let walked = journal.0.get(&format!("user:{}", walker::USER));
    let told = walked.into_iter().flat_map(|stream| stream.rows.values());
    walker::check(load, told.map(|row| (row.kind.as_str(), row.body.as_str())))?;
    Ok(journal.0.values().map(|stream| stream.rows.len()).sum())
}

impl Journal {
    async fn read(data: &Data) -> Result<Self, DbErr> {
        let db = Database::connect(data.address()).await?;
        let backend = db.get_database_backend();
        let ask = |sql| Statement::from_string(backend, sql);
        let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
        for row in db.query_all_raw(ask("SELECT stream, epoch, seq FROM stream_head")).await? {
            let (epoch, head) = (row.try_get("", "epoch")?, row.try_get("", "seq")?);
            let stream = Stream { epoch, head, rows: BTreeMap::new() };
            streams.insert(row.try_get("", "stream")?, stream);
        }
        let sql = "SELECT stream, seq, kind, command_id, body FROM journal_entry";
        for row in db.query_all_raw(ask(sql)).await? {
            let name: String = row.try_get("", "stream")?;
            let entry = Row {
                kind: row.try_get("", "kind")?,
                command_id: row.try_get("", "command_id")?,
                body: row.try_get("", "body")?,
            };
            let stream = streams.get_mut(&name).ok_or(DbErr::RecordNotFound(name))?;
            stream.rows.insert(row.try_get("", "seq")?, entry);
        }
        for row in db.query_all_raw(ask("SELECT id, user_id, seq FROM command")).await? {
            let name = format!("user:{}", row.try_get::<String>("", "user_id")?);
            let entry = Row {
                kind: "command".to_owned(),
                command_id: Some(row.try_get("", "id")?),
                body: String::new(),
            };
            let stream = streams.get_mut(&name).ok_or(DbErr::RecordNotFound(name))?;
            if stream.rows.insert(row.try_get("", "seq")?, entry).is_some() {
                return Err(DbErr::Custom("two entries at one position".to_owned()));
            }
        }
        db.close().await?;
        if backend == DatabaseBackend::Sqlite {
            // A user's head is what the newest row says: its own is written later.
            for (_, stream) in streams.iter_mut().filter(|(name, _)| name.starts_with("user:")) {
                let newest = stream.rows.last_key_value().map_or(0, |(seq, _)| *seq);
                stream.head = stream.head.max(newest);
            }
        }
        Ok(Self(streams))
    }

    fn row(&self, stream: &str, seq: i64) -> Result<&Row, String> {
        let found = self.0.get(stream).and_then(|stream| stream.rows.get(&seq));
        found.ok_or_else(|| format!("nothing is at {seq} of {stream}"))
    }

    /// The command stands where its caller was told, and ended once.
    fn has_command(&self, asked: &Asked) -> Result<(), String> {
        let accepted = asked.accepted.as_ref().ok_or("not accepted")?;
        let own = StreamName::of_user(&asked.user);
        let id = Some(accepted.id.as_str());
        let row = self.row(own.as_str(), accepted.seq.get())?;
        if row.kind != "command" || row.command_id.as_deref() != id {
            return Err(format!("{:?} is not at {} of {own}", accepted.id, accepted.seq));
        }
        let rows = self.0[own.as_str()].rows.values();
        let ends =
            rows.filter(|row| row.kind == "command_closed" && row.command_id.as_deref() == id);
        match ends.count() {
            1 => Ok(()),
            ends => Err(format!("{:?} ended {ends} times in {own}", accepted.id)),
        }
    }

    /// Every entry that the device was told of is there, in the epoch and at the
    /// position that it was told.
    fn has_what_was_told(&self, device: &Device) -> Result<(), String> {
        let own = StreamName::of_user(&device.user);
        device.read(|log| {
            for ((epoch, seq), (kind, id)) in &log.told {
                let row = self.row(own.as_str(), seq.get())?;
                let stands = (row.kind.as_str(), row.command_id.as_deref());
                let told = (kind.as_str(), Some(CommandId::as_str(id)));
                if self.0[own.as_str()].epoch != epoch.as_str() || stands != told {
                    return Err(format!(
                        "{told:?} was told at {seq} of {own}, where {stands:?} is"
                    ));
                }
            }
            Ok(())
        })
    }
}
