//! Pages of the listing: what a caller may ask for, and what it gets.

use serde_json::{Value, json};
use url::form_urlencoded;

/// Skills on a page when the caller does not say.
const PAGE_SIZE: usize = 100;

/// Most skills on a page.
const PAGE_SIZE_MAX: usize = 1000;

/// What the parameters of a listing ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The first is 1.
    pub(crate) page: u32,
    page_size: usize,
    /// In lower case.
    query: String,
    category: Option<String>,
}

impl Wanted {
    /// Reads a query; unknown parameters are passed over. The error is a
    /// sentence for the caller.
    pub(crate) fn parse(query: &str) -> Result<Self, &'static str> {
        let mut wanted =
            Self { page: 1, page_size: PAGE_SIZE, query: String::new(), category: None };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "page" => {
                    let page = value.parse().ok().filter(|page| *page >= 1);
                    wanted.page = page.ok_or("page must be a positive integer")?;
                }
                "page_size" => {
                    let size = value.parse().ok();
                    let size = size.filter(|size| (1..=PAGE_SIZE_MAX).contains(size));
                    wanted.page_size = size.ok_or("page_size must be between 1 and 1000")?;
                }
                "query" => wanted.query = value.to_lowercase(),
                "category" if !value.is_empty() => wanted.category = Some(value.into_owned()),
                _ => {}
            }
        }
        Ok(wanted)
    }

    /// The same of the first page.
    pub(crate) fn first(&self) -> Self {
        Self { page: 1, ..self.clone() }
    }

    /// The page.
    pub(crate) fn page_of(&self, skills: &[Value]) -> Value {
        let found: Vec<_> = skills.iter().filter(|skill| self.is_met_by(skill)).collect();
        let before = (self.page as usize - 1).saturating_mul(self.page_size);
        let page = found.iter().skip(before).take(self.page_size);
        json!({
            "skills": page.collect::<Vec<_>>(),
            "page": self.page,
            "page_size": self.page_size,
            "total": found.len(),
            "total_pages": found.len().div_ceil(self.page_size),
        })
    }

    fn is_met_by(&self, skill: &Value) -> bool {
        let in_category =
            self.category.as_ref().is_none_or(|category| skill["category"] == **category);
        in_category && (self.query.is_empty() || self.is_mentioned_in(skill))
    }

    fn is_mentioned_in(&self, skill: &Value) -> bool {
        let tags = skill["tags"].as_array().into_iter().flatten();
        let texts = [&skill["name"], &skill["description"]].into_iter().chain(tags);
        texts.filter_map(Value::as_str).any(|text| text.to_lowercase().contains(&self.query))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(page: &Value) -> Vec<&str> {
        let skills = page["skills"].as_array().unwrap();
        skills.iter().map(|skill| skill["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn parameters_are_bounded() {
        for bad in ["page=0", "page=-1", "page=x", "page_size=0", "page_size=1001"] {
            assert!(Wanted::parse(bad).is_err(), "{bad}");
        }
        let wanted = Wanted::parse("page=2&page_size=1000&category=&skill_type=x").unwrap();
        assert_eq!((wanted.page, wanted.page_size, wanted.category), (2, 1000, None));
    }

    #[test]
    fn a_page_is_filtered_counted_and_cut() {
        let skills = [
            json!({"name": "Send Email", "category": "a", "tags": []}),
            json!({"name": "Read", "description": "reads E-mail", "category": "b"}),
            json!({"name": "Sort", "tags": ["EMAIL"], "category": "a"}),
            json!({"name": "Other", "category": "a"}),
        ];
        let page = |query| Wanted::parse(query).unwrap().page_of(&skills);
        assert_eq!(names(&page("query=email")), ["Send Email", "Sort"]);
        assert_eq!(names(&page("query=e-Mail&category=b")), ["Read"]);
        let second = page("category=a&page=2&page_size=2");
        assert_eq!(names(&second), ["Other"]);
        assert_eq!((&second["total"], &second["total_pages"]), (&json!(3), &json!(2)));
        let beyond = page("page=9");
        assert_eq!((names(&beyond), &beyond["total"]), (vec![], &json!(4)));
    }
}
