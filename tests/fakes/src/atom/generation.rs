//! The three contracts that the marketplace has had: where things are, and
//! how a caller proves who it is.

use std::str::FromStr;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::atom::Generation;

/// Where things are, from the server's root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paths {
    pub(crate) skills: &'static str,
    pub(crate) skill: &'static str,
    pub(crate) categories: &'static str,
    pub(crate) rate: &'static str,
    /// Generation A has none.
    pub(crate) health: Option<&'static str>,
}

impl Generation {
    /// What follows the origin in the base address of a client.
    pub(crate) const fn base(self) -> &'static str {
        match self {
            Self::A => "/api",
            Self::B => "",
            Self::C => "/api/v1/marketplace",
        }
    }

    /// The socket's path.
    pub(crate) const fn socket(self) -> &'static str {
        match self {
            Self::A => "/api/ws/satellite/connect",
            Self::B | Self::C => "/ws",
        }
    }

    pub(crate) const fn paths(self) -> Paths {
        match self {
            Self::A => Paths {
                skills: "/api/marketplace/skills",
                skill: "/api/marketplace/skills/{id}",
                categories: "/api/marketplace/categories",
                rate: "/api/marketplace/skills/{id}/rate",
                health: None,
            },
            Self::B => Paths {
                skills: "/api/v1/skills",
                skill: "/api/v1/skills/{id}",
                categories: "/api/v1/categories",
                rate: "/api/v1/ratings",
                health: Some("/health"),
            },
            Self::C => Paths {
                skills: "/api/v1/marketplace/skills/marketplace/skills",
                skill: "/api/v1/marketplace/skills/marketplace/skills/{id}",
                categories: "/api/v1/marketplace/skills/marketplace/categories",
                rate: "/api/v1/marketplace/skills/marketplace/skills/{id}/rate",
                health: Some("/api/v1/marketplace/health"),
            },
        }
    }

    /// Who calls, if the caller may.
    pub(crate) fn instance(self, headers: &HeaderMap, token: &str) -> Option<String> {
        let text = |name: &str| headers.get(name)?.to_str().ok().filter(|text| !text.is_empty());
        match self {
            Self::A | Self::B => {
                let given = text(AUTHORIZATION.as_str())?.strip_prefix("Bearer ")?;
                (given == token).then(|| token.to_owned())
            }
            Self::C => {
                let is_known = text("x-api-token")? == token && text("x-federation-key")? == token;
                text("x-instance-id").filter(|_| is_known).map(str::to_owned)
            }
        }
    }

    /// What a caller that may not is told to do.
    pub(crate) const fn challenge(self) -> &'static str {
        match self {
            Self::A | Self::B => "Bearer realm=\"atom-saas\"",
            Self::C => "X-API-Token realm=\"atom-saas\"",
        }
    }
}

impl FromStr for Generation {
    type Err = &'static str;

    fn from_str(letter: &str) -> Result<Self, &'static str> {
        match letter {
            "a" | "A" => Ok(Self::A),
            "b" | "B" => Ok(Self::B),
            "c" | "C" => Ok(Self::C),
            _ => Err("a generation is `a`, `b` or `c`"),
        }
    }
}
