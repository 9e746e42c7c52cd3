//! What goes wrong between the sessions of a run: a claim that another run has, a ledger, a schema that has changed.

use super::{Failure, FailureKind, hints};
use crate::ledger::LedgerError;
use crate::model::{Difference, DifferenceKind, ExitStatus};
use crate::pg::claim::ClaimError;

impl From<ClaimError> for Failure {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Held { .. } => Self::of(FailureKind::NoGo, ExitStatus::NoGo, &error)
                .with_hint(Some(hints::HELD.to_owned())),
            ClaimError::Asking(source) => {
                Self::from(source).while_doing("claiming the target database")
            }
            ClaimError::Terminate { .. } | ClaimError::StillThere { .. } => {
                Self::of(FailureKind::Server, ExitStatus::NoGo, &error)
                    .with_hint(Some(hints::LEFTOVER.to_owned()))
            }
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Read(source) => {
                Self::from(source).while_doing("reading the ledger (schema pgconvoy of the target)")
            }
            other => Self::of(FailureKind::Server, ExitStatus::Failed, &other).with_hint(Some(
                "Use the version of pgconvoy that began the run, or start a new move with --overwrite."
                    .to_owned(),
            )),
        }
    }
}

impl Failure {
    /// A run cannot be finished with another schema than it was planned for.
    pub fn schema_changed(differences: &[Difference]) -> Self {
        let message = format!(
            "the schema of the source has changed since the run began: {} differences",
            differences.len()
        );
        let details = differences.iter().map(|difference| {
            format!(
                "{} {}: {}\n{}",
                difference.class,
                difference.object,
                kind_in_words(difference.kind),
                difference.detail
            )
        });
        Self {
            details: details.collect(),
            ..Self::new(FailureKind::NoGo, ExitStatus::NoGo, message)
        }
        .with_hint(Some(
            "Undo the change on the source and resume again, or start a new move with --overwrite."
                .to_owned(),
        ))
    }
}

fn kind_in_words(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Missing => "is no longer there",
        DifferenceKind::Extra => "is new",
        DifferenceKind::Different | DifferenceKind::Invalid => "is different",
    }
}
