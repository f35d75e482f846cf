//! What is read from a skill or a category; all else is passed on as it came.
//!
//! Owns which items are acceptable. Field names are those of the `Atom SaaS`
//! marketplace requirements v1.0.0; no I/O.

use chrono::{DateTime, Datelike, NaiveDateTime};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_protocol::json::{self, Unacceptable};
use tidegate_protocol::time::Timestamp;

use crate::limits::ATOM_KEY_BYTES;

/// Why an item is not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidItem {
    /// Not a JSON object.
    #[error("not a JSON object")]
    NotAnObject,
    /// JSON that could not be stored or sent on.
    #[error(transparent)]
    Unacceptable(#[from] Unacceptable),
    /// The field is missing or breaks its rule.
    #[error("`{0}` is missing or invalid")]
    Field(&'static str),
}

impl InvalidItem {
    /// A stable word for metrics: the field, or what is wrong with the whole.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::Unacceptable(_) => "unacceptable_json",
            Self::Field(field) => field,
        }
    }
}

/// What is known of a skill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkillFacts {
    /// Its id; see [`is_key`].
    pub id: String,
    /// Its name; not blank.
    pub name: String,
    /// When it last changed, by the marketplace's clock. `None` when missing
    /// or unreadable.
    pub updated_at: Option<Timestamp>,
    /// Its category; `None` when it has none, or no name that could be one.
    pub category: Option<String>,
}

impl SkillFacts {
    /// Reads a skill. The id stands in `skill_id`, or in `id` where that is
    /// missing.
    ///
    /// A skill that passes is an object that any JSON parser reads.
    pub fn read(raw: &RawValue) -> Result<Self, InvalidItem> {
        let item = object(raw)?;
        let id = item.text("skill_id", "id").filter(|id| is_key(id));
        let name = item.text("name", "name").filter(|name| !name.trim().is_empty());
        let category = item.text("category", "category").filter(|category| is_key(category));
        Ok(Self {
            id: id.ok_or(InvalidItem::Field("skill_id"))?.to_owned(),
            name: name.ok_or(InvalidItem::Field("name"))?.to_owned(),
            updated_at: item.text("updated_at", "updated_at").and_then(parse_time),
            category: category.map(str::to_owned),
        })
    }
}

/// What is known of a category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryFacts {
    /// Its name, which identifies it; see [`is_key`].
    pub name: String,
    /// When it last changed, as [`SkillFacts::updated_at`].
    pub updated_at: Option<Timestamp>,
}

impl CategoryFacts {
    /// Reads a category. Its name stands in `name`, or in `category` where
    /// that is missing.
    pub fn read(raw: &RawValue) -> Result<Self, InvalidItem> {
        let item = object(raw)?;
        let name = item.text("name", "category").filter(|name| is_key(name));
        Ok(Self {
            name: name.ok_or(InvalidItem::Field("name"))?.to_owned(),
            updated_at: item.text("updated_at", "updated_at").and_then(parse_time),
        })
    }
}

/// The id of a skill that may be unreadable otherwise; `None` where not even
/// that can be read.
pub fn skill_id(raw: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow, default)]
        skill_id: Option<&'a RawValue>,
        #[serde(borrow, default)]
        id: Option<&'a RawValue>,
    }

    let named: Named<'_> = serde_json::from_str(raw.get()).ok()?;
    key(named.skill_id).or_else(|| key(named.id))
}

/// The name of a category, as [`skill_id`].
pub fn category_name(raw: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow, default)]
        name: Option<&'a RawValue>,
        #[serde(borrow, default)]
        category: Option<&'a RawValue>,
    }

    let named: Named<'_> = serde_json::from_str(raw.get()).ok()?;
    key(named.name).or_else(|| key(named.category))
}

fn key(raw: Option<&RawValue>) -> Option<String> {
    let text: String = serde_json::from_str(raw?.get()).ok()?;
    is_key(&text).then_some(text)
}

