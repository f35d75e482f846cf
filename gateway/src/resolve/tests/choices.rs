//! What a person may decide, undo, and is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{NOW, conflict, remote, with_rule, with_strategy};
use crate::resolve::conflict::{Conflict, DecidedBy};
use crate::resolve::person::{Actor, Choice, Decision, RESTORE_MS, Refused, Undo, restore, settle};
use crate::resolve::rules::{FieldRule, Group, KindRules, Strategy};
use crate::resolve::side::{Origin, Side};

const ANN: Actor<'_> = Actor { person: "ann", at: NOW };

fn open() -> Conflict {
    let states = [json!({"f": 1, "g": 1, "h": 1}), json!({"f": 2, "g": 2, "h": 1})];
    let [base, local] = states;
    conflict(&with_strategy(Strategy::Manual), [base, local, json!({"f": 3, "g": 1, "h": 3})])
}

fn decision(choice: Choice) -> Decision {
    Decision {
        choice,
        data: None,
        fields: BTreeMap::new(),
        justification: Some("because".to_owned()),
        expected_remote_version: 5,
    }
}

fn fields<const N: usize>(fields: [(&str, Origin); N]) -> Decision {
    let fields = fields.into_iter().map(|(field, origin)| (field.to_owned(), origin)).collect();
    Decision { fields, ..decision(Choice::Fields) }
}

#[test]
fn each_choice_gives_its_value() {
    let own = Decision { data: Some(json!({"f": 9})), ..decision(Choice::Merged) };
    let rows = [
        (decision(Choice::Local), json!({"f": 2, "g": 2, "h": 3}), 6, vec![Origin::Remote]),
        (decision(Choice::Remote), json!({"f": 3, "g": 1, "h": 3}), 5, vec![Origin::Local]),
        (decision(Choice::Merged), json!({"f": 3, "g": 2, "h": 3}), 6, vec![Origin::Local]),
        (own, json!({"f": 9}), 6, vec![Origin::Local, Origin::Remote]),
        (fields([("f", Origin::Local)]), json!({"f": 2, "g": 2, "h": 3}), 6, vec![Origin::Remote]),
        (
            fields([("g", Origin::Remote), ("h", Origin::Local)]),
            json!({"f": 3, "g": 1, "h": 1}),
            6,
            vec![Origin::Local, Origin::Remote],
        ),
    ];
    let (conflict, rules) = (open(), with_strategy(Strategy::Manual));
    for (decision, data, version, losers) in rows {
        let row = settle(&conflict, &conflict.remote, &rules, &decision, ANN).expect("decided");
        assert_eq!(row.result.data, Some(data), "{decision:?}");
        assert_eq!((row.result.version, &row.losers), (version, &losers), "{decision:?}");
        assert_eq!(row.decided_by, DecidedBy::Person("ann".to_owned()));
        assert_eq!(row.justification.as_deref(), Some("because"));
        assert!(!row.is_open() && row.proposal.is_none());
        assert_eq!((&row.base, &row.local), (&conflict.base, &conflict.local), "kept");
    }
}

/// A decision is made on what the person saw, and on nothing else.
#[test]
fn a_remote_that_moved_is_answered_with_its_version() {
    let (conflict, rules) = (open(), with_strategy(Strategy::Manual));
    let moved = Side { version: 8, ..remote(json!({"f": 3, "g": 1, "h": 8})) };
    let refused = settle(&conflict, &moved, &rules, &decision(Choice::Local), ANN);
    assert_eq!(refused, Err(Refused::Moved { current: 8 }));

    let seen = Decision { expected_remote_version: 8, ..decision(Choice::Local) };
    let row = settle(&conflict, &moved, &rules, &seen, ANN).expect("decided");
    assert_eq!(row.result.data, Some(json!({"f": 2, "g": 2, "h": 8})), "on current remote");
    assert_eq!((row.result.version, row.remote), (9, moved));
}

#[test]
fn incomplete_decisions_are_refused() {
    let (conflict, rules) = (open(), with_strategy(Strategy::Manual));
    let refuse = |decision: &Decision| {
        settle(&conflict, &conflict.remote, &rules, decision, ANN).expect_err("refused")
    };
    let data = Some(json!({}));
    let with_data = Decision { data: data.clone(), ..decision(Choice::Local) };
    let text = Decision { data: Some(json!("text")), ..decision(Choice::Merged) };
    let extra = Decision { choice: Choice::Remote, ..fields([("f", Origin::Local)]) };
    for decision in [decision(Choice::Fields), with_data, text, extra] {
        assert!(matches!(refuse(&decision), Refused::Incomplete(_)), "{decision:?}");
    }
    let unknown = fields([("x", Origin::Local)]);
    assert_eq!(refuse(&unknown), Refused::Field("x".to_owned()));

    let settled = settle(&conflict, &conflict.remote, &rules, &decision(Choice::Remote), ANN);
    let again =
        settle(&settled.expect("decided"), &conflict.remote, &rules, &decision(Choice::Local), ANN);
    assert_eq!(again, Err(Refused::NotOpen));
}

