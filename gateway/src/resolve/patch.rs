//! Merge patches (RFC 7396): what changed between two values, whether that
//! may be sent instead of the whole, and putting it back on.
//!
//! Knows nothing of versions: a patch is valid on exactly the value it was
//! made from, and who sends it says which that was.

use serde_json::value::to_raw_value;
use serde_json::{Map, Value};
use tidegate_protocol::patch::merge;

/// The patch that turns `before` into `after`, or `None` where a merge patch
/// cannot say it: a null in an object means that the field goes away, so no
/// patch can set one. An empty object says that nothing changed.
pub fn diff(before: &Value, after: &Value) -> Option<Value> {
    let Value::Object(after) = after else {
        return Some(after.clone());
    };
    let empty = Map::new();
    let before = before.as_object().unwrap_or(&empty);
    diff_fields(before, after).map(Value::Object)
}

fn diff_fields(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Option<Map<String, Value>> {
    let mut patch = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in after {
        let known = before.get(name);
        if known == Some(value) {
            continue;
        }
        let change = match (known, value) {
            (_, Value::Null) => return None,
            (known, Value::Object(fields)) => {
                let empty = Map::new();
                let known = known.and_then(Value::as_object).unwrap_or(&empty);
                Value::Object(diff_fields(known, fields)?)
            }
            (_, value) => value.clone(),
        };
        patch.insert(name.clone(), change);
    }
    Some(patch)
}

/// The value after a patch, by the rule that texts are merged with: what stands
/// here and what a replica makes of the patch are the same.
///
/// # Errors
/// Never for values that were read from JSON: they are no deeper than a text
/// may be.
pub fn patched(target: &Value, patch: &Value) -> serde_json::Result<Value> {
    let merged = merge(&to_raw_value(target)?, &to_raw_value(patch)?)?;
    serde_json::from_str(merged.get())
}

/// Whether a patch may be sent instead of the whole value it leads to: it says
/// the same to every reader (it holds no null, which some keep and some drop;
/// arrays are whole in any merge patch) and is smaller.
pub fn may_be_sent(patch: &str, whole: &str) -> bool {
    patch.len() < whole.len()
        && serde_json::from_str(patch)
            .is_ok_and(|patch: Value| patch.is_object() && !has_null(&patch))
}

/// The text of the patch to send when `before` became `after`, whose text is
/// `whole`; `None`: send the whole value. The patch is put back on before it
/// is given out, so that a replica can never be led astray by it.
pub fn to_send(before: &Value, after: &Value, whole: &str) -> Option<String> {
    let patch = diff(before, after)?;
    let text = serde_json::to_string(&patch).ok()?;
    if !may_be_sent(&text, whole) {
        return None;
    }
    let replica = patched(before, &patch).ok()?;
    (replica == *after).then_some(text)
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The appendix of RFC 7396.
    #[test]
    fn patched_follows_the_appendix_of_rfc_7396() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (target, patch, after) in cases {
            assert_eq!(patched(&target, &patch).unwrap(), after, "{target} + {patch}");
        }
    }

    /// The patch is the smallest: nested fields alone, arrays whole.
    #[test]
    fn diff_names_only_what_changed() {
        let cases = [
            (json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3}), Some(json!({"b": 3}))),
            (json!({"a": 1, "b": 2}), json!({"b": 2}), Some(json!({"a": null}))),
            (
                json!({"m": {"x": 1, "y": 2}}),
                json!({"m": {"x": 1, "y": 3}}),
                Some(json!({"m": {"y": 3}})),
            ),
            (json!({"l": [1, 2]}), json!({"l": [1, 3]}), Some(json!({"l": [1, 3]}))),
            (json!({"a": 1}), json!({"a": {}}), Some(json!({"a": {}}))),
            (json!({"a": 1}), json!({"a": 1}), Some(json!({}))),
            (json!({"a": null}), json!({"a": null, "b": 1}), Some(json!({"b": 1}))),
            (json!({"a": 1}), json!({"a": null}), None),
            (json!({"a": 1}), json!({"a": {"b": null}}), None),
            (json!({"a": {"b": 1}}), json!({"a": 2}), Some(json!({"a": 2}))),
        ];
        for (before, after, patch) in cases {
            assert_eq!(diff(&before, &after), patch, "{before} to {after}");
        }
    }

    #[test]
    fn a_patch_is_sent_only_when_it_says_the_same_and_is_smaller() {
        let long = "x".repeat(100);
        let before = json!({"name": long, "rating": 1, "gone": true});
        let send = |after: &Value| to_send(&before, after, &after.to_string());

        let changed = json!({"name": long, "rating": 2, "gone": true});
        assert_eq!(send(&changed).as_deref(), Some(r#"{"rating":2}"#));
        let removed = json!({"name": long, "rating": 1});
        assert_eq!(send(&removed), None, "a removal needs a null");
        let replaced = json!({"name": "y", "rating": 2, "gone": false});
        assert_eq!(send(&replaced), None, "as large as the whole");
        let holds_null = json!({"name": long, "rating": [null], "gone": true});
        assert_eq!(send(&holds_null), None, "a null in a list is a null");
        assert_eq!(to_send(&before, &json!("text"), "\"text\""), None, "not an object");
    }

    #[test]
    fn texts_that_are_not_json_are_not_sent() {
        assert!(!may_be_sent("{", "{\"a\":1}"));
    }
}
