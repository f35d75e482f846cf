//! The data map of an FCM message.
//!
//! Owns its rules: texts only, no reserved keys, 4096 bytes. Never knows what
//! the rest of the message looks like.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::limits::FCM_DATA_BYTES;
use crate::wake::{Fields, Wake};

/// Why FCM would refuse a data map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// `from`, `message_type`, or a key that begins with `google` or `gcm`.
    #[error("a data key is reserved by FCM")]
    ReservedKey,
    /// More than [`FCM_DATA_BYTES`] bytes of keys and values.
    #[error("data of {bytes} bytes exceeds FCM's 4096")]
    TooLarge {
        /// The bytes of all keys and values.
        bytes: usize,
    },
}

/// The data map of a message: within FCM's rules once it exists. `Debug`
/// hides the values.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Data(BTreeMap<String, String>);

impl Data {
    /// Checks keys and size.
    pub fn new(fields: BTreeMap<String, String>) -> Result<Self, DataError> {
        if fields.keys().any(|key| is_reserved(key)) {
            return Err(DataError::ReservedKey);
        }
        let data = Self(fields);
        match data.bytes() {
            0..=FCM_DATA_BYTES => Ok(data),
            bytes => Err(DataError::TooLarge { bytes }),
        }
    }

    /// The wake-up with its command, or without it when it does not fit.
    pub fn for_wake(wake: &Wake) -> Self {
        let owned = |fields: Fields| {
            fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
        };
        wake.inline()
            .and_then(|fields| Self::new(owned(fields)).ok())
            // No reserved key, and a stream name has 133 bytes at most.
            .unwrap_or_else(|| Self(owned(wake.hint())))
    }

    /// Bytes of all keys and values, as FCM counts them.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn is_reserved(key: &str) -> bool {
    matches!(key, "from" | "message_type") || key.starts_with("google") || key.starts_with("gcm")
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;
    use serde_json::value::RawValue;
    use tidegate_protocol::id::{CommandId, Seq, StreamName};
    use tidegate_protocol::time::Timestamp;

    use super::*;
    use crate::fcm::message::Notification;
    use crate::wake::WriteHealth;

    /// A wake-up whose command's value has `value_bytes` bytes and two quotes.
    pub(crate) fn wake(value_bytes: usize) -> Wake {
        let value = format!("\"{}\"", "x".repeat(value_bytes));
        Wake {
            stream: StreamName::parse("user:u1").unwrap(),
            seq: Seq::new(42),
            command: Some(WriteHealth {
                command_id: CommandId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap(),
                data_type: "weight".into(),
                value: RawValue::from_string(value).unwrap(),
                timestamp: Timestamp::from_millis(1_795_000_000_000),
                expires_at: Timestamp::from_millis(1_795_000_060_000),
            }),
        }
    }

    #[test]
    fn a_command_that_does_not_fit_becomes_a_hint() {
        let empty = Data::for_wake(&wake(0)).bytes();
        let largest = FCM_DATA_BYTES - empty;
        assert_eq!(Data::for_wake(&wake(largest)).bytes(), FCM_DATA_BYTES);
        let hint = serde_json::to_value(Data::for_wake(&wake(largest + 1))).unwrap();
        assert_eq!(hint, json!({"action": "sync", "stream": "user:u1", "seq": "42"}));
    }

    #[test]
    fn reserved_keys_and_too_much_data_are_refused() {
        let data = |key: &str, bytes: usize| {
            Data::new(BTreeMap::from([(key.to_owned(), "x".repeat(bytes))]))
                .map(|data| data.bytes())
        };
        for key in ["from", "message_type", "google.c.a", "gcm"] {
            assert_eq!(data(key, 1), Err(DataError::ReservedKey), "{key}");
        }
        assert_eq!(data("k", 4095), Ok(4096));
        assert_eq!(data("k", 4096), Err(DataError::TooLarge { bytes: 4097 }));
        let large = Notification::new("t".repeat(4000), "b".repeat(97), None, Data::default());
        assert_eq!(large.unwrap_err(), DataError::TooLarge { bytes: 4097 });
    }
}
