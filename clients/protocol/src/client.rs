//! Frames a client sends.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::command::{CommandResult, Platform, PushRegistration};
use crate::cursor::Cursors;
use crate::id::{DeviceId, StreamName};
use crate::json::{self, WrongField};

/// A frame with the `ref` that its answer echoes.
#[derive(Clone, Debug)]
pub struct ClientFrame {
    /// Echoed as it came; see [`parse`] for its bound.
    pub reference: Option<Box<RawValue>>,
    /// What the client says.
    pub body: ClientMessage,
}

/// What a client can say.
#[derive(Clone, Debug)]
pub enum ClientMessage {
    /// First frame, within 10 s.
    Hello(Box<Hello>),
    /// Cumulative acknowledgement.
    Ack(Ack),
    /// Outcomes of commands.
    Results(Results),
    /// Offline edits; answered `not_supported` until the gateway has them.
    Mutate,
    /// Follow more shared streams.
    Subscribe(Subscribe),
    /// Follow fewer.
    Unsubscribe(Subscribe),
    /// A new token for the same user.
    Auth(Auth),
    /// The answer to `ping`.
    Pong,
    /// A type this version does not know.
    Unknown,
}

/// Registers or refreshes the device and opens its streams.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Must be [`crate::VERSION`].
    pub protocol: u32,
    /// For clients that cannot set headers. With both, the user must agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Who connects.
    pub device: HelloDevice,
    /// What the device holds; absent and empty are the same.
    #[serde(default)]
    pub cursors: Cursors,
    /// Shared streams to follow; the user's own always comes.
    #[serde(default)]
    pub subscribe: Vec<StreamName>,
    /// Encodings the client can read, best first; unknown names are passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encodings: Vec<String>,
    /// Heartbeat interval wished, seconds; clamped to 10 ..= 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_s: Option<i64>,
}

/// The device part of [`Hello`]. Absent: unchanged. Null: removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HelloDevice {
    /// Client-made id of this app install.
    pub id: DeviceId,
    /// Its system.
    pub platform: Platform,
    /// A name a person recognises.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    pub name: Option<Option<String>>,
    /// The app's version.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    pub app_version: Option<Option<String>>,
    /// What commands it can carry out (`requires`). Null: none.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Option<Vec<String>>>,
    /// How it is woken. Null: not at all.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    pub push: Option<Option<PushRegistration>>,
    /// Whether data changes, not only commands, may wake it. Null: no.
    #[serde(default, with = "double_option", skip_serializing_if = "Option::is_none")]
    pub wants_delta_push: Option<Option<bool>>,
}

/// Cumulative acknowledgement. Lower positions, other epochs and streams not
/// subscribed are ignored. Delay it a little and let it cover what came
/// meanwhile: more than 100 frames a second close the session 4429.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ack {
    /// What the device now holds durably.
    pub cursors: Cursors,
}

/// Outcomes of commands, kept and resent until `results_ok`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// 0 to 100 of them.
    pub results: Vec<CommandResult>,
}

/// Streams to follow or to leave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subscribe {
    /// Shared streams.
    pub streams: Vec<StreamName>,
    /// With `subscribe`: what the device holds of them.
    #[serde(default)]
    pub cursors: Cursors,
}

/// A new token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Auth {
    /// The token.
    pub token: String,
}

/// Why a frame could not be read. The gateway closes 4400 with the matching
/// reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a JSON object, nested too deep, or with U+0000.
    #[error("not an acceptable JSON object")]
    InvalidJson,
    /// No text field `type`.
    #[error("no `type`")]
    MissingType,
    /// A field is missing or mistyped.
    #[error("a field is missing or has the wrong type: {0}")]
    InvalidField(WrongField),
    /// `hello.protocol` names a version that this one is not.
    #[error("the protocol version is not supported")]
    UnsupportedProtocol,
}

/// Longest `ref` echoed, in bytes of JSON.
pub const REFERENCE_BYTES: usize = 128;

