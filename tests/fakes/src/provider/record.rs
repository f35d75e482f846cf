//! What reached a provider: every request if it is wanted, and counts always.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;

use crate::record::Record;

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct ProviderRequest {
    /// What it was for: `list`, `one`, `owner`, `authorize`, `token`, `revoke`,
    /// `subscriptions`, or `unknown`.
    pub call: &'static str,
    /// The kind that was listed or asked for; empty for other calls.
    pub kind: &'static str,
    /// Whose token it had.
    pub user: Option<Arc<str>>,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub uri: String,
    /// The body of a call that has one.
    pub body: String,
    /// The answered status; `None` if there was no answer.
    pub status: Option<u16>,
    /// The answer, as a word: `ok`, a scripted one, or why not.
    pub answer: &'static str,
    /// When it came, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// All requests so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) requests: Record<ProviderRequest>,
    counts_only: AtomicBool,
    all: AtomicU64,
    by_user: Mutex<HashMap<Arc<str>, HashMap<&'static str, u64>>>,
}

impl Log {
    pub(crate) fn count_only(&self, is_on: bool) {
        self.counts_only.store(is_on, Ordering::SeqCst);
    }

    pub(crate) fn note(&self, request: ProviderRequest) {
        self.all.fetch_add(1, Ordering::SeqCst);
        if let Some(user) = &request.user {
            let mut by_user = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
            let counts = by_user.entry(Arc::clone(user)).or_default();
            *counts.entry(request.call).or_default() += 1;
        }
        if !self.counts_only.load(Ordering::SeqCst) {
            self.requests.push(request);
        }
    }

    pub(crate) fn all(&self) -> u64 {
        self.all.load(Ordering::SeqCst)
    }

    pub(crate) fn of_user(&self, user: &str, call: Option<&str>) -> u64 {
        let by_user = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counts) = by_user.get(user) else { return 0 };
        let wanted = |known: &&str| call.is_none_or(|call| *known == call);
        counts.iter().filter(|(known, _)| wanted(known)).map(|(_, count)| count).sum()
    }
}
