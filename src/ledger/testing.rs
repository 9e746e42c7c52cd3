//! Small plans for tests.

use std::collections::BTreeMap;

use crate::event::Phase;
use crate::model::{Bytes, CopyFormat, DumpId, JobId, QualifiedName, Rows, VerifyLevel};
use crate::plan::{CopyUnit, Job, Plan, Shield, Work};

pub(super) fn name(table: &str) -> QualifiedName {
    QualifiedName::new("public", table)
}

pub(super) fn unit(table: &str, chunks: u32) -> CopyUnit {
    CopyUnit {
        table: name(table),
        into: name(table),
        entry: Some(DumpId(1)),
        rows_in: None,
        columns: vec!["id".into()],
        stored_as: BTreeMap::new(),
        format: CopyFormat::Binary,
        arrays: vec![],
        encoding: None,
        condition: None,
        freeze: true,
        uncounted: false,
        rows: Rows(0),
        bytes: Bytes(0),
        chunks,
        shield: Shield::default(),
        around: None,
    }
}

pub(super) fn plan(tables: Vec<CopyUnit>, work: Vec<Work>) -> Plan {
    let job = |(id, work)| Job {
        id: JobId(id),
        phase: Phase::Data,
        label: format!("job {id}"),
        work,
        after: Vec::new(),
        needs: Vec::new(),
        cost: 0,
        locks: Vec::new(),
        memory: Bytes(0),
        bytes: Bytes(0),
        rows: Rows(0),
    };
    Plan {
        format: 1,
        workers: 2,
        verify: VerifyLevel::Content,
        client_encoding: "UTF8".into(),
        memory: Bytes(0),
        tables,
        comparisons: Vec::new(),
        excluded: Vec::new(),
        notes: Vec::new(),
        left_out: Vec::new(),
        jobs: (0..).zip(work).map(job).collect(),
    }
}
