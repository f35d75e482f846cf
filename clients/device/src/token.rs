//! Where tokens come from.
//!
//! None is kept to be used again: the provider is asked at every connect, at
//! every poll, and when the gateway says that the token in use ends soon. Only
//! the one refused last is remembered, so that it is not shown again and again.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

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

/// The token that the gateway refused last, or that ended in use.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    last: Mutex<Option<(Token, Instant)>>,
}

impl Refused {
    /// The gateway refused this one.
    pub(crate) fn note(&self, token: &Token) {
        let noted = Some((token.clone(), Instant::now()));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = noted;
    }

    /// Whether this one was refused less than `within` ago. Not for ever: the
    /// gateway may have been wrong, about the time or about its keys.
    pub(crate) fn is_fresh(&self, token: &Token, within: Duration) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|(refused, at)| refused == token && at.elapsed() < within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_known_again_for_a_while() {
        let (refused, within) = (Refused::default(), Duration::from_mins(1));
        let token = Token::new("a");
        assert!(!refused.is_fresh(&token, within));
        refused.note(&token);
        assert!(refused.is_fresh(&token, within) && !refused.is_fresh(&Token::new("b"), within));
        tokio::time::advance(within).await;
        assert!(!refused.is_fresh(&token, within));
    }
}
