//! A service account: its key file, and the assertions signed with its key.
//!
//! Owns the private key and never shows it.

use std::fmt;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use tidegate_protocol::time::Timestamp;
use url::Url;

use crate::limits::ASSERTION_LIFE_S;
use crate::oauth::error::OauthError;

/// Why a key file is refused. Says which field, never its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Not a JSON object with the fields of a key file.
    #[error(
        "the credentials are no service account key file: JSON with `type`, `project_id`, \
         `private_key_id`, `private_key`, `client_email` and `token_uri` is expected"
    )]
    Shape,
    /// Some other kind of credentials.
    #[error("`type` in the credentials is not `service_account`")]
    Kind,
    /// No plain project id.
    #[error("`project_id` in the credentials is not a project id")]
    ProjectId,
    /// No web address.
    #[error("`token_uri` in the credentials is not an http or https address")]
    TokenUri,
    /// Not an RSA key in PEM, or one that cannot sign.
    #[error("`private_key` in the credentials is not a usable RSA key in PEM")]
    PrivateKey,
}

/// A Google service account and its private key.
#[derive(Clone)]
pub struct ServiceAccount {
    project_id: String,
    client_email: String,
    private_key_id: String,
    token_uri: Url,
    key: EncodingKey,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("project_id", &self.project_id)
            .field("client_email", &self.client_email)
            .field("private_key_id", &self.private_key_id)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct KeyFile {
    r#type: String,
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl ServiceAccount {
    /// Parses the JSON of a key file and signs once, so that a key that
    /// cannot sign is found at start and not with the first push.
    pub fn from_json(text: &str) -> Result<Self, KeyFileError> {
        // Serde's message may quote the value it met, so it is dropped.
        let file: KeyFile = serde_json::from_str(text).map_err(|_| KeyFileError::Shape)?;
        if file.r#type != "service_account" {
            return Err(KeyFileError::Kind);
        }
        if !is_project_id(&file.project_id) {
            return Err(KeyFileError::ProjectId);
        }
        let token_uri = Url::parse(&file.token_uri).map_err(|_| KeyFileError::TokenUri)?;
        if !matches!(token_uri.scheme(), "http" | "https") {
            return Err(KeyFileError::TokenUri);
        }
        let key = EncodingKey::from_rsa_pem(file.private_key.as_bytes())
            .map_err(|_| KeyFileError::PrivateKey)?;
        let account = Self {
            project_id: file.project_id,
            client_email: file.client_email,
            private_key_id: file.private_key_id,
            token_uri,
            key,
        };
        match account.assertion("", Timestamp::default()) {
            Ok(_) => Ok(account),
            Err(_) => Err(KeyFileError::PrivateKey),
        }
    }

    /// The Firebase project.
    pub fn project_id(&self) -> &str {
        &self.project_id
    }

    /// Where assertions are traded for tokens.
    pub fn token_uri(&self) -> &Url {
        &self.token_uri
    }

    /// The signed assertion for `scope`, valid for an hour from `now`. RS256
    /// is deterministic: the same input gives the same text.
    pub fn assertion(&self, scope: &str, now: Timestamp) -> Result<String, OauthError> {
        let issued_at = now.millis().div_euclid(1000);
        let claims = Claims {
            iss: &self.client_email,
            scope,
            aud: self.token_uri.as_str(),
            iat: issued_at,
            exp: issued_at + ASSERTION_LIFE_S,
        };
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.private_key_id.clone());
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| OauthError::Signing)
    }
}

/// Ids go into a path: letters, digits and what Google allows beside them
/// (`example.com:project` is an old form).
fn is_project_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(allowed) && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(replace: &str, with: &str) -> String {
        r#"{"type":"service_account","project_id":"demo","private_key_id":"k1",
            "private_key":"SECRET","client_email":"a@demo.iam.gserviceaccount.com",
            "token_uri":"https://oauth2.googleapis.com/token"}"#
            .replace(replace, with)
    }

    #[test]
    fn a_key_file_is_refused_field_by_field_without_its_values() {
        for (text, expected) in [
            ("SECRET".to_owned(), KeyFileError::Shape),
            (file("\"client_email\"", "\"mail\""), KeyFileError::Shape),
            (file("service_account", "authorized_user"), KeyFileError::Kind),
            (file("\"demo\"", "\"../other\""), KeyFileError::ProjectId),
            (file("https://oauth2", "ftp://oauth2"), KeyFileError::TokenUri),
            (file("https://oauth2.googleapis.com/token", "/token"), KeyFileError::TokenUri),
            (file("", ""), KeyFileError::PrivateKey),
        ] {
            let error = ServiceAccount::from_json(&text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("SECRET"));
        }
    }
}
