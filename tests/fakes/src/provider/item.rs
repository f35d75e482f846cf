//! What users have at a provider, as the text that is sent: so that a number no
//! type can hold, or a field of the wrong kind, leaves as it is.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, SecondsFormat};
use serde_json::value::RawValue;

/// Something a user has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id: unique among those of its kind and user.
    pub id: String,
    /// When it starts, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// When it ends.
    pub end_ms: i64,
    /// What its user's clocks are ahead of UTC by.
    pub utc_offset_s: i64,
    /// Whether only those who may see everything see it.
    pub is_private: bool,
    /// The JSON text of it.
    pub body: String,
}

impl Item {
    /// The local date it starts.
    pub fn start_day(&self) -> NaiveDate {
        local_day(self.start_ms, self.utc_offset_s)
    }

    /// The local date it ends.
    pub fn end_day(&self) -> NaiveDate {
        local_day(self.end_ms, self.utc_offset_s)
    }

    /// The same with another member: `json` is the text of its value, whatever
    /// it is. Adds what is not there.
    #[must_use]
    pub fn with(mut self, name: &str, json: &str) -> Self {
        let value = RawValue::from_string(json.to_owned()).expect("a value is JSON");
        let mut members = self.members();
        members.insert(name.to_owned(), value);
        self.body = serde_json::to_string(&members).expect("texts are written as they are");
        self
    }

    /// The same without a member.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        let mut members = self.members();
        members.remove(name);
        self.body = serde_json::to_string(&members).expect("texts are written as they are");
        self
    }

    fn members(&self) -> BTreeMap<String, Box<RawValue>> {
        serde_json::from_str(&self.body).expect("an item is an object")
    }

    /// The same, but only those who may see everything see it.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.is_private = true;
        self
    }
}

/// The items of one kind, by when they start.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    by_start: BTreeMap<(i64, String), Item>,
    starts: BTreeMap<String, i64>,
}

impl Shelf {
    /// Adds an item, or replaces the one with its id.
    pub(crate) fn put(&mut self, item: Item) {
        self.remove(&item.id);
        self.starts.insert(item.id.clone(), item.start_ms);
        self.by_start.insert((item.start_ms, item.id.clone()), item);
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Item> {
        let start_ms = self.starts.remove(id)?;
        self.by_start.remove(&(start_ms, id.to_owned()))
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Item> {
        self.by_start.get(&(*self.starts.get(id)?, id.to_owned()))
    }

    /// All, oldest first.
    pub(crate) fn all(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.by_start.values()
    }
}

/// Joins bodies to a list.
pub(crate) fn list<'a>(items: impl IntoIterator<Item = &'a Item>) -> String {
    let mut text = String::from("[");
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&item.body);
    }
    text.push(']');
    text
}

/// RFC 3339 to the second, in UTC.
pub(crate) fn utc(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// RFC 3339 to the second, with an offset.
pub(crate) fn with_offset(ms: i64, utc_offset_s: i64) -> String {
    let wall = utc(ms + utc_offset_s * 1000);
    let minutes = utc_offset_s.abs() / 60;
    let sign = if utc_offset_s < 0 { '-' } else { '+' };
    format!("{}{sign}{:02}:{:02}", wall.trim_end_matches('Z'), minutes / 60, minutes % 60)
}

fn local_day(ms: i64, utc_offset_s: i64) -> NaiveDate {
    let time = DateTime::from_timestamp_millis(ms + utc_offset_s * 1000);
    time.unwrap_or_default().date_naive()
}
