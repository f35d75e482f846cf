//! The messages of the marketplace's socket.
//!
//! Owns which messages are valid, by the `Atom SaaS` marketplace requirements
//! v1.0.0: an envelope `{"type", "data", "timestamp"}` whose `timestamp`
//! nobody needs. Pure; says nothing about order, for the socket promises none.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_protocol::json;
use tidegate_protocol::time::Timestamp;

use crate::atom::item::{self, CategoryFacts, InvalidItem, Object, SkillFacts, is_key, parse_time};

/// A valid message. `Debug` hides what it carries.
pub enum Message {
    /// A skill is new or has changed.
    SkillUpdate {
        /// What is known of it.
        facts: SkillFacts,
        /// The skill as it came.
        data: Box<RawValue>,
    },
    /// A category is new or has changed.
    CategoryUpdate {
        /// What is known of it.
        facts: CategoryFacts,
        /// The category as it came.
        data: Box<RawValue>,
    },
    /// Somebody rated a skill.
    RatingUpdate {
        /// The skill.
        skill_id: String,
        /// The rating, 1 to 5.
        rating: u8,
        /// The skill's average from now on, when the message has it.
        average_rating: Option<f64>,
        /// How many ratings it has, when the message has it.
        rating_count: Option<u64>,
        /// When; `None` when missing or unreadable.
        updated_at: Option<Timestamp>,
    },
    /// A skill is gone.
    SkillDelete {
        /// The skill.
        skill_id: String,
        /// When; `None` when missing or unreadable.
        deleted_at: Option<Timestamp>,
    },
    /// The server asks for a pong.
    Ping,
    /// The server answers a ping.
    Pong,
    /// A type that is not known: from the future.
    Unknown,
}

impl Message {
    /// Reads a message.
    ///
    /// A `rating` must be an integer as JSON writes one: `4.0` is refused, and
    /// so is `true`, which Python takes for 1. Fields that only inform
    /// (averages, counts, times) are left out when they cannot be read. The
    /// size is the socket's concern.
    pub fn parse(text: &str) -> Result<Self, InvalidMessage> {
        json::check(text).map_err(InvalidItem::from)?;
        // Serde would take a list for an object with its members in order.
        if !text.trim_start().starts_with('{') {
            return Err(InvalidMessage::NotAnObject);
        }
        let envelope: Envelope<'_> =
            serde_json::from_str(text).map_err(|_| InvalidMessage::NotAnObject)?;
        let kind = envelope.kind.as_ref().and_then(Value::as_str);
        match kind.ok_or(InvalidMessage::Type)? {
            "skill_update" => {
                let data = envelope.data()?.to_owned();
                Ok(Self::SkillUpdate { facts: SkillFacts::read(&data)?, data })
            }
            "category_update" => {
                let data = envelope.data()?.to_owned();
                Ok(Self::CategoryUpdate { facts: CategoryFacts::read(&data)?, data })
            }
            "rating_update" => rating_update(&item::object(envelope.data()?)?),
            "skill_delete" => skill_delete(&item::object(envelope.data()?)?),
            "ping" => Ok(Self::Ping),
            "pong" => Ok(Self::Pong),
            _ => Ok(Self::Unknown),
        }
    }

    /// A stable word for metrics: the type, `unknown` for every other.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::SkillUpdate { .. } => "skill_update",
            Self::CategoryUpdate { .. } => "category_update",
            Self::RatingUpdate { .. } => "rating_update",
            Self::SkillDelete { .. } => "skill_delete",
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Message").field(&self.as_str()).finish()
    }
}

/// Why a message is dropped. The connection stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// More bytes than a message may have.
    #[error("the message is too large")]
    TooLarge,
    /// A binary message; all of them are texts.
    #[error("a binary message")]
    Binary,
    /// Not JSON, or not an object with each field once.
    #[error("the message is not a JSON object")]
    NotAnObject,
    /// No `type`.
    #[error("`type` is missing or invalid")]
    Type,
    /// `data` is no object, or what is in it is invalid.
    #[error("in `data`: {0}")]
    Data(#[from] InvalidItem),
}

