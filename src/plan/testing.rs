//! Parts of plans for tests.

use std::collections::BTreeMap;

use super::{CopyUnit, Job, Shield, Work};
use crate::event::Phase;
use crate::model::{Bytes, CopyFormat, JobId, QualifiedName, Rows};

/// A job that waits for nothing, and costs nothing.
pub fn job(id: u32, phase: Phase, work: Work) -> Job {
    Job {
        id: JobId(id),
        phase,
        label: format!("job {id}"),
        work,
        after: Vec::new(),
        needs: Vec::new(),
        cost: 0,
        locks: Vec::new(),
        memory: Bytes(0),
        bytes: Bytes(0),
        rows: Rows(0),
    }
}

/// The rows of a table, to be copied as a whole.
pub fn unit(table: QualifiedName) -> CopyUnit {
    CopyUnit {
        into: table.clone(),
        table,
        entry: None,
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
        chunks: 1,
        shield: Shield::default(),
        around: None,
    }
}
