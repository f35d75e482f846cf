//! What a fake has seen, in order, and waiting for more.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// How long a test waits for a request before it fails. Real waiting is
/// milliseconds; this only bounds a test that would hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// A growing list.
#[derive(Debug)]
pub struct Record<T> {
    items: Mutex<Vec<T>>,
    count: watch::Sender<usize>,
}

impl<T> Default for Record<T> {
    fn default() -> Self {
        Self { items: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl<T: Clone> Record<T> {
    /// Adds one.
    pub fn push(&self, item: T) {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.push(item);
        self.count.send_replace(items.len());
    }

    /// All of them.
    pub fn all(&self) -> Vec<T> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those after the first `count`.
    pub fn after(&self, count: usize) -> Vec<T> {
        let items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.get(count..).unwrap_or_default().to_vec()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until there are `count`, and returns all. Panics after 10 s.
    pub async fn wait_for(&self, count: usize) -> Vec<T> {
        self.wait_until(|items| items.len() >= count).await
    }

    /// Waits until what is there is enough, and returns all. Panics after
    /// 10 s.
    pub async fn wait_until(&self, is_enough: impl Fn(&[T]) -> bool) -> Vec<T> {
        let mut count = self.count.subscribe();
        let enough = async {
            loop {
                // Marked before looking: what comes in between wakes at once.
                count.mark_unchanged();
                if is_enough(&self.items.lock().unwrap_or_else(PoisonError::into_inner)) {
                    return;
                }
                if count.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, enough).await.is_ok();
        assert!(in_time, "only {} came within 10 s, and it is not enough", self.count());
        self.all()
    }
}
