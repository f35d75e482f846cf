//! Tasks that the gateway cannot do without: one that ends before it is told
//! to, by a panic or by an error, must not go unnoticed.

use tokio_util::sync::CancellationToken;

/// Runs the task; cancels `lost` when it ends although `stop` was not given.
pub(super) async fn needed(
    what: &'static str,
    stop: CancellationToken,
    lost: CancellationToken,
    task: impl Future<Output = ()>,
) {
    let _watch = Watch { what, stop, lost };
    task.await;
}

/// Sees the end of a task also where it is unwound.
struct Watch {
    what: &'static str,
    stop: CancellationToken,
    lost: CancellationToken,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!(task = self.what, "a task ended that the gateway needs");
            self.lost.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_that_was_not_asked_for_is_noticed() {
        let (stop, lost) = (CancellationToken::new(), CancellationToken::new());
        let task = needed("test", stop.clone(), lost.clone(), async { panic!("unwound") });
        let task = std::panic::AssertUnwindSafe(task);
        futures_util::FutureExt::catch_unwind(task).await.unwrap_err();
        assert!(lost.is_cancelled());

        let lost = CancellationToken::new();
        stop.cancel();
        needed("test", stop, lost.clone(), async {}).await;
        assert!(!lost.is_cancelled());
    }
}
