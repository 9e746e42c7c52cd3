//! The state of a target that follows its source: what is in the one row of `pgconvoy_follow.state`. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::turn::{Step, Turn};
use crate::model::{Bytes, FollowMoment, FollowName, LeftTable, QualifiedName, Side, some_of};
use crate::toc::RestoreOptions;

/// The schema that holds it; never copied or compared.
pub const SCHEMA: &str = "pgconvoy_follow";

/// Version of the row's format.
pub const FORMAT: i32 = 1;

/// At most this many tables are named in a sentence.
const MOST_NAMES: usize = 10;

/// The history keeps at most this many moments: a turn has two or three.
const MOST_MOMENTS: usize = 300;

/// What was asked of a move that is to be followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Objects may be created on the source.
    pub allow_source_objects: bool,
    /// What carries changes from source to target.
    pub forward: FollowName,
    /// What carries them from target to source, after a cut-over.
    pub backward: FollowName,
    /// Tables that get a full replica identity, named as the user named them.
    #[serde(default)]
    pub replica_identity_full: Vec<String>,
    /// How the target's server reaches the source, without a password; `None`: as we do.
    #[serde(default)]
    pub source_from_target: Option<String>,
    /// The most WAL that the source may retain for the target.
    #[serde(default)]
    pub max_wal_retained: Option<Bytes>,
}

/// How far a follow has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The copy is proven; no subscription is known to work yet.
    Copied,
    /// The side that is not in service follows the one that is.
    Following,
    /// A turn is under way, and has begun this step.
    Turning(Step),
    /// It was turned without a way back: neither side follows the other any more.
    Parted,
    /// The slot was let go because it retained too much WAL: the target can only be moved anew.
    LetGo,
}

impl Phase {
    /// Whether the side that follows may be given up: no turn is under way, or one that can still go back and has not closed
    /// the side in service. Whether that turn is alive is for the claim to say.
    pub fn may_let_go(self, is_closed: bool) -> bool {
        match self {
            Self::Following => true,
            Self::Turning(step) => step.goes_back() && !is_closed,
            Self::Copied | Self::Parted | Self::LetGo => false,
        }
    }
}

/// What keeps a turn from being proven in full: whoever continues it, or asks for it again, is told as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// Of the tables that replication carried, only the row counts were compared, as asked.
    #[serde(default)]
    pub counted: bool,
    /// Tables that replication carries but that differed all the same: rows on the side that took over were changed or deleted.
    #[serde(default)]
    pub overruled: Vec<QualifiedName>,
    /// Tables that were to be compared once the side was open, but were dropped on both sides before that.
    #[serde(default)]
    pub dropped: Vec<QualifiedName>,
}

impl Reserved {
    /// Adds tables to those that were overruled.
    pub fn overrule(&mut self, tables: Vec<QualifiedName>) {
        for table in tables {
            if !self.overruled.contains(&table) {
                self.overruled.push(table);
            }
        }
    }

    /// As a sentence; `None` if there is nothing to say.
    pub fn words(&self) -> Option<String> {
        let mut clauses = Vec::new();
        if self.counted {
            clauses.push(
                "of tables that replication has carried, only the numbers of rows were compared (--verify counts)"
                    .to_owned(),
            );
        }
        if !self.overruled.is_empty() {
            clauses.push(format!(
                "tables differed that replication carries, and what the side that took over held of them was changed: {}",
                some(&self.overruled)
            ));
        }
        if !self.dropped.is_empty() {
            clauses.push(format!(
                "tables were left to be compared later, and dropped on both sides before that: {}",
                some(&self.dropped)
            ));
        }
        (!clauses.is_empty()).then(|| clauses.join("; "))
    }
}

fn some(tables: &[QualifiedName]) -> String {
    let names: Vec<String> = tables.iter().map(QualifiedName::shown).collect();
    some_of(&names, MOST_NAMES)
}

/// The state of a target that follows its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What was asked for.
    pub wanted: Wanted,
    /// How we reach the source: `PG*` variables, no password.
    pub source: BTreeMap<String, String>,
    /// What the move left out, and no comparison reports as missing.
    pub restore: RestoreOptions,
    /// Where the slot begins, which is where the copy ends.
    pub consistent_point: String,
    /// The side that applications write to.
    pub serving: Side,
    /// How far the follow has come.
    pub phase: Phase,
    /// The turn under way makes a way back.
    #[serde(default)]
    pub with_reverse: bool,
    /// When the turn closed the side that was in service.
    #[serde(default)]
    pub closed_at: Option<DateTime<Utc>>,
    /// Tables whose rows the turn under way has only counted.
    #[serde(default)]
    pub left: Vec<LeftTable>,
    /// Tables whose rows the last turn only counted, and that have not been found the same since.
    #[serde(default)]
    pub unproven: Vec<LeftTable>,
    /// What keeps the turn under way from being proven in full.
    #[serde(default)]
    pub reserving: Reserved,
    /// What kept the last turn from being proven in full.
    #[serde(default)]
    pub reserved: Reserved,
    /// What has happened so far.
    #[serde(default)]
    pub history: Vec<FollowMoment>,
}

impl State {
    /// What carries changes away from the side in service.
    pub fn in_use(&self) -> &FollowName {
        self.outward(self.serving)
    }