impl InvalidMessage {
    /// A stable word for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Binary => "binary",
            Self::NotAnObject => "not_an_object",
            Self::Type => "type",
            Self::Data(InvalidItem::NotAnObject) => "data",
            Self::Data(item) => item.as_str(),
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: Option<Value>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    fn data(&self) -> Result<&'a RawValue, InvalidItem> {
        self.data.ok_or(InvalidItem::NotAnObject)
    }
}

fn rating_update(data: &Object) -> Result<Message, InvalidMessage> {
    let skill_id = skill_id(data)?;
    let rating = data.get("rating").and_then(Value::as_u64);
    let rating = rating.and_then(|rating| u8::try_from(rating).ok());
    let rating = rating.filter(|rating| (1..=5).contains(rating));
    Ok(Message::RatingUpdate {
        skill_id,
        rating: rating.ok_or(InvalidItem::Field("rating"))?,
        average_rating: data.get("average_rating").and_then(Value::as_f64),
        rating_count: data.get("rating_count").and_then(Value::as_u64),
        updated_at: data.text("updated_at", "updated_at").and_then(parse_time),
    })
}

fn skill_delete(data: &Object) -> Result<Message, InvalidMessage> {
    let deleted_at = data.text("deleted_at", "deleted_at").and_then(parse_time);
    Ok(Message::SkillDelete { skill_id: skill_id(data)?, deleted_at })
}

