//! What the marketplace's successful answers say.
//!
//! Owns their shapes, by the `Atom SaaS` marketplace requirements v1.0.0 where
//! the generations agree. A body that is not what was asked for is an error:
//! an empty list is only ever an empty list that the marketplace wrote.

use std::borrow::Cow;
use std::fmt;

use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::atom::error::ErrorKind;
use crate::limits::ATOM_VALIDATOR_BYTES;

/// An answer to a question that says what is known already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conditional<T> {
    /// It is new.
    Fresh {
        /// What came.
        value: T,
        /// What to ask with next time, when the service offers it.
        validator: Option<Validator>,
    },
    /// What is known still holds (304).
    NotModified,
}

/// An `ETag`, as the service wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator(String);

impl Validator {
    /// An `ETag`; `None` for a text that could not stand in a header, or is
    /// longer than [`ATOM_VALIDATOR_BYTES`].
    pub fn new(etag: &str) -> Option<Self> {
        let etag = etag.trim();
        let short = (1..=ATOM_VALIDATOR_BYTES).contains(&etag.len());
        let visible = etag.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        (short && visible).then(|| Self(etag.to_owned()))
    }

    /// The text, for the header `If-None-Match` or for storing.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn of_header(etag: &HeaderValue) -> Option<Self> {
        Self::new(etag.to_str().ok()?)
    }
}

/// One page of the listing of skills. `Debug` shows the number of skills.
#[derive(Clone)]
pub struct SkillsPage {
    /// The skills as they came. Each may still be invalid.
    pub skills: Vec<Box<RawValue>>,
    /// Which page the service says this is.
    pub page: Option<u32>,
    /// How many skills it says there are.
    pub total: Option<u64>,
}

impl fmt::Debug for SkillsPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SkillsPage")
            .field("skills", &self.skills.len())
            .field("page", &self.page)
            .field("total", &self.total)
            .finish()
    }
}

/// All categories. `Debug` shows their number.
#[derive(Clone)]
pub struct Categories {
    /// The categories as they came. Each may still be invalid.
    pub categories: Vec<Box<RawValue>>,
}

impl fmt::Debug for Categories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Categories").field("categories", &self.categories.len()).finish()
    }
}

/// The marketplace took a rating.
#[derive(Clone, Debug, PartialEq)]
pub struct Rated {
    /// Its id of the rating.
    pub rating_id: String,
    /// The skill's average from now on, when the answer has it.
    pub average_rating: Option<f64>,
    /// How many ratings it has, when the answer has it.
    pub rating_count: Option<u64>,
}

/// A listing in which bytes that are no UTF-8 are written as `\u0000`: the item
/// that has them in a text is then refused by itself, for no item may hold that
/// character, and the others are read. Anywhere else they are no JSON.
fn readable(body: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(body).is_ok() {
        return Cow::Borrowed(body);
    }
    let mut text = Vec::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            text.extend_from_slice(br"\u0000");
        }
    }
    Cow::Owned(text)
}

/// A page: an object with the list `skills`. `page` and `total` that cannot
/// be read count as missing.
pub(crate) fn skills_page(body: &[u8]) -> Result<SkillsPage, ErrorKind> {
    #[derive(Deserialize)]
    struct Listing {
        skills: Option<Vec<Box<RawValue>>>,
        page: Option<Value>,
        total: Option<Value>,
        success: Option<Value>,
    }

    let body = &*readable(body);
    let answer: Listing =
        serde_json::from_slice(object(body)?).map_err(|_| ErrorKind::Unreadable)?;
    refused(answer.success.as_ref())?;
    let number = |value: Option<Value>| value.as_ref().and_then(Value::as_u64);
    Ok(SkillsPage {
        skills: answer.skills.ok_or(ErrorKind::Unreadable)?,
        page: number(answer.page).and_then(|page| u32::try_from(page).ok()),
        total: number(answer.total),
    })
}

