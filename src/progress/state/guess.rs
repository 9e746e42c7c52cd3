//! How far a job may be whose server works and does not show how far: what it should take, against what it has taken.
//!
//! A guess is no more exact than it can be, says what it stands on, and never that something is done that still runs. Of a job that waits
//! for somebody there is none: how long that takes, no earlier job knows.

use super::{RunningJob, State};
use crate::event::{AtWork, Phase};
use crate::progress::words;

/// As long as the jobs of a kind have taken less than this together, they say nothing about another one.
const EVIDENCE_MS: f64 = 1000.0;

/// What a guess stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grounds {
    /// What the same job took in an earlier run: `rehearsal`, `earlier run`.
    Earlier(String),
    /// What jobs of its kind have taken in this run.
    Others,
    /// Rough rates.
    Rates,
}

/// How far a job may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    /// What it has taken, in milliseconds.
    pub elapsed_ms: u64,
    /// What it should take, in milliseconds.
    pub whole_ms: u64,
    /// By what.
    pub grounds: Grounds,
}

impl State {
    /// How far a running job may be, if its server works, and neither that nor its own bytes show it.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from float saturates, and no time is negative"
    )]
    pub fn guess(&self, job: &RunningJob) -> Option<Guess> {
        let expectation = self.expectation.as_ref()?;
        if job.at_work != AtWork::Unshown || job.bytes.0 > 0 {
            return None;
        }
        let phase = job.plan.phase;
        let expected = expectation.expected_ms(job.plan.id)? as f64;
        let whole = expected * self.paces(expectation).of(phase);
        // What the jobs of the last phase do has little in common: one refreshes a view, another one analyzes a table.
        let of_one_kind = phase != Phase::Finish;
        let grounds = match &expectation.by {
            Some(by) => Grounds::Earlier(by.clone()),
            None if of_one_kind && expectation.took_ms(phase) >= EVIDENCE_MS => Grounds::Others,
            None => Grounds::Rates,
        };
        Some(Guess {
            elapsed_ms: self.running_ms(job),
            whole_ms: whole as u64,
            grounds,
        })
    }
}

impl Guess {
    /// How many per cent, in steps of five; `None` if it has taken longer than it should.
    pub fn percent(&self) -> Option<u64> {
        let percent = self.elapsed_ms.saturating_mul(100) / self.whole_ms.max(1);
        (percent < 100).then_some(percent / 5 * 5)
    }

    /// For a person: `about 35 %, by the rehearsal: do not cancel`.
    pub fn words(&self) -> String {
        let Some(percent) = self.percent() else {
            let (elapsed, whole) = (
                words::duration(self.elapsed_ms),
                words::about(self.whole_ms),
            );
            let than = match &self.grounds {
                Grounds::Earlier(by) => format!("by the {by}"),
                Grounds::Others => "judging by others of its kind".to_owned(),
                Grounds::Rates => "by rough rates".to_owned(),
            };
            return format!(
                "longer than expected {than} ({elapsed}, not {whole}), and still running: do not cancel"
            );
        };
        match &self.grounds {
            Grounds::Earlier(by) => format!("about {percent} %, by the {by}: do not cancel"),
            Grounds::Others => {
                format!("about {percent} %, judging by others of its kind: do not cancel")
            }
            Grounds::Rates => format!("perhaps {percent} %, by rough rates: do not cancel"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_still_runs_is_never_said_to_be_done() {
        let words = |elapsed_s: u64, grounds| {
            let guess = Guess {
                elapsed_ms: elapsed_s * 1000,
                whole_ms: 120_000,
                grounds,
            };
            guess.words()
        };
        let by = || Grounds::Earlier("rehearsal".to_owned());
        assert_eq!(
            words(44, by()),
            "about 35 %, by the rehearsal: do not cancel"
        );
        assert_eq!(
            words(119, Grounds::Others),
            "about 95 %, judging by others of its kind: do not cancel"
        );
        assert_eq!(
            words(1, Grounds::Rates),
            "perhaps 0 %, by rough rates: do not cancel"
        );
        assert_eq!(
            words(240, by()),
            "longer than expected by the rehearsal (4 min 0 s, not about 2 min), and still running: do not cancel"
        );
        let nothing = Guess {
            elapsed_ms: u64::MAX,
            whole_ms: 0,
            grounds: Grounds::Rates,
        };
        assert_eq!(nothing.percent(), None);
    }
}
