//! What is served of an item: its effective value with the figures of the
//! newest rating. Pure.

use serde_json::Value;
use tidegate_entity::market_item::Model;

/// The fields that a `rating_update` replaces in what is served.
pub const FIGURES: [&str; 2] = ["average_rating", "rating_count"];

/// Puts the figures of [`Model::rated`] on a value.
pub fn with_figures(mut value: Value, rated: Option<&str>) -> Value {
    let figures = rated.and_then(|text| serde_json::from_str(text).ok());
    if let (Value::Object(fields), Some(Value::Object(figures))) = (&mut value, figures) {
        fields.extend(figures);
    }
    value
}

/// What is served of an item, as JSON text; `None` for a deleted one.
pub fn shown(row: &Model) -> Option<String> {
    shown_text(row.data.clone()?, row.rated.as_deref())
}

/// The same from a value as it is stored.
pub fn shown_text(data: String, rated: Option<&str>) -> Option<String> {
    if rated.is_none() {
        return Some(data);
    }
    let value = serde_json::from_str(&data).ok()?;
    Some(with_figures(value, rated).to_string())
}

/// When upstream last confirmed an item, by our clock.
pub fn confirmed_at(row: &Model) -> i64 {
    row.confirmed_at.max(row.listed_at)
}

/// Everybody whose local edit is in an item.
pub fn editors(row: &Model) -> Vec<String> {
    editors_of(row.editors.as_deref(), row.edited_by.as_deref())
}

/// The same from the columns: all of them, and the newest.
pub fn editors_of(editors: Option<&str>, edited_by: Option<&str>) -> Vec<String> {
    let listed = editors.and_then(|text| serde_json::from_str(text).ok());
    listed.unwrap_or_else(|| edited_by.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_replace_what_upstream_listed_and_nothing_else() {
        let skill = json!({ "name": "n", "average_rating": 4.5, "rating_count": 2 });
        let rated = json!({ "average_rating": 4.0, "rating_count": 3 }).to_string();
        let expected = json!({ "name": "n", "average_rating": 4.0, "rating_count": 3 });
        assert_eq!(with_figures(skill.clone(), Some(&rated)), expected);
        let expected = json!({ "name": "n", "average_rating": 4.5, "rating_count": 9 });
        assert_eq!(with_figures(skill.clone(), Some(r#"{"rating_count":9}"#)), expected);
        assert_eq!(with_figures(skill.clone(), None), skill);
        assert_eq!(with_figures(skill.clone(), Some("?")), skill);
        assert_eq!(with_figures(json!(7), Some(&rated)), json!(7));
    }
}