/// The categories: `{"categories": […]}` as the requirements say, or the bare
/// list that Atom's clients expect.
pub(crate) fn categories(body: &[u8]) -> Result<Categories, ErrorKind> {
    #[derive(Deserialize)]
    struct Wrapped {
        categories: Option<Vec<Box<RawValue>>>,
        success: Option<Value>,
    }

    let body = &*readable(body);
    let unreadable = |_| ErrorKind::Unreadable;
    if body.trim_ascii_start().starts_with(b"[") {
        let categories = serde_json::from_slice(body).map_err(unreadable)?;
        return Ok(Categories { categories });
    }
    let answer: Wrapped = serde_json::from_slice(object(body)?).map_err(unreadable)?;
    refused(answer.success.as_ref())?;
    Ok(Categories { categories: answer.categories.ok_or(ErrorKind::Unreadable)? })
}

/// One skill: any object that does not report a failure.
pub(crate) fn skill(body: &[u8]) -> Result<Box<RawValue>, ErrorKind> {
    #[derive(Deserialize)]
    struct Report {
        success: Option<Value>,
    }

    let unreadable = |_| ErrorKind::Unreadable;
    let report: Report = serde_json::from_slice(object(body)?).map_err(unreadable)?;
    refused(report.success.as_ref())?;
    serde_json::from_slice(body).map_err(unreadable)
}

/// A rating was taken only if the answer says under which id, in `rating_id`
/// or in `id`.
pub(crate) fn rated(body: &[u8]) -> Result<Rated, ErrorKind> {
    let answer: Value = serde_json::from_slice(object(body)?).map_err(|_| ErrorKind::Unreadable)?;
    refused(answer.get("success"))?;
    let id = |key: &str| match answer.get(key)? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) if id.is_u64() => Some(id.to_string()),
        _ => None,
    };
    Ok(Rated {
        rating_id: id("rating_id").or_else(|| id("id")).ok_or(ErrorKind::Unreadable)?,
        average_rating: answer.get("average_rating").and_then(Value::as_f64),
        rating_count: answer.get("rating_count").and_then(Value::as_u64),
    })
}

/// A health report: an object whose `status`, where there is one, says that
/// all is well.
pub(crate) fn healthy(body: &[u8]) -> Result<(), ErrorKind> {
    let answer: Value = serde_json::from_slice(object(body)?).map_err(|_| ErrorKind::Unreadable)?;
    match answer.get("status") {
        None => Ok(()),
        Some(Value::String(status)) if status == "healthy" || status == "ok" => Ok(()),
        Some(_) => Err(ErrorKind::Unavailable),
    }
}

/// Serde would take a list for an object with its members in order.
fn object(body: &[u8]) -> Result<&[u8], ErrorKind> {
    if body.trim_ascii_start().starts_with(b"{") { Ok(body) } else { Err(ErrorKind::Unreadable) }
}

