//! The three generations of the marketplace's HTTP contract.
//!
//! Owns paths, headers and default addresses. No server is public, and its
//! documents disagree, so which one is spoken is a setting:
//! - A: the client of Atom's phases 60 and 61 (February 2026),
//! - B: the `Atom SaaS` marketplace requirements v1.0.0,
//! - C: the client at the head of Atom's repository.

use std::fmt;
use std::fmt::Write;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::transport::ClientError;

/// A generation of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Contract {
    /// `/marketplace/…` with a bearer token; has no health report.
    #[serde(rename = "a", alias = "A")]
    A,
    /// `/api/v1/…` with a bearer token; the requirements.
    #[default]
    #[serde(rename = "b", alias = "B")]
    B,
    /// `/skills/marketplace/…` with a federation key and an instance id.
    #[serde(rename = "c", alias = "C")]
    C,
}

impl Contract {
    /// The setting's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
        }
    }

    /// Where this generation is served when nothing else is configured.
    pub const fn default_base_url(self) -> &'static str {
        match self {
            Self::A => "http://localhost:5058/api",
            Self::B => "https://api.atomsaas.com",
            Self::C => "https://atomagentos.com/api/v1/marketplace",
        }
    }

    /// Its socket, where one is documented.
    pub const fn default_ws_url(self) -> Option<&'static str> {
        match self {
            Self::A => Some("ws://localhost:5058/api/ws/satellite/connect"),
            Self::B => Some("wss://api.atomsaas.com/ws"),
            Self::C => None,
        }
    }

    /// The path of an operation, below the base address; `None` where the
    /// generation has none.
    pub(crate) fn path(self, operation: Operation<'_>) -> Option<String> {
        let prefix = match self {
            Self::A => "/marketplace",
            Self::B => "/api/v1",
            Self::C => "/skills/marketplace",
        };
        Some(match operation {
            Operation::Skills => format!("{prefix}/skills"),
            Operation::Skill(id) => format!("{prefix}/skills/{}", Segment(id)),
            Operation::Categories => format!("{prefix}/categories"),
            Operation::Rate(_) if self == Self::B => format!("{prefix}/ratings"),
            Operation::Rate(id) => format!("{prefix}/skills/{}/rate", Segment(id)),
            Operation::Health if self == Self::A => return None,
            Operation::Health => "/health".to_owned(),
        })
    }

    /// The address of an operation.
    pub(crate) fn url(self, base: &Url, operation: Operation<'_>) -> Option<Url> {
        let path = self.path(operation)?;
        let mut url = base.clone();
        url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    }

    /// The headers that say who asks, over HTTP. `instance_id`: the first half
    /// of the token's SHA-256 when missing, as Atom's own client does.
    pub(crate) fn headers(
        self,
        token: &str,
        instance_id: Option<&str>,
    ) -> Result<HeaderMap, ClientError> {
        let mut headers = HeaderMap::new();
        match self {
            Self::A | Self::B => {
                headers.insert(AUTHORIZATION, secret(&format!("Bearer {}", graphic(token)?))?);
            }
            Self::C => {
                let token_value = secret(graphic(token)?)?;
                headers.insert(HeaderName::from_static("x-api-token"), token_value.clone());
                headers.insert(HeaderName::from_static("x-federation-key"), token_value);
                let instance_id = match instance_id {
                    Some(id) => HeaderValue::from_str(id)
                        .ok()
                        .filter(|value| !value.is_empty() && value.to_str().is_ok()),
                    None => HeaderValue::from_str(&fingerprint(token)).ok(),
                };
                let instance_id = instance_id.ok_or(ClientError::Header("the instance id"))?;
                headers.insert(HeaderName::from_static("x-instance-id"), instance_id);
            }
        }
        Ok(headers)
    }

    /// The same for the socket's handshake: A and B carry the token in the
    /// address alone.
    pub(crate) fn socket_headers(
        self,
        token: &str,
        instance_id: Option<&str>,
    ) -> Result<HeaderMap, ClientError> {
        match self {
            Self::A | Self::B => Ok(HeaderMap::new()),
            Self::C => self.headers(token, instance_id),
        }
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not the name of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a generation of the marketplace's contract: a, b or c")]
pub struct UnknownContract;

impl FromStr for Contract {
    type Err = UnknownContract;

    fn from_str(text: &str) -> Result<Self, UnknownContract> {
        match text {
            "a" | "A" => Ok(Self::A),
            "b" | "B" => Ok(Self::B),
            "c" | "C" => Ok(Self::C),
            _ => Err(UnknownContract),
        }
    }
}

/// What can be asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation<'a> {
    Skills,
    Skill(&'a str),
    Categories,
    Rate(&'a str),
    Health,
}

/// An id as one segment of a path: all but the unreserved characters of
/// RFC 3986 are escaped. `.` and `..` must not come here.
struct Segment<'a>(&'a str);

impl fmt::Display for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

fn graphic(token: &str) -> Result<&str, ClientError> {
    let usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if usable { Ok(token) } else { Err(ClientError::Header("the marketplace's token")) }
}

fn secret(value: &str) -> Result<HeaderValue, ClientError> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| ClientError::Header("the marketplace's token"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn fingerprint(token: &str) -> String {
    let mut hex = String::new();
    for byte in &digest(&SHA256, token.as_bytes()).as_ref()[..16] {
        hex.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or_default());
        hex.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or_default());
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generation_has_its_paths() {
        let paths = |contract: Contract| {
            [
                Operation::Skills,
                Operation::Skill("a/b c%é"),
                Operation::Categories,
                Operation::Rate("s-1"),
                Operation::Health,
            ]
            .map(|operation| {
                let base = Url::parse("https://h:1/base/?x=1#y").unwrap();
                contract.url(&base, operation).map(|url| url.to_string())
            })
        };
        let full = |paths: [&str; 5]| {
            paths.map(|path| Some(format!("https://h:1/base{path}")).filter(|_| !path.is_empty()))
        };
        assert_eq!(
            paths(Contract::A),
            full([
                "/marketplace/skills",
                "/marketplace/skills/a%2Fb%20c%25%C3%A9",
                "/marketplace/categories",
                "/marketplace/skills/s-1/rate",
                "",
            ])
        );
        assert_eq!(
            paths(Contract::B),
            full([
                "/api/v1/skills",
                "/api/v1/skills/a%2Fb%20c%25%C3%A9",
                "/api/v1/categories",
                "/api/v1/ratings",
                "/health",
            ])
        );
        assert_eq!(
            paths(Contract::C),
            full([
                "/skills/marketplace/skills",
                "/skills/marketplace/skills/a%2Fb%20c%25%C3%A9",
                "/skills/marketplace/categories",
                "/skills/marketplace/skills/s-1/rate",
                "/health",
            ])
        );
    }

    #[test]
    fn every_generation_says_who_asks() {
        let text = |headers: &HeaderMap, name: &str| {
            headers.get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        for contract in [Contract::A, Contract::B] {
            let headers = contract.headers("secret", Some("i")).unwrap();
            assert_eq!(text(&headers, "authorization").as_deref(), Some("Bearer secret"));
            assert_eq!(headers.len(), 1);
            assert!(contract.socket_headers("secret", None).unwrap().is_empty());
        }
        let headers = Contract::C.headers("secret", None).unwrap();
        assert_eq!(text(&headers, "x-api-token").as_deref(), Some("secret"));
        assert_eq!(text(&headers, "x-federation-key").as_deref(), Some("secret"));
        // sha256("secret") = 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6…
        let half = "2bb80d537b1da3e38bd30361aa855686";
        assert_eq!(text(&headers, "x-instance-id").as_deref(), Some(half));
        let named = Contract::C.socket_headers("secret", Some("instance-1")).unwrap();
        assert_eq!(text(&named, "x-instance-id").as_deref(), Some("instance-1"));
        assert!(!format!("{headers:?}").contains("\"secret\""), "marked as sensitive");
    }

    #[test]
    fn tokens_that_cannot_stand_in_a_header_are_refused() {
        for contract in [Contract::A, Contract::B, Contract::C] {
            for token in ["", "a b", "a\nb", "é"] {
                assert!(contract.headers(token, None).is_err(), "{token:?}");
            }
        }
        assert!(Contract::C.headers("secret", Some("")).is_err());
        assert!(Contract::C.headers("secret", Some("a\nb")).is_err());
    }

    #[test]
    fn generations_are_named_by_a_letter() {
        assert_eq!(Contract::default(), Contract::B);
        for contract in [Contract::A, Contract::B, Contract::C] {
            assert_eq!(contract.as_str().parse(), Ok(contract));
            assert_eq!(contract.as_str().to_uppercase().parse(), Ok(contract));
            let json = serde_json::to_string(&contract).unwrap();
            assert_eq!(json, format!("\"{contract}\""));
            assert_eq!(serde_json::from_str::<Contract>(&json).unwrap(), contract);
        }
        assert_eq!("d".parse::<Contract>(), Err(UnknownContract));
        for contract in [Contract::A, Contract::B, Contract::C] {
            let base = Url::parse(contract.default_base_url()).unwrap();
            assert_eq!(base.as_str().trim_end_matches('/'), contract.default_base_url());
            assert!(contract.default_ws_url().is_none_or(|url| Url::parse(url).is_ok()));
        }
    }
}
