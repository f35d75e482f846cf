//! Finished `events` frames: built once, shared by all receivers at the same
//! position, compressed at most once per encoding.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tidegate_protocol::encoding::Encoding;
use tidegate_protocol::id::{Epoch, Seq, StreamName};
use tidegate_protocol::limits::COMPRESS_FROM_BYTES;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::journal::{EntryCommand, Ready};

/// A frame in the forms it can be sent in.
#[derive(Debug)]
pub struct Frame {
    text: Utf8Bytes,
    zstd: OnceLock<Option<Bytes>>,
    deflate_raw: OnceLock<Option<Bytes>>,
}

/// What goes into a WebSocket message.
#[derive(Clone, Debug)]
pub enum Wire {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
}

impl Frame {
    /// A frame from its text.
    pub fn new(text: String) -> Self {
        Self { text: text.into(), zstd: OnceLock::new(), deflate_raw: OnceLock::new() }
    }

    /// The frame's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The frame for a receiver with this encoding: compressed where that
    /// makes it smaller.
    pub fn wire(&self, encoding: Option<Encoding>) -> Wire {
        let cell = match encoding {
            Some(Encoding::Zstd) => &self.zstd,
            Some(Encoding::DeflateRaw) => &self.deflate_raw,
            None => return Wire::Text(self.text.clone()),
        };
        let packed = cell.get_or_init(|| pack(&self.text, encoding));
        packed.clone().map_or_else(|| Wire::Text(self.text.clone()), Wire::Binary)
    }
}

fn pack(text: &str, encoding: Option<Encoding>) -> Option<Bytes> {
    if text.len() < COMPRESS_FROM_BYTES {
        return None;
    }
    let packed = encoding?.encode(text)?;
    (packed.len() < text.len()).then(|| packed.into())
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
            frame: Frame::new(text),
            prev,
            seq,
            entries: entries.iter().map(|entry| (entry.seq, size(entry))).collect(),
            commands: entries.iter().filter_map(|entry| entry.command.clone()).collect(),
            committed: entries.iter().find_map(|entry| entry.committed),
        }
    }
}
