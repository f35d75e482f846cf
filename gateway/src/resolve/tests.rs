//! One row per rule of how conflicts are found, classified and decided.

use serde_json::{Value, json};
use tidegate_protocol::time::Timestamp;

use super::*;
use crate::resolve::conflict::ChangedBy;
use crate::resolve::rules::{FieldRule, ItemKind, Rules};
use crate::resolve::side::Base;

mod choices;
mod laws;
mod tables;

/// The gateway's time in these tests.
const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

/// `null` stands for a deleted item.
fn state(data: Value) -> Option<Value> {
    (!data.is_null()).then_some(data)
}

fn base(data: Value) -> Base {
    Base { version: 3, data: state(data) }
}

/// Edited five seconds before now.
fn local(data: Value) -> Side {
    Side {
        version: 4,
        data: state(data),
        edited_at: NOW.plus_millis(-5_000),
        source_id: "phone".to_owned(),
    }
}

/// Edited ten seconds before now.
fn remote(data: Value) -> Side {
    Side {
        version: 5,
        data: state(data),
        edited_at: NOW.plus_millis(-10_000),
        source_id: "upstream".to_owned(),
    }
}

fn with_strategy(strategy: Strategy) -> KindRules {
    KindRules { strategy, ..rules::defaults::record() }
}

/// A judgement of (base, local, remote).
fn judge(rules: &KindRules, states: [Value; 3]) -> Verdict {
    let [base_data, local_data, remote_data] = states;
    let (base, local, remote) = (base(base_data), local(local_data), remote(remote_data));
    let edits = Edits { base: Some(&base), local: &local, remote: &remote };
    resolve(edits, Policy::new(rules, NOW))
}

fn conflict(rules: &KindRules, states: [Value; 3]) -> Conflict {
    judge(rules, states).conflict().expect("both sides changed").clone()
}

/// Whoever alone edited applies; equal results apply; only the rest conflicts.
#[test]
fn a_conflict_needs_two_edits_that_differ() {
    let (a, b, c) = (json!({"f": 1}), json!({"f": 2}), json!({"f": 3}));
    let gone = json!(null);
    // base, local, remote, whose value applies, and its version.
    let rows = [
        ("local is unedited: remote applies", [&a, &a, &b], Origin::Remote, 5),
        ("remote is unedited: local applies", [&a, &b, &a], Origin::Local, 6),
        ("both made the same edit", [&a, &b, &b], Origin::Remote, 5),
        ("nobody edited", [&a, &a, &a], Origin::Remote, 5),
        ("remote deleted, local is unedited", [&a, &a, &gone], Origin::Remote, 5),
        ("local deleted, remote is unedited", [&a, &gone, &a], Origin::Local, 6),
        ("both deleted", [&a, &gone, &gone], Origin::Remote, 5),
    ];
    for strategy in Strategy::ALL.iter().copied() {
        for (name, [base, local, remote], from, version) in rows {
            let rules = with_strategy(strategy);
            let states = [base.clone(), local.clone(), remote.clone()];
            let Verdict::NoConflict(applied) = judge(&rules, states) else {
                panic!("{name} under {strategy:?}: a conflict");
            };
            let data = state(if from == Origin::Local { local.clone() } else { remote.clone() });
            assert_eq!(applied, Applied { from, outcome: Outcome { version, data } }, "{name}");
        }
        let verdict = judge(&with_strategy(strategy), [a.clone(), b.clone(), c.clone()]);
        assert!(verdict.conflict().is_some(), "both edited differently under {strategy:?}");
    }
}

/// A clock that is wrong by a year makes no conflict and hides none.
#[test]
fn conflicts_are_found_by_base_and_never_by_clock() {
    let year_ms = 365 * 24 * 60 * 60 * 1000;
    let rules = with_strategy(Strategy::RemoteWins);
    let base = base(json!({"f": 1}));
    for skew_ms in [-year_ms, year_ms] {
        let skewed = |side: Side| Side { edited_at: NOW.plus_millis(skew_ms), ..side };
        let remote = remote(json!({"f": 2}));
        for (data, conflicts) in [(json!({"f": 1}), false), (json!({"f": 3}), true)] {
            let local = skewed(local(data));
            let edits = Edits { base: Some(&base), local: &local, remote: &remote };
            let verdict = resolve(edits, Policy::new(&rules, NOW));
            assert_eq!(verdict.conflict().is_some(), conflicts);
            assert_eq!(verdict.data(), remote.data.as_ref());
        }
    }
}

