//! What FCM's refusals mean, and what to do about each.
//!
//! Owns the table from answer to [`FcmError`] and from there to [`Action`].
//! `details` of an answer may be missing, incomplete or in any order, so they
//! are searched. Sentences of the service are not passed on: they can quote
//! values of the message.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::limits::{BAD_GATEWAY_FLOOR, QUOTA_FLOOR};
use crate::oauth::error::OauthError;
use crate::outcome::{Action, Kind, Refusal};
use crate::reason::Reasons;
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
    /// FCM answered so.
    #[error(transparent)]
    Refused(#[from] Refusal<FcmRefusal>),
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

/// What FCM's refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FcmRefusal {
    /// The app is gone, or the token expired or was replaced.
    Unregistered,
    /// The token never was one.
    InvalidToken,
    /// The token belongs to another project.
    SenderIdMismatch,
    /// APNs or a web push service refuses what the project holds for it: a bad
    /// key, or one that does not fit this token.
    ThirdPartyAuth,
    /// A field of the message is wrong, or the message is too large.
    InvalidMessage,
    /// The access token is not accepted, not even a fresh one.
    Unauthenticated,
    /// The API is disabled, or the account lacks the role.
    PermissionDenied,
    /// Too many messages for the project, the device or the topic.
    QuotaExceeded,
    /// A fault or overload of FCM.
    Unavailable,
    /// Google's front end answered with its page for 502.
    BadGateway,
    /// A refusal that is not in the table, a 404 without FCM's code among
    /// them: a wrong address, or something in between.
    Other,
}

impl fmt::Display for FcmRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unregistered => "the token is not registered any more",
            Self::InvalidToken => "the token is not a valid FCM token",
            Self::SenderIdMismatch => "the token belongs to another project",
            Self::ThirdPartyAuth => "APNs or the web push service refuses the project's key",
            Self::InvalidMessage => "the message is invalid",
            Self::Unauthenticated => "the access token is not accepted",
            Self::PermissionDenied => "the project may not send",
            Self::QuotaExceeded => "the quota is used up",
            Self::Unavailable => "the service is not available",
            Self::BadGateway => "the front end cannot reach the service",
            Self::Other => "refused",
        })
    }
}

impl Kind for FcmRefusal {
    fn action(&self) -> Action {
        match self {
            Self::Unregistered | Self::InvalidToken => Action::TokenDead,
            Self::SenderIdMismatch => Action::TokenForeign,
            Self::ThirdPartyAuth => Action::PlatformRefused,
            Self::Unauthenticated | Self::PermissionDenied => Action::OperatorAlert,
            Self::InvalidMessage => Action::MessageInvalid,
            Self::QuotaExceeded => Action::RetryAfter { floor: QUOTA_FLOOR },
            Self::Unavailable => Action::RetryAfter { floor: Duration::ZERO },
            Self::BadGateway => Action::RetryAfter { floor: BAD_GATEWAY_FLOOR },
            Self::Other => Action::TokenRefused,
        }
    }
}

impl FcmError {
    /// Whether another access token may help.
    pub(crate) const fn is_unauthenticated(&self) -> bool {
        matches!(self, Self::Refused(refusal)
            if matches!(refusal.kind, FcmRefusal::Unauthenticated))
    }

    /// What to do about it.
    pub fn action(&self) -> Action {
        match self {
            Self::Refused(refusal) => refusal.action(),
            Self::Encoding => Action::MessageInvalid,
            Self::InvalidAnswer { .. } | Self::Transport(_) => {
                Action::RetryAfter { floor: Duration::ZERO }
            }
            Self::Oauth(error) if error.is_permanent() => Action::OperatorAlert,
            Self::Oauth(error) => Action::RetryAfter { floor: error.retry_floor() },
        }
    }
}

