//! One field that both sides changed differently: what its rule makes of it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Number, Value};

use crate::resolve::order::Ordered;
use crate::resolve::rules::FieldRule;

/// A field's values; `None`: the field is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) base: Option<&'a Value>,
    pub(super) local: Option<&'a Value>,
    pub(super) remote: Option<&'a Value>,
}

/// The value a combining rule gives, or `None` where the values are not of the
/// shape the rule needs (text under `sum`, a field that one side removed).
/// Then remote's stays, as under no rule at all.
pub(super) fn combine(rule: FieldRule, values: Values<'_>) -> Option<Value> {
    match rule {
        FieldRule::Union => union(values),
        FieldRule::Append => append(values),
        FieldRule::Sum => sum(values),
        FieldRule::Max => pick(values, Ordering::Greater),
        FieldRule::Min => pick(values, Ordering::Less),
        FieldRule::LongerText => longer_text(values),
        FieldRule::NextVersion => next_version(values),
        FieldRule::Remote | FieldRule::Local | FieldRule::Newest | FieldRule::Manual => None,
    }
}

/// Everything either side has, sorted, each once. What one side removed and
/// the other still has stays: a package too many does no harm, one too few
/// breaks the code that needs it.
fn union(values: Values<'_>) -> Option<Value> {
    let mut items = BTreeSet::new();
    for list in [values.local, values.remote] {
        items.extend(list_of(list)?.iter().map(Ordered));
    }
    Some(items.into_iter().map(|item| item.0.clone()).collect())
}

/// A list; a missing one is empty.
fn list_of(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        None | Some(Value::Null) => Some(&[]),
        Some(Value::Array(items)) => Some(items),
        Some(_) => None,
    }
}

/// Remote's, then what local added. What both added is there once, so that
/// merging a merged value changes nothing.
fn append(values: Values<'_>) -> Option<Value> {
    if let (Some(Value::String(local)), Some(Value::String(remote))) = (values.local, values.remote)
    {
        let base = values.base.and_then(Value::as_str).unwrap_or_default();
        return Some(Value::String(append_text(base, local, remote)));
    }
    let (local, remote) = (list_of(values.local)?, list_of(values.remote)?);
    let in_base = counts(list_of(values.base).unwrap_or_default());
    let in_local = counts(local);
    let mut in_remote = counts(remote);
    let mut items = remote.to_vec();
    for item in local {
        let key = Ordered(item);
        if in_local.get(&key) <= in_base.get(&key) {
            continue;
        }
        match in_remote.get_mut(&key) {
            Some(count) if *count > 0 => *count -= 1,
            _ => items.push(item.clone()),
        }
    }
    Some(Value::Array(items))
}

fn counts(items: &[Value]) -> BTreeMap<Ordered<'_>, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(Ordered(item)).or_default() += 1;
    }
    counts
}

fn append_text(base: &str, local: &str, remote: &str) -> String {
    if local.starts_with(remote) {
        return local.to_owned();
    }
    if remote.starts_with(local) {
        return remote.to_owned();
    }
    let added = match local.strip_prefix(base) {
        Some(added) if remote.starts_with(base) && !base.is_empty() => added.to_owned(),
        _ => format!("\n{local}"),
    };
    if remote.ends_with(&added) { remote.to_owned() } else { format!("{remote}{added}") }
}

/// Both sides' changes added to the base, as counters are. Without a base both
/// count from zero.
fn sum(values: Values<'_>) -> Option<Value> {
    let zero = Number::from(0);
    let base = match values.base {
        None | Some(Value::Null) => &zero,
        Some(Value::Number(base)) => base,
        Some(_) => return None,
    };
    let (Some(Value::Number(local)), Some(Value::Number(remote))) = (values.local, values.remote)
    else {
        return None;
    };
    if let (Some(base), Some(local), Some(remote)) =
        (base.as_i128(), local.as_i128(), remote.as_i128())
    {
        // Three 64-bit numbers cannot overflow 128 bits.
        return Number::from_i128(local + remote - base).map(Value::Number);
    }
    let total = local.as_f64()? + remote.as_f64()? - base.as_f64()?;
    Number::from_f64(total).map(Value::Number)
}

/// The greater or the lesser of two numbers or of two texts (times in RFC 3339
/// are texts that sort).
fn pick(values: Values<'_>, wanted: Ordering) -> Option<Value> {
    let (local, remote) = (values.local?, values.remote?);
    let is_comparable = matches!(
        (local, remote),
        (Value::Number(_), Value::Number(_)) | (Value::String(_), Value::String(_))
    );
    let picked = if Ordered(local).cmp(&Ordered(remote)) == wanted { local } else { remote };
    is_comparable.then(|| picked.clone())
}

/// The text with more characters; of equally long ones remote's.
fn longer_text(values: Values<'_>) -> Option<Value> {
    let (local, remote) = (values.local?.as_str()?, values.remote?.as_str()?);
    let longer = if local.chars().count() > remote.chars().count() { local } else { remote };
    Some(Value::String(longer.to_owned()))
}

