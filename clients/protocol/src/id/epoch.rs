//! The life of a stream's numbering.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::InvalidId;

/// The life of a stream's numbering: 8 characters of `[0-9a-z]`. Kept in place
/// and not shared like other texts: sessions have one for every stream.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch([u8; 8]);

impl Epoch {
    /// Parses and checks the text.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        match <[u8; 8]>::try_from(text.as_bytes()) {
            Ok(eight) if eight.iter().all(is_plain) => Ok(Self(eight)),
            _ => Err(InvalidId("an epoch is 8 characters of [0-9a-z]")),
        }
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("letters and digits only")
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Epoch").field(&self.as_str()).finish()
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
