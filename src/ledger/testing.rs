//! Small plans for tests.

use crate::event::Phase;
use crate::model::{DumpId, QualifiedName};
use crate::plan::{CopyUnit, Plan, Work, testing};

pub(super) fn name(table: &str) -> QualifiedName {
    QualifiedName::new("public", table)
}

pub(super) fn unit(table: &str, chunks: u32) -> CopyUnit {
    CopyUnit {
        entry: Some(DumpId(1)),
        chunks,
        ..testing::unit(name(table))
    }
}

pub(super) fn plan(tables: Vec<CopyUnit>, work: Vec<Work>) -> Plan {
    let jobs = (0..).zip(work);
    Plan {
        tables,
        jobs: jobs
            .map(|(id, work)| testing::job(id, Phase::Data, work))
            .collect(),
        ..Plan::of_nothing(2)
    }
}
