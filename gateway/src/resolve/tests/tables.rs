//! Field rules, groups, and the tables of types and severities; settings that
//! change them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidegate_protocol::entry::Severity;

use super::{conflict, judge, with_rule, with_strategy};
use crate::resolve::Verdict;
use crate::resolve::conflict::ConflictType;
use crate::resolve::rules::settings::Settings;
use crate::resolve::rules::{FieldRule, Group, KindRules, Strategy, UnknownStrategy, defaults};

/// A conflict in one field, which was something else before.
fn of_field(rules: &KindRules, field: &str) -> (ConflictType, Severity) {
    let state = |text: &str| json!({ "x": 0, field: text });
    let row = conflict(rules, [state("before"), state("mine"), state("yours")]);
    (row.conflict_type, row.severity)
}

#[test]
fn the_first_hit_names_the_type() {
    let skill = defaults::skill();
    let rows = [
        ("version", ConflictType::VersionMismatch),
        ("code", ConflictType::ContentMismatch),
        ("command", ConflictType::ContentMismatch),
        ("local_files", ConflictType::ContentMismatch),
        ("content_hash", ConflictType::ContentMismatch),
        ("python_packages", ConflictType::DependencyConflict),
        ("npm_packages", ConflictType::DependencyConflict),
        ("description", ConflictType::Other),
    ];
    for (field, conflict_type) in rows {
        assert_eq!(of_field(&skill, field).0, conflict_type, "{field}");
    }
    for rules in [defaults::record(), defaults::rating(), defaults::category()] {
        assert_eq!(of_field(&rules, "comment").0, ConflictType::ContentMismatch);
        assert_eq!(of_field(&rules, "packages").0, ConflictType::DependencyConflict);
    }
    let all = |text: &str| json!({"npm_packages": [text], "code": text, "version": text});
    let row = conflict(&skill, [all("1"), all("2"), all("3")]);
    assert_eq!(row.conflict_type, ConflictType::VersionMismatch, "the first of three");
}

#[test]
fn the_first_hit_names_the_severity() {
    let rows = [
        (Severity::Critical, &["code", "command", "local_files", "id"][..]),
        (Severity::High, &["version", "packages", "python_packages", "npm_packages"]),
        (Severity::High, &["status", "priority", "assignee", "assignedTo", "approval"]),
        (Severity::Medium, &["parameters", "metadata", "env_vars"]),
        (Severity::Medium, &["score", "risk", "riskLevel", "resources"]),
        (Severity::Low, &["description", "tags", "comment"]),
    ];
    for rules in [defaults::skill(), defaults::category(), defaults::record(), defaults::rating()] {
        for (severity, fields) in rows {
            for field in fields {
                assert_eq!(of_field(&rules, field).1, severity, "{field}");
            }
        }
    }
    assert_eq!(of_field(&defaults::skill(), "skill_id").1, Severity::Critical);
    assert_eq!(of_field(&defaults::category(), "name").1, Severity::Critical);
    assert_eq!(of_field(&defaults::skill(), "name").1, Severity::Low);
    let both = |text: &str| json!({"metadata": text, "code": text});
    let row = conflict(&defaults::skill(), [both("1"), both("2"), both("3")]);
    assert_eq!(row.severity, Severity::Critical, "the gravest of two");
}

/// One row per field rule: base, local, remote, merged.
#[test]
fn each_field_rule_decides_what_both_changed() {
    let rows = [
        (FieldRule::Remote, json!(1), json!(2), json!(3), json!(3)),
        (FieldRule::Local, json!(1), json!(2), json!(3), json!(2)),
        (FieldRule::Newest, json!(1), json!(2), json!(3), json!(2)),
        (FieldRule::Union, json!(["a"]), json!(["c", "a"]), json!(["b"]), json!(["a", "b", "c"])),
        (FieldRule::Append, json!([1]), json!([1, 2]), json!([1, 3]), json!([1, 3, 2])),
        (FieldRule::Sum, json!(10), json!(12), json!(9), json!(11)),
        (FieldRule::Max, json!(1), json!(2), json!(3), json!(3)),
        (FieldRule::Min, json!(1), json!(2), json!(3), json!(2)),
        (FieldRule::LongerText, json!(""), json!("longer"), json!("long"), json!("longer")),
        (FieldRule::NextVersion, json!("1.0"), json!("1.4"), json!("1.3"), json!("1.5")),
        (FieldRule::Sum, json!(1), json!("not a number"), json!(3), json!(3)),
    ];
    for (rule, base, local, remote, merged) in rows {
        let state = |value: Value| json!({ "f": value });
        let row = conflict(&with_rule(rule), [state(base), state(local), state(remote)]);
        assert_eq!(row.result.data, Some(state(merged)), "{rule:?}");
        assert!(!row.is_open());
    }
}

/// One field that only a person can decide keeps everything as remote has it.
#[test]
fn a_manual_field_opens_the_conflict_only_when_both_changed_it() {
    let rules = with_rule(FieldRule::Manual);
    let base = json!({"f": 1, "g": 1});
    let remote = json!({"f": 3, "g": 1});
    let verdict = judge(&rules, [base.clone(), json!({"f": 2, "g": 2}), remote.clone()]);
    let Verdict::Open(row) = verdict else { panic!("nobody decided `f`") };
    assert_eq!((row.result.data.as_ref(), row.result.version), (Some(&remote), 5));
    assert_eq!(row.undecided, ["f"]);
    assert_eq!(row.proposal, Some(json!({"f": 3, "g": 2})));

    let verdict = judge(&rules, [base, json!({"f": 1, "g": 2}), remote]);
    assert_eq!(verdict.data(), Some(&json!({"f": 3, "g": 2})), "`f` was changed by one side");
}

