//! The steps from one side to the other: from source to target at cut-over, from target to source at fallback. Pure.

pub use crate::model::TurnStep as Step;

use crate::model::{RunCommand, Side};

/// Which side hands over to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The side that applications write to.
    pub from: Side,
    /// The side that they will write to.
    pub to: Side,
}

impl Turn {
    /// The turn away from the side that is in service.
    pub fn away_from(serving: Side) -> Self {
        let to = match serving {
            Side::Source => Side::Target,
            Side::Target => Side::Source,
        };
        Self { from: serving, to }
    }

    /// The command that carries it out.
    pub fn command(self) -> RunCommand {
        match self.from {
            Side::Source => RunCommand::Cutover,
            Side::Target => RunCommand::Fallback,
        }
    }

    /// What a step does, in words.
    pub fn words(self, step: Step, with_reverse: bool) -> String {
        let Self { from, to } = self;
        match step {
            Step::Check => {
                format!("check that {to} follows {from}, and that everything for the turn is there")
            }
            Step::Fence => format!(
                "close {from} to writers (default_transaction_read_only), and end the sessions that were there before"
            ),
            Step::Drain => {
                format!("wait until {to} has applied everything that was written to {from}")
            }
            Step::BringOver => format!(
                "bring what replication does not carry from {from} to {to} (sequences, large objects, materialized views, unlogged \
                 tables), and compare everything"
            ),
            Step::Reverse if with_reverse => {
                format!("make the way back: {from} will follow {to}")
            }
            Step::Reverse => "make no way back (--no-fallback)".to_owned(),
            Step::Open => format!("open {to} to writers"),
            Step::Clear => format!("remove what {to} needed to follow {from}"),
            Step::Rest => {
                format!("compare the tables that there was no time for, while {to} is in service")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_goes_back_until_the_other_side_may_be_open() {
        let back: Vec<Step> = Step::ALL
            .into_iter()
            .filter(|step| step.goes_back())
            .collect();
        assert_eq!(
            back,
            [
                Step::Check,
                Step::Fence,
                Step::Drain,
                Step::BringOver,
                Step::Reverse
            ]
        );
        assert!(Step::ALL.is_sorted());
    }

    #[test]
    fn cut_over_and_fallback_are_the_same_steps() {
        let cutover = Turn::away_from(Side::Source);
        let fallback = Turn::away_from(cutover.to);
        assert_eq!(
            (cutover.command(), fallback.command()),
            (RunCommand::Cutover, RunCommand::Fallback)
        );
        assert_eq!(Turn::away_from(fallback.to), cutover);
        assert_eq!(fallback.words(Step::Open, true), "open source to writers");
    }
}
