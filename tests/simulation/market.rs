//! The marketplace in the simulation: what upstream says, in order and out of
//! it, local edits, and people who decide conflicts.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};
use tidegate::ingest::market::{Fact, Fault, Observed, Ruling, RulingError, Said, SkillEdit, Word};
use tidegate::resolve::person::{Choice, Decision, Undo};
use tidegate::resolve::side::Origin;
use tidegate::store;
use tidegate::store::conflict::Filter;
use tidegate::store::lease::{Applicant, Fence, Taking};
use tidegate_entity::market_item::Kind;
use tidegate_protocol::entry::ConflictStatus;
use tidegate_protocol::time::Timestamp;

use crate::simulation::connection::market;
use crate::simulation::node::Node;
use crate::simulation::world::World;

/// Skills that there may be.
const SKILLS: usize = 5;

/// Verdicts looked at: more than a history makes.
const CONFLICTS: u64 = 1_000;

/// How conflicts are decided.
const STRATEGIES: [&str; 5] = ["REMOTE_WINS", "LOCAL_WINS", "NEWEST_WINS", "MERGE", "MANUAL"];

/// Upstream, and who may pass on what it says.
#[derive(Default)]
pub(super) struct Upstream {
    skills: BTreeMap<String, Value>,
    /// Everything it ever said.
    said: Vec<Fact>,
    fence: Option<Fence>,
    /// Leases that were lost.
    lost: Vec<Fence>,
}

fn skill(id: &str, number: u16) -> Value {
    json!({
        "skill_id": id,
        "name": format!("Skill {number}"),
        "description": "step by step, ".repeat(8),
        "version": "1.0.0",
        "code": "def run(): pass",
        "tags": ["daily"],
        "category": "data",
        "metadata": { "author": "Nadia Okoro" },
    })
}

impl World {
    /// Takes the lease, from whoever has it, and picks a strategy.
    pub(super) async fn lead(&mut self) {
        let strategy = *STRATEGIES.choose(&mut self.rng).unwrap();
        let now = self.now().wall.millis();
        let taking = self.node.store.write(|tx| async move {
            let applicant = Applicant { holder: "simulated", retakes: true, unmoved: None };
            let until = now + 30_000;
            let taking = store::lease::take(&tx, "marketplace", applicant, now, until).await?;
            let mut state = store::sync_state::lock(&tx).await?;
            state.strategy = Some(strategy.to_owned());
            store::sync_state::write(&tx, state).await?;
            Ok(taking)
        });
        let Taking::Taken(fence) = taking.await.unwrap() else { panic!("it is this node's") };
        self.upstream.lost.extend(self.upstream.fence.replace(fence));
    }

    /// Upstream says something new, something old, or the same again.
    pub(super) async fn hear(&mut self) {
        let facts = if self.rng.random_bool(0.2) && !self.upstream.said.is_empty() {
            vec![self.upstream.said.choose(&mut self.rng).unwrap().clone()]
        } else {
            let count = self.rng.random_range(1..4);
            let mut facts: Vec<Fact> = (0..count).map(|_| self.news_of_upstream()).collect();
            // Two words on one item in one breath have no order.
            facts.sort_by(|a, b| a.key.cmp(&b.key));
            facts.dedup_by(|a, b| a.key == b.key);
            self.upstream.said.extend(facts.iter().cloned());
            facts
        };
        let fence = self.upstream.fence.clone().unwrap();
        let observed = |fence: Fence| {
            Arc::new(Observed {
                fence,
                facts: facts.clone(),
                confirmed: None,
                checkpoint: None,
                message_at: None,
            })
        };
        if let Some(lost) = self.upstream.lost.last().filter(|_| self.rng.random_bool(0.2)) {
            let before = self.heads().await;
            self.node.ingest.observe(observed(lost.clone())).await.unwrap_err();
            // The stream itself may have been made, with nothing in it.
            let after = self.heads().await.into_iter().filter(|(_, (seq, _))| *seq > 0);
            let before = before.into_iter().filter(|(_, (seq, _))| *seq > 0);
            assert!(after.eq(before), "who lost the lease changes nothing");
        }
        self.node.ingest.observe(observed(fence.clone())).await.unwrap();
        let before = self.heads().await;
        self.node.ingest.observe(observed(fence)).await.unwrap();
        let stream = market();
        let (before, after) = (before.get(stream.as_str()), self.heads().await);
        assert_eq!(before, after.get(stream.as_str()), "the same again is no change");
    }