/// The number after the greater of the two: `1.2.0` and `1.3.0` give `1.3.1`.
/// Whatever follows the numbers is left off, so that nothing grows from merge
/// to merge.
fn next_version(values: Values<'_>) -> Option<Value> {
    if let (Some(local), Some(remote)) =
        (values.local.and_then(Value::as_i64), values.remote.and_then(Value::as_i64))
    {
        return Some(Value::from(local.max(remote).checked_add(1)?));
    }
    let parts = |value: Option<&Value>| value.and_then(Value::as_str).and_then(version_parts);
    let mut next = parts(values.local)?.max(parts(values.remote)?);
    let last = next.last_mut()?;
    *last = last.checked_add(1)?;
    let texts: Vec<String> = next.iter().map(u64::to_string).collect();
    Some(Value::String(texts.join(".")))
}

fn version_parts(text: &str) -> Option<Vec<u64>> {
    let text = text.trim().trim_start_matches('v');
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let end = text.find(|letter| !is_number(letter)).unwrap_or(text.len());
    text[..end].trim_end_matches('.').split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(rule: FieldRule, cases: &[(Value, Value, Value, Option<Value>)]) {
        for (base, local, remote, result) in cases {
            let values = Values { base: Some(base), local: Some(local), remote: Some(remote) };
            assert_eq!(combine(rule, values), *result, "{rule:?} of {base}, {local}, {remote}");
        }
    }

    #[test]
    fn lists_are_joined() {
        let cases = [
            (json!([]), json!(["b", "a"]), json!(["c", "a"]), Some(json!(["a", "b", "c"]))),
            (json!(["a"]), json!([]), json!(["a", "b"]), Some(json!(["a", "b"]))),
            (json!(null), json!(null), json!([2, 10, 1]), Some(json!([1, 2, 10]))),
            (json!([]), json!("a"), json!(["b"]), None),
        ];
        check(FieldRule::Union, &cases);
        let cases = [
            (json!([1]), json!([1, 2]), json!([1, 3]), Some(json!([1, 3, 2]))),
            (json!([1]), json!([1, 3, 2]), json!([1, 3]), Some(json!([1, 3, 2]))),
            (json!([1]), json!([1, 1]), json!([1, 2]), Some(json!([1, 2, 1]))),
            (json!([1]), json!([1, 2]), json!([1, 2, 3]), Some(json!([1, 2, 3]))),
            (json!([1, 2]), json!([1, 2, 3]), json!([2]), Some(json!([2, 3]))),
            (json!("a"), json!("a, b"), json!("a, c"), Some(json!("a, c, b"))),
            (json!("a"), json!("a, c, b"), json!("a, c"), Some(json!("a, c, b"))),
            (json!("a"), json!("a, b"), json!("a, c, b"), Some(json!("a, c, b"))),
            (json!("a"), json!("x"), json!("y"), Some(json!("y\nx"))),
            (json!("a"), json!("x"), json!("y\nx"), Some(json!("y\nx"))),
            (json!("a"), json!(1), json!("y"), None),
        ];
        check(FieldRule::Append, &cases);
    }

    #[test]
    fn numbers_are_added_and_compared() {
        let cases = [
            (json!(10), json!(12), json!(15), Some(json!(17))),
            (json!(10), json!(7), json!(15), Some(json!(12))),
            (json!(null), json!(1), json!(2), Some(json!(3))),
            (json!(0.5), json!(1.5), json!(1), Some(json!(2.0))),
            (json!(0), json!(u64::MAX), json!(1), None),
            (json!(0), json!("1"), json!(1), None),
        ];
        check(FieldRule::Sum, &cases);
        let cases = [
            (json!(0), json!(2), json!(10), Some(json!(10))),
            (json!(0), json!(2.5), json!(2), Some(json!(2.5))),
            (json!(""), json!("2026-02"), json!("2026-01"), Some(json!("2026-02"))),
            (json!(0), json!("2"), json!(1), None),
        ];
        check(FieldRule::Max, &cases);
        check(FieldRule::Min, &[(json!(0), json!(2), json!(10), Some(json!(2)))]);
    }

    #[test]
    fn texts_and_versions_have_rules_of_their_own() {
        let cases = [
            (json!(""), json!("long"), json!("abc"), Some(json!("long"))),
            (json!(""), json!("abc"), json!("äöü"), Some(json!("äöü"))),
            (json!(""), json!(["long"]), json!("abc"), None),
        ];
        check(FieldRule::LongerText, &cases);
        let cases = [
            (json!("1.0.0"), json!("1.2.0"), json!("1.10.0"), Some(json!("1.10.1"))),
            (json!("1.0.0"), json!("1.2.0+merged+1.3.0"), json!("1.1"), Some(json!("1.2.1"))),
            (json!(1), json!(4), json!(3), Some(json!(5))),
            (json!("1.0.0"), json!("newest"), json!("1.1"), None),
        ];
        check(FieldRule::NextVersion, &cases);
    }
}