/// Without a base there is nothing to compare with but the other side.
#[test]
fn sides_without_a_base_conflict_where_they_differ() {
    let rules = with_strategy(Strategy::Merge);
    let judge = |local: &Side, remote: &Side| {
        resolve(Edits { base: None, local, remote }, Policy::new(&rules, NOW))
    };
    let (one, two) = (json!({"a": 1, "b": 1}), json!({"a": 2, "c": 2}));
    let verdict = judge(&local(one.clone()), &remote(two));
    let row = verdict.conflict().expect("they differ");
    assert_eq!(row.result.data, Some(json!({"a": 2, "c": 2, "b": 1})), "nothing was removed");
    assert!(judge(&local(one.clone()), &remote(one.clone())).conflict().is_none());

    let never = Side { version: 0, ..remote(json!(null)) };
    let created = judge(&local(one.clone()), &never);
    assert_eq!((created.version(), created.data()), (4, Some(&one)), "a new item");
    let deleted = judge(&local(one), &remote(json!(null)));
    assert!(deleted.conflict().is_some(), "a delete is an edit, base or not");
}

/// News older than the base is in the base already.
#[test]
fn what_is_older_than_the_base_is_not_an_edit() {
    let rules = rules::defaults::skill();
    let base = base(json!({"name": "b", "rating_count": 9}));
    let late = Side { version: 2, ..remote(json!({"name": "old", "rating_count": 1})) };
    let unedited = Side { version: 3, ..local(json!({"name": "b", "rating_count": 9})) };
    let edited = local(json!({"name": "c", "rating_count": 9}));
    for (local, version) in [(unedited, 3), (edited, 4)] {
        let edits = Edits { base: Some(&base), local: &local, remote: &late };
        let verdict = resolve(edits, Policy::new(&rules, NOW));
        assert!(verdict.conflict().is_none());
        assert_eq!((verdict.version(), verdict.data()), (version, local.data.as_ref()));
    }
}

/// What each strategy makes of one conflict with a field changed by local
/// alone, one by remote alone, one removed by local, one changed by both.
#[test]
fn every_strategy_decides_as_it_says() {
    let base = json!({"mine": 0, "yours": 0, "gone": 0, "both": 0});
    let local = json!({"mine": 1, "yours": 0, "both": 1});
    let remote = json!({"mine": 0, "yours": 2, "gone": 0, "both": 2});
    let reapplied = json!({"mine": 1, "yours": 2, "both": 1});
    let merged = json!({"mine": 1, "yours": 2, "both": 2});
    let (lost_local, lost_remote) = (vec![Origin::Local], vec![Origin::Remote]);
    let rows = [
        (Strategy::RemoteWins, &remote, 5, DecidedBy::Strategy, &lost_local),
        (Strategy::LocalWins, &reapplied, 6, DecidedBy::Strategy, &lost_remote),
        (Strategy::NewestWins, &reapplied, 6, DecidedBy::Strategy, &lost_remote),
        (Strategy::Merge, &merged, 6, DecidedBy::Strategy, &lost_local),
        (Strategy::Manual, &remote, 5, DecidedBy::Nobody, &lost_local),
    ];
    for (strategy, data, version, decided_by, losers) in rows {
        let states = [base.clone(), local.clone(), remote.clone()];
        let row = conflict(&with_strategy(strategy), states.clone());
        let result = Outcome { version, data: Some(data.clone()) };
        assert_eq!(row.result, result, "{strategy:?}");
        assert_eq!((&row.decided_by, &row.losers), (&decided_by, losers), "{strategy:?}");
        assert_eq!(row.changes_remote(), version != 5, "{strategy:?}");
        assert_eq!((row.strategy, row.at), (strategy, NOW));
        let kept = [&row.base.as_ref().unwrap().data, &row.local.data, &row.remote.data];
        assert_eq!(kept.map(|data| data.clone().unwrap()), states, "the row holds everything");
        assert_eq!(row.proposal, row.is_open().then(|| merged.clone()));
        let changed_by: Vec<(&str, ChangedBy)> =
            row.fields.iter().map(|field| (field.field.as_str(), field.changed_by)).collect();
        let expected = [
            ("mine", ChangedBy::Local),
            ("yours", ChangedBy::Remote),
            ("gone", ChangedBy::Local),
            ("both", ChangedBy::Both),
        ];
        assert_eq!(changed_by, expected);
    }
}

