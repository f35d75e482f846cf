//! Items of foreign JSON, field by field, without trusting any of it: a number
//! that no `f64` holds, a text where a number belongs, an id beyond 64 bits are
//! that field's matter and fail no other.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why a field cannot be taken: its name, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The field; empty: the item itself.
    pub field: String,
    /// What is allowed.
    pub reason: String,
}

impl Wrong {
    /// Of a field.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// A JSON object as it came. Of two fields with one name the last counts.
#[derive(Clone, Debug, Default)]
pub struct Item<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Item<'a> {
    /// Reads an object; its values are not looked at.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn read(raw: &'a RawValue) -> Result<Self, Wrong> {
        serde_json::from_str(raw.get()).map_err(|_| Wrong::new("", "an object is required"))
    }

    /// Reads those fields of an object whose names are asked for; what else it
    /// holds takes no memory, however much it is.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn pick(text: &'a str, is_asked: impl FnMut(&str) -> bool) -> Result<Self, Wrong> {
        let wrong = || Wrong::new("", "an object is required");
        if !text.trim_start().starts_with('{') {
            return Err(wrong());
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        Picked(is_asked).deserialize(&mut reader).map_err(|_| wrong())
    }

    /// Goes through the fields of an object, null included, and keeps none.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn each(text: &'a str, take: impl FnMut(&str, &'a RawValue)) -> Result<(), Wrong> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = reader.deserialize_map(EachField(take));
        read.map_err(|_| Wrong::new("", "an object is required"))
    }

    /// A field that is there and not null.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.fields.iter().rev().find(|(known, _)| known == name)?;
        (value.get() != "null").then_some(*value)
    }

    /// Whether a field is there and null.
    pub fn is_null(&self, name: &str) -> bool {
        let found = self.fields.iter().rev().find(|(known, _)| known == name);
        found.is_some_and(|(_, value)| value.get() == "null")
    }

    /// The fields as they came, null included; a name may come twice.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// A number.
    ///
    /// # Errors
    /// Where it is something else, or no `f64` holds it.
    pub fn number(&self, name: &str) -> Result<Option<f64>, Wrong> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        number(raw.get()).map(Some).ok_or_else(|| Wrong::new(name, "a number is required"))
    }

    /// A number, or a text that holds one: how some write 64-bit integers.
    ///
    /// # Errors
    /// As [`number`](Self::number).
    pub fn number_or_text(&self, name: &str) -> Result<Option<f64>, Wrong> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        let text = text(raw);
        let read = number(text.as_deref().map_or(raw.get(), str::trim));
        read.map(Some).ok_or_else(|| Wrong::new(name, "a number is required"))
    }

    /// A text.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Wrong> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        text(raw).map(Some).ok_or_else(|| Wrong::new(name, "a text is required"))
    }

    /// An id: a text, or a number of any size, as text.
    ///
    /// # Errors
    /// Where it is something else, or empty.
    pub fn id(&self, name: &str) -> Result<Option<Cow<'a, str>>, Wrong> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        id(raw).map(Some).ok_or_else(|| Wrong::new(name, "a text or a number is required"))
    }

    /// An object.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn item(&self, name: &str) -> Result<Option<Self>, Wrong> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        Item::read(raw).map(Some).map_err(|wrong| Wrong::new(name, wrong.reason))
    }

    /// A list; its elements are not looked at.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn list(&self, name: &str) -> Result<Option<Vec<&'a RawValue>>, Wrong> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        let found = serde_json::from_str(raw.get());
        found.map(Some).map_err(|_| Wrong::new(name, "a list is required"))
    }
}

/// A finite number. JSON's own spelling only: no `NaN`, no `inf`.
fn number(text: &str) -> Option<f64> {
    let is_spelt = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    text.parse().ok().filter(|number: &f64| is_spelt && number.is_finite())
}

/// An id: a text that is not empty, or a number of any size, as text.
pub fn id(raw: &RawValue) -> Option<Cow<'_, str>> {
    let is_number = raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let found = if is_number { Some(Cow::Borrowed(raw.get())) } else { text(raw) };
    found.filter(|id| !id.is_empty())
}

/// A JSON string's text.
pub fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Cow<'de, str>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }
        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(text))
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text.to_owned()))
        }
    }
    serde_json::Deserializer::from_str(raw.get()).deserialize_str(Text).ok()
}

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Item<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item<'de>, A::Error> {
                let mut fields = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Item { fields })
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Goes through all fields.
struct EachField<F>(F);

impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for EachField<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Name(name), value)) = map.next_entry()? {
            (self.0)(&name, value);
        }
        Ok(())
    }
}

/// Reads the fields asked for, each once.
struct Picked<F>(F);

impl<'de, F: FnMut(&str) -> bool> DeserializeSeed<'de> for Picked<F> {
    type Value = Item<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Item<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&str) -> bool> Visitor<'de> for Picked<F> {
    type Value = Item<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Item<'de>, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            if !(self.0)(&name) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value()?;
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, last)) => *last = value,
                None => fields.push((name, value)),
            }
        }
        Ok(Item { fields })
    }
}

/// A field's name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfText;
        impl<'de> Visitor<'de> for OfText {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(OfText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn each_field_is_judged_by_itself() {
        let item = Item::read(raw(
            r#"{"a":1e400,"b":"NaN","c":12,"d":" 44 ","e":null,"f":98765432123456789123456,
                "g":"tex\u0074","h":{"x":1},"i":[1,"2"],"j":true,"c":13}"#,
        ))
        .unwrap();
        assert_eq!(item.number("a"), Err(Wrong::new("a", "a number is required")));
        item.number("b").unwrap_err();
        item.number_or_text("b").unwrap_err();
        assert_eq!(item.number("c"), Ok(Some(13.0)));
        item.number("d").unwrap_err();
        assert_eq!(item.number_or_text("d"), Ok(Some(44.0)));
        assert_eq!(item.number("e"), Ok(None));
        assert!(item.is_null("e") && !item.is_null("z"));
        assert_eq!(item.id("f").unwrap().unwrap(), "98765432123456789123456");
        assert_eq!(item.id("g").unwrap().unwrap(), "text");
        item.id("h").unwrap_err();
        assert_eq!(item.item("h").unwrap().unwrap().number("x"), Ok(Some(1.0)));
        assert_eq!(item.list("i").unwrap().unwrap().len(), 2);
        item.text("j").unwrap_err();
        item.list("j").unwrap_err();
        Item::read(raw("[]")).unwrap_err();
    }

    #[test]
    fn only_what_is_asked_for_is_kept_and_the_last_of_a_name_counts() {
        let item =
            Item::pick(r#" {"a":1,"b":[1e999],"a":2,"c":null} "#, |name| name != "b").unwrap();
        let names: Vec<_> = item.fields().map(|(name, raw)| (name, raw.get())).collect();
        assert_eq!(names, [("a", "2"), ("c", "null")]);
        Item::pick("[]", |_| true).unwrap_err();
        Item::pick("1e999", |_| true).unwrap_err();
    }
}