fn refused(success: Option<&Value>) -> Result<(), ErrorKind> {
    if success == Some(&Value::Bool(false)) { Err(ErrorKind::Failed) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNREADABLE: [&str; 9] =
        ["", " ", "null", "[1,{}]x", "<html>", "{", "\"s\"", r#"{"skills":null}"#, r#"{"a":1}"#];

    #[test]
    fn a_page_has_a_list_of_skills() {
        let page = skills_page(
            br#"{"skills":[{"skill_id": "s"},7],"page":1,"page_size":100,"total":1500}"#,
        );
        let page = page.unwrap();
        assert_eq!((page.page, page.total), (Some(1), Some(1500)));
        assert_eq!(page.skills[0].get(), r#"{"skill_id": "s"}"#);
        assert_eq!(page.skills[1].get(), "7", "judged later");
        let empty = skills_page(br#"{"skills":[],"page":"1","total":-1}"#).unwrap();
        assert_eq!((empty.skills.len(), empty.page, empty.total), (0, None, None));
        for body in UNREADABLE {
            assert_eq!(skills_page(body.as_bytes()).err(), Some(ErrorKind::Unreadable), "{body}");
        }
        for body in [r"[]", r"[[],1]", r#"{"skills":{}}"#, r#"{"skills":"none"}"#] {
            assert_eq!(skills_page(body.as_bytes()).err(), Some(ErrorKind::Unreadable), "{body}");
        }
        let failed = skills_page(br#"{"skills":[],"total":0,"success":false}"#);
        assert_eq!(failed.err(), Some(ErrorKind::Failed));
        let not_utf8 = skills_page(b"{\"skills\":[{\"id\":\"\xff\"},8]}").unwrap();
        let items: Vec<_> = not_utf8.skills.iter().map(|item| item.get()).collect();
        assert_eq!(items, [r#"{"id":"\u0000"}"#, "8"], "one item's fault, not the page's");
        let not_json = skills_page(b"{\"skills\":[\xff]}");
        assert_eq!(not_json.err(), Some(ErrorKind::Unreadable));
    }

    #[test]
    fn categories_come_wrapped_or_bare() {
        let count = |body: &str| categories(body.as_bytes()).map(|list| list.categories.len());
        assert_eq!(count(r#"{"categories":[{"name":"a"},{"name":"b"}]}"#), Ok(2));
        assert_eq!(count(r#" [{"name":"a"}]"#), Ok(1));
        assert_eq!(count("[]"), Ok(0));
        for body in UNREADABLE.iter().chain(&["[1", r#"{"categories":null}"#]) {
            assert_eq!(count(body), Err(ErrorKind::Unreadable), "{body}");
        }
        assert_eq!(count(r#"{"success":false,"categories":[]}"#), Err(ErrorKind::Failed));
    }

    #[test]
    fn a_skill_is_an_object() {
        assert_eq!(skill(br#" {"skill_id": "s"}"#).unwrap().get(), r#"{"skill_id": "s"}"#);
        for body in ["", "[]", "null", "<html>", "{\"a\":"] {
            assert_eq!(skill(body.as_bytes()).err(), Some(ErrorKind::Unreadable), "{body}");
        }
        assert_eq!(skill(br#"{"success":false}"#).err(), Some(ErrorKind::Failed));
    }

    #[test]
    fn a_rating_is_taken_only_with_an_id() {
        let id = |body: &str| rated(body.as_bytes()).map(|rated| rated.rating_id);
        assert_eq!(id(r#"{"success":true,"rating_id":"r"}"#), Ok("r".into()));
        assert_eq!(id(r#"{"id":"i"}"#), Ok("i".into()));
        assert_eq!(id(r#"{"id":"i","rating_id":"r"}"#), Ok("r".into()));
        assert_eq!(id(r#"{"id":12}"#), Ok("12".into()));
        for body in ["{}", "", "[]", r#"{"success":true}"#, r#"{"id":""}"#, r#"{"id":null}"#] {
            assert_eq!(id(body), Err(ErrorKind::Unreadable), "{body}");
        }
        assert_eq!(id(r#"{"success":false,"id":"i"}"#), Err(ErrorKind::Failed));
        let full = rated(br#"{"rating_id":"r","average_rating":4.7,"rating_count":43}"#).unwrap();
        assert_eq!((full.average_rating, full.rating_count), (Some(4.7), Some(43)));
    }

    #[test]
    fn health_is_what_the_report_says() {
        assert_eq!(healthy(br#"{"status":"healthy","version":"1.0.0"}"#), Ok(()));
        assert_eq!(healthy(b"{}"), Ok(()));
        assert_eq!(healthy(br#"{"status":"unhealthy"}"#), Err(ErrorKind::Unavailable));
        assert_eq!(healthy(b"OK"), Err(ErrorKind::Unreadable));
    }

    #[test]
    fn validators_can_stand_in_a_header() {
        assert_eq!(Validator::new(" W/\"abc\" ").unwrap().as_str(), "W/\"abc\"");
        for bad in ["", "  ", "\"a\nb\"", "\"é\"", &"x".repeat(257)] {
            assert_eq!(Validator::new(bad), None);
        }
    }
}
