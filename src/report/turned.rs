//! How one side took over from the other: the steps with their times, and all that has happened between the two so far.
//!
//! What is proven is concluded as for a comparison. A session that has only compared what an earlier one had left rests on that one
//! for everything else, and says so. Pure.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::event::{Event, What};
use crate::model::{ExitStatus, FollowMoment, Happening, TurnStep, Verdict};
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
    let report = facts.report;
    report.turn.as_ref().filter(|turn| turn.is_rest())?;
    if facts.different() {
        return Some(Conclusion {
            status: ExitStatus::Different,
            sentence: format!(
                "NOT the same: of the tables that the {} had left, these differ: {}.",
                report.command,
                facts.named(|table| table.verdict == Verdict::Different)
            ),
            next: after_difference(report),
        });
    }
    let evidence = Evidence::new(facts);
    let mut unknown = evidence.names(|table| table.verdict != Verdict::Identical);
    let others = report.unverified.iter();
    unknown.extend(others.map(|one| format!("{} {}", one.class, words::one_line(&one.object))));
    if unknown.is_empty() && !evidence.same.is_empty() {
        return Some(Conclusion {
            status: ExitStatus::Proven,
            sentence: format!(
                "Proven: {}, by the content of every row, at one moment of this session. It is what the {} had left; everything else \
                 was compared before.",
                evidence.same_tables(),
                report.command
            ),
            next: None,
        });
    }
    Some(Conclusion {
        status: ExitStatus::Failed,
        sentence: format!(
            "Not proven: of what the {} had left, this could not be verified: {}.",
            report.command,
            listed(&unknown)
        ),
        next: Some("Run the same again.".to_owned()),
    })
}

/// What to do if a side is open, and does not hold what the other one held; `None` if none is.
pub(super) fn after_difference(report: &Report) -> Option<String> {
    report.turn.as_ref().filter(|turn| turn.has_rest())?;
    let back = match report.command.as_str() {
        "cutover" => "pgconvoy fallback turns back, with everything that was written until then",
        _ => "pgconvoy cutover turns over again, with everything that was written until then",
    };
    let to = report.target.as_ref()?;
    Some(format!(
        "{to} is in service, and does not hold what is named above as the other side held it: decide whether that matters. {back}; what \
         differs is whole in {}.",
        words::in_dir(&report.run_dir, "report.json")
    ))
}

/// What has become of a turn, and what to do, if a side is open and the comparison did not come to its end.
pub(super) fn unfinished_rest(report: &Report) -> Option<(&'static str, &'static str)> {
    report.turn.as_ref().filter(|turn| turn.has_rest())?;
    Some((
        " The other side is in service; not all of it is compared by content.",
        "Run the same again: it compares what is left.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, LeftSize, Side};

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
            moments: Vec::new(),
        };
        let report = Report {
            command: "cutover".to_owned(),
            turn: Some(rest),
            ..Report::default()
        };
        let concluded = conclude_rest(&Facts::new(&report)).expect("it is one");
        assert_eq!(concluded.status, ExitStatus::Failed);
        assert_eq!(conclude_rest(&Facts::new(&Report::default())), None);
    }
}
