//! What holds for any two edits: nothing is lost, nothing depends on anything
//! but the inputs, and merging twice is merging once.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value};
use tidegate_protocol::time::Timestamp;

use super::NOW;
use crate::resolve::combine::{Values, combine};
use crate::resolve::conflict::{Conflict, DecidedBy};
use crate::resolve::order::{same, same_option};
use crate::resolve::person::{Actor, Undo, restore};
use crate::resolve::rules::{FieldRule, Group, KindRules, Strategy as Rule, defaults};
use crate::resolve::side::{Base, Edits, Origin, Side};
use crate::resolve::{Policy, Verdict, patch, resolve};

const FIELDS: [&str; 6] = ["a", "b", "c", "d", "version", "tags"];

const RULES: [FieldRule; 11] = [
    FieldRule::Remote,
    FieldRule::Local,
    FieldRule::Newest,
    FieldRule::Union,
    FieldRule::Append,
    FieldRule::Sum,
    FieldRule::Max,
    FieldRule::Min,
    FieldRule::LongerText,
    FieldRule::NextVersion,
    FieldRule::Manual,
];

/// Few different values, so that sides often agree.
fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0_i64..4).prop_map(Value::from),
        (0_u8..3).prop_map(|half| Value::from(f64::from(half) / 2.0)),
        prop_oneof!["[ab]{0,3}", "1\\.[0-3]"].prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        prop::collection::vec(0_i64..3, 0..4).prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec(("[a-d]", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::vec((prop::sample::select(&FIELDS[..]), value()), 0..6).prop_map(|fields| {
        let named = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
        Value::Object(named.collect::<Map<String, Value>>())
    })
}

fn data() -> impl Strategy<Value = Option<Value>> {
    let plain = leaf().prop_map(|value| (!value.is_null()).then_some(value));
    prop_oneof![1 => Just(None), 9 => object().prop_map(Some), 1 => plain]
}

fn side(data: impl Strategy<Value = Option<Value>>) -> impl Strategy<Value = Side> {
    (1_i64..9, data, -9_i64..9, "[ab]").prop_map(|(version, data, minutes, source_id)| Side {
        version,
        data,
        edited_at: NOW.plus_millis(minutes * 60_000),
        source_id,
    })
}

fn base() -> impl Strategy<Value = Option<Base>> {
    let some = (1_i64..9, data()).prop_map(|(version, data)| Base { version, data });
    prop::option::weighted(0.8, some)
}

fn kind() -> impl Strategy<Value = KindRules> {
    let rules = prop::collection::vec(prop::sample::select(&RULES[..]), FIELDS.len());
    let group_rule =
        prop::sample::select(vec![None, Some(FieldRule::Newest), Some(FieldRule::Manual)]);
    let strategy = prop::sample::select(Rule::ALL);
    (rules, group_rule, strategy, any::<bool>()).prop_map(|(rules, group_rule, strategy, skill)| {
        let mut kind = if skill { defaults::skill() } else { defaults::record() };
        kind.strategy = strategy;
        kind.fields = FIELDS.map(str::to_owned).into_iter().zip(rules).collect();
        if let Some(rule) = group_rule {
            let fields = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
            kind.fields.retain(|field, _| !fields.contains(field));
            kind.groups = vec![Group { fields, rule }];
        }
        kind
    })
}

fn merging() -> impl Strategy<Value = KindRules> {
    kind().prop_map(|mut kind| {
        kind.strategy = Rule::Merge;
        for rule in kind.fields.values_mut().chain(kind.groups.iter_mut().map(|g| &mut g.rule)) {
            if *rule == FieldRule::Manual {
                *rule = FieldRule::Local;
            }
        }
        kind
    })
}

fn judge(base: Option<&Base>, local: &Side, remote: &Side, rules: &KindRules) -> Verdict {
    resolve(Edits { base, local, remote }, Policy::new(rules, NOW))
}

/// A side with another value, as its source would send it next.
fn with_data(side: &Side, version: i64, data: Option<&Value>) -> Side {
    Side { version, data: data.cloned(), ..side.clone() }
}

fn check_row(row: &Conflict, base: Option<&Base>, local: &Side, remote: &Side) {
    assert_eq!(row.base.as_ref(), base);
    assert_eq!((&row.local, &row.remote), (local, remote), "both sides are kept as they came");
    let result = row.result.data.as_ref();
    for (origin, side) in [(Origin::Local, local), (Origin::Remote, remote)] {
        if same_option(result, side.data.as_ref()) {
            assert!(!row.losers.contains(&origin), "whose value it is has lost nothing");
        }
    }
    let is_new = !same_option(result, remote.data.as_ref());
    if is_new {
        let highest = base.map_or(0, |base| base.version).max(remote.version);
        assert!(row.result.version > highest, "a new value has a new number");
    } else {
        assert_eq!(row.result.version, remote.version);
    }
    assert_eq!(row.changes_remote(), is_new);
    if row.is_open() {
        assert!(!is_new, "remote stays until somebody decides");
    }
    let text = serde_json::to_string(row).expect("a row serialises");
    assert_eq!(&serde_json::from_str::<Conflict>(&text).expect("and is read back"), row);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// The same inputs give the same verdict, and both sides are in its row.
    #[test]
    fn verdicts_are_deterministic_and_keep_both_sides(
        base in base(), local in side(data()), remote in side(data()), rules in kind(),
    ) {
        let verdict = judge(base.as_ref(), &local, &remote, &rules);
        let again = judge(
            base.clone().as_ref(), &local.clone(), &remote.clone(), &rules.clone(),
        );
        prop_assert_eq!(&verdict, &again);
        match &verdict {
            Verdict::NoConflict(applied) => {
                let is_late = base.as_ref().is_some_and(|base| remote.version < base.version);
                let lost = [&local, &remote].into_iter().filter(|side| {
                    !same_option(side.data.as_ref(), verdict.data())
                });
                for side in lost {
                    let before = base.as_ref().and_then(|base| base.data.as_ref());
                    prop_assert!(is_late || same_option(side.data.as_ref(), before));
                }
                prop_assert!(applied.outcome.version >= remote.version);
            }
            Verdict::Resolved(row) => {
                prop_assert!(!row.is_open());
                check_row(row, base.as_ref(), &local, &remote);
            }
            Verdict::Open(row) => {
                prop_assert!(row.is_open());
                prop_assert!(row.losers.contains(&Origin::Local));
                check_row(row, base.as_ref(), &local, &remote);
            }
        }
    }

    /// A field that one side changed is that side's; one that nobody changed
    /// stays; one that both changed alike is what both say.
    #[test]
    fn merging_takes_each_field_from_who_changed_it(
        before in object(), mine in object(), yours in object(), mut rules in merging(),
    ) {
        rules.groups.clear();
        rules.absent.clear();
        let base = Base { version: 1, data: Some(before.clone()) };
        let side = |data: &Value, version| Side {
            version, data: Some(data.clone()), edited_at: NOW, source_id: "s".to_owned(),
        };
        let verdict = judge(Some(&base), &side(&mine, 2), &side(&yours, 2), &rules);
        let merged = verdict.data().expect("nobody deleted");
        for field in FIELDS {
            let [b, l, r, m] = [&before, &mine, &yours, merged].map(|state| state.get(field));
            if same_option(b, l) || same_option(l, r) {
                prop_assert!(same_option(m, r), "{} is remote's", field);
            } else if same_option(b, r) {
                prop_assert!(same_option(m, l), "{} is local's", field);
            }
        }
    }

    /// A merged value merges with what it came from into itself.
    #[test]
    fn merging_is_idempotent(
        base in base(), local in side(object().prop_map(Some)),
        remote in side(object().prop_map(Some)), rules in merging(),
    ) {
        let verdict = judge(base.as_ref(), &local, &remote, &rules);
        let (version, merged) = (verdict.version(), verdict.data());
        let as_local = with_data(&local, version + 1, merged);
        let as_remote = with_data(&remote, version, merged);
        let twice = judge(base.as_ref(), &as_local, &as_remote, &rules);
        prop_assert!(twice.conflict().is_none(), "merged with itself");
        prop_assert_eq!((twice.version(), twice.data()), (version, merged));

        let seen = Base { version: remote.version, data: remote.data.clone() };
        let on_remote = judge(Some(&seen), &as_local, &remote, &rules);
        prop_assert!(on_remote.conflict().is_none(), "merged into what it came from");
        prop_assert!(same_option(on_remote.data(), merged));
    }

    /// A rule applied to its own result gives that result again. Sums and
    /// version numbers count how often, and are left out.
    #[test]
    fn combining_twice_is_combining_once(
        base in prop::option::of(leaf()), local in leaf(), remote in leaf(),
        rule in prop::sample::select(vec![
            FieldRule::Union, FieldRule::Append, FieldRule::Max, FieldRule::Min,
            FieldRule::LongerText,
        ]),
    ) {
        let once = combine(rule, Values {
            base: base.as_ref(), local: Some(&local), remote: Some(&remote),
        });
        if let Some(once) = once {
            let twice = combine(rule, Values {
                base: base.as_ref(), local: Some(&local), remote: Some(&once),
            });
            prop_assert_eq!(twice, Some(once));
        }
    }

    /// Which side is called local does not change who is newest.
    #[test]
    fn newest_does_not_depend_on_who_asks(
        mine in side(object().prop_map(Some)), yours in side(object().prop_map(Some)),
    ) {
        let latest = NOW.plus_millis(crate::resolve::SKEW_MS);
        let rank = |side: &Side| {
            (side.edited_at.min(latest), side.version, side.source_id.clone())
        };
        let newest = |local, remote| {
            crate::resolve::newest(Edits { base: None, local, remote }, NOW)
        };
        let (there, back) = (newest(&mine, &yours), newest(&yours, &mine));
        if rank(&mine) == rank(&yours) {
            prop_assert_eq!((there, back), (Origin::Remote, Origin::Remote));
        } else {
            prop_assert_eq!(there, back.other());
        }
    }

    /// On an item nobody touched since, undo gives the loser as it was.
    #[test]
    fn every_loser_comes_back_as_it_was(
        base in base(), local in side(data()), remote in side(data()), mut rules in kind(),
    ) {
        rules.owned_by_remote.clear();
        rules.absent.clear();
        if let Verdict::Resolved(row) = judge(base.as_ref(), &local, &remote, &rules) {
            let current = Side {
                version: row.result.version,
                data: row.result.data.clone(),
                edited_at: Timestamp::from_millis(0),
                source_id: "gateway".to_owned(),
            };
            for &loser in &row.losers {
                let undo = Undo { loser, expected_remote_version: current.version };
                let actor = Actor { person: "ann", at: NOW };
                let edit = restore(&row, &current, &rules, undo, actor).expect("a loser");
                let lost = row.edits().side(loser).data.as_ref();
                prop_assert!(same_option(edit.outcome.data.as_ref(), lost));
                prop_assert!(edit.outcome.version > current.version
                    || same_option(lost, current.data.as_ref()));
            }
            let deleted = row.local.data.is_none() != row.remote.data.is_none();
            prop_assert!(row.decided_by != DecidedBy::Delete || deleted);
        }
    }

    /// What a patch says is what changed, whenever one can be made.
    #[test]
    fn a_patch_takes_the_one_value_to_the_other(before in value(), after in value()) {
        let Some(changes) = patch::diff(&before, &after) else { return Ok(()) };
        let once = patch::patched(&before, &changes).expect("JSON");
        prop_assert_eq!(&once, &after);
        let twice = patch::patched(&once, &changes).expect("JSON");
        prop_assert_eq!(&twice, &after, "twice is once");
        let whole = after.to_string();
        if let Some(text) = patch::to_send(&before, &after, &whole) {
            prop_assert!(text.len() < whole.len());
            let sent = serde_json::from_str(&text).expect("JSON");
            prop_assert!(same(&patch::patched(&before, &sent).expect("JSON"), &after));
        }
    }
}
