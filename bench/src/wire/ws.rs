//! WebSocket frames: short masked ones out, unmasked ones in.

use anyhow::bail;

/// A frame of the gateway, found in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A text message.
    Text(&'a [u8]),
    /// The gateway closes: status and reason.
    Close(u16, &'a str),
}

/// Appends a text message. The mask is zero, which RFC 6455 allows a client
/// and which costs the gateway the same as any other.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    const FIN_TEXT: u8 = 0x81;
    const MASKED: u8 = 0x80;
    out.push(FIN_TEXT);
    match u16::try_from(text.len()) {
        Ok(short) if short < 126 => out.push(MASKED + short.to_be_bytes()[1]),
        Ok(short) => {
            out.push(MASKED + 126);
            out.extend_from_slice(&short.to_be_bytes());
        }
        Err(_) => {
            out.push(MASKED + 127);
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(text.as_bytes());
}

/// The first frame in the bytes and how many it takes; `None` while it is not
/// complete.
pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Frame<'_>, usize)>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (length, payload_at) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
        (127, [0, 0, 0, 0, a, b, c, d, ..]) => {
            (usize::try_from(u32::from_be_bytes([*a, *b, *c, *d]))?, 10)
        }
        (126 | 127, _) => return Ok(None),
        (short, _) => (usize::from(short), 2),
    };
    let total = payload_at + length;
    let Some(payload) = bytes.get(payload_at..total) else { return Ok(None) };
    match (first, payload) {
        (0x81, _) => Ok(Some((Frame::Text(payload), total))),
        (0x88, [a, b, reason @ ..]) => {
            let reason = std::str::from_utf8(reason).unwrap_or("?");
            Ok(Some((Frame::Close(u16::from_be_bytes([*a, *b]), reason), total)))
        }
        _ => bail!("a frame that was not asked for: first byte {first:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_when_complete() {
        let mut bytes = vec![0x81, 126, 1, 0];
        bytes.extend_from_slice(&[b'x'; 256]);
        assert_eq!(parse(&bytes).unwrap(), Some((Frame::Text(&bytes[4..]), 260)));
        assert_eq!(parse(&bytes[..259]).unwrap(), None);
        assert_eq!(parse(&bytes[..3]).unwrap(), None);
        let close = [0x88, 4, 0x11, 0x39, b'o', b'k'];
        assert_eq!(parse(&close).unwrap(), Some((Frame::Close(4409, "ok"), 6)));
        assert!(parse(&[0x82, 0]).is_err());
    }

    #[test]
    fn messages_carry_their_length_and_a_mask() {
        let mut out = Vec::new();
        text(&mut out, "hi");
        assert_eq!(out, [0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
        out.clear();
        text(&mut out, &"x".repeat(300));
        assert_eq!(out[..4], [0x81, 0xfe, 1, 44]);
    }
}
