//! What this node announced lately, to notice a database whose history went
//! back.
//!
//! PostgreSQL can lose commits that it had confirmed: a failover to a standby
//! that lagged, or a crash with `synchronous_commit` off. Positions that devices
//! hold would be given out again under the same epoch, and what is written there
//! would never reach them. So the writer compares each head it locks with what
//! was announced, and gives a stream that went back a new epoch before it gives
//! out a position.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tidegate_protocol::id::Seq;
use tokio::time::Instant;

use crate::hub::lock;

/// Heads announced lately, by stream. Empty where history cannot go back while
/// this process lives: in an embedded database.
#[derive(Debug)]
pub struct History {
    is_kept: bool,
    heads: Mutex<Generations>,
}

/// Two generations, so that the old ones go without being looked for.
#[derive(Debug)]
struct Generations {
    newer: HashMap<String, i64>,
    older: HashMap<String, i64>,
    began: Instant,
    /// Heads younger than [`KEPT`] were dropped for want of room.
    is_partial: bool,
}

/// Far longer than a standby that is fit to take over may lag.
const KEPT: Duration = Duration::from_mins(10);

/// Streams in one generation: some 10 MB.
const STREAMS: usize = 100_000;

impl History {
    pub(super) fn new(is_kept: bool) -> Self {
        let heads = Generations {
            newer: HashMap::new(),
            older: HashMap::new(),
            began: Instant::now(),
            is_partial: false,
        };
        Self { is_kept, heads: Mutex::new(heads) }
    }

    /// A head was announced.
    pub(super) fn announced(&self, stream: &str, head: Seq) {
        if !self.is_kept {
            return;
        }
        let mut heads = lock(&self.heads);
        if heads.began.elapsed() >= KEPT || heads.newer.len() >= STREAMS {
            heads.turn();
        }
        if let Some(known) = heads.newer.get_mut(stream) {
            *known = head.get();
        } else {
            heads.newer.insert(stream.to_owned(), head.get());
        }
    }

    /// The head last announced, if that was lately.
    pub(super) fn head(&self, stream: &str) -> Option<i64> {
        if !self.is_kept {
            return None;
        }
        let heads = lock(&self.heads);
        heads.newer.get(stream).or_else(|| heads.older.get(stream)).copied()
    }

    /// The stream began anew: nothing was announced in its new epoch.
    pub(super) fn forget(&self, stream: &str) {
        let mut heads = lock(&self.heads);
        heads.newer.remove(stream);
        heads.older.remove(stream);
    }

    /// The streams something was announced of lately, and whether these are all.
    pub fn streams(&self) -> (Vec<String>, bool) {
        let heads = lock(&self.heads);
        let mut streams: Vec<String> =
            heads.newer.keys().chain(heads.older.keys()).cloned().collect();
        streams.sort_unstable();
        streams.dedup();
        (streams, !heads.is_partial)
    }
}

impl Generations {
    fn turn(&mut self) {
        self.is_partial = self.began.elapsed() < KEPT && !self.older.is_empty();
        self.older = std::mem::take(&mut self.newer);
        self.began = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn heads_are_kept_for_a_while_and_then_go() {
        let history = History::new(true);
        history.announced("user:a", Seq::new(3));
        history.announced("user:a", Seq::new(4));
        assert_eq!(history.head("user:a"), Some(4));
        tokio::time::advance(KEPT).await;
        history.announced("user:b", Seq::new(1));
        assert_eq!(history.head("user:a"), Some(4), "one generation later");
        assert_eq!(history.streams(), (vec!["user:a".to_owned(), "user:b".to_owned()], true));
        tokio::time::advance(KEPT).await;
        history.announced("user:b", Seq::new(2));
        assert_eq!(history.head("user:a"), None);
        assert_eq!(history.head("user:b"), Some(2));
        history.forget("user:b");
        assert_eq!(history.head("user:b"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_want_of_room_is_told() {
        let history = History::new(true);
        for number in 0..=STREAMS * 2 {
            history.announced(&format!("user:{number}"), Seq::new(1));
        }
        let (streams, are_all) = history.streams();
        assert!(streams.len() <= STREAMS + 1);
        assert!(!are_all);
    }

    #[tokio::test]
    async fn an_embedded_database_keeps_none() {
        let history = History::new(false);
        history.announced("user:a", Seq::new(3));
        assert_eq!(history.head("user:a"), None);
    }
}
