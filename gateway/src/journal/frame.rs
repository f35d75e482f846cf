//! Finished `events` frames: built once, shared by all receivers at the same
//! position, compressed at most once per encoding.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tidegate_protocol::encoding::Encoding;
use tidegate_protocol::id::{Epoch, Seq, StreamName};
use tidegate_protocol::limits::COMPRESS_FROM_BYTES;
use tokio::time::Instant;

use crate::journal::{EntryCommand, Ready};

/// A frame in the forms it can be sent in, each with its head (RFC 6455, 5.2):
/// what a server sends is not masked, so it is the same for every receiver, and
/// one piece of memory goes to all of them.
///
/// The heads are made here and not by a library: those that there are copy each
/// message into a buffer of each connection.
#[derive(Debug)]
pub struct Frame {
    text: Bytes,
    zstd: OnceLock<Option<Bytes>>,
    deflate_raw: OnceLock<Option<Bytes>>,
}

/// The only frame of its message.
const FINAL: u8 = 0x80;

/// A text message.
pub const TEXT: u8 = 1;
/// A binary message.
pub const BINARY: u8 = 2;
/// The end.
pub const CLOSE: u8 = 8;
/// The answer to a ping.
pub const PONG: u8 = 10;

/// A payload with its head before it.
pub fn framed(kind: u8, payload: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(payload.len() + 10);
    bytes.push(FINAL | kind);
    let length = (payload.len() as u64).to_be_bytes();
    match payload.len() {
        0..=125 => bytes.push(length[7]),
        126..=0xFFFF => {
            bytes.push(126);
            bytes.extend_from_slice(&length[6..]);
        }
        _ => {
            bytes.push(127);
            bytes.extend_from_slice(&length);
        }
    }
    bytes.extend_from_slice(payload);
    bytes.into()
}

/// What lies behind the head.
pub fn payload(framed: &[u8]) -> &[u8] {
    let head = match framed.get(1) {
        Some(127) => 10,
        Some(126) => 4,
        _ => 2,
    };
    framed.get(head..).unwrap_or_default()
}

impl Frame {
    /// A frame from its text.
    pub fn new(text: &str) -> Self {
        let text = framed(TEXT, text.as_bytes());
        Self { text, zstd: OnceLock::new(), deflate_raw: OnceLock::new() }
    }

    /// The frame's text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(payload(&self.text)).unwrap_or_default()
    }

    /// The frame for a receiver with this encoding: compressed where that
    /// makes it smaller.
    pub fn wire(&self, encoding: Option<Encoding>) -> Bytes {
        let cell = match encoding {
            Some(Encoding::Zstd) => &self.zstd,
            Some(Encoding::DeflateRaw) => &self.deflate_raw,
            None => return self.text.clone(),
        };
        let packed = cell.get_or_init(|| pack(self.text(), encoding));
        packed.as_ref().unwrap_or(&self.text).clone()
    }
}

fn pack(text: &str, encoding: Option<Encoding>) -> Option<Bytes> {
    if text.len() < COMPRESS_FROM_BYTES {
        return None;
    }
    let packed = encoding?.encode(text)?;
    (packed.len() < text.len()).then(|| framed(BINARY, &packed))
}

/// An `events` frame with what the session must know of it.
#[derive(Debug)]
pub struct EventsFrame {
    /// The frame.
    pub frame: Frame,
    /// The last position sent before it.
    pub prev: Seq,
    /// The position it reaches.
    pub seq: Seq,
    /// Position and size in bytes of each entry, in order.
    pub entries: Box<[(Seq, u32)]>,
    /// The commands it carries.
    pub commands: Box<[EntryCommand]>,
    /// When its oldest live entry was committed.
    pub committed: Option<Instant>,
}

/// Names a stream and its epoch in frames.
#[derive(Clone, Debug)]
pub struct StreamId {
    /// The stream.
    pub name: StreamName,
    /// Its epoch.
    pub epoch: Epoch,
}

impl EventsFrame {
    /// Builds the frame for (`prev`, `seq`] from the entries in it.
    pub fn build(stream: &StreamId, prev: Seq, seq: Seq, entries: &[Arc<Ready>]) -> Self {
        let bytes: usize = entries.iter().map(|entry| entry.json.len() + 1).sum();
        let mut text = String::with_capacity(bytes + 160);
        // Stream names and epochs are checked to need no escaping, except that
        // user ids may hold quotes and backslashes.
        let name = serde_json::to_string(&stream.name).expect("text is always serialisable");
        text.push_str(r#"{"type":"events","stream":"#);
        text.push_str(&name);
        text.push_str(r#","epoch":""#);
        text.push_str(stream.epoch.as_str());
        text.push_str("\",\"prev\":");
        text.push_str(&prev.to_string());
        text.push_str(",\"seq\":");
        text.push_str(&seq.to_string());
        text.push_str(",\"entries\":[");
        for (index, entry) in entries.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&entry.json);
        }
        text.push_str("]}");
        let size = |entry: &Arc<Ready>| u32::try_from(entry.json.len()).unwrap_or(u32::MAX);
        Self {
            frame: Frame::new(&text),
            prev,
            seq,
            entries: entries.iter().map(|entry| (entry.seq, size(entry))).collect(),
            commands: entries.iter().filter_map(|entry| entry.command.clone()).collect(),
            committed: entries.iter().find_map(|entry| entry.committed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_name_the_length_in_the_shortest_form() {
        let of = |length: usize| framed(BINARY, &vec![7; length]);
        assert_eq!(of(0)[..], [0x82, 0]);
        assert_eq!(of(125)[..3], [0x82, 125, 7]);
        assert_eq!(of(126)[..5], [0x82, 126, 0, 126, 7]);
        assert_eq!(of(65_535)[..5], [0x82, 126, 255, 255, 7]);
        assert_eq!(of(65_536)[..11], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0, 7]);
        for length in [0, 125, 126, 65_535, 65_536] {
            assert_eq!(payload(&of(length)), vec![7; length]);
        }
        assert_eq!(Frame::new("{}").wire(None)[..], [0x81, 2, b'{', b'}']);
        assert_eq!(Frame::new("{}").text(), "{}");
    }
}
