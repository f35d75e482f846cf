//! What a change does to the replica: pure rules, no storage.
//!
//! Owns the table of kinds, and the version rules of protocol §3.3 rule 2.
//! Kinds it does not know are passed over, so that a newer gateway does not
//! stop an older device.

use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_protocol::entry::{RecordOp, kind};

/// Which value a change is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) kind: String,
    /// Empty for kinds without collections.
    pub(crate) collection: String,
    pub(crate) id: String,
}

/// What the device holds of a value.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) version: i64,
    /// `None` remembers the version of a deleted value: versions go on after
    /// a delete, and a late older put must not bring it back.
    pub(crate) data: Option<Box<RawValue>>,
}

/// What to do with a change.
#[derive(Debug)]
pub(crate) enum Fold {
    /// Not newer than what is held.
    Skip,
    /// Hold this from now on.
    Set(Held),
    /// A patch on a version that is not held.
    Mismatch,
}

/// A change read from an entry or item.
#[derive(Debug)]
pub(crate) struct Delta {
    pub(crate) key: Key,
    version: i64,
    write: Write,
}

#[derive(Debug)]
enum Write {
    Put(Box<RawValue>),
    Patch { base_version: Option<i64>, patch: Box<RawValue> },
    Delete,
}

/// How bodies of a kind are built.
enum Shape {
    /// `{collection?, id, version, op, data | patch}`.
    Versioned,
    /// The body is the value, unless its `op` is `delete`; this field is its id.
    Whole(&'static str),
}

fn shape(kind: &str) -> Option<Shape> {
    match kind {
        kind::RECORD | "skill" | "category" => Some(Shape::Versioned),
        "rating" => Some(Shape::Whole("skill_id")),
        "daily_entry" | "sleep" => Some(Shape::Whole("date")),
        "activity" => Some(Shape::Whole("id")),
        "conflict" => Some(Shape::Whole("conflict_id")),
        "integration" => Some(Shape::Whole("provider")),
        _ => None,
    }
}

impl Delta {
    /// Reads a body. `None` for kinds that are not part of the replica, and
    /// for bodies that do not have the shape of their kind.
    pub(crate) fn read(kind: &str, body: &RawValue) -> Option<Self> {
        match shape(kind)? {
            Shape::Versioned => Self::versioned(kind, body),
            Shape::Whole(id_field) => Self::whole(kind, id_field, body),
        }
    }

    fn versioned(kind: &str, body: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            collection: String,
            id: String,
            version: i64,
            op: RecordOp,
            base_version: Option<i64>,
            data: Option<Box<RawValue>>,
            patch: Option<Box<RawValue>>,
        }
        let body: Body = serde_json::from_str(body.get()).ok()?;
        let write = match body.op {
            RecordOp::Put => Write::Put(body.data?),
            RecordOp::Patch => Write::Patch { base_version: body.base_version, patch: body.patch? },
            RecordOp::Delete => Write::Delete,
        };
        let key = Key { kind: kind.to_owned(), collection: body.collection, id: body.id };
        Some(Self { key, version: body.version, write })
    }