/// Whether a text can be the id of a skill or the name of a category: 1 to
/// [`ATOM_KEY_BYTES`] bytes without control characters, not blank. `.` and
/// `..` cannot: in the path of a request they mean another place.
pub fn is_key(text: &str) -> bool {
    (1..=ATOM_KEY_BYTES).contains(&text.len())
        && !text.chars().any(char::is_control)
        && !text.trim().is_empty()
        && text != "."
        && text != ".."
}

/// A time in RFC 3339, with any offset; the blank that Python writes in place
/// of the `T` is read too, and one without an offset counts as UTC.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let naive = |format| Some(NaiveDateTime::parse_from_str(text, format).ok()?.and_utc());
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    let time =
        time.or_else(|| naive("%Y-%m-%dT%H:%M:%S%.f")).or_else(|| naive("%Y-%m-%d %H:%M:%S%.f"))?;
    // RFC 3339 could not write any other year again.
    let writable = (0..=9999).contains(&time.year());
    writable.then(|| Timestamp::from_millis(time.timestamp_millis()))
}

/// The members of an item.
pub(crate) struct Object(serde_json::Map<String, Value>);

/// Reads an object that could be stored and sent on.
pub(crate) fn object(raw: &RawValue) -> Result<Object, InvalidItem> {
    json::check(raw.get())?;
    // Numbers beyond every float are the one thing that is JSON and fails.
    match serde_json::from_str(raw.get()) {
        Ok(Value::Object(members)) => Ok(Object(members)),
        _ => Err(InvalidItem::NotAnObject),
    }
}

