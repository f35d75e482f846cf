//! What FCM's refusals mean, and what to do about each.
//!
//! Owns the table from answer to [`FcmError`] and from there to [`Action`].
//! `details` of an answer may be missing, incomplete or in any order, so they
//! are searched. Sentences of the service are not passed on: they can quote
//! values of the message.

use std::time::Duration;

use serde_json::Value;

use crate::limits::{BAD_GATEWAY_FLOOR, QUOTA_FLOOR};
use crate::oauth::error::OauthError;
use crate::outcome::Action;
use crate::transport::{TransportError, safe_word};

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const APNS_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.ApnsError";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// FCM's other way to refuse a token, without naming the field.
const NOT_A_TOKEN: &str = "The registration token is not a valid FCM registration token";

/// Why FCM did not take a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FcmError {
    /// The app is gone, or the token expired or was replaced.
    #[error("the token is not registered any more")]
    Unregistered,
    /// The token never was one.
    #[error("the token is not a valid FCM token")]
    InvalidToken,
    /// The token belongs to another project.
    #[error("the token belongs to another project")]
    SenderIdMismatch,
    /// The APNs or Web Push key that the project holds is bad.
    #[error("APNs or the web push service refuses the project's key{}", apns_text(.apns.as_ref()))]
    ThirdPartyAuth {
        /// What APNs said, when it said so.
        apns: Option<ApnsRefusal>,
    },
    /// A field of the message is wrong, or the message is too large.
    #[error("the message is invalid{}", field_text(.field.as_deref()))]
    InvalidMessage {
        /// The field at fault, when FCM names it.
        field: Option<String>,
    },
    /// The access token is not accepted, not even a fresh one.
    #[error("the access token is not accepted")]
    Unauthenticated,
    /// The API is disabled, or the account lacks the role.
    #[error("the project may not send{}", reason_text(.reason.as_deref()))]
    PermissionDenied {
        /// Google's word for it, such as `SERVICE_DISABLED`.
        reason: Option<String>,
    },
    /// Too many messages for the project, the device or the topic.
    #[error("the quota is used up")]
    QuotaExceeded {
        /// How long FCM asks to wait.
        retry_after: Option<Duration>,
    },
    /// A fault or overload of FCM.
    #[error("the service is not available (HTTP {status})")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// How long FCM asks to wait.
        retry_after: Option<Duration>,
    },
    /// Google's front end answered with its page for 502.
    #[error("the front end answered 502")]
    BadGateway {
        /// How long it asks to wait, in a header.
        retry_after: Option<Duration>,
    },
    /// A refusal that is not in the table: a wrong address, most likely.
    #[error("refused with HTTP {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// Success, but the answer cannot be read; the message was likely taken.
    #[error("the answer (HTTP {status}) cannot be read")]
    InvalidAnswer {
        /// The HTTP status.
        status: u16,
    },
    /// No answer; the message may have been taken.
    #[error("no answer: {0}")]
    Transport(#[from] TransportError),
    /// No access token.
    #[error("no access token: {0}")]
    Oauth(#[from] OauthError),
    /// The message could not be written as JSON.
    #[error("the message could not be encoded")]
    Encoding,
}

/// What APNs said to FCM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApnsRefusal {
    /// The status of APNs.
    pub status: Option<u16>,
    /// Its word, such as `InvalidProviderToken`.
    pub reason: Option<String>,
}

fn apns_text(apns: Option<&ApnsRefusal>) -> String {
    apns.and_then(|apns| apns.reason.as_deref()).map_or_else(String::new, |r| format!(": {r}"))
}

fn field_text(field: Option<&str>) -> String {
    field.map_or_else(String::new, |field| format!(" at `{field}`"))
}

