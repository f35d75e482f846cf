//! An item's row and the entries that tell devices of its changes.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_entity::market_item;
use tidegate_entity::market_item::Kind;
use tidegate_protocol::entry::{ItemBody, RecordOp, kind};
use tidegate_protocol::limits::ENTRY_BYTES;
use tidegate_services::atom::item::is_key;

use crate::config::check::MARKETPLACE;
use crate::ingest::commands::ENTRY_FRAME_BYTES;
use crate::ingest::market::figures;
use crate::ingest::unit::{NewEntry, UnitOfWork};
use crate::resolve::patch;
use crate::store::market::ItemKey;
use crate::store::market::shown::with_figures;

/// Characters of a name and a description that can be searched for.
const SEARCH_CHARS: usize = 2_000;

/// Bytes that the figures of a rating may add to a value.
const FIGURES_BYTES: usize = 96;

/// An item nobody has heard of.
pub(super) fn unknown((kind, id): &ItemKey) -> market_item::Model {
    market_item::Model {
        kind: *kind,
        id: id.clone(),
        version: 0,
        data: None,
        search: String::new(),
        category: None,
        remote_data: None,
        remote_updated_at: 0,
        rating_updated_at: 0,
        confirmed_at: 0,
        listed_at: 0,
        fault: None,
        fault_at: None,
        withdrawn_at: None,
        rated: None,
        base_version: None,
        base_data: None,
        edited_by: None,
        editors: None,
        edited_at: None,
        conflict_id: None,
        updated_at: 0,
    }
}

/// A stored value.
pub(super) fn parsed(text: Option<&str>) -> Option<Value> {
    text.and_then(|text| serde_json::from_str(text).ok())
}

/// A value as it is stored.
pub(super) fn text(value: Option<&Value>) -> Option<String> {
    value.map(ToString::to_string)
}

/// An item before a change.
#[derive(Debug)]
pub(super) struct Before {
    /// The effective value.
    pub(super) value: Option<Value>,
    /// Whether devices hold it.
    is_held: bool,
    /// Fields that devices may hold as a rating told them.
    rated: Vec<String>,
}

impl Before {
    pub(super) fn of(row: &market_item::Model) -> Self {
        let rated = figures::kept(row).into_iter().map(|(name, _)| name).collect();
        Self { value: parsed(row.data.as_deref()), is_held: row.withdrawn_at.is_none(), rated }
    }

    /// What a patch can stand on: what every device holds that holds the version.
    /// Some hold figures that a rating told, some do not.
    fn common(&self) -> Option<Value> {
        let mut common = self.value.clone().filter(|_| self.is_held)?;
        if let Value::Object(fields) = &mut common {
            self.rated.iter().for_each(|name| drop(fields.shift_remove(name)));
        }
        Some(common)
    }

    /// Whether a patch can bring every device to a value: none can take a field
    /// away that only some of them hold.
    fn is_patchable(&self, after: &Value) -> bool {
        self.rated.iter().all(|name| after.get(name).is_some_and(|figure| !figure.is_null()))
    }
}

/// Whether the entry that tells of a value would be larger than entries are.
pub(super) fn is_too_large(row: &market_item::Model, after: Option<&Value>) -> bool {
    let data = after.map_or(0, |value| value.to_string().len());
    data + row.id.len() + FIGURES_BYTES + ENTRY_FRAME_BYTES * 2 > ENTRY_BYTES
}

/// Makes `after` the effective value and appends the entry that says so:
/// nothing where nothing changed, and no entry for what devices do not hold
/// because upstream has not confirmed it.
pub(super) fn publish(
    unit: &mut UnitOfWork,
    row: &mut market_item::Model,
    before: &Before,
    after: Option<&Value>,
    version: i64,
) {
    let is_withdrawn = row.withdrawn_at.is_some();
    let is_told = before.is_held || is_withdrawn;
    if is_told && crate::resolve::is_same(before.value.as_ref(), after) {
        return;
    }
    let base_version = row.version;
    row.version = version;
    row.data = text(after);
    row.updated_at = unit.now.millis();
    describe(row, after);
    if is_withdrawn || (after.is_none() && !before.is_held) {
        return;
    }
    let mut body = ItemBody {
        id: row.id.clone(),
        version,
        op: RecordOp::Delete,
        base_version: None,
        data: None,
        patch: None,
    };
    if let Some(value) = after {
        let shown = with_figures(value.clone(), row.rated.as_deref());
        let whole = shown.to_string();
        let common = before.common().filter(|_| before.is_patchable(&shown));
        let patch = common.and_then(|common| patch::to_send(&common, &shown, &whole));
        if let Some(patch) = patch {
            body.op = RecordOp::Patch;
            body.base_version = Some(base_version);
            body.patch = RawValue::from_string(patch).ok();
        } else {
            body.op = RecordOp::Put;
            body.data = RawValue::from_string(whole).ok();
        }
    }
    tell(unit, row, &body);
}

/// Takes an item back from devices. What is known of it is kept.
pub(super) fn take_back(unit: &mut UnitOfWork, row: &mut market_item::Model) {
    row.version += 1;
    row.withdrawn_at = Some(unit.now.millis());
    let body = ItemBody {
        id: row.id.clone(),
        version: row.version,
        op: RecordOp::Delete,
        base_version: None,
        data: None,
        patch: None,
    };
    tell(unit, row, &body);
}

/// Gives an item to devices again, as it was, where it was taken back; whether
/// it was.
pub(super) fn give_back(unit: &mut UnitOfWork, row: &mut market_item::Model) -> bool {
    let before = Before::of(row);
    if row.withdrawn_at.take().is_none() {
        return false;
    }
    let version = row.version + 1;
    publish(unit, row, &before, before.value.as_ref(), version);
    true
}

fn tell(unit: &mut UnitOfWork, row: &market_item::Model, body: &ItemBody) {
    let kind = match row.kind {
        Kind::Skill => kind::SKILL,
        Kind::Category => kind::CATEGORY,
    };
    unit.append(entry(MARKETPLACE, kind, body));
}

/// What lists are filtered by.
fn describe(row: &mut market_item::Model, value: Option<&Value>) {
    let field = |name: &str| value.and_then(|value| value.get(name)).and_then(Value::as_str);
    let (name, description) = (field("name"), field("description"));
    let words = [name.unwrap_or_default(), description.unwrap_or_default()].join("\n");
    row.search = words.chars().take(SEARCH_CHARS).collect::<String>().to_lowercase();
    // Longer ones cannot be a category's name, nor stand in an index.
    row.category = field("category").filter(|name| is_key(name)).map(str::to_owned);
}

/// An entry for everybody who follows the stream.
pub(super) fn entry(stream: &str, kind: &'static str, body: &impl Serialize) -> NewEntry {
    let body = serde_json::to_string(body).expect("bodies serialise: they hold text and numbers");
    NewEntry::for_all(stream.to_owned(), kind, body)
}
