//! Waits that end.

use std::time::Duration;

/// Nothing in these tests takes this long unless it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// How often a condition is looked at again.
const STEP: Duration = Duration::from_millis(5);

/// Waits for something, at most [`LIMIT`].
pub(crate) async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(LIMIT, future).await;
    waited.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

/// Asks again until there is an answer, at most [`LIMIT`].
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    bounded(what, async {
        loop {
            if let Some(value) = ask().await {
                return value;
            }
            tokio::time::sleep(STEP).await;
        }
    })
    .await
}