/// Not `id`: in these messages that would be the rating or the deletion.
fn skill_id(data: &Object) -> Result<String, InvalidItem> {
    let id = data.text("skill_id", "skill_id").filter(|id| is_key(id));
    Ok(id.ok_or(InvalidItem::Field("skill_id"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::json::Unacceptable;

    use super::*;

    /// The word of what `text` is: a type, or what is wrong with it.
    fn word(text: &str) -> &'static str {
        match Message::parse(text) {
            Ok(message) => message.as_str(),
            Err(invalid) => invalid.as_str(),
        }
    }

    #[test]
    fn the_messages_of_the_requirements_are_read() {
        let skill = Message::parse(
            r#"{"type":"skill_update","data": {"skill_id":"s","name":"Send Email","version":"1.0.1",
                "updated_at":"2026-02-19T10:30:00Z"},"timestamp":"2026-02-19T10:30:00Z"}"#,
        );
        let Ok(Message::SkillUpdate { facts, data }) = skill else { panic!("{skill:?}") };
        assert_eq!((facts.id.as_str(), facts.name.as_str()), ("s", "Send Email"));
        assert_eq!(facts.updated_at, parse_time("2026-02-19T10:30:00Z"));
        assert!(
            data.get().starts_with(r#"{"skill_id":"s","name":"Send Email","version":"1.0.1","#)
        );
        let category =
            Message::parse(r#"{"type":"category_update","data":{"name":"automation"}}"#).unwrap();
        let Message::CategoryUpdate { facts, .. } = category else { panic!("{category:?}") };
        assert_eq!(facts.name, "automation");
        let rating = Message::parse(
            r#"{"type":"rating_update","data":{"skill_id":"s","rating":5,"average_rating":4.7,
                "rating_count":43,"updated_at":"2026-02-19T10:30:00Z"}}"#,
        );
        let Ok(Message::RatingUpdate {
            skill_id,
            rating,
            average_rating,
            rating_count,
            updated_at,
        }) = rating
        else {
            panic!("{rating:?}")
        };
        assert_eq!((skill_id.as_str(), rating, rating_count), ("s", 5, Some(43)));
        assert_eq!(average_rating, Some(4.7));
        assert!(updated_at.is_some());
        let gone = Message::parse(
            r#"{"type":"skill_delete","data":{"skill_id":"s","deleted_at":"2026-02-19T10:30:00Z"}}"#,
        );
        let Ok(Message::SkillDelete { skill_id, deleted_at }) = gone else { panic!("{gone:?}") };
        assert_eq!(skill_id, "s");
        assert!(deleted_at.is_some());
    }

    #[test]
    fn every_rule_of_the_envelope_is_kept() {
        for (text, expected) in [
            (r#"{"type":"ping","timestamp":"2026-02-19T10:30:00Z"}"#, "ping"),
            (r#"{"type":"pong","data":null}"#, "pong"),
            (r#" {"type":"ping","data":[]}"#, "ping"),
            (r#"{"type":"agent_update","data":{}}"#, "unknown"),
            (r#"{"type":"agent_update"}"#, "unknown"),
            ("", "not_an_object"),
            ("ping", "not_an_object"),
            ("null", "not_an_object"),
            (r#"["ping",{}]"#, "not_an_object"),
            (r#"{"type":"ping""#, "not_an_object"),
            (r#"{"type":"ping"} {}"#, "not_an_object"),
            (r#"{"type":"ping","type":"pong"}"#, "not_an_object"),
            ("{}", "type"),
            (r#"{"type":null}"#, "type"),
            (r#"{"type":7,"data":{}}"#, "type"),
            (r#"{"type":"skill_update"}"#, "data"),
            (r#"{"type":"skill_update","data":null}"#, "data"),
            (r#"{"type":"skill_update","data":[]}"#, "data"),
            (r#"{"type":"category_update","data":"x"}"#, "data"),
            (r#"{"type":"rating_update","data":[1]}"#, "data"),
            (r#"{"type":"skill_delete","data":1}"#, "data"),
            (r#"{"type":"skill_update","data":{"name":"n"}}"#, "skill_id"),
            (r#"{"type":"skill_update","data":{"skill_id":"s"}}"#, "name"),
            (r#"{"type":"category_update","data":{}}"#, "name"),
            (r#"{"type":"rating_update","data":{"rating":5}}"#, "skill_id"),
            (r#"{"type":"rating_update","data":{"id":"r","rating":5}}"#, "skill_id"),
            (r#"{"type":"skill_delete","data":{}}"#, "skill_id"),
            (r#"{"type":"skill_delete","data":{"skill_id":""}}"#, "skill_id"),
            (r#"{"type":"ping","data":"\u0000"}"#, "unacceptable_json"),
        ] {
            assert_eq!(word(text), expected, "{text}");
        }
        let deep = format!(r#"{{"type":"ping","data":{}{}}}"#, "[".repeat(64), "]".repeat(64));
        let refused = Message::parse(&deep).unwrap_err();
        assert_eq!(refused, InvalidMessage::Data(Unacceptable::TooDeep.into()));
    }

    #[test]
    fn a_rating_is_an_integer_from_one_to_five() {
        let word = |rating: &str| {
            word(&format!(
                r#"{{"type":"rating_update","data":{{"skill_id":"s","rating":{rating}}}}}"#
            ))
        };
        for rating in ["1", "2", "3", "4", "5"] {
            assert_eq!(word(rating), "rating_update", "{rating}");
        }
        for rating in ["0", "6", "-1", "261", "4.0", "4.5", "true", "\"5\"", "null", "[5]", "1e0"] {
            assert_eq!(word(rating), "rating", "{rating}");
        }
    }

    #[test]
    fn what_only_informs_may_be_unreadable() {
        let message = Message::parse(
            r#"{"type":"rating_update","data":{"skill_id":"s","rating":3,"average_rating":"4.7",
                "rating_count":-1,"updated_at":5}}"#,
        );
        let Ok(Message::RatingUpdate { average_rating, rating_count, updated_at, .. }) = message
        else {
            panic!("{message:?}")
        };
        assert_eq!((average_rating, rating_count, updated_at), (None, None, None));
    }
}