#[test]
fn groups_move_together() {
    let group = |rule| {
        let fields = BTreeSet::from(["lat".to_owned(), "lon".to_owned()]);
        KindRules { groups: vec![Group { fields, rule }], ..with_strategy(Strategy::Merge) }
    };
    let base = json!({"lat": 1, "lon": 1, "f": 1});
    let local = json!({"lat": 2, "lon": 1, "f": 2});
    let remote = json!({"lat": 1, "lon": 3, "f": 1});
    let states = [base.clone(), local.clone(), remote.clone()];
    let rows = [
        (FieldRule::Remote, json!({"lat": 1, "lon": 3, "f": 2})),
        (FieldRule::Local, json!({"lat": 2, "lon": 1, "f": 2})),
        (FieldRule::Newest, json!({"lat": 2, "lon": 1, "f": 2})),
    ];
    for (rule, merged) in rows {
        assert_eq!(judge(&group(rule), states.clone()).data(), Some(&merged), "{rule:?}");
    }
    assert_eq!(conflict(&group(FieldRule::Manual), states).undecided, ["lat", "lon"]);

    let elsewhere = json!({"lat": 1, "lon": 1, "f": 3});
    let verdict = judge(&group(FieldRule::Remote), [base, local, elsewhere]);
    assert_eq!(verdict.data(), Some(&json!({"lat": 2, "lon": 1, "f": 3})), "one side's group");
}

/// The tail that grew with each merge is gone, packages are joined and
/// sorted, and what upstream counts never conflicts.
#[test]
fn skills_merge_as_the_marketplace_needs() {
    let rules = KindRules { strategy: Strategy::Merge, ..defaults::skill() };
    let skill = |version: &str, packages: &[&str], ratings: i64| json!({"version": version, "python_packages": packages, "rating_count": ratings});
    let states = [
        skill("1.0.0", &["numpy"], 1),
        skill("1.1.0+merged+1.2.0", &["torch", "numpy"], 1),
        skill("1.2.0", &["numpy", "scipy"], 7),
    ];
    let merged = skill("1.2.1", &["numpy", "scipy", "torch"], 7);
    assert_eq!(conflict(&rules, states).result.data, Some(merged));

    let states = [skill("1", &[], 1), skill("1", &["a"], 1), skill("1", &[], 2)];
    let verdict = judge(&rules, states);
    assert!(verdict.conflict().is_none(), "a new rating is not an edit of the skill");
    assert_eq!(verdict.data(), Some(&skill("1", &["a"], 2)), "and is not lost");

    let states = [json!({"n": 1}), json!({"n": 1, "version": "1.0.0"}), json!({"n": 2})];
    assert!(judge(&rules, states).conflict().is_none(), "no version means 1.0.0");
}

#[test]
fn strategies_are_read_in_any_case() {
    assert_eq!("MERGE".parse(), Ok(Strategy::Merge));
    assert_eq!(" Remote_Wins ".parse(), Ok(Strategy::RemoteWins));
    assert_eq!("".parse::<Strategy>(), Err(UnknownStrategy));
    for strategy in Strategy::ALL {
        assert_eq!(json!(strategy), json!(strategy.as_str()), "one name everywhere");
    }
}

fn settings(text: &str) -> Settings {
    toml::from_str(text).expect(text)
}

#[test]
fn settings_change_the_defaults_and_nothing_else() {
    let rules = settings(
        r#"
        [skill]
        strategy = "merge"
        fields.description = "longer_text"
        [record]
        strategy = "manual"
        [collections.media]
        groups = [{ fields = ["tags", "caption"], rule = "newest" }]
        "#,
    )
    .rules()
    .expect("valid");
    assert_eq!(rules.skill.strategy, Strategy::Merge);
    assert_eq!(rules.skill.rule("description"), FieldRule::LongerText);
    assert_eq!(rules.skill.rule("python_packages"), FieldRule::Union, "a default stays");
    let media = &rules.collections["media"];
    assert_eq!(media.strategy, Strategy::Manual, "a collection stands on `record`");
    assert_eq!(media.group("tags").map(|group| group.rule), Some(FieldRule::Newest));
    assert_eq!(media.rule("tags"), FieldRule::Remote, "a default gives way to a group");
    assert_eq!(Settings::default().rules(), Ok(crate::resolve::rules::Rules::default()));
}

#[test]
fn settings_that_make_no_sense_are_refused_with_their_place() {
    let rows = [
        ("[record]\ngroups = [{ fields = [\"a\"] }]", "record.groups[0]"),
        ("[record]\ngroups = [{ fields = [\"a\", \"b\"], rule = \"sum\" }]", "record.groups[0]"),
        ("[skill]\nfields.\"\" = \"local\"", "skill.fields"),
        ("[skill]\nfields.updated_at = \"max\"", "skill.fields.updated_at"),
        ("[rating]\nfields.comment = \"local\"", "rating.groups[0]"),
        ("[collections.\"\"]", "collections."),
        (
            "[record]\ngroups = [{ fields = [\"a\", \"b\"] }, { fields = [\"b\", \"c\"] }]",
            "record.groups[1]",
        ),
        ("[category]\ngroups = [{ fields = [\"a\", \"skill_count\"] }]", "category.groups[0]"),
    ];
    for (text, path) in rows {
        let found = settings(text).rules().expect_err(text);
        assert!(found.iter().any(|invalid| invalid.path == path), "{text}: {found:?}");
    }
    let many: BTreeSet<String> = (0..501).map(|number| number.to_string()).collect();
    let mut large = Settings::default();
    large.record.owned_by_remote = Some(many);
    assert!(large.rules().is_err(), "too many fields");
    assert!(toml::from_str::<Settings>("[skill]\nstratgy = \"merge\"").is_err(), "a typing error");
}
