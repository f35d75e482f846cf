//! What a token endpoint's refusals mean.
//!
//! Google answers every fault of the assertion with 400 and tells them apart
//! only by `error_description`; the sentences are matched here and nowhere
//! else, and none of them is passed on.

use std::time::Duration;

use serde::Deserialize;

use crate::transport::{TransportError, safe_word};

/// Why there is no access token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OauthError {
    /// The endpoint refused the assertion; it will do so again.
    #[error("the token endpoint refused the service account: {0}")]
    Refused(Refusal),
    /// Success without an access token: the scope is not recognised.
    #[error("the token endpoint granted no access token; the scope is not recognised")]
    NoAccessToken,
    /// A fault or overload of the endpoint.
    #[error("the token endpoint answered HTTP {status}")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Success with an answer that makes no sense.
    #[error("the token endpoint's answer cannot be read")]
    InvalidAnswer,
    /// No answer.
    #[error("the token endpoint gave no answer: {0}")]
    Transport(#[from] TransportError),
    /// The private key does not sign.
    #[error("the assertion could not be signed")]
    Signing,
}

impl OauthError {
    /// Whether trying again is useless until an operator has changed
    /// something.
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::NoAccessToken | Self::Signing)
    }

    /// How long the endpoint asks to wait; zero when it does not say.
    pub fn retry_floor(&self) -> Duration {
        match self {
            Self::Unavailable { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}

/// What the endpoint finds wrong with an assertion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a JWT.
    #[error("the assertion cannot be decoded")]
    InvalidRequest,
    /// The key is not (or no longer) one of the account's.
    #[error("the signature is wrong; was the key deleted or replaced?")]
    Signature,
    /// No such account.
    #[error("there is no such account; was it deleted?")]
    UnknownAccount,
    /// `iat` is missing.
    #[error("the assertion has no `iat`")]
    NoIssuedAt,
    /// `exp` is missing.
    #[error("the assertion has no `exp`")]
    NoExpiry,
    /// `iat` and `exp` are not around Google's now.
    #[error("the assertion's time window is not accepted; is this machine's clock right?")]
    Window,
    /// No or a malformed scope.
    #[error("the scope is not accepted")]
    Scope,
    /// `aud` is not the endpoint.
    #[error("the audience is not accepted; is `token_uri` right?")]
    Audience,
    /// `invalid_client`.
    #[error("the client is not accepted")]
    InvalidClient,
    /// `disabled_client`.
    #[error("the account is disabled")]
    DisabledClient,
    /// `deleted_client`.
    #[error("the account is deleted")]
    DeletedClient,
    /// Something else.
    #[error("HTTP {status}, {}", .word.as_deref().unwrap_or("no known reason"))]
    Other {
        /// The HTTP status.
        status: u16,
        /// The `error` word, when it is one.
        word: Option<String>,
    },
}

#[derive(Default, Deserialize)]
struct ErrorBody {
    error: Option<String>,
    error_description: Option<String>,
}

/// Sorts an answer other than 200. Whatever asks to wait is not final.
pub fn classify(status: u16, retry_after: Option<Duration>, body: &[u8]) -> OauthError {
    if matches!(status, 406 | 408 | 429 | 500..) || retry_after.is_some() {
        return OauthError::Unavailable { status, retry_after };
    }
    let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
    let word = body.error.unwrap_or_default();
    let sentence = body.error_description.unwrap_or_default();
    OauthError::Refused(match word.as_str() {
        "invalid_request" => Refusal::InvalidRequest,
        "invalid_grant" => grant_refusal(&sentence)
            .unwrap_or_else(|| Refusal::Other { status, word: safe_word(&word) }),
        "invalid_scope" => Refusal::Scope,
        "invalid_client" => Refusal::InvalidClient,
        "disabled_client" => Refusal::DisabledClient,
        "deleted_client" => Refusal::DeletedClient,
        _ => Refusal::Other { status, word: safe_word(&word) },
    })
}

fn grant_refusal(sentence: &str) -> Option<Refusal> {
    [
        ("Invalid JWT Signature", Refusal::Signature),
        ("Invalid grant: account not found", Refusal::UnknownAccount),
        ("Invalid JWT: iat ", Refusal::NoIssuedAt),
        ("Invalid JWT: exp ", Refusal::NoExpiry),
        ("Invalid JWT: Token must be a short-lived token", Refusal::Window),
        ("Invalid JWT: Failed audience check", Refusal::Audience),
    ]
    .into_iter()
    .find_map(|(beginning, refusal)| sentence.starts_with(beginning).then_some(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_refusal_has_its_own_name() {
        for (word, sentence, expected) in [
            ("invalid_request", "Bad Request", Refusal::InvalidRequest),
            ("invalid_grant", "Invalid JWT Signature.", Refusal::Signature),
            ("invalid_grant", "Invalid grant: account not found", Refusal::UnknownAccount),
            ("invalid_grant", "Invalid JWT: iat (issued at) is not set.", Refusal::NoIssuedAt),
            ("invalid_grant", "Invalid JWT: exp (expiration time) is not set.", Refusal::NoExpiry),
            (
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable \
                 timeframe. Check your iat and exp values in the JWT claim.",
                Refusal::Window,
            ),
            ("invalid_scope", "Invalid OAuth scope or ID token audience provided.", Refusal::Scope),
            ("invalid_grant", "Invalid JWT: Failed audience check.", Refusal::Audience),
            ("invalid_client", "", Refusal::InvalidClient),
            ("disabled_client", "", Refusal::DisabledClient),
            ("deleted_client", "", Refusal::DeletedClient),
        ] {
            let body = format!(r#"{{"error":"{word}","error_description":"{sentence}"}}"#);
            let error = classify(400, None, body.as_bytes());
            assert_eq!(error, OauthError::Refused(expected));
            assert!(error.is_permanent());
        }
    }

    #[test]
    fn unknown_refusals_keep_their_word_only_if_it_is_one() {
        let other = |body: &str| classify(400, None, body.as_bytes());
        let named = |word: Option<&str>| {
            OauthError::Refused(Refusal::Other { status: 400, word: word.map(str::to_owned) })
        };
        assert_eq!(other(r#"{"error":"org_internal"}"#), named(Some("org_internal")));
        assert_eq!(other(r#"{"error":"invalid_grant"}"#), named(Some("invalid_grant")));
        assert_eq!(other(r#"{"error":"assertion=eyJhb was bad"}"#), named(None));
        assert_eq!(other("<html>"), named(None));
        assert_eq!(other(""), named(None));
    }

    #[test]
    fn faults_of_the_endpoint_are_not_the_accounts() {
        let wait = Some(Duration::from_secs(7));
        for status in [400, 401, 403, 406, 408, 429, 500, 502, 503] {
            let error = classify(status, wait, b"<html>");
            assert!(!error.is_permanent());
            assert_eq!(error.retry_floor(), Duration::from_secs(7));
        }
    }
}
