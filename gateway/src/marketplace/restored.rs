//! An upstream that was restored from a backup: it lists items that are older
//! than what is known of them, and goes on doing so. One listing may lag behind
//! what the socket told; two complete ones in a row that agree are the truth.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use crate::ingest::market::{Fact, Said};
use crate::store::market::ItemKey;

/// Bytes of items that wait for the end of a listing; those beyond wait for the
/// next one, which says the same.
const WAITING_BYTES: usize = 32 * 1024 * 1024;

/// What listings said that is older than what is known. In memory: after a
/// restart two listings are needed again.
#[derive(Debug, Default)]
pub(super) struct Older {
    hasher: RandomState,
    /// Hashes of items and of what the last complete listing said of them.
    last: HashMap<u64, u64>,
    /// The same of the listing that is under way.
    this: HashMap<u64, u64>,
    /// What both said.
    agreed: Vec<Fact>,
    bytes: usize,
}

impl Older {
    /// A listing begins.
    pub(super) fn begin(&mut self) {
        self.this.clear();
        self.agreed.clear();
        self.bytes = 0;
    }

    /// Notes what is older than what is known.
    pub(super) fn note(&mut self, fact: Fact) {
        let Said::Is { value, updated_at, .. } = &fact.said else { return };
        let text = value.to_string();
        let item = self.hasher.hash_one(&fact.key);
        let mut said = self.hasher.build_hasher();
        (&text, updated_at.map(tidegate_protocol::time::Timestamp::millis)).hash(&mut said);
        let said = std::hash::Hasher::finish(&said);
        self.this.insert(item, said);
        if self.last.get(&item) == Some(&said) && self.bytes < WAITING_BYTES {
            self.bytes += text.len();
            self.agreed.push(fact);
        }
    }

    /// The listing names the item once more, and not as old: it is no older one.
    pub(super) fn forget(&mut self, key: &ItemKey) {
        if self.this.remove(&self.hasher.hash_one(key)).is_some() {
            self.agreed.retain(|fact| fact.key != *key);
        }
    }

    /// The listing was complete; what it and the one before agree on.
    pub(super) fn end(&mut self) -> Vec<Fact> {
        self.last = std::mem::take(&mut self.this);
        let mut agreed = std::mem::take(&mut self.agreed);
        for fact in &mut agreed {
            if let Said::Is { is_restored, .. } = &mut fact.said {
                *is_restored = true;
            }
        }
        agreed
    }
}