/// Reads one frame. Total: any text gives a frame or an error.
pub fn parse(text: &str) -> Result<ClientFrame, ParseError> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow, rename = "type")]
        frame_type: Option<&'a RawValue>,
        #[serde(rename = "ref")]
        reference: Option<Box<RawValue>>,
    }
    json::check(text).map_err(|_| ParseError::InvalidJson)?;
    // A list would be taken for an object by its members' order.
    if !text.trim_start().starts_with('{') {
        return Err(ParseError::InvalidJson);
    }
    let head: Head<'_> = serde_json::from_str(text).map_err(|_| ParseError::InvalidJson)?;
    let frame_type = head.frame_type.ok_or(ParseError::MissingType)?;
    let frame_type: String =
        serde_json::from_str(frame_type.get()).map_err(|_| ParseError::MissingType)?;
    if head.reference.as_ref().is_some_and(|reference| reference.get().len() > REFERENCE_BYTES) {
        return Err(ParseError::InvalidField(WrongField {
            field: "ref".to_owned(),
            reason: format!("at most {REFERENCE_BYTES} bytes"),
        }));
    }
    let body = match frame_type.as_str() {
        "hello" => {
            check_version(text)?;
            ClientMessage::Hello(Box::new(body(text)?))
        }
        "ack" => ClientMessage::Ack(body(text)?),
        "results" => ClientMessage::Results(body(text)?),
        "mutate" => ClientMessage::Mutate,
        "subscribe" => ClientMessage::Subscribe(body(text)?),
        "unsubscribe" => ClientMessage::Unsubscribe(body(text)?),
        "auth" => ClientMessage::Auth(body(text)?),
        "pong" => ClientMessage::Pong,
        _ => ClientMessage::Unknown,
    };
    Ok(ClientFrame { reference: head.reference, body })
}

/// The version goes first: another one may mean other fields.
fn check_version(text: &str) -> Result<(), ParseError> {
    #[derive(Deserialize)]
    struct Version {
        protocol: u64,
    }
    match body::<Version>(text)?.protocol {
        version if version == u64::from(crate::VERSION) => Ok(()),
        _ => Err(ParseError::UnsupportedProtocol),
    }
}

fn body<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ParseError> {
    json::read(text).map_err(ParseError::InvalidField)
}

/// Writes a frame: `body` with its `type`, and `ref` where there is one.
pub fn write<T: Serialize>(frame_type: &str, reference: Option<&str>, body: &T) -> String {
    #[derive(Serialize)]
    struct Typed<'a, T> {
        #[serde(rename = "type")]
        frame_type: &'a str,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        #[serde(flatten)]
        body: &'a T,
    }
    serde_json::to_string(&Typed { frame_type, reference, body })
        .expect("frame bodies are structs with text keys")
}

/// Tells an absent field from a null one.
pub mod double_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Null becomes `Some(None)`; absence is left to `#[serde(default)]`.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Option::deserialize(deserializer).map(Some)
    }

    /// Writes the inner option.
    pub fn serialize<T, S>(value: &Option<Option<T>>, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize,
        S: Serializer,
    {
        value.as_ref().and_then(Option::as_ref).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_absent_null_and_given_differ() {
        let hello = |push: &str| {
            let text = format!(
                r#"{{"type":"hello","protocol":1,"device":{{"id":"6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11","platform":"ios"{push}}}}}"#
            );
            match parse(&text).unwrap().body {
                ClientMessage::Hello(hello) => hello.device.push,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(hello(""), None);
        assert_eq!(hello(r#","push":null"#), Some(None));
        let given = hello(r#","push":{"provider":"fcm","token":"t"}"#);
        assert_eq!(given.unwrap().unwrap().token, "t");
    }

    #[test]
    fn rubbish_has_a_named_error() {
        for (text, error) in [
            ("", ParseError::InvalidJson),
            ("[]", ParseError::InvalidJson),
            ("{\"a\":\"\\u0000\"}", ParseError::InvalidJson),
            ("{}", ParseError::MissingType),
            (r#"{"type":7}"#, ParseError::MissingType),
            (r#"{"type":null}"#, ParseError::MissingType),
        ] {
            assert_eq!(parse(text).unwrap_err(), error, "{text}");
        }
        assert!(matches!(parse(r#"{"type":"ack"}"#), Err(ParseError::InvalidField(_))));
        assert!(matches!(parse(r#"{"type":"dance"}"#).unwrap().body, ClientMessage::Unknown));
    }
}
