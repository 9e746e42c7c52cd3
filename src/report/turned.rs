//! How one side took over from the other: the steps with their times, and all that has happened between the two so far.
//!
//! What is proven is concluded as for a comparison. A session that has only compared what an earlier one had left rests on that one
//! for everything else, and says so. Pure.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::event::{Event, What};
use crate::model::{ExitStatus, FollowMoment, Happening, RunCommand, TurnStep, Verdict};
use crate::progress::words;

use super::evidence::Evidence;
use super::facts::{Facts, listed};
use super::outline::time;
use super::{Conclusion, Report};

/// A turn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnReport {
    /// The steps that were taken, in order.
    pub steps: Vec<StepReport>,
    /// What has happened, from the copy on.
    pub moments: Vec<FollowMoment>,
    /// Of a session that has compared what earlier ones had left: what the turn is not proven in, by what these have found or were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<String>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// Which.
    pub turn_step: TurnStep,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// When the next one began; `None` of the last one.
    pub ended_at: Option<DateTime<Utc>>,
}

impl TurnReport {
    /// Takes in an event that is about a turn.
    pub(super) fn apply(turn: &mut Option<Self>, event: &Event) {
        let turn = turn.get_or_insert_with(Self::default);
        match &event.what {
            What::TurnStep { turn_step } => {
                if let Some(last) = turn.steps.last_mut() {
                    last.ended_at.get_or_insert(event.at);
                }
                turn.steps.push(StepReport {
                    turn_step: *turn_step,
                    began_at: event.at,
                    ended_at: None,
                });
            }
            What::FollowMoment(moment) => turn.moments.push(moment.as_ref().clone()),
            What::Reserved { reserved } => turn.reserved = Some(reserved.clone()),
            _ => {}
        }
    }

    /// Whether nothing was done but to compare what an earlier session had left.
    fn is_rest(&self) -> bool {
        self.steps
            .iter()
            .all(|step| step.turn_step == TurnStep::Rest)
            && !self.steps.is_empty()
    }

    /// Whether what was done is undone, in this session.
    fn went_back(&self) -> bool {
        let (first, last) = (self.steps.first(), self.moments.last());
        first.zip(last).is_some_and(|(step, moment)| {
            moment.happening == Happening::WentBack && moment.happened_at >= step.began_at
        })
    }

    /// Whether all that was left is nowhere any more.
    fn has_dropped(&self) -> bool {
        let last = self.moments.last();
        last.is_some_and(|moment| moment.happening == Happening::Dropped)
    }

    /// Whether a side is open for certain, and what was left was being compared.
    fn has_rest(&self) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| step.turn_step == TurnStep::Rest)
    }
}

/// `2026-01-02 03:04:05 UTC: source was closed to writers`.
pub fn told(moment: &FollowMoment) -> String {
    format!("{}: {}", time(moment.happened_at), happened(moment))
}

/// `source was closed to writers`.
pub(super) fn happened(moment: &FollowMoment) -> String {
    let side = moment.side;
    let mut said = match moment.happening {
        Happening::Copying => format!("the copy to {side} was begun"),
        Happening::Following => format!("the copy was proven, and {side} began to follow"),
        Happening::Closed => format!("{side} was closed to writers"),
        Happening::Opened => format!("{side} was opened to writers"),
        Happening::WentBack => format!("the turn went back: {side} was opened again"),
        Happening::Compared => "what had been left was found the same on both sides".to_owned(),
        Happening::Differed => "what had been left was not found the same on both sides".to_owned(),
        Happening::Dropped => {
            "of what had been left, tables were dropped on both sides, and never compared"
                .to_owned()
        }
        Happening::LetGo => format!("{side} was let go"),
    };
    if let Some(ms) = moment.without_writers_ms {
        let _ = write!(said, ", after {} without writers", words::duration(ms));
    }
    if let Some(left) = moment.left {
        let _ = write!(
            said,
            "; {} of {} were not compared by content yet",
            words::count(left.tables, "table", "tables"),
            left.bytes
        );
    }
    said
}

/// A step as a heading has it.
pub(super) fn step(step: TurnStep) -> &'static str {
    match step {
        TurnStep::Check => "check",
        TurnStep::Fence => "fence",
        TurnStep::Drain => "drain",
        TurnStep::BringOver => "bring over and compare",
        TurnStep::Reverse => "way back",
        TurnStep::Open => "open",
        TurnStep::Clear => "clear",
        TurnStep::Rest => "compare the rest",
    }
}

