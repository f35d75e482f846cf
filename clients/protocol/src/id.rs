//! Identifiers: parsed once at the edge, valid ever after.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::limits::MAX_SAFE_INTEGER;

pub use epoch::Epoch;

mod epoch;

/// Why a text is not the identifier it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(&'static str);

macro_rules! text_id {
    (@spelled $text:ident) => { $text.into() };
    (@spelled $text:ident, $spell:expr) => { $spell($text).into() };
    ($(#[$doc:meta])* $name:ident, $check:expr, $reason:literal $(, $spell:expr)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses and checks the text.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                if !check(text) {
                    return Err(InvalidId($reason));
                }
                Ok(Self(text_id!(@spelled text $(, $spell)?)))
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The form with dashes; others have other lengths.
fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

fn is_user_id(text: &str) -> bool {
    is_visible(text)
}

fn is_stream_name(text: &str) -> bool {
    match text.strip_prefix("user:") {
        Some(user) => is_user_id(user),
        None => is_visible(text),
    }
}

fn is_visible(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

text_id!(
    /// One app install: a client-made UUID, taken in any case and spelled in
    /// lower case ever after (iOS writes UUIDs in capitals). Unique per user
    /// only; the same UUID under another user is another device.
    DeviceId,
    is_uuid,
    "a device id is a UUID",
    str::to_ascii_lowercase
);
text_id!(
    /// A user: 1 to 128 visible ASCII characters.
    UserId,
    is_user_id,
    "a user id is 1 to 128 visible ASCII characters"
);
text_id!(
    /// A command. The gateway makes lower-case UUIDs; other texts of 1 to 128
    /// visible ASCII characters name no command.
    CommandId,
    is_visible,
    "a command id is 1 to 128 visible ASCII characters"
);
text_id!(
    /// A stream: `user:{user_id}`, or any other name of 1 to 128 visible ASCII
    /// characters. Shared streams are named more strictly, see
    /// [`StreamName::is_shared_name`]; a name that no stream has is unknown,
    /// not wrong.
    StreamName,
    is_stream_name,
    "a stream is named by 1 to 128 visible ASCII characters"
);

impl StreamName {
    /// The stream that belongs to one user.
    pub fn of_user(user: &UserId) -> Self {
        Self(format!("user:{user}").into())
    }

    /// Whether a shared stream may have this name: 1 to 64 of `[a-z0-9._-]`,
    /// beginning with a letter or digit.
    pub fn is_shared_name(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let mut bytes = self.0.bytes();
        self.0.len() <= 64
            && bytes.next().is_some_and(plain)
            && bytes.all(|byte| plain(byte) || b"_-.".contains(&byte))
    }

    /// The user whose own stream this is; `None` for a shared stream.
    pub fn owner(&self) -> Option<&str> {
        self.0.strip_prefix("user:")
    }
}

impl CommandId {
    /// A new id; time-ordered, so that database indexes stay compact.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }
}

impl DeviceId {
    /// A new random id.
    pub fn generate() -> Self {
        Self(Uuid::new_v4().to_string().into())
    }
}

/// A position in a stream: dense, from 1; 0 means "before the first entry".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Seq(i64);

impl Seq {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);

    /// From a number the caller knows to be in 0 ..= 2^53 − 1, such as one
    /// read from the database.
    pub const fn new(seq: i64) -> Self {
        debug_assert!(seq >= 0 && seq <= MAX_SAFE_INTEGER);
        Self(seq)
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Seq {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seq = i64::deserialize(deserializer)?;
        if (0..=MAX_SAFE_INTEGER).contains(&seq) {
            Ok(Self(seq))
        } else {
            Err(serde::de::Error::custom("a seq is 0 to 2^53 - 1"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_id_is_the_same_in_any_case() {
        let lower = "6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11";
        let id = DeviceId::parse(&lower.to_uppercase()).unwrap();
        assert_eq!((id.as_str(), &id), (lower, &DeviceId::parse(lower).unwrap()));
        let read: DeviceId =
            serde_json::from_str(r#""6F1C2A4E-0b7d-4c55-9A3E-2f8f4f1f0d11""#).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), format!("\"{lower}\""));
    }

    #[test]
    fn ids_refuse_what_the_protocol_does_not_allow() {
        assert!(DeviceId::parse("6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11").is_ok());
        assert!(DeviceId::parse("6f1c2a4e0b7d4c559a3e2f8f4f1f0d11").is_err());
        assert!(DeviceId::parse("{6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11}").is_err());
        assert!(UserId::parse("").is_err());
        assert!(UserId::parse("a b").is_err());
        assert!(UserId::parse(&"u".repeat(129)).is_err());
        assert!(StreamName::parse("user:u1").is_ok());
        assert!(StreamName::parse("user:").is_err());
        assert!(!StreamName::parse("News").unwrap().is_shared_name());
        assert!(StreamName::parse("news.de_1").unwrap().is_shared_name());
        assert!(StreamName::parse("a b").is_err());
        assert!(Epoch::parse("0a1b2c3d").is_ok());
        assert!(Epoch::parse("0a1b2c3").is_err());
        assert!(serde_json::from_str::<Seq>("-1").is_err());
        assert!(serde_json::from_str::<Seq>("9007199254740992").is_err());
    }
}
