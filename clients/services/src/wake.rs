//! What a wake-up says, whichever push service carries it.
//!
//! Owns the fields a device's push handler reads. It never knows how a
//! service wraps them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;
use tidegate_protocol::command::Priority;
use tidegate_protocol::id::{CommandId, Seq, StreamName};
use tidegate_protocol::time::Timestamp;

use crate::limits::TTL_MAX_S;

/// Name under which wake-ups replace one another: FCM's collapse key, the
/// collapse id of APNs and the `Topic` of Web Push.
pub const COLLAPSE_KEY: &str = "sync";

/// The fields of a wake-up. Every value is a text, for FCM takes no other.
pub type Fields = BTreeMap<&'static str, String>;

/// Something waits for the device in a stream.
#[derive(Clone, Debug)]
pub struct Wake {
    /// The stream; a handler whose signed-in user differs drops the message.
    pub stream: StreamName,
    /// The stream's head when the wake-up was made.
    pub seq: Seq,
    /// The command itself, when exactly one waits and values may pass through
    /// push services (`push.inline`).
    pub command: Option<WriteHealth>,
}

/// A write command that travels inside the wake-up.
#[derive(Clone)]
pub struct WriteHealth {
    /// The command; makes a repeated delivery harmless.
    pub command_id: CommandId,
    /// What kind of value.
    pub data_type: String,
    /// The value, as JSON text.
    pub value: Box<RawValue>,
    /// When the command was made.
    pub timestamp: Timestamp,
    /// After this it must not be executed.
    pub expires_at: Timestamp,
}

impl fmt::Debug for WriteHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value is health data.
        f.debug_struct("WriteHealth").field("command_id", &self.command_id).finish_non_exhaustive()
    }
}

impl Wake {
    /// The fields that carry the command, when there is one.
    pub fn inline(&self) -> Option<Fields> {
        let command = self.command.as_ref()?;
        Some(Fields::from([
            ("action", "write_health".to_owned()),
            ("stream", self.stream.to_string()),
            ("command_id", command.command_id.to_string()),
            ("data_type", command.data_type.clone()),
            ("value", command.value.get().to_owned()),
            ("timestamp", command.timestamp.to_string()),
            ("expires_at", command.expires_at.to_string()),
        ]))
    }

    /// The fields that only say where to look.
    pub fn hint(&self) -> Fields {
        Fields::from([
            ("action", "sync".to_owned()),
            ("stream", self.stream.to_string()),
            ("seq", self.seq.to_string()),
        ])
    }
}

/// How urgent a push is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Wakes a dozing device.
    High,
    /// Waits for the device's next maintenance window. For low commands and
    /// for deltas: Android throttles apps that wake devices without showing
    /// anything.
    Normal,
}

impl Urgency {
    /// The urgency of a command's wake-up.
    pub const fn of_command(priority: Priority) -> Self {
        match priority {
            Priority::High | Priority::Normal => Self::High,
            Priority::Low => Self::Normal,
        }
    }
}

/// How long a push service keeps a message for a device that is away, in
/// seconds: 0 (now or never) to [`TTL_MAX_S`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl(u32);

impl Ttl {
    /// From seconds; more than [`TTL_MAX_S`] counts as that.
    pub const fn seconds(seconds: u32) -> Self {
        Self(if seconds > TTL_MAX_S { TTL_MAX_S } else { seconds })
    }

    /// The whole seconds from `now` until `expires_at`.
    pub fn until(expires_at: Timestamp, now: Timestamp) -> Self {
        let left_s = expires_at.millis().saturating_sub(now.millis()).max(0) / 1000;
        Self::seconds(u32::try_from(left_s).unwrap_or(TTL_MAX_S))
    }

    /// The seconds.
    pub const fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_life_of_a_message_is_what_remains_and_at_most_four_weeks() {
        let at = Timestamp::from_millis;
        assert_eq!(Ttl::until(at(61_999), at(1_000)).get(), 60);
        assert_eq!(Ttl::until(at(1_000), at(61_999)).get(), 0);
        assert_eq!(Ttl::until(at(i64::MAX), at(0)).get(), TTL_MAX_S);
        assert_eq!(Ttl::seconds(u32::MAX).get(), TTL_MAX_S);
    }

    #[test]
    fn only_low_commands_wait_for_a_maintenance_window() {
        assert_eq!(Urgency::of_command(Priority::High), Urgency::High);
        assert_eq!(Urgency::of_command(Priority::Normal), Urgency::High);
        assert_eq!(Urgency::of_command(Priority::Low), Urgency::Normal);
    }

    #[test]
    fn debug_output_hides_the_value() {
        let wake = Wake {
            stream: StreamName::parse("user:u1").unwrap(),
            seq: Seq::new(7),
            command: Some(WriteHealth {
                command_id: CommandId::generate(),
                data_type: "weight".into(),
                value: RawValue::from_string("{\"kg\":71.5}".into()).unwrap(),
                timestamp: Timestamp::default(),
                expires_at: Timestamp::default(),
            }),
        };
        assert!(!format!("{wake:?}").contains("71.5"));
    }
}
