//! Where tokens come from.
//!
//! Never keeps one: the provider is asked at every connect, at every poll,
//! and when the gateway says that the token in use ends soon.

use std::future::Future;

/// A bearer token. Its text never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps the text of a token.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for a header or a frame; never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why there is no token at the moment. It is asked for again with growing
/// delays, until there is one or the device is stopped.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no token: {0}")]
pub struct TokenError(pub String);

/// Gives tokens. Implemented by [`StaticToken`] and by every closure
/// `Fn() -> impl Future<Output = Result<Token, TokenError>>`.
pub trait TokenProvider: Send + Sync {
    /// A token that is valid now.
    fn token(&self) -> impl Future<Output = Result<Token, TokenError>> + Send;
}

/// The same token for ever, for tests and tools.
#[derive(Clone, Debug)]
pub struct StaticToken(pub Token);

impl TokenProvider for StaticToken {
    async fn token(&self) -> Result<Token, TokenError> {
        Ok(self.0.clone())
    }
}

impl<F, Fut> TokenProvider for F
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<Token, TokenError>> + Send,
{
    fn token(&self) -> impl Future<Output = Result<Token, TokenError>> + Send {
        self()
    }
}
