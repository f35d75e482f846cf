//! Bodies and their lists, gone through without being held.

use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::health::fact::{Context, Refusal};
use crate::health::item::{Item, Wrong};

/// The fields of a body that have these names.
pub(super) fn body<'a>(body: &'a str, names: &[&str]) -> Result<Item<'a>, Refusal> {
    Item::pick(body, |name| names.contains(&name)).map_err(refused)
}

/// The fields of an item that have these names.
pub(super) fn item<'a>(raw: &'a RawValue, names: &[&str]) -> Result<Item<'a>, Wrong> {
    Item::pick(raw.get(), |name| names.contains(&name))
}

/// A fault of the body itself.
pub(super) fn refused(wrong: Wrong) -> Refusal {
    Refusal { field: wrong.field, reason: wrong.reason }
}

/// Refuses a body for one of its fields.
pub(super) fn refusal(field: &str, reason: impl Into<String>) -> Refusal {
    Refusal { field: field.to_owned(), reason: reason.into() }
}

struct Each<F>(F);

impl<'de, F: FnMut(usize, &'de RawValue)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(raw) = seq.next_element()? {
            (self.0)(index, raw);
            index += 1;
        }
        Ok(())
    }
}

/// Goes through the elements of a list. Nothing where it is none.
pub(super) fn each<'a>(list: &'a RawValue, take: impl FnMut(usize, &'a RawValue)) {
    // What is valid JSON and begins with a bracket is a list to its end.
    let _ = serde_json::Deserializer::from_str(list.get()).deserialize_seq(Each(take));
}

/// Goes through the fields of an object as they come.
///
/// # Errors
/// Where it is something else, or `take` refuses.
pub(super) fn fields<'a>(
    object: &'a str,
    mut take: impl FnMut(&str, &'a RawValue) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut refused = None;
    let read = Item::each(object, |name, raw| {
        if refused.is_none() {
            refused = take(name, raw).err();
        }
    });
    read.map_err(self::refused)?;
    refused.map_or(Ok(()), Err)
}

/// How many elements a list has; `None`: it is no list.
pub(super) fn count(raw: &RawValue) -> Option<usize> {
    struct Count;
    impl<'de> Visitor<'de> for Count {
        type Value = usize;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<usize, A::Error> {
            let mut count = 0;
            while seq.next_element::<IgnoredAny>()?.is_some() {
                count += 1;
            }
            Ok(count)
        }
    }
    serde_json::Deserializer::from_str(raw.get()).deserialize_seq(Count).ok()
}

/// A list of a body, and its length.
///
/// # Errors
/// Where it is no list.
pub(super) fn counted<'a>(
    item: &Item<'a>,
    name: &str,
) -> Result<Option<(&'a RawValue, usize)>, Refusal> {
    let Some(raw) = item.get(name) else { return Ok(None) };
    let count = count(raw).ok_or_else(|| refusal(name, "a list is required"))?;
    Ok(Some((raw, count)))
}

/// Refuses more items than a call may bring.
pub(super) fn bounded(name: &str, count: usize, context: &Context) -> Result<(), Refusal> {
    match context.items_max {
        Some(max) if count > max => Err(refusal(name, format!("at most {max} items"))),
        _ => Ok(()),
    }
}

/// The one list of a body: there, not empty and not too long.
pub(super) fn required<'a>(
    item: &Item<'a>,
    name: &str,
    context: &Context,
) -> Result<&'a RawValue, Refusal> {
    let found = counted(item, name)?.filter(|(_, count)| *count > 0);
    let (raw, count) = found.ok_or_else(|| refusal(name, "a list of items is required"))?;
    bounded(name, count, context)?;
    Ok(raw)
}
