//! A plan and its marks → what is done, done again, or left, and why. Pure.

use std::collections::BTreeSet;

use super::Marks;
use crate::event::{Standing, StandingState};
use crate::model::JobId;
use crate::plan::{Plan, Work};

/// Why a job stands where it does.
pub mod reasons {
    /// Its mark is in the ledger.
    pub const COMMITTED: &str = "committed, with its mark in the ledger";
    /// It was copied, and the comparison needs the source's side.
    pub const READ_AGAIN: &str = "committed; its rows are read again on the source, to be compared";
    /// Nobody has done it.
    pub const NOT_DONE: &str = "no mark in the ledger: not begun, or rolled back";
    /// It only reads, and what an earlier session read proves nothing.
    pub const ONLY_READS: &str = "only reads; a resumed run is proven by its own reading";
    /// Some of it is done.
    pub const PARTLY: &str = "some of its parts are committed; the others are left";
    /// It failed before.
    pub const FAILED: &str = "failed in an earlier session; resume --retry-failed tries it again";
}

/// Where every job of a plan stands. `failed` are jobs that are not tried again.
pub fn standing(plan: &Plan, marks: &Marks, failed: &BTreeSet<JobId>) -> Vec<Standing> {
    let mut units = plan.tables.iter();
    let has_source = !units.any(|unit| unit.rows_in.is_some());
    let stand = |job: &crate::plan::Job| {
        let (state, why) = match &job.work {
            work if !work.changes_target() => (StandingState::Left, reasons::ONLY_READS),
            // What failed of it as well was to read it again.
            work if marks.whole(job.id) => match work {
                Work::Copy { .. } | Work::CopyChunk { .. } | Work::LargeObjects { .. }
                    if has_source =>
                {
                    (StandingState::Done, reasons::READ_AGAIN)
                }
                Work::Run { .. }
                | Work::RunAlone { .. }
                | Work::Copy { .. }
                | Work::CopyChunk { .. }
                | Work::Count { .. }
                | Work::ReadSource { .. }
                | Work::Compare { .. }
                | Work::LargeObjects { .. }
                | Work::CompareMatview { .. }
                | Work::CompareLargeObjects { .. } => (StandingState::Done, reasons::COMMITTED),
            },
            _ if failed.contains(&job.id) => (StandingState::Failed, reasons::FAILED),
            _ if marks.parts(job.id) > 0 => (StandingState::Left, reasons::PARTLY),
            _ => (StandingState::Left, reasons::NOT_DONE),
        };
        Standing {
            job: job.id,
            state,
            why: why.to_owned(),
        }
    };
    plan.jobs.iter().map(stand).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{plan, unit};
    use super::super::{DoneMark, Mark, WHOLE};
    use super::*;

    #[test]
    fn what_failed_is_left_alone_unless_every_session_does_it() {
        let work = vec![
            Work::Copy { tables: vec![0] },
            Work::Count { table: 0 },
            Work::Copy { tables: vec![0] },
        ];
        let plan = plan(vec![unit("t", 1)], work);
        let mut marks = Marks::default();
        let what = "copy t".to_owned();
        let mark = Mark::default();
        marks.add(JobId(0), WHOLE, DoneMark { what, mark });
        let failed = (0..3).map(JobId).collect();
        let standing = standing(&plan, &marks, &failed);
        let why: Vec<&str> = standing.iter().map(|one| one.why.as_str()).collect();
        assert_eq!(
            why,
            [reasons::READ_AGAIN, reasons::ONLY_READS, reasons::FAILED]
        );
    }
}
