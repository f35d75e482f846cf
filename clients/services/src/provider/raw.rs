//! Reading answers by their outer shape only: what stands inside stays text,
//! so that no number is too large and no field too strange.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::limits::{PROVIDER_ID_BYTES, PROVIDER_POSITION_BYTES};

/// A part of an answer that is not what was documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misshapen;

/// Where the next page is, or nothing. What leads back to this very page never
/// ends.
pub(super) fn next(next: Option<String>, page: Option<&str>) -> Result<Option<String>, Misshapen> {
    let next = next.filter(|next| !next.is_empty());
    let leads_on = next.as_deref().is_none_or(|next| {
        let is_storable = next.len() <= PROVIDER_POSITION_BYTES && !next.contains('\0');
        is_storable && Some(next) != page
    });
    if leads_on { Ok(next) } else { Err(Misshapen) }
}

/// A text that is an object, read. Structs would take lists too.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if *first != b'{' {
        return None;
    }
    serde_json::from_slice(body).ok()
}

/// Whether an object holds nothing.
pub(super) fn is_empty(body: &[u8]) -> bool {
    body.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(b"{}")
}

/// A text that is an object, kept.
pub(super) fn whole(body: &[u8]) -> Option<Box<RawValue>> {
    object::<serde::de::IgnoredAny>(body)?;
    let text = std::str::from_utf8(body).ok()?;
    RawValue::from_string(text.trim().to_owned()).ok()
}

/// An id, which some APIs write as a number and some as a text.
pub(super) fn id(value: &RawValue) -> Option<String> {
    let text = match String::deserialize(value) {
        Ok(text) => text,
        Err(_) => value.get().to_owned(),
    };
    is_id(&text).then_some(text)
}

/// Whether this can be an id: no structure, nothing that names another path.
pub(super) fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:~".contains(&byte);
    (1..=PROVIDER_ID_BYTES).contains(&text.len())
        && text.bytes().all(is_plain)
        && !matches!(text, "." | ".." | "null" | "true" | "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_texts_or_numbers_of_any_size() {
        let id = |json: &str| id(&RawValue::from_string(json.to_owned()).unwrap());
        assert_eq!(id("1513").as_deref(), Some("1513"));
        assert_eq!(id("987654321234567891234").as_deref(), Some("987654321234567891234"));
        assert_eq!(id(r#""37FDYX""#).as_deref(), Some("37FDYX"));
        for bad in ["null", "{}", "[]", "true", r#""""#, r#""a/b""#, r#""..""#, r#""a\u0000""#] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_list_is_no_object() {
        assert!(whole(b" {\"a\":1e999} ").is_some_and(|kept| kept.get() == "{\"a\":1e999}"));
        for bad in [&b"[]"[..], b"", b"null", b"{", b"{}x", b"{\"a\":\"\xff\"}"] {
            assert!(whole(bad).is_none(), "{bad:?}");
        }
    }
}
