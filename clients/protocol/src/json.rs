//! Checks on raw JSON text that must happen before a parser recurses into it.

use std::fmt::Display;

use serde::Deserialize;

use crate::limits::JSON_DEPTH;

/// Longest reason given for a field: reasons may repeat what was sent.
const REASON_CHARS: usize = 200;

/// Which value of a JSON text is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {reason}")]
pub struct WrongField {
    /// Its path from the root, such as `device.capabilities[2]`; empty where
    /// the text as a whole is meant.
    pub field: String,
    /// What is wrong, at most 200 characters. May repeat what was sent: for
    /// the sender's eyes, not for a log.
    pub reason: String,
}

/// Reads a value, and names the field where that fails. [`check`] the text
/// before.
pub fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, WrongField> {
    // The path costs time, so it is looked for only where one is needed.
    serde_json::from_str(text).map_err(|error| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
            Err(error) => WrongField::of(&error),
            // What follows the value is wrong.
            Ok(_) => WrongField::at(".", &error.to_string()),
        }
    })
}

impl WrongField {
    /// What a parser said, of JSON or of a query. A missing field is named as one
    /// that is there would be named.
    pub fn of<E: Display>(error: &serde_path_to_error::Error<E>) -> Self {
        Self::at(&error.path().to_string(), &error.inner().to_string())
    }

    fn at(path: &str, message: &str) -> Self {
        let reason = message.rfind(" at line ").map_or(message, |end| &message[..end]);
        let parent = if path == "." { "" } else { path };
        let missing =
            reason.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
        let (field, reason) = match missing {
            Some(name) if parent.is_empty() => (name.to_owned(), "must be there"),
            Some(name) => (format!("{parent}.{name}"), "must be there"),
            None => (parent.to_owned(), reason),
        };
        Self { field, reason: reason.chars().take(REASON_CHARS).collect() }
    }
}

/// Why a text is refused before it is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// Nested deeper than [`JSON_DEPTH`].
    #[error("JSON is nested deeper than 64 levels")]
    TooDeep,
    /// Contains U+0000, which PostgreSQL cannot store.
    #[error("U+0000 is not allowed")]
    NulCharacter,
    /// Contains an escape that is half of a surrogate pair, which stands for no
    /// character (RFC 8259, section 8.2): payloads travel as received, and
    /// strict parsers would refuse the whole frame around it.
    #[error("an escape is half of a surrogate pair")]
    LoneSurrogate,
}

/// Refuses JSON nested deeper than [`JSON_DEPTH`], and JSON that holds U+0000,
/// literally or as an escape, or half a surrogate pair. One pass, no
/// allocation. Text that is not JSON may pass: the parser that follows refuses
/// it.
pub fn check(text: &str) -> Result<(), Unacceptable> {
    let bytes = text.as_bytes();
    let (mut depth, mut in_string, mut at) = (0_usize, false, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            0 => return Err(Unacceptable::NulCharacter),
            b'\\' if in_string => {
                at += match unit(&bytes[at..]) {
                    Some(0) => return Err(Unacceptable::NulCharacter),
                    Some(0xD800..=0xDBFF) => match unit(&bytes[at + 6..]) {
                        Some(0xDC00..=0xDFFF) => 11,
                        _ => return Err(Unacceptable::LoneSurrogate),
                    },
                    Some(0xDC00..=0xDFFF) => return Err(Unacceptable::LoneSurrogate),
                    Some(_) | None => 1,
                };
            }
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > JSON_DEPTH {
                    return Err(Unacceptable::TooDeep);
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The UTF-16 unit that an escape at the beginning stands for.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings_only() {
        let deepest = format!("{}{}", "[".repeat(64), "]".repeat(64));
        assert_eq!(check(&deepest), Ok(()));
        assert_eq!(check(&format!("[{deepest}]")), Err(Unacceptable::TooDeep));
        assert_eq!(check(&format!("\"{}\"", "[".repeat(100))), Ok(()));
        assert_eq!(check(&"[".repeat(10_000)), Err(Unacceptable::TooDeep));
    }

    #[test]
    fn nul_is_found_in_either_spelling() {
        assert_eq!(check("\"a\\u0000b\""), Err(Unacceptable::NulCharacter));
        assert_eq!(check("\"a\0b\""), Err(Unacceptable::NulCharacter));
        assert_eq!(check("\"a\\\\u0000b\""), Ok(()), "an escaped backslash, then text");
    }

    #[test]
    fn surrogates_come_in_pairs() {
        for whole in [r#""\ud83d\ude00""#, r#""\uD83D\uDE00""#, r#""\\ud800""#, r#""\ud7ff\ue000""#]
        {
            assert_eq!(check(whole), Ok(()), "{whole}");
        }
        for half in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800\ud800\udc00""#,
            r#""\ude00\ud83d""#,
            "\"\\ud800",
        ] {
            assert_eq!(check(half), Err(Unacceptable::LoneSurrogate), "{half}");
        }
    }

    #[test]
    fn a_wrong_value_is_named_by_its_path() {
        #[derive(Debug, Deserialize)]
        struct Outer {
            #[serde(rename = "inner")]
            _inner: Inner,
        }
        #[derive(Debug, Deserialize)]
        struct Inner {
            #[serde(rename = "list")]
            _list: Vec<u8>,
        }
        let wrong = |text: &str| {
            let WrongField { field, reason } = read::<Outer>(text).unwrap_err();
            (field, reason)
        };
        let missing = "must be there".to_owned();
        assert_eq!(wrong("{}"), ("inner".to_owned(), missing.clone()));
        assert_eq!(wrong(r#"{"inner":{}}"#), ("inner.list".to_owned(), missing));
        assert_eq!(wrong(r#"{"inner":{"list":[1,true]}}"#).0, "inner.list[1]");
        assert_eq!(wrong("7").0, "");
        let long = format!(r#"{{"inner":"{}"}}"#, "x".repeat(1000));
        assert_eq!(wrong(&long).1.chars().count(), REASON_CHARS);
    }

    #[test]
    fn a_trailing_backslash_does_not_overrun() {
        assert_eq!(check("\"\\"), Ok(()));
    }
}