/// Sorts an answer other than 200, about a device's token (no part of which is
/// shown): by FCM's own code when there is one, by the HTTP status otherwise.
pub fn classify(
    status: u16,
    retry_after: Option<Duration>,
    headers: &HeaderMap,
    body: &[u8],
    token: &str,
) -> FcmError {
    let answer = Answer::parse(body);
    let kind = match answer.fcm_code() {
        Some("UNREGISTERED") => FcmRefusal::Unregistered,
        Some("SENDER_ID_MISMATCH") => FcmRefusal::SenderIdMismatch,
        Some("THIRD_PARTY_AUTH_ERROR") => FcmRefusal::ThirdPartyAuth,
        Some("INVALID_ARGUMENT") => answer.invalid_argument(),
        Some("QUOTA_EXCEEDED") => FcmRefusal::QuotaExceeded,
        Some("UNAVAILABLE" | "INTERNAL") => FcmRefusal::Unavailable,
        None | Some("UNSPECIFIED_ERROR") => match by_status(status, &answer) {
            Some(kind) => kind,
            None => return FcmError::InvalidAnswer { status },
        },
        // A code from the future is about this message, not about the
        // credentials, which are looked at before.
        Some(_) if matches!(status, 401 | 403) => FcmRefusal::Other,
        Some(_) => by_status(status, &answer).unwrap_or(FcmRefusal::Other),
    };
    let said = answer.said(Reasons::new(token)).headers(headers).text();
    FcmError::Refused(Refusal { kind, status, retry_after, said })
}