/// Each step with when it began and how long it took.
pub(super) fn steps(report: &Report) -> Vec<[String; 3]> {
    let turn = report.turn.iter();
    turn.flat_map(|turn| &turn.steps)
        .map(|one| {
            let until = one.ended_at.or(report.ended_at).unwrap_or(one.began_at);
            let took = (until - one.began_at).num_milliseconds();
            [
                step(one.turn_step).to_owned(),
                time(one.began_at),
                words::duration(u64::try_from(took).unwrap_or(0)),
            ]
        })
        .collect()
}

/// What a session comes to that has only compared what an earlier one had left.
pub(super) fn conclude_rest(facts: &Facts<'_>) -> Option<Conclusion> {
    let turn = facts.report.turn.as_ref().filter(|turn| turn.is_rest())?;
    let concluded = of_rest(facts, turn);
    let Some(reserved) = &turn.reserved else {
        return Some(concluded);
    };
    Some(Conclusion {
        status: match concluded.status {
            ExitStatus::Proven => ExitStatus::Waived,
            other => other,
        },
        sentence: format!("{} Not proven in full: {reserved}.", concluded.sentence),
        ..concluded
    })
}

fn of_rest(facts: &Facts<'_>, turn: &TurnReport) -> Conclusion {
    let report = facts.report;
    if facts.different() {
        return Conclusion {
            status: ExitStatus::Different,
            sentence: format!(
                "NOT the same: of the tables that the {} had left, these differ: {}.",
                report.command,
                facts.named(|table| table.verdict == Verdict::Different)
            ),
            next: after_difference(report),
        };
    }
    let evidence = Evidence::new(facts);
    let mut unknown = evidence.names(|table| table.verdict != Verdict::Identical);
    let others = report.unverified.iter();
    unknown.extend(others.map(|one| format!("{} {}", one.class, words::one_line(&one.object))));
    if unknown.is_empty() && !evidence.same.is_empty() {
        let word = match turn.reserved {
            Some(_) => "The same",
            None => "Proven",
        };
        return Conclusion {
            status: ExitStatus::Proven,
            sentence: format!(
                "{word}: {}, by the content of every row, at one moment of this session. It is what the {} had left; everything else \
                 was compared before.",
                evidence.same_tables(),
                report.command
            ),
            next: None,
        };
    }
    if unknown.is_empty() && turn.has_dropped() {
        return Conclusion {
            status: ExitStatus::Waived,
            sentence: format!(
                "Nothing is left to compare: what the {} had left was dropped on both sides since, and never compared.",
                report.command
            ),
            next: None,
        };
    }
    Conclusion {
        status: ExitStatus::Failed,
        sentence: format!(
            "Not proven: of what the {} had left, this could not be verified: {}.",
            report.command,
            listed(&unknown)
        ),
        next: Some("Run the same again.".to_owned()),
    }
}

/// What to do if a side is open, and does not hold what the other one held; `None` if none is.
pub(super) fn after_difference(report: &Report) -> Option<String> {
    report.turn.as_ref().filter(|turn| turn.has_rest())?;
    let back = match report.command {
        RunCommand::Cutover => {
            "pgconvoy fallback switches back, with everything that was written until then"
        }
        _ => "pgconvoy cutover switches over again, with everything that was written until then",
    };
    let to = report.target.as_ref()?;
    Some(format!(
        "{to} is in service, and what is named above is not as the other side held it: decide whether that matters. {back}; what differs \
         is listed in full in {}.",
        words::in_dir(&report.run_dir, "report.json")
    ))
}

