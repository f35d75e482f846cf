//! A catalogue as a marketplace has it, made from numbers: the same numbers
//! make the same skills.

use serde_json::{Value, json};

const VERBS: [&str; 12] = [
    "Send",
    "Fetch",
    "Summarise",
    "Translate",
    "Validate",
    "Archive",
    "Classify",
    "Schedule",
    "Convert",
    "Compare",
    "Publish",
    "Monitor",
];

const OBJECTS: [&str; 15] = [
    "Email",
    "Invoice",
    "Calendar",
    "Spreadsheet",
    "Ticket",
    "Contract",
    "Web Page",
    "Meeting",
    "Order",
    "Feedback",
    "Log File",
    "Image",
    "Deployment",
    "Newsletter",
    "Contact",
];

const CATEGORIES: [&str; 10] = [
    "automation",
    "integration",
    "communication",
    "data",
    "productivity",
    "development",
    "finance",
    "security",
    "marketing",
    "research",
];

const PYTHON: [&str; 8] = [
    "requests>=2.31",
    "pandas>=2.2",
    "numpy==1.26.4",
    "pydantic>=2.6",
    "lxml==5.1.0",
    "beautifulsoup4>=4.12",
    "tenacity==8.2.3",
    "python-dateutil>=2.9",
];

const NPM: [&str; 4] = ["axios@1.6.7", "zod@3.22.4", "date-fns@3.3.1", "cheerio@1.0.0"];

const AUTHORS: [&str; 5] =
    ["Atom Team", "Workflow Guild", "Nadia Okoro", "Data & Docs Ltd", "Jürgen Weiß"];

/// The id of the skill with this index.
pub(crate) fn skill_id(index: usize) -> String {
    uuid_like(1, index)
}

/// The id of the rating with this index.
pub(crate) fn rating_id(index: usize) -> String {
    uuid_like(2, index)
}

/// A version 4 UUID by its looks. The last twelve digits are the index, so
/// that no two are the same.
fn uuid_like(kind: u64, index: usize) -> String {
    let bits = mix(index as u64 ^ (kind << 60));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{index:012x}",
        bits >> 32,
        (bits >> 16) & 0xffff,
        (bits >> 4) & 0xfff,
        bits & 0xfff,
    )
}

/// Spreads the bits of a number (splitmix64).
pub(crate) const fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The category with this index; `skill_count` is for `skills` spread over
/// `count` categories.
pub(crate) fn category(index: usize, count: usize, skills: usize, created_at: &str) -> Value {
    let name = category_name(index);
    json!({
        "name": name,
        "description": format!("Skills for {name} in daily work"),
        "skill_count": (index..skills).step_by(count).count(),
        "icon_url": format!("https://cdn.atomsaas.com/icons/{name}.svg"),
        "created_at": created_at,
    })
}

fn category_name(index: usize) -> String {
    match CATEGORIES.get(index) {
        Some(name) => (*name).to_owned(),
        None => format!("category-{}", index + 1),
    }
}

/// The skill with this index, in one of `categories`. `stamp` writes the time
/// that many seconds ago.
pub(crate) fn skill(index: usize, categories: usize, stamp: impl Fn(i64) -> String) -> Value {
    let mut dice = Dice(mix(index as u64));
    let (verb, object) =
        (VERBS[index % VERBS.len()], OBJECTS[(index / VERBS.len()) % OBJECTS.len()]);
    let round = index / (VERBS.len() * OBJECTS.len());
    let name = match round {
        0 => format!("{verb} {object}"),
        _ => format!("{verb} {object} {}", round + 1),
    };
    let function = name.to_lowercase().replace(' ', "_");
    let category = category_name(index % categories.max(1));
    let is_python = dice.below(4) > 0;
    let package = if is_python { dice.of(&PYTHON) } else { dice.of(&NPM) };
    let code = if is_python { python(&function, package) } else { node(&function, package) };
    let packages = |is_ours: bool| if is_ours { json!([package]) } else { json!([]) };
    let updated_s = dice.between(3600, 30 * 86_400);
    let created_s = updated_s + dice.between(86_400, 300 * 86_400);
    json!({
        "skill_id": skill_id(index),
        "name": name,
        "description": format!(
            "{verb}s one {} at a time, checks what it was given, and reports each step.",
            object.to_lowercase()
        ),
        "version": format!("1.{}.{}", dice.below(6), dice.below(10)),
        "code": code,
        "command": if is_python { "python" } else { "node" },
        "python_packages": packages(is_python),
        "npm_packages": packages(!is_python),
        "tags": [verb.to_lowercase(), object.to_lowercase(), category],
        "metadata": {
            "author": dice.of(&AUTHORS),
            "documentation_url": format!("https://docs.atomsaas.com/skills/{}", skill_id(index)),
        },
        "category": category,
        "average_rating": f64::from(dice.below(30)) / 10.0 + 2.0,
        "rating_count": dice.below(400),
        "created_at": stamp(created_s),
        "updated_at": stamp(updated_s),
    })
}

fn python(function: &str, package: &str) -> String {
    let module = package.split(['>', '=']).next().unwrap_or(package).replace('-', "_");
    format!(
        "import {module}\n\n\ndef {function}(target, options=None):\n    \
         options = options or {{}}\n    if not target:\n        \
         raise ValueError(\"target is required\")\n    \
         result = {{\"target\": target, \"dry_run\": options.get(\"dry_run\", False)}}\n    \
         return {{\"success\": True, \"result\": result}}\n"
    )
}

fn node(function: &str, package: &str) -> String {
    let module = package.split('@').next().unwrap_or(package);
    format!(
        "const library = require(\"{module}\");\n\n\
         module.exports = async function {function}(target, options = {{}}) {{\n  \
         if (!target) throw new Error(\"target is required\");\n  \
         const result = {{ target, dryRun: options.dryRun ?? false }};\n  \
         return {{ success: true, result, library: typeof library }};\n}};\n"
    )
}

/// Numbers that look thrown and are always the same.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = mix(self.0);
        u32::try_from(self.0 % u64::from(bound)).unwrap_or_default()
    }

    fn between(&mut self, least: u32, bound: u32) -> i64 {
        i64::from(least + self.below(bound - least))
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(u32::try_from(items.len()).unwrap_or(u32::MAX)) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn skills_are_the_same_each_time_differ_and_have_a_usual_size() {
        let stamp = |ago_s: i64| ago_s.to_string();
        let made: Vec<_> = (0..1000).map(|index| skill(index, 8, stamp)).collect();
        assert_eq!(made[7], skill(7, 8, stamp));
        let ids: HashSet<_> =
            made.iter().map(|skill| skill["skill_id"].as_str().unwrap()).collect();
        let names: HashSet<_> = made.iter().map(|skill| skill["name"].as_str().unwrap()).collect();
        assert_eq!((ids.len(), names.len()), (1000, 1000));
        let mean = made.iter().map(|skill| skill.to_string().len()).sum::<usize>() / made.len();
        assert!((800..1100).contains(&mean), "{mean} bytes");
        assert!(ids.iter().all(|id| id.len() == 36 && id.as_bytes()[14] == b'4'));
    }

    #[test]
    fn categories_count_their_skills() {
        let counts: Vec<_> = (0..3).map(|index| category(index, 3, 7, "then")).collect();
        let counts: Vec<_> = counts.iter().map(|category| &category["skill_count"]).collect();
        assert_eq!(counts, [3, 2, 2]);
    }
}
