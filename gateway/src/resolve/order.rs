//! When two JSON values are the same, and in which order they are listed.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Whether two values mean the same. Numbers are compared by value: `4` and
/// `4.0` are one number, which a JavaScript client cannot tell apart, so that
/// reading and writing a record back is not an edit. Key order means nothing.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => same_number(left, right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same(a, b))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, a)| right.get(name).is_some_and(|b| same(a, b)))
        }
        _ => left == right,
    }
}

/// [`same`] for values that may be missing.
pub(super) fn same_option(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => same(left, right),
        (left, right) => left.is_none() && right.is_none(),
    }
}

fn same_number(left: &Number, right: &Number) -> bool {
    if left.is_f64() || right.is_f64() {
        return left.as_f64() == right.as_f64();
    }
    left == right
}

/// A value in a total order: by type, then by value. Equal are only values
/// that are written alike, key order aside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ordered<'a>(pub(super) &'a Value);

impl Ord for Ordered<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        order(self.0, other.0)
    }
}

impl PartialOrd for Ordered<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ordered<'_> {}

fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => {
            order_number(left, right).then_with(|| left.to_string().cmp(&right.to_string()))
        }
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => {
            left.iter().map(Ordered).cmp(right.iter().map(Ordered))
        }
        (Value::Object(left), Value::Object(right)) => {
            let sorted = |fields: &serde_json::Map<String, Value>| {
                let mut names: Vec<String> = fields.keys().cloned().collect();
                names.sort_unstable();
                names
            };
            let (left_names, right_names) = (sorted(left), sorted(right));
            left_names.cmp(&right_names).then_with(|| {
                let value = |fields, name| order_key(fields, name);
                left_names
                    .iter()
                    .map(|name| value(left, name))
                    .cmp(right_names.iter().map(|name| value(right, name)))
            })
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

fn order_key<'a>(fields: &'a serde_json::Map<String, Value>, name: &str) -> Ordered<'a> {
    Ordered(fields.get(name).unwrap_or(&Value::Null))
}

/// Orders numbers by value. Every number is brought to a float first, so that
/// the order is total whatever is mixed; the text decides between neighbours
/// that a float cannot hold apart.
fn order_number(left: &Number, right: &Number) -> Ordering {
    let float = |number: &Number| number.as_f64().unwrap_or(0.0);
    float(left).total_cmp(&float(right))
}

const fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_the_same_by_value_and_keys_by_name() {
        assert!(same(&json!({"a": 4, "b": [1.0]}), &json!({"b": [1], "a": 4.0})));
        assert!(!same(&json!(9_007_199_254_740_993_i64), &json!(9_007_199_254_740_992_i64)));
        assert!(!same(&json!({"a": null}), &json!({})), "null is a value");
        assert!(!same(&json!("4"), &json!(4)));
    }

    #[test]
    fn values_sort_by_type_and_then_by_value() {
        let mut values =
            [json!("b"), json!([1]), json!(10), json!("a b"), json!("a"), json!(9), json!(null)];
        values.sort_by(order);
        assert_eq!(json!(values), json!([null, 9, 10, "a", "a b", "b", [1]]));
    }
}
