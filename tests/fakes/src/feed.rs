//! Messages as they reach a device, one after the other: what a sandbox hands
//! to the device that it simulates.

use std::fmt;

use tokio::sync::watch;

/// What reached one device: first what is there already, then what comes.
pub struct Feed<T> {
    at: Box<dyn Fn(usize) -> Option<T> + Send + Sync>,
    grown: watch::Receiver<()>,
    next: usize,
}

/// Tells feeds that something may have been added to what they read.
#[derive(Debug)]
pub(crate) struct Growth(watch::Sender<()>);

impl<T> Feed<T> {
    /// The next message. Waits for as long as none comes: bound it where that
    /// matters. Safe to drop while it waits: nothing is skipped.
    pub async fn next(&mut self) -> T {
        loop {
            // Marked before looking: what comes in between wakes at once.
            self.grown.mark_unchanged();
            if let Some(message) = (self.at)(self.next) {
                self.next += 1;
                return message;
            }
            if self.grown.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl<T> fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Default for Growth {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Growth {
    pub(crate) fn note(&self) {
        self.0.send_replace(());
    }

    /// Reads from the beginning; `at` gives the message with this index.
    pub(crate) fn feed<T>(
        &self,
        at: impl Fn(usize) -> Option<T> + Send + Sync + 'static,
    ) -> Feed<T> {
        self.feed_after(0, at)
    }

    /// Reads what comes after the first `count`.
    pub(crate) fn feed_after<T>(
        &self,
        count: usize,
        at: impl Fn(usize) -> Option<T> + Send + Sync + 'static,
    ) -> Feed<T> {
        Feed { at: Box::new(at), grown: self.0.subscribe(), next: count }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was there, what comes while nobody waits, and what is waited for.
    #[tokio::test]
    async fn a_feed_gives_everything_once_and_in_order() {
        let (items, growth) = (Arc::new(Mutex::new(vec!['a'])), Growth::default());
        let add = |item| {
            items.lock().unwrap().push(item);
            growth.note();
        };
        let read = Arc::clone(&items);
        let mut feed = growth.feed(move |index| read.lock().unwrap().get(index).copied());
        assert_eq!(feed.next().await, 'a');
        add('b');
        add('c');
        assert_eq!((feed.next().await, feed.next().await), ('b', 'c'));
        let (awaited, ()) = tokio::join!(feed.next(), async { add('d') });
        assert_eq!(awaited, 'd');
    }
}
