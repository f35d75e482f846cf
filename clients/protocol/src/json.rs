//! Checks on raw JSON text that must happen before a parser recurses into it.

use crate::limits::JSON_DEPTH;

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
    fn a_trailing_backslash_does_not_overrun() {
        assert_eq!(check("\"\\"), Ok(()));
    }
}