/// The later edit, a bounded skew, then the version, then the source.
#[test]
fn newest_is_bounded_and_ties_are_broken() {
    let minute = 60_000;
    // Local's and remote's (time from now, version, source), and who wins.
    let rows = [
        ("later by a second", (1, 4, "a"), (0, 5, "b"), Origin::Local),
        ("earlier by a second", (0, 9, "b"), (1, 5, "a"), Origin::Remote),
        (
            "both an hour ahead count alike",
            (61 * minute, 4, "b"),
            (60 * minute, 5, "a"),
            Origin::Remote,
        ),
        (
            "an hour ahead counts as five minutes",
            (60 * minute, 4, "a"),
            (4 * minute, 5, "b"),
            Origin::Local,
        ),
        (
            "four minutes ahead counts in full",
            (4 * minute, 4, "a"),
            (5 * minute, 4, "b"),
            Origin::Remote,
        ),
        ("a tie goes to the greater version", (0, 6, "a"), (0, 5, "b"), Origin::Local),
        ("then to the greater source id", (0, 5, "b"), (0, 5, "a"), Origin::Local),
        ("then to remote", (0, 5, "a"), (0, 5, "a"), Origin::Remote),
    ];
    let rules = with_strategy(Strategy::NewestWins);
    let base = base(json!({"f": 0}));
    for (name, local, remote, winner) in rows {
        let side = |(ahead_ms, version, source): (i64, i64, &str), value: i64| Side {
            version,
            data: Some(json!({"f": value})),
            edited_at: NOW.plus_millis(ahead_ms),
            source_id: source.to_owned(),
        };
        let (local, remote) = (side(local, 1), side(remote, 2));
        let edits = Edits { base: Some(&base), local: &local, remote: &remote };
        let verdict = resolve(edits, Policy::new(&rules, NOW));
        assert_eq!(verdict.data(), edits.side(winner).data.as_ref(), "{name}");
    }
}

/// Update against delete is a conflict; delete wins where the strategy does
/// not say otherwise.
#[test]
fn deletes_are_edits() {
    let (before, update, gone) = (json!({"f": 1}), json!({"f": 2}), json!(null));
    // Strategy, then the result where local deleted, and where remote did.
    let rows = [
        (Strategy::RemoteWins, &update, &gone, DecidedBy::Strategy),
        (Strategy::LocalWins, &gone, &update, DecidedBy::Strategy),
        (Strategy::NewestWins, &gone, &update, DecidedBy::Strategy),
        (Strategy::Merge, &gone, &gone, DecidedBy::Delete),
        (Strategy::Manual, &update, &gone, DecidedBy::Nobody),
    ];
    for (strategy, local_deleted, remote_deleted, decided_by) in rows {
        let rules = with_strategy(strategy);
        let rows = [
            ([before.clone(), gone.clone(), update.clone()], local_deleted, ChangedBy::Remote),
            ([before.clone(), update.clone(), gone.clone()], remote_deleted, ChangedBy::Local),
        ];
        for (states, result, changed_by) in rows {
            let row = conflict(&rules, states.clone());
            assert_eq!(row.result.data, state(result.clone()), "{strategy:?}");
            assert_eq!(row.decided_by, decided_by, "{strategy:?}");
            let loser = if *result == states[1] { Origin::Remote } else { Origin::Local };
            assert_eq!(row.losers, [loser], "{strategy:?}");
            let fields = vec![conflict::Disputed { field: "f".to_owned(), changed_by }];
            assert_eq!(row.fields, fields);
        }
    }
}

/// Values that are not objects have no fields: they are decided whole.
#[test]
fn values_without_fields_are_decided_whole() {
    for (strategy, result) in [(Strategy::Merge, 3), (Strategy::LocalWins, 2)] {
        let row = conflict(&with_strategy(strategy), [json!(1), json!(2), json!(3)]);
        assert_eq!(row.result.data, Some(json!(result)));
        assert_eq!(row.fields[0].field, conflict::WHOLE);
    }
}

/// Every kind has rules, and a collection may have its own.
#[test]
fn every_kind_of_item_has_rules() {
    let mut rules = Rules::default();
    let incidents = with_strategy(Strategy::Manual);
    rules.collections.insert("incidents".to_owned(), incidents);
    let rows = [
        (ItemKind::Skill, Strategy::RemoteWins),
        (ItemKind::Category, Strategy::RemoteWins),
        (ItemKind::Rating, Strategy::NewestWins),
        (ItemKind::Record { collection: "media" }, Strategy::RemoteWins),
        (ItemKind::Record { collection: "incidents" }, Strategy::Manual),
    ];
    for (kind, strategy) in rows {
        assert_eq!(rules.of(kind).strategy, strategy, "{kind:?}");
    }
}

/// Rules of a record in which only `f` has one.
fn with_rule(rule: FieldRule) -> KindRules {
    let mut rules = with_strategy(Strategy::Merge);
    rules.fields.insert("f".to_owned(), rule);
    rules
}
