//! HTTP/1.1 requests with keep-alive, and answers with a known length.

use anyhow::{Context as _, ensure};

/// An answer found in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Where the body begins.
    pub(crate) body_at: usize,
    /// Bytes of head and body together.
    pub(crate) total: usize,
}

/// Appends a `POST` of a JSON body.
pub(crate) fn post(out: &mut Vec<u8>, path: &str, token: &str, body: &str) {
    out.extend_from_slice(b"POST ");
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ");
    out.extend_from_slice(token.as_bytes());
    out.extend_from_slice(b"\r\nContent-Type: application/json\r\nContent-Length: ");
    out.extend_from_slice(body.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body.as_bytes());
}

/// Appends the upgrade to a WebSocket. The key is fixed: it protects caches,
/// and there are none here.
pub(crate) fn upgrade(out: &mut Vec<u8>, token: &str) {
    out.extend_from_slice(
        b"GET /api/v1/sync/ws HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\n\
          Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
          Sec-WebSocket-Protocol: tidegate.v1\r\nAuthorization: Bearer ",
    );
    out.extend_from_slice(token.as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
}

/// The first answer in the bytes; `None` while it is not complete.
pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).context("the head of an answer is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|word| word.parse().ok()).context("an answer has no status")?;
    let mut length = 0;
    for line in lines {
        let (name, value) = line.split_once(':').context("a header has no colon")?;
        ensure!(!name.eq_ignore_ascii_case("transfer-encoding"), "an answer without a length");
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().context("a length is not a number")?;
        }
    }
    let body_at = end + 4;
    let total = body_at + length;
    Ok((bytes.len() >= total).then_some(Answer { status, body_at, total }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_when_complete() {
        let bytes = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1";
        let answer = Answer { status: 202, body_at: 44, total: 46 };
        assert_eq!(parse(bytes).unwrap(), Some(answer));
        assert_eq!(parse(&bytes[..45]).unwrap(), None);
        assert_eq!(parse(&bytes[..20]).unwrap(), None);
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }
}
