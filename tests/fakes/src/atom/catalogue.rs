//! What the marketplace holds: skills and categories in the order in which
//! they came, and ratings.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

/// Everything that is listed.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    skills: Vec<Value>,
    /// Where a skill is in `skills`.
    places: HashMap<String, usize>,
    categories: Vec<Value>,
    ratings: Vec<Value>,
    /// Which user rated which skill.
    rated: HashSet<(String, String)>,
}

/// The id of a skill; some callers write `id`.
pub(crate) fn id_of(skill: &Value) -> &str {
    let id = skill.get("skill_id").or_else(|| skill.get("id"));
    id.and_then(Value::as_str).expect("a skill has a `skill_id`")
}

fn name_of(category: &Value) -> &str {
    category["name"].as_str().expect("a category has a `name`")
}

impl Catalogue {
    pub(crate) fn put_skill(&mut self, skill: Value) {
        let id = id_of(&skill).to_owned();
        if let Some(place) = self.places.get(&id) {
            self.skills[*place] = skill;
        } else {
            self.places.insert(id, self.skills.len());
            self.skills.push(skill);
        }
    }

    /// Lists a skill once more, at the end, under an id that is there already.
    pub(crate) fn repeat_skill(&mut self, skill: Value) {
        self.skills.push(skill);
    }

    pub(crate) fn remove_skill(&mut self, id: &str) {
        let Some(gap) = self.places.remove(id) else { return };
        self.skills.remove(gap);
        for place in self.places.values_mut().filter(|place| **place > gap) {
            *place -= 1;
        }
    }

    pub(crate) fn skill(&self, id: &str) -> Option<&Value> {
        self.skills.get(*self.places.get(id)?)
    }

    pub(crate) fn skill_mut(&mut self, id: &str) -> Option<&mut Value> {
        self.skills.get_mut(*self.places.get(id)?)
    }

    pub(crate) fn skills(&self) -> &[Value] {
        &self.skills
    }

    pub(crate) fn put_category(&mut self, category: Value) {
        let known = self.categories.iter_mut().find(|known| name_of(known) == name_of(&category));
        match known {
            Some(known) => *known = category,
            None => self.categories.push(category),
        }
    }

    pub(crate) fn remove_category(&mut self, name: &str) {
        self.categories.retain(|category| name_of(category) != name);
    }

    pub(crate) fn category(&self, name: &str) -> Option<&Value> {
        self.categories.iter().find(|category| name_of(category) == name)
    }

    pub(crate) fn categories(&self) -> &[Value] {
        &self.categories
    }

    pub(crate) fn ratings(&self) -> &[Value] {
        &self.ratings
    }

    /// Keeps a rating, unless this user rated this skill already.
    pub(crate) fn keep_rating(&mut self, rating: Value) -> bool {
        let text = |field: &str| rating[field].as_str().unwrap_or_default().to_owned();
        let is_new = self.rated.insert((text("skill_id"), text("user_id")));
        if is_new {
            self.ratings.push(rating);
        }
        is_new
    }

    /// Counts a rating into the skill's average. `updated_at` stays: the skill
    /// is the same.
    pub(crate) fn count_rating(&mut self, id: &str, rating: u8) {
        let Some(skill) = self.skill_mut(id) else { return };
        let average = skill["average_rating"].as_f64().unwrap_or_default();
        let count = skill["rating_count"].as_u64().unwrap_or_default();
        let former = u32::try_from(count).unwrap_or(u32::MAX);
        let sum = average.mul_add(f64::from(former), f64::from(rating));
        let average = (sum / (f64::from(former) + 1.0) * 100.0).round() / 100.0;
        skill["average_rating"] = average.into();
        skill["rating_count"] = (count + 1).into();
    }

    /// A skill as it is shown alone: with its ratings.
    pub(crate) fn detail(&self, id: &str) -> Option<Value> {
        let mut skill = self.skill(id)?.clone();
        let own = self.ratings.iter().filter(|rating| rating["skill_id"] == id);
        let ratings = own.map(|rating| {
            json!({
                "user_id": rating["user_id"],
                "rating": rating["rating"],
                "comment": rating["comment"],
                "created_at": rating["created_at"],
            })
        });
        skill["ratings"] = ratings.collect();
        Some(skill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(catalogue: &Catalogue) -> Vec<&str> {
        catalogue.skills().iter().map(id_of).collect()
    }

    #[test]
    fn skills_keep_their_order_when_others_change_or_go() {
        let mut catalogue = Catalogue::default();
        for id in ["a", "b", "c", "d"] {
            catalogue.put_skill(json!({"skill_id": id, "name": id}));
        }
        catalogue.put_skill(json!({"id": "b", "name": "B"}));
        catalogue.remove_skill("a");
        catalogue.remove_skill("nobody");
        assert_eq!(ids(&catalogue), ["b", "c", "d"]);
        assert_eq!(catalogue.skill("b").unwrap()["name"], "B");
        assert_eq!(catalogue.skill("d").unwrap()["name"], "d");
        assert!(catalogue.skill("a").is_none());
    }

    #[test]
    fn a_rating_moves_the_average_and_nothing_else() {
        let mut catalogue = Catalogue::default();
        catalogue.put_skill(json!({
            "skill_id": "a", "average_rating": 4.5, "rating_count": 42, "updated_at": "then"
        }));
        catalogue.put_skill(json!({"skill_id": "new"}));
        catalogue.count_rating("a", 1);
        catalogue.count_rating("new", 5);
        let expected = json!({
            "skill_id": "a", "average_rating": 4.42, "rating_count": 43, "updated_at": "then"
        });
        assert_eq!(catalogue.skill("a"), Some(&expected));
        let expected = json!({"skill_id": "new", "average_rating": 5.0, "rating_count": 1});
        assert_eq!(catalogue.skill("new"), Some(&expected));
    }
}
