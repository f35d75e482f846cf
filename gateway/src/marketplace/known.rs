//! What lists said last, so that upstream can be asked "has it changed?". In
//! memory: after a restart everything is read once.

use tidegate_entity::market_item::Kind;
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::answer::Validator;

use crate::marketplace::lead::Leader;
use crate::marketplace::listing::Failure;
use crate::store;

/// What is known of all lists.
#[derive(Debug, Default)]
pub(super) struct Known {
    categories: Option<KnownList>,
    pages: Vec<Option<KnownList>>,
}

/// A page of skills, or the categories.
#[derive(Clone, Debug)]
pub(super) struct KnownList {
    /// What to ask with.
    pub(super) validator: Validator,
    /// What it named.
    pub(super) ids: Vec<String>,
    /// How many skills it said there are.
    pub(super) total: Option<u64>,
    /// When it was asked for.
    pub(super) as_of: Timestamp,
}

impl Known {
    /// The categories, where they may be asked for by what is known.
    pub(super) async fn categories(&self, leader: &Leader) -> Result<Option<KnownList>, Failure> {
        untouched(leader, Kind::Category, self.categories.as_ref()).await
    }

    /// A page of skills, where it may be asked for by what is known.
    pub(super) async fn page(
        &self,
        leader: &Leader,
        page: u32,
    ) -> Result<Option<KnownList>, Failure> {
        untouched(leader, Kind::Skill, self.pages.get(index(page)).and_then(Option::as_ref)).await
    }

    /// What the categories are now; `None`: they are to be read again.
    pub(super) fn remember_categories(&mut self, list: Option<KnownList>) {
        self.categories = list;
    }

    /// What a page is now; `None`: it is to be read again.
    pub(super) fn remember_page(&mut self, page: u32, list: Option<KnownList>) {
        let index = index(page);
        if self.pages.len() <= index {
            if list.is_none() {
                return;
            }
            self.pages.resize(index + 1, None);
        }
        self.pages[index] = list;
    }
}

fn index(page: u32) -> usize {
    usize::try_from(page - 1).unwrap_or(usize::MAX)
}

/// The list, unless something else was heard of one of its items since: "not
/// changed" says nothing of what the socket told in the meantime.
async fn untouched(
    leader: &Leader,
    kind: Kind,
    list: Option<&KnownList>,
) -> Result<Option<KnownList>, Failure> {
    // One that was asked for in the future was so under a clock that was set
    // back: what was heard since cannot be told by the times.
    let now = leader.market.clock.now();
    let Some(list) = list.filter(|list| list.as_of <= now) else { return Ok(None) };
    let (db, as_of) = (leader.market.store.readers(), list.as_of.millis());
    let count = store::market::count_as_listed(db, kind, &list.ids, as_of).await;
    let count = count.map_err(|error| {
        tracing::warn!(%error, "the marketplace's items cannot be read");
        Failure::Store
    })?;
    Ok((usize::try_from(count) == Ok(list.ids.len())).then(|| list.clone()))
}
