//! One entry, `{date, source?, measured_at?, …}`, or `{entries: […]}`.

use crate::health::fact::{Context, Facts, Refusal, What};
use crate::health::format::lists::{self, refused};
use crate::health::format::taken::Taken;
use crate::health::format::{names, sent};
use crate::health::item::{Item, Wrong};
use crate::health::source::Source;

const LIST: &str = "entries";

pub(super) fn read(body: &str, context: &Context) -> Result<Facts, Refusal> {
    let whole = lists::body(body, &["source", LIST])?;
    let source = sent::source(&whole, Source::Manual, context).map_err(refused)?;
    let mut taken = Taken::default();
    if whole.get(LIST).is_some() {
        let list = lists::required(&whole, LIST, context)?;
        taken.each(LIST, list, |raw| {
            let item = names::entry(raw.get())?;
            let source = sent::source(&item, source, context)?;
            entry(&item, source, context)
        });
    } else {
        let item = names::entry(body).map_err(refused)?;
        match entry(&item, source, context) {
            Ok(what) => taken.fact(1, what),
            Err(wrong) => taken.wrong(LIST, 0, wrong),
        }
    }
    Ok(taken.finish())
}

/// Names that nobody knows are other senders' matter; an item with nothing else
/// is wrong.
fn entry(item: &Item<'_>, source: Source, context: &Context) -> Result<What, Wrong> {
    names::day_values(item, source, |_| true, context).map(What::Values)
}
