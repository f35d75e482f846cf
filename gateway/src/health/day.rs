//! A day's entry: for each field what every source said last, and whose value
//! counts.
//!
//! What loses is kept: when a person takes a value back, the device's returns.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde_json::{Map, Value as Json, json};
use tidegate_protocol::time::Timestamp;

use crate::health::fact::DayValues;
use crate::health::field::{Field, Shape, Value};
use crate::health::source::Source;

/// What one source said of a field last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub source: Source,
    /// What.
    pub value: Value,
    /// When it was measured, or arrived; milliseconds since the epoch.
    pub at_ms: i64,
}

/// A day's entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// At least one candidate for each field, the first to arrive at the front;
    /// one for each source.
    fields: BTreeMap<Field, Vec<Candidate>>,
    /// Everybody who ever contributed.
    sources: BTreeSet<Source>,
}

impl Day {
    /// Merges values; whether anything is different now.
    pub fn merge(&mut self, values: &DayValues, now: Timestamp) -> bool {
        let mut is_changed = false;
        for (field, value) in &values.values {
            is_changed |= match value {
                Some(value) => self.set(*field, values.source, value, values.at, now),
                None => values.source == Source::Manual && self.withdraw(*field),
            };
        }
        is_changed
    }

    /// The newest measurement of a source counts. Without a time it is of now,
    /// unless it says nothing new.
    fn set(
        &mut self,
        field: Field,
        source: Source,
        value: &Value,
        at: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let candidates = self.fields.entry(field).or_default();
        let at_ms = at.unwrap_or(now).millis();
        let candidate = Candidate { source, value: value.clone(), at_ms };
        let Some(known) = candidates.iter_mut().find(|known| known.source == source) else {
            candidates.push(candidate);
            self.sources.insert(source);
            return true;
        };
        let says_nothing = match at {
            Some(_) => at_ms < known.at_ms || *known == candidate,
            None => known.value == *value,
        };
        if !says_nothing {
            *known = Candidate { at_ms: at.map_or(at_ms.max(known.at_ms), |_| at_ms), ..candidate };
        }
        !says_nothing
    }

    fn withdraw(&mut self, field: Field) -> bool {
        let Some(candidates) = self.fields.get_mut(&field) else { return false };
        let before = candidates.len();
        candidates.retain(|candidate| candidate.source != Source::Manual);
        let is_changed = candidates.len() < before;
        if candidates.is_empty() {
            self.fields.remove(&field);
        }
        is_changed
    }

    /// Whether a source said this of a field, measured then.
    pub fn holds(&self, field: Field, said: &Candidate) -> bool {
        self.fields.get(&field).is_some_and(|candidates| candidates.contains(said))
    }

    /// Whose value of a field counts: by rank, newest, priority, first to arrive.
    pub fn owner(&self, field: Field) -> Option<&Candidate> {
        best(self.fields.get(&field)?.iter())
    }

    /// What a person said of a field, and what would count without it, where the
    /// two differ.
    fn overridden(&self, field: Field) -> Option<(&Candidate, &Candidate)> {
        let candidates = self.fields.get(&field)?;
        let manual = candidates.iter().find(|candidate| candidate.source == Source::Manual)?;
        let others = candidates.iter().filter(|candidate| candidate.source != Source::Manual);
        let device = best(others)?;
        (device.value != manual.value).then_some((manual, device))
    }

    /// The row as everybody sees it, without `version` and `updated_at`.
    pub fn shown(&self) -> Map<String, Json> {
        let (mut row, mut owners, mut overridden) = (Map::new(), Map::new(), Vec::new());
        for field in self.fields.keys().copied() {
            let Some(owner) = self.owner(field) else { continue };
            row.insert(field.to_string(), owner.value.json());
            let at = Timestamp::from_millis(owner.at_ms);
            owners.insert(field.to_string(), json!({"source": owner.source, "at": at}));
            if let Some((manual, device)) = self.overridden(field) {
                overridden.push(json!({
                    "field": field.as_str(),
                    "manual": manual.value.json(),
                    "device": device.value.json(),
                    "source": device.source,
                }));
            }
        }
        let mut sources: Vec<&str> = self.sources.iter().map(|source| source.as_str()).collect();
        sources.sort_unstable();
        row.insert("data_sources".to_owned(), json!(sources));
        row.insert("field_sources".to_owned(), Json::Object(owners));
        row.insert("overridden".to_owned(), Json::Array(overridden));
        row
    }

    /// As it is stored: what every source said, and who contributed.
    pub fn stored(&self) -> String {
        let fields: Map<String, Json> =
            self.fields.iter().map(|(field, all)| (field.to_string(), stored_all(all))).collect();
        json!({"fields": fields, "sources": self.sources}).to_string()
    }

    /// Reads what [`stored`](Self::stored) wrote. `None` for anything else.
    pub fn restore(text: &str) -> Option<Self> {
        let stored: Json = serde_json::from_str(text).ok()?;
        let mut fields = BTreeMap::new();
        for (name, all) in stored.get("fields")?.as_object()? {
            let field = Field::from_word(name)?;
            let all = all.as_array()?.iter().map(|one| restored(field, one));
            fields.insert(field, all.collect::<Option<_>>()?);
        }
        let sources = serde_json::from_value(stored.get("sources")?.clone()).ok()?;
        Some(Self { fields, sources })
    }
}

fn best<'a>(candidates: impl Iterator<Item = &'a Candidate>) -> Option<&'a Candidate> {
    let worth = |one: &Candidate| (one.source.rank(), one.at_ms, one.source.priority());
    // Of equals `max_by_key` would take the last.
    candidates.reduce(|best, next| if worth(next) > worth(best) { next } else { best })
}

/// Real numbers stay in thousandths.
fn stored_all(candidates: &[Candidate]) -> Json {
    let one = |one: &Candidate| {
        let value = match &one.value {
            Value::Whole(number) | Value::Real(number) => json!(number),
            Value::Text(text) => json!(text),
        };
        json!([one.source, value, one.at_ms])
    };
    candidates.iter().map(one).collect()
}

fn restored(field: Field, stored: &Json) -> Option<Candidate> {
    let value = stored.get(1)?;
    let value = match field.shape() {
        Shape::Whole { .. } => Value::Whole(value.as_i64()?),
        Shape::Real { .. } => Value::Real(value.as_i64()?),
        Shape::Text { .. } => Value::Text(value.as_str()?.to_owned()),
    };
    let source = Source::from_word(stored.get(0)?.as_str()?)?;
    Some(Candidate { source, value, at_ms: stored.get(2)?.as_i64()? })
}

/// A row as everybody sees it.
pub fn row(date: NaiveDate, version: i64, day: &Day, updated_at: Timestamp) -> String {
    let mut row = Map::new();
    row.insert("date".to_owned(), json!(date.to_string()));
    row.insert("version".to_owned(), json!(version));
    row.extend(day.shown());
    row.insert("updated_at".to_owned(), json!(updated_at));
    Json::Object(row).to_string()
}

#[cfg(test)]
mod tests;