/// `None`: no refusal.
fn by_status(status: u16, answer: &Answer) -> Option<FcmRefusal> {
    Some(match status {
        400 | 413 => answer.invalid_argument(),
        401 => FcmRefusal::Unauthenticated,
        403 => FcmRefusal::PermissionDenied,
        406 | 429 => FcmRefusal::QuotaExceeded,
        502 if !answer.is_json() => FcmRefusal::BadGateway,
        408 | 500.. => FcmRefusal::Unavailable,
        200..300 => return None,
        // A 404 without FCM's code is a wrong address or project, not a dead
        // token: taking it for one would forget every device at once.
        _ => FcmRefusal::Other,
    })
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

    /// What the details tell beyond the kind: codes and words, no sentences.
    fn said<'a>(&self, mut said: Reasons<'a>) -> Reasons<'a> {
        if let Some(code) = self.fcm_code().and_then(safe_word) {
            said = said.add(&code);
        }
        for detail in self.details(APNS_ERROR) {
            if let Some(status) = detail.get("statusCode").and_then(Value::as_u64) {
                said = said.add(&format!("APNs {status}"));
            }
            if let Some(reason) = text(detail, "reason").and_then(safe_word) {
                said = said.add(&reason);
            }
        }
        for detail in self.details(ERROR_INFO) {
            if let Some(reason) = text(detail, "reason").and_then(safe_word) {
                said = said.add(&reason);
            }
        }
        match self.fields().next().and_then(safe_word) {
            Some(field) => said.add(&format!("at {field}")),
            None => said,
        }
    }

    /// The fields that are named as wrong.
    fn fields(&self) -> impl Iterator<Item = &str> {
        self.details(BAD_REQUEST)
            .filter_map(|detail| detail.get("fieldViolations")?.as_array())
            .flatten()
            .filter_map(|violation| text(violation, "field"))
    }

    /// The token is at fault only if FCM says so of the token; the field may
    /// be missing, then the one sentence that says it counts.
    fn invalid_argument(&self) -> FcmRefusal {
        let fields: Vec<&str> = self.fields().collect();
        let sentence = self.error().and_then(|error| text(error, "message")).unwrap_or_default();
        let is_token = fields.contains(&"message.token")
            || (fields.is_empty() && sentence.starts_with(NOT_A_TOKEN));
        if is_token { FcmRefusal::InvalidToken } else { FcmRefusal::InvalidMessage }
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

    fn answer(status: u16, retry_after: Option<Duration>, body: &[u8]) -> FcmError {
        classify(status, retry_after, &HeaderMap::new(), body, "token-of-device")
    }

    fn kind(error: FcmError) -> FcmRefusal {
        let FcmError::Refused(refusal) = error else { panic!("{error:?}") };
        refusal.kind
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
            (401, "THIRD_PARTY_AUTH_ERROR", None, Action::PlatformRefused),
            (400, "INVALID_ARGUMENT", None, Action::MessageInvalid),
            (429, "QUOTA_EXCEEDED", None, retry(60)),
            (429, "QUOTA_EXCEEDED", wait, retry(7)),
            (500, "INTERNAL", None, retry(0)),
            (503, "UNAVAILABLE", None, retry(0)),
            (503, "UNAVAILABLE", wait, retry(7)),
            (500, "UNSPECIFIED_ERROR", None, retry(0)),
            (401, "UNSPECIFIED_ERROR", None, Action::OperatorAlert),
            (401, "FROM_THE_FUTURE", None, Action::TokenRefused),
            (403, "FROM_THE_FUTURE", None, Action::TokenRefused),
            (404, "FROM_THE_FUTURE", None, Action::TokenRefused),
            (503, "FROM_THE_FUTURE", None, retry(0)),
            (401, "THIRD_PARTY_AUTH_ERROR", wait, retry(7)),
            (404, "UNREGISTERED", wait, retry(7)),
        ] {
            let error = answer(status, retry_after, &coded(code, ""));
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
            (404, r#"{"error":{"status":"NOT_FOUND"}}"#, Action::TokenRefused),
            (404, "<html>", Action::TokenRefused),
            (302, "", Action::TokenRefused),
            (406, "", retry(60)),
            (408, "", retry(0)),
            (429, "", retry(60)),
            (500, "[]", retry(0)),
            (502, "<!DOCTYPE html>", retry(30)),
            (502, "", retry(30)),
            (502, r#"{"error":{}}"#, retry(0)),
            (204, "", retry(0)),
        ] {
            assert_eq!(answer(status, None, body.as_bytes()).action(), expected, "{status} {body}");
        }
    }

    #[test]
    fn any_answer_that_asks_to_wait_is_waited_for() {
        let wait = Some(Duration::from_secs(7));
        for status in (300..600).filter(|status| *status != 304) {
            assert_eq!(answer(status, wait, b"").action(), retry(7), "{status}");
        }
    }

    #[test]
    fn an_invalid_argument_is_the_tokens_fault_only_if_it_says_so() {
        let error = |body: &[u8]| kind(answer(400, None, body));
        assert_eq!(
            error(&coded("INVALID_ARGUMENT", &violation("message.token"))),
            FcmRefusal::InvalidToken
        );
        let field = coded("INVALID_ARGUMENT", &violation("message.data[0].value"));
        assert_eq!(error(&field), FcmRefusal::InvalidMessage);
        assert!(answer(400, None, &field).to_string().ends_with(", at message.data[0].value"));
        let sentence = |before: &str| {
            let body = String::from_utf8(coded("INVALID_ARGUMENT", before)).unwrap();
            body.replace("\"message\":\"m\"", &format!("\"message\":\"{NOT_A_TOKEN}\""))
                .into_bytes()
        };
        assert_eq!(error(&sentence("")), FcmRefusal::InvalidToken);
        assert_eq!(
            error(&sentence(&violation("message.android"))),
            FcmRefusal::InvalidMessage,
            "a named field outweighs the sentence"
        );
    }

    #[test]
    fn details_of_any_shape_are_survived() {
        for details in ["null", "1", "{}", "[null,1,[],{}]", r#"[{"@type":3,"errorCode":[]}]"#] {
            let body = format!(r#"{{"error":{{"details":{details}}}}}"#);
            assert_eq!(answer(503, None, body.as_bytes()).action(), retry(0), "{details}");
        }
        assert_eq!(answer(503, None, "[".repeat(100_000).as_bytes()).action(), retry(0));
    }

    #[test]
    fn words_of_the_service_are_kept_only_if_they_are_words() {
        let apns = |reason: &str| {
            let detail =
                format!(r#"{{"@type":"{APNS_ERROR}","statusCode":403,"reason":"{reason}"}},"#);
            answer(401, None, &coded("THIRD_PARTY_AUTH_ERROR", &detail)).to_string()
        };
        let said = "THIRD_PARTY_AUTH_ERROR, APNs 403, InvalidProviderToken";
        assert!(apns("InvalidProviderToken").ends_with(said));
        assert!(apns("token secret-1 is bad").ends_with("APNs 403"));
        assert!(apns("token-of-device").ends_with("APNs 403, [hidden]"));
        let disabled = format!(
            r#"{{"error":{{"details":[{{"@type":"{ERROR_INFO}","reason":"SERVICE_DISABLED"}}]}}}}"#
        );
        let error = answer(403, None, disabled.as_bytes());
        assert!(error.to_string().ends_with("(HTTP 403): SERVICE_DISABLED"));
        assert_eq!(kind(error), FcmRefusal::PermissionDenied);
    }
}
