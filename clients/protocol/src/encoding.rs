//! Frame compression: every compressed frame is one complete, independent
//! stream, so a frame compressed once serves every receiver and no connection
//! keeps codec state.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use crate::limits::FRAME_BYTES;

/// An encoding both sides may agree on in `hello.encodings` / `welcome.encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Encoding {
    /// One zstd frame, window at most 8 MiB.
    Zstd,
    /// One finished raw deflate stream (RFC 1951, no header).
    DeflateRaw,
}

/// log2 of the largest zstd window accepted: 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;

/// zstd level 3 saves within 2 % of higher levels on batches at a fraction of
/// their time.
const ZSTD_LEVEL: i32 = 3;

/// Why a binary frame could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not one complete stream of the agreed encoding, or not UTF-8 inside.
    #[error("not one complete compressed stream")]
    Undecodable,
    /// The decompressed frame is larger than the limit.
    #[error("the decompressed frame is too large")]
    TooLarge,
}

impl Encoding {
    /// The encoding with this name on the wire; `None` for names not supported.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "zstd" => Some(Self::Zstd),
            "deflate-raw" => Some(Self::DeflateRaw),
            _ => None,
        }
    }

    /// Compresses one frame. Writing to memory cannot fail, but both codecs
    /// return errors; `None` then means "send it as text".
    pub fn encode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Zstd => zstd::bulk::compress(text.as_bytes(), ZSTD_LEVEL).ok(),
            Self::DeflateRaw => {
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(text.as_bytes()).ok()?;
                encoder.finish().ok()
            }
        }
    }

    /// Decompresses one frame into at most [`FRAME_BYTES`] of text.
    pub fn decode(self, bytes: &[u8]) -> Result<String, DecodeError> {
        let mut text = Vec::new();
        let mut input = bytes;
        match self {
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut input)
                    .map_err(|_| DecodeError::Undecodable)?
                    .single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| DecodeError::Undecodable)?;
                read_bounded(&mut decoder, &mut text)?;
            }
            Self::DeflateRaw => {
                let mut decoder = flate2::bufread::DeflateDecoder::new(&mut input);
                read_bounded(&mut decoder, &mut text)?;
            }
        }
        if !input.is_empty() {
            return Err(DecodeError::Undecodable);
        }
        String::from_utf8(text).map_err(|_| DecodeError::Undecodable)
    }
}

fn read_bounded(decoder: &mut dyn Read, text: &mut Vec<u8>) -> Result<(), DecodeError> {
    let bound = FRAME_BYTES as u64 + 1;
    decoder.take(bound).read_to_end(text).map_err(|_| DecodeError::Undecodable)?;
    if text.len() > FRAME_BYTES { Err(DecodeError::TooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Encoding; 2] = [Encoding::Zstd, Encoding::DeflateRaw];

    #[test]
    fn frames_survive_a_round_trip() {
        let text = r#"{"type":"events","entries":[]}"#.repeat(100);
        for encoding in BOTH {
            let bytes = encoding.encode(&text).unwrap();
            assert!(bytes.len() < text.len() / 5);
            assert_eq!(encoding.decode(&bytes).unwrap(), text);
        }
    }

    #[test]
    fn a_bomb_is_cut_at_the_frame_limit() {
        let bomb = "0".repeat(50 * 1024 * 1024);
        for encoding in BOTH {
            let bytes = encoding.encode(&bomb).unwrap();
            assert_eq!(encoding.decode(&bytes), Err(DecodeError::TooLarge));
        }
    }

    #[test]
    fn cut_and_trailing_bytes_are_undecodable() {
        let text = r#"{"type":"ack"}"#.repeat(50);
        for encoding in BOTH {
            let mut bytes = encoding.encode(&text).unwrap();
            assert!(encoding.decode(&bytes[..bytes.len() - 3]).is_err());
            bytes.extend_from_slice(b"tail");
            assert_eq!(encoding.decode(&bytes), Err(DecodeError::Undecodable));
        }
    }
}