#[test]
fn manual_fields_need_a_word_and_groups_one_word() {
    let rules = with_rule(FieldRule::Manual);
    let conflict = conflict(&rules, [json!({"f": 1}), json!({"f": 2}), json!({"f": 3})]);
    let decide = |decision| settle(&conflict, &conflict.remote, &rules, &decision, ANN);
    let left_open = Err(Refused::Undecided(vec!["f".to_owned()]));
    assert_eq!(decide(decision(Choice::Merged)), left_open);
    let row = decide(fields([("f", Origin::Local)])).expect("decided");
    assert_eq!(row.result.data, Some(json!({"f": 2})));

    let pair = BTreeSet::from(["f".to_owned(), "g".to_owned()]);
    let groups = vec![Group { fields: pair, rule: FieldRule::Manual }];
    let rules = KindRules { groups, ..with_strategy(Strategy::Manual) };
    let conflict = open();
    let decide = |decision| settle(&conflict, &conflict.remote, &rules, &decision, ANN);
    let row = decide(fields([("g", Origin::Local)])).expect("decided");
    assert_eq!(row.result.data, Some(json!({"f": 2, "g": 2, "h": 3})), "`f` goes along");
    let split = decide(fields([("f", Origin::Local), ("g", Origin::Remote)]));
    assert_eq!(split, Err(Refused::Field("f".to_owned())));
}

/// Deletes: a side can be chosen, or data sent; merging keeps the delete.
#[test]
fn a_person_decides_over_deletes_too() {
    let rules = with_strategy(Strategy::Manual);
    let conflict = conflict(&rules, [json!({"f": 1}), json!({"f": 2}), json!(null)]);
    let decide = |decision| {
        settle(&conflict, &conflict.remote, &rules, &decision, ANN).map(|row| row.result.data)
    };
    assert_eq!(decide(decision(Choice::Local)), Ok(Some(json!({"f": 2}))));
    assert_eq!(decide(decision(Choice::Merged)), Ok(None));
    let own = Decision { data: Some(json!({"f": 3})), ..decision(Choice::Merged) };
    assert_eq!(decide(own), Ok(Some(json!({"f": 3}))));
    assert!(decide(fields([("f", Origin::Local)])).is_err());
}

#[test]
fn a_loser_can_be_brought_back() {
    let rules = with_strategy(Strategy::RemoteWins);
    let states = [json!({"f": 1, "g": 1}), json!({"f": 2, "g": 1}), json!({"f": 3, "g": 3})];
    let lost = conflict(&rules, states);
    let undo = Undo { loser: Origin::Local, expected_remote_version: 5 };
    let edit = restore(&lost, &lost.remote, &rules, undo, ANN).expect("restored");
    assert_eq!(edit.outcome.data, lost.local.data, "as it was");
    assert_eq!((edit.base_version, edit.outcome.version), (5, 6));
    assert_eq!((edit.edited_at, edit.source_id.as_str()), (NOW, "ann"));

    let later = Side { version: 9, ..remote(json!({"f": 3, "g": 3, "new": true})) };
    let seen = Undo { expected_remote_version: 9, ..undo };
    let edit = restore(&lost, &later, &rules, seen, ANN).expect("restored");
    let kept = json!({"f": 2, "g": 1, "new": true});
    assert_eq!(edit.outcome.data, Some(kept), "what was edited since stays");
    assert_eq!(edit.outcome.version, 10);
}

#[test]
fn undo_is_refused_where_it_makes_no_sense() {
    let rules = with_strategy(Strategy::RemoteWins);
    let states: [Value; 3] = [json!({"f": 1}), json!({"f": 2}), json!({"f": 3})];
    let lost = conflict(&rules, states);
    let undo = |loser, expected_remote_version| Undo { loser, expected_remote_version };
    let at = |plus_ms: i64| Actor { at: NOW.plus_millis(plus_ms), ..ANN };
    let rows = [
        (undo(Origin::Remote, 5), at(0), Refused::NoLoser),
        (undo(Origin::Local, 4), at(0), Refused::Moved { current: 5 }),
        (undo(Origin::Local, 5), at(RESTORE_MS + 1), Refused::TooOld),
    ];
    for (undo, actor, refused) in rows {
        assert_eq!(restore(&lost, &lost.remote, &rules, undo, actor), Err(refused));
    }
    let last_moment = restore(&lost, &lost.remote, &rules, undo(Origin::Local, 5), at(RESTORE_MS));
    assert!(last_moment.is_ok());
    let waiting = open();
    let early = restore(&waiting, &waiting.remote, &rules, undo(Origin::Local, 5), ANN);
    assert_eq!(early, Err(Refused::StillOpen));
}
