//! RFC 7396 merge patches on raw JSON: members that a patch does not touch
//! keep their exact text (order, number spelling, escapes).
//!
//! Both sides fold with it: what the gateway stores and what a device holds are
//! the same text. Never judges versions.

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde_json::value::RawValue;

/// Applies `patch` to `target`.
pub fn merge(target: &RawValue, patch: &RawValue) -> Result<Box<RawValue>, serde_json::Error> {
    let Ok(changes) = serde_json::from_str::<Members>(patch.get()) else {
        // A patch that is not an object replaces the whole.
        return Ok(patch.to_owned());
    };
    let mut members = serde_json::from_str::<Members>(target.get()).unwrap_or_default().0;
    for (name, change) in changes.0 {
        let at = members.iter().position(|(member, _)| *member == name);
        match (change.get(), at) {
            ("null", Some(at)) => drop(members.remove(at)),
            ("null", None) => {}
            (_, Some(at)) => members[at].1 = merge(&members[at].1, &change)?,
            (_, None) => {
                // Merging into nothing drops nulls inside the new member.
                let empty = RawValue::from_string("null".to_owned())?;
                members.push((name, merge(&empty, &change)?));
            }
        }
    }
    serde_json::value::to_raw_value(&Members(members))
}

/// An object's members in their order.
#[derive(Default)]
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl serde::Serialize for Members {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of RFC 7396, appendix A.
    #[test]
    fn patches_merge_as_the_rfc_says() {
        for (target, patch, merged) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
            assert_eq!(
                merge(&raw(target), &raw(patch)).unwrap().get(),
                merged,
                "{target} + {patch}"
            );
        }
    }

    #[test]
    fn untouched_members_keep_their_text() {
        let target: &RawValue = serde_json::from_str(r#"{"z":1.50,"a":1e3,"m":{"y":1}}"#).unwrap();
        let patch: &RawValue = serde_json::from_str(r#"{"a":2}"#).unwrap();
        assert_eq!(merge(target, patch).unwrap().get(), r#"{"z":1.50,"a":2,"m":{"y":1}}"#);
    }
}