    fn news_of_upstream(&mut self) -> Fact {
        let id = format!("s{}", self.rng.random_range(0..SKILLS));
        let as_of = self.now().wall;
        let number = self.rng.random::<u16>();
        let known = self.upstream.skills.get(&id).cloned();
        let said = match (self.rng.random_range(0..10), known) {
            (0, Some(_)) => {
                self.upstream.skills.remove(&id);
                Said::Gone { at: Some(as_of) }
            }
            (1, _) => Said::Faulty(Fault::Unreadable),
            (2..7, Some(mut value)) => {
                let changed = self.any_change(number);
                let is_partial = self.rng.random_bool(0.5);
                let mut partial = json!({ "skill_id": id });
                for (name, field) in changed {
                    value[&name] = field.clone();
                    partial[&name] = field;
                }
                self.upstream.skills.insert(id.clone(), value.clone());
                is(if is_partial { partial } else { value }, is_partial, as_of)
            }
            _ => {
                let value = skill(&id, number);
                self.upstream.skills.insert(id.clone(), value.clone());
                is(value, false, as_of)
            }
        };
        Fact { key: (Kind::Skill, id), as_of, said }
    }

    fn any_change(&mut self, number: u16) -> Map<String, Value> {
        let change = match self.rng.random_range(0..4) {
            0 => json!({ "name": format!("Skill {number}") }),
            1 => json!({ "version": format!("1.{number}.0") }),
            2 => json!({ "tags": ["daily", format!("t{}", number % 3)] }),
            _ => json!({ "code": format!("print({number})"), "metadata": { "by": number % 3 } }),
        };
        change.as_object().unwrap().clone()
    }

    /// A person edits a skill, or is told why not.
    pub(super) async fn edit(&mut self) {
        let number = self.rng.random::<u16>();
        let patch = self.any_change(number);
        let edit = SkillEdit {
            id: format!("s{}", self.rng.random_range(0..SKILLS)),
            patch,
            expected_version: None,
            editor: format!("u{}", self.rng.random_range(1..4)),
        };
        if let Err(error) = self.node.ingest.edit_skill(edit).await {
            assert!(error.code.number() < 500, "{error:?}");
        }
    }

    /// A person decides an open conflict, or takes a decision back.
    pub(super) async fn rule(&mut self) {
        let filter = Filter::default();
        let rows = store::conflict::page(self.node.store.readers(), &filter, "", CONFLICTS).await;
        let rows = rows.unwrap();
        let Some(row) = rows.choose(&mut self.rng) else { return };
        let verdict: Value = serde_json::from_str(&row.verdict).unwrap();
        let expected_remote_version = verdict["remote"]["version"].as_i64().unwrap();
        let word = if row.status == ConflictStatus::Open {
            let choices = [Choice::Local, Choice::Remote, Choice::Merged];
            Word::Settle(Decision {
                choice: *choices.choose(&mut self.rng).unwrap(),
                data: None,
                fields: BTreeMap::new(),
                justification: None,
                expected_remote_version,
            })
        } else {
            let loser = *[Origin::Local, Origin::Remote].choose(&mut self.rng).unwrap();
            Word::Restore(Undo { loser, expected_remote_version })
        };
        let ruling = Ruling { conflict_id: row.id.clone(), word, actor: "u1".to_owned() };
        match self.node.ingest.rule(ruling).await {
            Ok(after) => assert_eq!(after.status, ConflictStatus::Resolved),
            Err(RulingError::Moved(_)) => {}
            Err(RulingError::Refused(error)) => assert!(error.code.number() < 500, "{error:?}"),
        }
    }
}

fn is(value: Value, is_partial: bool, at: Timestamp) -> Said {
    Said::Is { value, updated_at: Some(at), is_partial, is_restored: false }
}

impl Node {
    /// No item waits for a conflict that is not there or decided, and no open
    /// one is of an item that does not wait for it; what an edit started from
    /// is there as long as the edit.
    pub(super) async fn check_market(&self) {
        let keys: Vec<_> = (0..SKILLS).map(|at| (Kind::Skill, format!("s{at}"))).collect();
        let items = store::market::load(self.store.readers(), &keys).await.unwrap();
        let filter = Filter { status: Some(ConflictStatus::Open), ..Filter::default() };
        let open = store::conflict::page(self.store.readers(), &filter, "", CONFLICTS).await;
        let waits_for: BTreeMap<String, String> = items
            .iter()
            .filter_map(|item| Some((item.conflict_id.clone()?, format!("skill:{}", item.id))))
            .collect();
        let open: BTreeMap<String, String> =
            open.unwrap().into_iter().map(|row| (row.id, row.subject)).collect();
        assert_eq!(waits_for, open, "items and their open conflicts");
        for item in items {
            assert_eq!(item.base_version.is_some(), item.edited_by.is_some(), "{item:?}");
            assert!(item.version >= i64::from(item.data.is_some()), "{item:?}");
        }
    }
}