    fn whole(kind: &str, id_field: &str, body: &RawValue) -> Option<Self> {
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(body.get()).ok()?;
        let id = match fields.get(id_field)? {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let version = fields.get("version").and_then(serde_json::Value::as_i64).unwrap_or_default();
        let key = Key { kind: kind.to_owned(), collection: String::new(), id };
        let is_gone = fields.get("op").is_some_and(|op| op == "delete");
        let write = if is_gone { Write::Delete } else { Write::Put(body.to_owned()) };
        Some(Self { key, version, write })
    }

    /// Folds the change into what is held. Version 0 stands for kinds without
    /// versions, where the later one in the stream wins.
    pub(crate) fn fold(&self, held: Option<&Held>) -> Fold {
        let held_version = held.map_or(0, |held| held.version);
        if self.version != 0 && self.version <= held_version {
            return Fold::Skip;
        }
        let data = match &self.write {
            Write::Put(data) => Some(data.clone()),
            Write::Delete => None,
            Write::Patch { base_version, patch } => {
                let base = held.filter(|held| *base_version == Some(held.version));
                let base = base.and_then(|held| held.data.as_deref());
                match base.map(|base| tidegate_protocol::patch::merge(base, patch)) {
                    Some(Ok(merged)) => Some(merged),
                    Some(Err(_)) | None => return Fold::Mismatch,
                }
            }
        };
        Fold::Set(Held { version: self.version, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(body: &str, held: Option<(i64, Option<&str>)>) -> Fold {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let held = held.map(|(version, data)| Held { version, data: data.map(raw) });
        Delta::read("record", &raw(body)).unwrap().fold(held.as_ref())
    }

    #[test]
    fn versions_not_newer_are_skipped() {
        let put = r#"{"collection":"c","id":"1","version":3,"op":"put","data":{"a":1}}"#;
        assert!(matches!(fold(put, Some((3, Some("{}")))), Fold::Skip));
        assert!(matches!(fold(put, Some((4, None))), Fold::Skip), "nor after a later delete");
        assert!(matches!(
            fold(put, Some((2, None))),
            Fold::Set(Held { version: 3, data: Some(_) })
        ));
        assert!(matches!(fold(put, None), Fold::Set(_)));
    }

    #[test]
    fn a_patch_needs_exactly_its_base() {
        let patch = r#"{"collection":"c","id":"1","version":3,"op":"patch","base_version":2,"patch":{"b":2}}"#;
        match fold(patch, Some((2, Some(r#"{"a":1}"#)))) {
            Fold::Set(held) => assert_eq!(held.data.unwrap().get(), r#"{"a":1,"b":2}"#),
            other => panic!("{other:?}"),
        }
        assert!(matches!(fold(patch, Some((1, Some("{}")))), Fold::Mismatch));
        assert!(matches!(fold(patch, Some((2, None))), Fold::Mismatch), "deleted");
        assert!(matches!(fold(patch, None), Fold::Mismatch));
        assert!(matches!(fold(patch, Some((3, Some("{}")))), Fold::Skip), "held already");
    }

    /// Health data is held whole under its day or id, and gone with `op: delete`;
    /// an older word than the last does not bring it back.
    #[test]
    fn health_data_is_held_whole() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        for (kind, id, body) in [
            ("daily_entry", "2026-11-25", r#"{"date":"2026-11-25","version":2,"steps":1}"#),
            ("sleep", "2026-11-25", r#"{"date":"2026-11-25","version":2,"op":"put"}"#),
            ("activity", "a", r#"{"id":"a","version":2,"op":"put"}"#),
            ("integration", "oura", r#"{"provider":"oura","connected":true}"#),
        ] {
            let delta = Delta::read(kind, &raw(body)).unwrap();
            assert_eq!((delta.key.id.as_str(), delta.key.collection.as_str()), (id, ""));
            match delta.fold(None) {
                Fold::Set(held) => assert_eq!(held.data.unwrap().get(), body),
                other => panic!("{kind}: {other:?}"),
            }
        }
        let gone = Delta::read("activity", &raw(r#"{"id":"a","version":3,"op":"delete"}"#));
        let held = Held { version: 2, data: Some(raw("{}")) };
        let Fold::Set(gone) = gone.unwrap().fold(Some(&held)) else { panic!("it is newer") };
        assert_eq!((gone.version, gone.data.is_none()), (3, true));
        let late = Delta::read("activity", &raw(r#"{"id":"a","version":2,"op":"put"}"#)).unwrap();
        assert!(matches!(late.fold(Some(&gone)), Fold::Skip));
    }

    #[test]
    fn unknown_kinds_are_passed_over() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert!(Delta::read("horoscope", &raw("{}")).is_none());
        assert!(Delta::read("record", &raw("{}")).is_none());
        let rating = Delta::read("rating", &raw(r#"{"skill_id":7,"rating_count":1}"#)).unwrap();
        assert_eq!(rating.key.id, "7");
        let held = Held { version: 0, data: Some(raw("{}")) };
        assert!(matches!(rating.fold(Some(&held)), Fold::Set(_)), "no versions: the later wins");
    }
}
