//! A page that is larger than an answer may be: read in smaller ones, down to the
//! item whose fault it is.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidegate_services::atom::answer::{Conditional, SkillsPage};
use tidegate_services::atom::error::ErrorKind;

use crate::marketplace::lead::Leader;
use crate::marketplace::listing::{Failure, ask};

/// A page as far as it can be read.
pub(super) struct Parts {
    /// The skills, and what is said of all.
    pub(super) page: SkillsPage,
    /// How many of its items are too large to be read at all.
    pub(super) too_large: usize,
}

/// Reads a page in parts after it was too large in one. Pages of half the size,
/// or the next smaller part, hold the same items.
pub(super) fn read(leader: &Leader, page: u32, size: u32) -> BoxFuture<'_, Result<Parts, Failure>> {
    async move {
        let none = SkillsPage { skills: Vec::new(), page: Some(page), total: None };
        let mut parts = Parts { page: none, too_large: 0 };
        if size <= 1 {
            parts.too_large = 1;
            return Ok(parts);
        }
        let times = (2..=size).find(|times| size.is_multiple_of(*times)).unwrap_or(size);
        for number in (page - 1) * times + 1..=page * times {
            let part = part(leader, number, size / times).await?;
            parts.page.total = part.page.total.or(parts.page.total);
            parts.too_large += part.too_large;
            let is_end = part.page.skills.is_empty() && part.too_large == 0;
            parts.page.skills.extend(part.page.skills);
            if is_end {
                break;
            }
        }
        Ok(parts)
    }
    .boxed()
}

async fn part(leader: &Leader, number: u32, size: u32) -> Result<Parts, Failure> {
    let place = || format!("skills, page {number} of {size} each");
    match ask(leader, place, || leader.atom.skills(number, size, None)).await {
        Ok(Conditional::Fresh { value, .. }) => Ok(Parts { page: value, too_large: 0 }),
        Ok(Conditional::NotModified) => {
            Err(Failure::NotWhole(format!("{}: nothing came", place())))
        }
        Err(Failure::Upstream { error, .. }) if error.kind == ErrorKind::TooLarge => {
            read(leader, number, size).await
        }
        Err(error) => Err(error),
    }
}