    /// The name under which a side publishes.
    pub fn outward(&self, side: Side) -> &FollowName {
        match side {
            Side::Source => &self.wanted.forward,
            Side::Target => &self.wanted.backward,
        }
    }

    /// The same in another phase.
    #[must_use]
    pub fn in_phase(&self, phase: Phase) -> Self {
        Self {
            phase,
            ..self.clone()
        }
    }

    /// Adds a moment to the history; it counts once it is written down.
    pub fn remember(&mut self, moment: FollowMoment) {
        if self.history.len() >= MOST_MOMENTS {
            self.history.remove(0);
        }
        self.history.push(moment);
    }

    /// The last turn is over, except for comparing what it left.
    pub fn is_unproven(&self) -> bool {
        self.phase == Phase::Following && !self.unproven.is_empty()
    }

    /// In a few words.
    pub fn words(&self) -> String {
        let mut told = self.words_of_phase();
        if !matches!(self.phase, Phase::Following | Phase::Parted) {
            return told;
        }
        for (which, reserved) in [
            ("the last turn", &self.reserved),
            ("a turn that went back", &self.reserving),
        ] {
            if let Some(reserved) = reserved.words() {
                told = format!("{told}; of {which}: {reserved}");
            }
        }
        told
    }

    fn words_of_phase(&self) -> String {
        let turn = Turn::away_from(self.serving);
        let Turn { from, to } = turn;
        match self.phase {
            Phase::Copied => {
                "the copy is proven, and the target does not follow the source yet".to_owned()
            }
            Phase::Following if self.is_unproven() => {
                let tables = match self.unproven.len() {
                    1 => "1 table has".to_owned(),
                    more => format!("{more} tables have"),
                };
                format!(
                    "{from} is in service, and {to} follows it; {tables} not been found the same by content since the last turn"
                )
            }
            Phase::Following => format!("{from} is in service, and {to} follows it"),
            Phase::Turning(step) if step.goes_back() => {
                let stands = self.closed_at.map_or_else(
                    || format!("{from} is in service"),
                    |at| {
                        let since = at.format("%Y-%m-%d %H:%M:%S UTC");
                        format!("nobody can write since {since}: {from} is closed")
                    },
                );
                format!(
                    "{stands}, and a {} has begun: {}",
                    turn.command(),
                    turn.words(step, self.with_reverse)
                )
            }
            Phase::Turning(step) => format!(
                "a {} is past the point of no return: {}",
                turn.command(),
                turn.words(step, self.with_reverse)
            ),
            Phase::Parted => format!("{from} is in service, and nobody follows it"),
            Phase::LetGo => {
                format!("{from} is in service, and {to} was let go: it can only be moved anew")
            }
        }
    }

    /// The command that comes next.
    pub fn next(&self) -> String {
        match self.phase {
            Phase::Copied => "pgconvoy follow".to_owned(),
            Phase::Following if self.is_unproven() => {
                let last = Turn::away_from(Turn::away_from(self.serving).to);
                format!(
                    "pgconvoy {} compares them; pgconvoy {} turns back",
                    last.command(),
                    Turn::away_from(self.serving).command()
                )
            }
            Phase::Turning(step) if step.goes_back() => {
                let turn = Turn::away_from(self.serving);
                let command = turn.command();
                format!(
                    "pgconvoy {command} goes on, pgconvoy {command} --undo goes back to {}",
                    turn.from
                )
            }
            Phase::Turning(_) => {
                let command = Turn::away_from(self.serving).command();
                format!(
                    "pgconvoy {command} goes on: there is no way back but the other turn after it"
                )
            }
            Phase::Following => {
                format!("pgconvoy {}", Turn::away_from(self.serving).command())
            }
            Phase::Parted | Phase::LetGo => "pgconvoy unfollow".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_turn_was_not_proven_in_is_said_of_it() {
        let none = Reserved::default();
        assert_eq!(none.words(), None);
        let some = Reserved {
            counted: true,
            overruled: vec![QualifiedName::new("s", "k")],
            dropped: vec![QualifiedName::new("s", "d")],
        };
        let words = some.words().expect("there is something");
        assert!(
            words.contains("--verify counts")
                && words.contains("was changed: s.k; ")
                && words.ends_with("before that: s.d"),
            "{words}"
        );
        let text = serde_json::to_string(&some).expect("JSON");
        assert_eq!(serde_json::from_str::<Reserved>(&text).expect("JSON"), some);
        assert_eq!(serde_json::from_str::<Reserved>("{}").expect("JSON"), none);
        let mut twice = some.clone();
        twice.overrule(some.overruled.clone());
        assert_eq!(twice, some);
    }

    #[test]
    fn a_turn_that_was_killed_keeps_the_log_only_once_it_has_closed_a_side() {
        for step in [Step::Check, Step::Fence, Step::Reverse] {
            assert!(Phase::Turning(step).may_let_go(false), "{step:?}");
            assert!(!Phase::Turning(step).may_let_go(true), "{step:?}");
        }
        // The other side is in service, or about to be.
        for step in [Step::Open, Step::Clear] {
            assert!(!Phase::Turning(step).may_let_go(false), "{step:?}");
        }
        assert!(Phase::Following.may_let_go(false));
        for phase in [Phase::Copied, Phase::Parted, Phase::LetGo] {
            assert!(!phase.may_let_go(false), "{phase:?}");
        }
    }
}