impl Object {
    /// A member; `null` counts as missing.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// The text at `key`, or at `other` when there is nothing at `key`.
    pub(crate) fn text(&self, key: &str, other: &str) -> Option<&str> {
        self.get(key).or_else(|| self.get(other))?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn skill(text: &str) -> Result<SkillFacts, InvalidItem> {
        SkillFacts::read(&raw(text))
    }

    #[test]
    fn a_skill_has_an_id_and_a_name() {
        let facts = skill(
            r#"{"skill_id":"s-1","name":"Send Email","category":"automation",
                "updated_at":"2026-01-15T10:30:00Z","code":"def x(): ..."}"#,
        );
        let expected = SkillFacts {
            id: "s-1".into(),
            name: "Send Email".into(),
            updated_at: parse_time("2026-01-15T10:30:00Z"),
            category: Some("automation".into()),
        };
        assert_eq!(facts, Ok(expected));
        let id = |text: &str| skill(text).map(|facts| facts.id);
        assert_eq!(id(r#"{"id":"i","name":"n"}"#), Ok("i".into()));
        assert_eq!(id(r#"{"skill_id":"s","id":"i","name":"n"}"#), Ok("s".into()));
        assert_eq!(id(r#"{"skill_id":null,"id":"i","name":"n"}"#), Ok("i".into()));
        assert_eq!(id(r#"{"skill_id":"Füße/1","name":"n"}"#), Ok("Füße/1".into()));
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let long = format!(r#"{{"skill_id":"{}","name":"n"}}"#, "x".repeat(201));
        let fits = format!(r#"{{"skill_id":"{}","name":"n"}}"#, "x".repeat(200));
        assert!(skill(&fits).is_ok());
        for (text, field) in [
            ("{}", "skill_id"),
            (r#"{"name":"n"}"#, "skill_id"),
            (r#"{"skill_id":"","id":"i","name":"n"}"#, "skill_id"),
            (r#"{"skill_id":7,"name":"n"}"#, "skill_id"),
            (r#"{"skill_id":"a\nb","name":"n"}"#, "skill_id"),
            (r#"{"skill_id":"..","name":"n"}"#, "skill_id"),
            (r#"{"skill_id":"  ","name":"n"}"#, "skill_id"),
            (long.as_str(), "skill_id"),
            (r#"{"skill_id":"s"}"#, "name"),
            (r#"{"skill_id":"s","name":""}"#, "name"),
            (r#"{"skill_id":"s","name":" "}"#, "name"),
            (r#"{"skill_id":"s","name":["n"]}"#, "name"),
        ] {
            assert_eq!(skill(text), Err(InvalidItem::Field(field)), "{text}");
        }
    }

    #[test]
    fn what_only_informs_may_be_unreadable() {
        let facts = skill(
            r#"{"skill_id":"s","name":"n","category":["x"],"updated_at":"yesterday","rating":{}}"#,
        );
        let facts = facts.unwrap();
        assert_eq!((facts.category, facts.updated_at), (None, None));
        let facts = skill(r#"{"skill_id":"s","name":"n","category":"","updated_at":1700000000}"#);
        let facts = facts.unwrap();
        assert_eq!((facts.category, facts.updated_at), (None, None));
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        let deep =
            format!(r#"{{"skill_id":"s","name":"n","x":{}{}}}"#, "[".repeat(64), "]".repeat(64));
        assert_eq!(skill(&deep), Err(Unacceptable::TooDeep.into()));
        assert_eq!(
            skill(r#"{"skill_id":"s","name":"n","x":"\u0000"}"#),
            Err(Unacceptable::NulCharacter.into())
        );
        assert_eq!(
            skill(r#"{"skill_id":"s","name":"n","x":"\ud800"}"#),
            Err(Unacceptable::LoneSurrogate.into())
        );
        for text in ["[]", "null", "1", "\"s\"", r#"{"skill_id":"s","name":"n","x":1e999}"#] {
            assert_eq!(skill(text), Err(InvalidItem::NotAnObject), "{text}");
        }
    }

    #[test]
    fn what_is_unreadable_may_still_have_a_name() {
        let deep = format!(r#"{{"skill_id":"s","x":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        for (text, id) in [
            (r#"{"skill_id":"s"}"#, Some("s")),
            (r#"{"id":"i","x":1e999,"y":"\u0000","z":"\ud800"}"#, Some("i")),
            (r#"{"skill_id":null,"id":"i"}"#, Some("i")),
            (deep.as_str(), Some("s")),
            (r#"{"skill_id":"s","skill_id":"t"}"#, None),
            (r#"{"skill_id":7,"name":"n"}"#, None),
            (r#"{"name":"n"}"#, None),
            ("[]", None),
            ("7", None),
        ] {
            assert_eq!(skill_id(&raw(text)).as_deref(), id, "{text}");
        }
        assert_eq!(category_name(&raw(r#"{"name":"a","x":1e999}"#)).as_deref(), Some("a"));
        assert_eq!(category_name(&raw(r#"{"category":"b"}"#)).as_deref(), Some("b"));
        assert_eq!(category_name(&raw(r#"{"name":""}"#)), None);
    }

    #[test]
    fn a_category_is_its_name() {
        let name = |text: &str| CategoryFacts::read(&raw(text)).map(|facts| facts.name);
        assert_eq!(name(r#"{"name":"automation","skill_count":150}"#), Ok("automation".into()));
        assert_eq!(name(r#"{"category":"automation"}"#), Ok("automation".into()));
        assert_eq!(name(r#"{"name":"a","category":"b"}"#), Ok("a".into()));
        for text in ["{}", r#"{"name":""}"#, r#"{"name":5,"category":"b"}"#] {
            assert_eq!(name(text), Err(InvalidItem::Field("name")), "{text}");
        }
        assert_eq!(name(r#"["a"]"#), Err(InvalidItem::NotAnObject));
    }

    #[test]
    fn times_with_and_without_an_offset_are_read() {
        let utc = |text: &str| parse_time(text).map(|time| time.to_string());
        let noon = Some("2026-02-19T12:00:00.000Z".to_owned());
        for text in [
            "2026-02-19T12:00:00Z",
            "2026-02-19T13:30:00+01:30",
            "2026-02-19T12:00:00",
            "2026-02-19 12:00:00",
            "2026-02-19 12:00:00+00:00",
            " 2026-02-19T12:00:00.000000 ",
        ] {
            assert_eq!(utc(text), noon, "{text}");
        }
        assert_eq!(utc("2026-02-19T12:00:00.123456").as_deref(), Some("2026-02-19T12:00:00.123Z"));
        for text in [
            "",
            "2026-02-19",
            "+12026-02-19T12:00:00",
            "2026-02-30T12:00:00Z",
            "1771502400",
            "yesterday",
            "T",
        ] {
            assert_eq!(utc(text), None, "{text}");
        }
    }
}
