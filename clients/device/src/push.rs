//! What a push says: the data map of a wake-up, read strictly.
//!
//! Owns the rules of which maps are followed. Pure: never touches the store or
//! the network, and no map makes it panic. What a map holds is from outside;
//! its value is health data and shows in no log.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_protocol::id::{CommandId, Seq, StreamName};
use tidegate_protocol::limits::SHORT_TEXT_BYTES;
use tidegate_protocol::time::Timestamp;

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushHandled {
    /// The command in it was new and went to the app; its outcome is reported.
    Executed(CommandId),
    /// The command in it had come before. It is not carried out again; its
    /// stored outcome, where there is one, is reported again.
    Repeated(CommandId),
    /// One round of polling was done.
    CaughtUp,
    /// What it announced is here already: nothing was polled.
    UpToDate,
    /// The device runs. A command in it is durable, and the run carries it
    /// out; a run that waits for its next attempt connects at once.
    HandedOver,
    /// Nothing was carried out.
    Ignored(Ignored),
}

impl fmt::Display for PushHandled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Executed(id) => write!(f, "executed command {id}"),
            Self::Repeated(id) => write!(f, "had command {id} before"),
            Self::CaughtUp => f.write_str("caught up by a poll"),
            Self::UpToDate => f.write_str("held what it announces"),
            Self::HandedOver => f.write_str("handed over to the run under way"),
            Self::Ignored(reason) => write!(f, "ignored: {reason}"),
        }
    }
}

/// Why nothing was carried out for a push.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// A field is missing or cannot be read.
    #[error("`{0}` is missing or cannot be read")]
    Malformed(&'static str),
    /// Of a newer gateway, or not of a gateway at all.
    #[error("the action is not known")]
    UnknownAction,
    /// Meant for who was signed in before.
    #[error("it is for another user")]
    AnotherUser,
    /// A shared stream that this device does not follow.
    #[error("its stream is not followed")]
    NotFollowed,
    /// The command's life has ended. It is reported as failed, unless it has an
    /// outcome.
    #[error("the command has expired")]
    Expired,
    /// The gateway has closed the command, as the stream told before.
    #[error("the command is closed")]
    Closed,
}

/// A push that can be followed.
#[derive(Debug)]
pub(crate) enum Push {
    Command(PushedCommand),
    /// Something waits in a stream.
    Sync {
        stream: StreamName,
        /// The stream's head when the push was made.
        seq: Seq,
    },
}

/// A command that travelled in a push. It names no attempt and no priority.
pub(crate) struct PushedCommand {
    pub(crate) stream: StreamName,
    pub(crate) id: CommandId,
    pub(crate) data_type: String,
    pub(crate) value: Box<RawValue>,
    pub(crate) expires_at: Timestamp,
}

impl fmt::Debug for PushedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value is health data.
        f.debug_struct("PushedCommand").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Push {
    pub(crate) fn read(map: &BTreeMap<String, String>) -> Result<Self, Ignored> {
        match field(map, "action")? {
            "write_health" => PushedCommand::read(map).map(Self::Command),
            "sync" => Ok(Self::Sync {
                stream: read_stream(map)?,
                seq: parse(map, "seq", |text| serde_json::from_str(text).ok())?,
            }),
            _ => Err(Ignored::UnknownAction),
        }
    }

    pub(crate) fn stream(&self) -> &StreamName {
        match self {
            Self::Command(command) => &command.stream,
            Self::Sync { stream, .. } => stream,
        }
    }
}

impl PushedCommand {
    /// `timestamp` is for people who read along; nothing depends on it.
    fn read(map: &BTreeMap<String, String>) -> Result<Self, Ignored> {
        let stream = read_stream(map)?;
        if stream.owner().is_none() {
            // Commands travel in the stream of their user only.
            return Err(Ignored::Malformed("stream"));
        }
        Ok(Self {
            stream,
            id: parse(map, "command_id", |text| CommandId::parse(text).ok())?,
            data_type: parse(map, "data_type", |text| {
                (1..=SHORT_TEXT_BYTES).contains(&text.len()).then(|| text.to_owned())
            })?,
            value: parse(map, "value", |text| RawValue::from_string(text.to_owned()).ok())?,
            expires_at: parse(map, "expires_at", quoted)?,
        })
    }
}