/// What has become of a turn that did not come to its end, and what to do; `None` of anything else.
pub(super) fn stopped(report: &Report) -> Option<(&'static str, &'static str)> {
    let turn = report.turn.as_ref()?;
    if turn.has_rest() {
        return Some((
            " The other side is in service; not all of it is compared by content.",
            "Run the same again: it compares what is left.",
        ));
    }
    if turn.went_back() {
        let has_changed = report.synced.as_ref();
        let has_changed = has_changed.is_some_and(|one| one.committed && !one.is_nothing());
        return Some((
            if has_changed {
                " It has gone back: the side that was in service still is, and the other one follows it; what was changed there is committed."
            } else {
                " It has gone back: the side that was in service still is, and the other one follows it."
            },
            "Once the cause is gone, run the same again.",
        ));
    }
    Some((
        " It has not gone back, or not all the way.",
        "pgconvoy status --target says which side is in service, and what comes next.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Bytes, LeftSize, MultisetDigest, QualifiedName, Side, TableVerdict, VerifyLevel,
    };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_337_600 + seconds, 0).expect("a time")
    }

    #[test]
    fn a_step_lasts_until_the_next_one() {
        let mut turn = None;
        for (second, turn_step) in [(0, TurnStep::Check), (3, TurnStep::Fence)] {
            let event = Event {
                at: at(second),
                what: What::TurnStep { turn_step },
            };
            TurnReport::apply(&mut turn, &event);
        }
        let report = Report {
            turn,
            ended_at: Some(at(4)),
            ..Report::default()
        };
        let told: Vec<String> = steps(&report).iter().map(|step| step.join("; ")).collect();
        assert!(
            told[0].starts_with("check; ") && told[0].ends_with("; 3.0 s"),
            "{told:?}"
        );
        assert!(told[1].ends_with("; 1.0 s"), "{told:?}");
    }

    #[test]
    fn an_opening_says_how_long_nobody_could_write_and_what_is_left() {
        let moment = FollowMoment {
            happened_at: at(0),
            happening: Happening::Opened,
            side: Side::Target,
            without_writers_ms: Some(4_100),
            left: Some(LeftSize {
                tables: 3,
                bytes: Bytes(1 << 30),
            }),
        };
        let said = told(&moment);
        assert!(
            said.contains(
                "target was opened to writers, after 4.1 s without writers; 3 tables of "
            ),
            "{said}"
        );
    }

    #[test]
    fn what_was_left_is_proven_by_verdicts_alone() {
        let rest = TurnReport {
            steps: vec![StepReport {
                turn_step: TurnStep::Rest,
                began_at: at(0),
                ended_at: None,
            }],
            ..TurnReport::default()
        };
        let report = Report {
            command: RunCommand::Cutover,
            turn: Some(rest),
            ..Report::default()
        };
        let concluded = conclude_rest(&Facts::new(&report)).expect("it is one");
        assert_eq!(concluded.status, ExitStatus::Failed);
        assert_eq!(conclude_rest(&Facts::new(&Report::default())), None);
        // What was dropped is no longer left, and proven by nothing.
        let mut dropped = report;
        let turn = dropped.turn.as_mut().expect("it has one");
        turn.moments.push(moment(Happening::Dropped, 1));
        let concluded = conclude_rest(&Facts::new(&dropped)).expect("it is one");
        assert_eq!(concluded.status, ExitStatus::Waived);
        assert!(concluded.sentence.contains("dropped on both sides"));
    }

    #[test]
    fn what_an_earlier_session_has_found_is_said_of_the_rest_as_well() {
        let mut turn = None;
        for what in [
            What::TurnStep {
                turn_step: TurnStep::Rest,
            },
            What::Reserved {
                reserved: "s.k was overruled".to_owned(),
            },
        ] {
            TurnReport::apply(&mut turn, &Event { at: at(0), what });
        }
        let mut report = Report {
            command: RunCommand::Cutover,
            verify: Some(VerifyLevel::Content),
            turn,
            ..Report::default()
        };
        report.tables.push(TableVerdict {
            read: Some(MultisetDigest::default()),
            verdict: Verdict::Identical,
            ..TableVerdict::excluded(&QualifiedName::new("s", "t"))
        });
        let concluded = |report: &Report| conclude_rest(&Facts::new(report)).expect("it is one");
        let told = concluded(&report);
        assert_eq!(told.status, ExitStatus::Waived, "{}", told.sentence);
        assert!(
            told.sentence.starts_with("The same: ")
                && told
                    .sentence
                    .ends_with(" Not proven in full: s.k was overruled."),
            "{}",
            told.sentence
        );
        report.turn.as_mut().expect("it has one").reserved = None;
        assert_eq!(concluded(&report).status, ExitStatus::Proven);
    }

    fn moment(happening: Happening, seconds: i64) -> FollowMoment {
        FollowMoment {
            happened_at: at(seconds),
            happening,
            side: Side::Source,
            without_writers_ms: None,
            left: None,
        }
    }

    #[test]
    fn a_turn_that_stopped_has_gone_back_only_if_it_did_so_itself() {
        let report = |moments: Vec<FollowMoment>| Report {
            command: RunCommand::Cutover,
            turn: Some(TurnReport {
                steps: vec![StepReport {
                    turn_step: TurnStep::Check,
                    began_at: at(5),
                    ended_at: None,
                }],
                moments,
                reserved: None,
            }),
            ..Report::default()
        };
        let said = |moments| stopped(&report(moments)).expect("it is one").0;
        let earlier = moment(Happening::WentBack, 1);
        assert!(said(vec![earlier.clone()]).contains("not gone back"));
        assert!(said(vec![earlier, moment(Happening::WentBack, 9)]).contains("It has gone back"));
        assert!(said(vec![moment(Happening::Closed, 9)]).contains("not gone back"));
        assert_eq!(stopped(&Report::default()), None);
    }
}