fn reason_text(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

impl FcmError {
    /// What to do about it.
    pub fn action(&self) -> Action {
        let retry = |wait: Option<Duration>, least: Duration| {
            // The service's own word wins over our default, downwards too.
            Action::RetryAfter { floor: wait.unwrap_or(least) }
        };
        match self {
            Self::Unregistered | Self::InvalidToken => Action::TokenDead,
            Self::SenderIdMismatch => Action::TokenForeign,
            Self::ThirdPartyAuth { .. }
            | Self::Unauthenticated
            | Self::PermissionDenied { .. }
            | Self::Refused { .. } => Action::OperatorAlert,
            Self::InvalidMessage { .. } | Self::Encoding => Action::MessageInvalid,
            Self::QuotaExceeded { retry_after } => retry(*retry_after, QUOTA_FLOOR),
            Self::Unavailable { retry_after, .. } => retry(*retry_after, Duration::ZERO),
            Self::BadGateway { retry_after } => retry(*retry_after, BAD_GATEWAY_FLOOR),
            Self::InvalidAnswer { .. } | Self::Transport(_) => retry(None, Duration::ZERO),
            Self::Oauth(error) if error.is_permanent() => Action::OperatorAlert,
            Self::Oauth(error) => Action::RetryAfter { floor: error.retry_floor() },
        }
    }
}

/// Sorts an answer other than 200: by FCM's own code when there is one, by
/// the HTTP status otherwise.
pub fn classify(status: u16, retry_after: Option<Duration>, body: &[u8]) -> FcmError {
    let answer = Answer::parse(body);
    match answer.fcm_code() {
        Some("UNREGISTERED") => FcmError::Unregistered,
        Some("SENDER_ID_MISMATCH") => FcmError::SenderIdMismatch,
        Some("THIRD_PARTY_AUTH_ERROR") => FcmError::ThirdPartyAuth { apns: answer.apns() },
        Some("INVALID_ARGUMENT") => answer.invalid_argument(),
        Some("QUOTA_EXCEEDED") => FcmError::QuotaExceeded { retry_after },
        Some("UNAVAILABLE" | "INTERNAL") => FcmError::Unavailable { status, retry_after },
        // No code, UNSPECIFIED_ERROR, or one from the future.
        _ => by_status(status, retry_after, &answer),
    }
}

fn by_status(status: u16, retry_after: Option<Duration>, answer: &Answer) -> FcmError {
    match status {
        400 | 413 => answer.invalid_argument(),
        401 => FcmError::Unauthenticated,
        403 => FcmError::PermissionDenied { reason: answer.error_info() },
        429 => FcmError::QuotaExceeded { retry_after },
        502 if !answer.is_json() => FcmError::BadGateway { retry_after },
        408 | 500.. => FcmError::Unavailable { status, retry_after },
        200..300 => FcmError::InvalidAnswer { status },
        // A 404 without FCM's code is a wrong address or project, not a dead
        // token: taking it for one would forget every device at once.
        _ => FcmError::Refused { status },
    }
}

/// The `error` object of an answer; `Null` when there is none.
struct Answer(Option<Value>);

impl Answer {
    fn parse(body: &[u8]) -> Self {
        Self(serde_json::from_slice(body).ok())
    }

    fn is_json(&self) -> bool {
        self.0.is_some()
    }

    fn error(&self) -> Option<&Value> {
        self.0.as_ref()?.get("error")
    }

    fn details<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let details = self.error().and_then(|error| error.get("details"));
        let details = details.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        details.iter().filter(move |detail| text(detail, "@type") == Some(kind))
    }

    fn fcm_code(&self) -> Option<&str> {
        self.details(FCM_ERROR).find_map(|detail| text(detail, "errorCode"))
    }

    fn apns(&self) -> Option<ApnsRefusal> {
        let detail = self.details(APNS_ERROR).next()?;
        let status = detail.get("statusCode").and_then(Value::as_u64);
        Some(ApnsRefusal {
            status: status.and_then(|status| u16::try_from(status).ok()),
            reason: text(detail, "reason").and_then(safe_word),
        })
    }

    fn error_info(&self) -> Option<String> {
        self.details(ERROR_INFO).find_map(|detail| text(detail, "reason").and_then(safe_word))
    }

    /// The token is at fault only if FCM says so of the token; the field may
    /// be missing, then the one sentence that says it counts.
    fn invalid_argument(&self) -> FcmError {
        let fields: Vec<&str> = self
            .details(BAD_REQUEST)
            .filter_map(|detail| detail.get("fieldViolations")?.as_array())
            .flatten()
            .filter_map(|violation| text(violation, "field"))
            .collect();
        let sentence = self.error().and_then(|error| text(error, "message")).unwrap_or_default();
        if fields.contains(&"message.token")
            || (fields.is_empty() && sentence.starts_with(NOT_A_TOKEN))
        {
            return FcmError::InvalidToken;
        }
        FcmError::InvalidMessage { field: fields.first().and_then(|field| safe_word(field)) }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with FCM's code, and optionally one more detail before it:
    /// the order differs between real answers.
    fn coded(code: &str, before: &str) -> Vec<u8> {
        format!(
            r#"{{"error":{{"code":0,"message":"m","status":"S","details":[{before}
               {{"@type":"{FCM_ERROR}","errorCode":"{code}"}}]}}}}"#
        )
        .into_bytes()
    }

    fn violation(field: &str) -> String {
        format!(
            r#"{{"@type":"{BAD_REQUEST}","fieldViolations":
               [{{"field":"{field}","description":"d"}}]}},"#
        )
    }

    fn retry(seconds: u64) -> Action {
        Action::RetryAfter { floor: Duration::from_secs(seconds) }
    }

    #[test]
    fn every_code_has_its_action() {
        let wait = Some(Duration::from_secs(7));
        for (status, code, retry_after, expected) in [
            (404, "UNREGISTERED", None, Action::TokenDead),
            (403, "SENDER_ID_MISMATCH", None, Action::TokenForeign),
            (401, "THIRD_PARTY_AUTH_ERROR", None, Action::OperatorAlert),
            (400, "INVALID_ARGUMENT", None, Action::MessageInvalid),
            (429, "QUOTA_EXCEEDED", None, retry(60)),
            (429, "QUOTA_EXCEEDED", wait, retry(7)),
            (500, "INTERNAL", None, retry(0)),
            (503, "UNAVAILABLE", None, retry(0)),
            (503, "UNAVAILABLE", wait, retry(7)),
            (500, "UNSPECIFIED_ERROR", None, retry(0)),
            (403, "FROM_THE_FUTURE", None, Action::OperatorAlert),
        ] {
            let error = classify(status, retry_after, &coded(code, ""));
            assert_eq!(error.action(), expected, "{status} {code}");
        }
    }

    #[test]
    fn without_a_code_the_status_decides() {
        for (status, body, expected) in [
            (400, "", Action::MessageInvalid),
            (
                400,
                r#"{"error":{"message":"Request contains an invalid argument."}}"#,
                Action::MessageInvalid,
            ),
            (401, "", Action::OperatorAlert),
            (403, r#"{"error":{"details":[]}}"#, Action::OperatorAlert),
            (404, r#"{"error":{"status":"NOT_FOUND"}}"#, Action::OperatorAlert),
            (404, "<html>", Action::OperatorAlert),
            (302, "", Action::OperatorAlert),
            (408, "", retry(0)),
            (429, "", retry(60)),
            (500, "[]", retry(0)),
            (502, "<!DOCTYPE html>", retry(30)),
            (502, "", retry(30)),
            (502, r#"{"error":{}}"#, retry(0)),
            (204, "", retry(0)),
        ] {
            assert_eq!(
                classify(status, None, body.as_bytes()).action(),
                expected,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn an_invalid_argument_is_the_tokens_fault_only_if_it_says_so() {
        let error = |body: &[u8]| classify(400, None, body);
        assert_eq!(
            error(&coded("INVALID_ARGUMENT", &violation("message.token"))),
            FcmError::InvalidToken
        );
        assert_eq!(
            error(&coded("INVALID_ARGUMENT", &violation("message.data[0].value"))),
            FcmError::InvalidMessage { field: Some("message.data[0].value".into()) }
        );
        let sentence = |before: &str| {
            let body = String::from_utf8(coded("INVALID_ARGUMENT", before)).unwrap();
            body.replace("\"message\":\"m\"", &format!("\"message\":\"{NOT_A_TOKEN}\""))
                .into_bytes()
        };
        assert_eq!(error(&sentence("")), FcmError::InvalidToken);
        assert_eq!(
            error(&sentence(&violation("message.android"))),
            FcmError::InvalidMessage { field: Some("message.android".into()) },
            "a named field outweighs the sentence"
        );
    }

    #[test]
    fn details_of_any_shape_are_survived() {
        for details in ["null", "1", "{}", "[null,1,[],{}]", r#"[{"@type":3,"errorCode":[]}]"#] {
            let body = format!(r#"{{"error":{{"details":{details}}}}}"#);
            assert_eq!(classify(503, None, body.as_bytes()).action(), retry(0), "{details}");
        }
        assert_eq!(classify(503, None, "[".repeat(100_000).as_bytes()).action(), retry(0));
    }

    #[test]
    fn words_of_the_service_are_kept_only_if_they_are_words() {
        let apns = |reason: &str| {
            let detail =
                format!(r#"{{"@type":"{APNS_ERROR}","statusCode":403,"reason":"{reason}"}},"#);
            classify(401, None, &coded("THIRD_PARTY_AUTH_ERROR", &detail)).to_string()
        };
        assert!(apns("InvalidProviderToken").ends_with("key: InvalidProviderToken"));
        assert!(apns("token secret-1 is bad").ends_with("key"));
        let disabled = format!(
            r#"{{"error":{{"details":[{{"@type":"{ERROR_INFO}","reason":"SERVICE_DISABLED"}}]}}}}"#
        );
        let reason = Some("SERVICE_DISABLED".to_owned());
        assert_eq!(classify(403, None, disabled.as_bytes()), FcmError::PermissionDenied { reason });
    }
}