fn read_stream(map: &BTreeMap<String, String>) -> Result<StreamName, Ignored> {
    parse(map, "stream", |text| StreamName::parse(text).ok())
}

fn parse<T>(
    map: &BTreeMap<String, String>,
    name: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Ignored> {
    read(field(map, name)?).ok_or(Ignored::Malformed(name))
}

fn field<'m>(map: &'m BTreeMap<String, String>, name: &'static str) -> Result<&'m str, Ignored> {
    map.get(name).map(String::as_str).ok_or(Ignored::Malformed(name))
}

/// Reads a type that is a string in JSON.
fn quoted<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(Value::String(text.to_owned())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: &str = "00000000-0000-7000-8000-00000000000a";

    fn map(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
        fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn write_health() -> BTreeMap<String, String> {
        map(&[
            ("action", "write_health"),
            ("stream", "user:u1"),
            ("command_id", COMMAND),
            ("data_type", "steps"),
            ("value", r#"{"b":1,"a":2}"#),
            ("timestamp", "2026-11-21T08:00:00.000Z"),
            ("expires_at", "2026-11-22T08:00:00.000Z"),
        ])
    }

    /// A map is read whole, the value as it was sent, and shows in no log.
    #[test]
    fn a_command_is_read_as_it_was_sent() {
        let push = Push::read(&write_health()).unwrap();
        assert!(!format!("{push:?}").contains("steps"));
        let Push::Command(command) = push else { panic!("a command") };
        assert_eq!(command.stream.as_str(), "user:u1");
        assert_eq!(command.id.as_str(), COMMAND);
        assert_eq!(command.value.get(), r#"{"b":1,"a":2}"#);
        assert_eq!(command.expires_at.to_string(), "2026-11-22T08:00:00.000Z");
    }

    #[test]
    fn a_wake_up_says_where_to_look() {
        let wake = [("action", "sync"), ("stream", "marketplace"), ("seq", "42")];
        let Push::Sync { stream, seq } = Push::read(&map(&wake)).unwrap() else { panic!("sync") };
        assert_eq!((stream.as_str(), seq), ("marketplace", Seq::new(42)));
    }

    /// Each field is missing once and nonsense once.
    #[test]
    fn maps_that_cannot_be_read_name_the_field() {
        for name in ["stream", "command_id", "data_type", "value", "expires_at"] {
            let mut missing = write_health();
            missing.remove(name);
            assert_eq!(Push::read(&missing).unwrap_err(), Ignored::Malformed(name));
        }
        let long = "x".repeat(256);
        for (name, text) in [
            ("stream", "user:"),
            ("stream", "marketplace"),
            ("command_id", ""),
            ("data_type", ""),
            ("data_type", &long),
            ("value", "{"),
            ("value", ""),
            ("expires_at", "tomorrow"),
            ("expires_at", "1700000000"),
        ] {
            let mut wrong = write_health();
            wrong.insert(name.to_owned(), text.to_owned());
            assert_eq!(Push::read(&wrong).unwrap_err(), Ignored::Malformed(name), "{text}");
        }
        for seq in ["", "-1", "4.5", "\"4\"", "9007199254740992"] {
            let wake = map(&[("action", "sync"), ("stream", "user:u1"), ("seq", seq)]);
            assert_eq!(Push::read(&wake).unwrap_err(), Ignored::Malformed("seq"), "{seq}");
        }
    }

    #[test]
    fn unknown_actions_are_told_apart_from_missing_ones() {
        assert_eq!(Push::read(&map(&[])).unwrap_err(), Ignored::Malformed("action"));
        let chat = map(&[("action", "chat"), ("stream", "user:u1")]);
        assert_eq!(Push::read(&chat).unwrap_err(), Ignored::UnknownAction);
    }
}
