//! What a session writes into the ledger's row, so that another machine can go on with the run.

use serde::{Deserialize, Serialize};

use super::inspect::Inspection;
use crate::failure::Failure;
use crate::ledger::{self, Ledger, Memory, Packed, Request, RunRow};
use crate::model::{SqlText, ascii_json};
use crate::pg::keeper::Kept;
use crate::plan::Plan;

/// What is in the ledger's row, as it is written there.
pub(super) struct LedgerRow {
    request: String,
    snapshot: String,
    memory: Vec<u8>,
    plan: Vec<u8>,
    archive: Packed,
}

impl LedgerRow {
    /// Of a move.
    pub fn of_move(
        inspection: &Inspection,
        plan: &Plan,
        request: &Request,
    ) -> Result<Self, Failure> {
        let snapshot = SnapshotRecord::of(inspection);
        let seen = (&inspection.memory(), &inspection.view.archive);
        Self::new(&snapshot, seen, (plan, request))
    }

    /// Puts everything into JSON, and compresses what is large and is not yet.
    pub fn new(
        snapshot: &SnapshotRecord,
        (memory, archive): (&Memory, &Packed),
        (plan, request): (&Plan, &Request),
    ) -> Result<Self, Failure> {
        let memory = ledger::pack(memory);
        let plan = ledger::pack(plan);
        Ok(Self {
            request: json("the request", request)?,
            snapshot: json("the snapshot", snapshot)?,
            memory: memory.map_err(|error| defect("what was seen", &error))?,
            plan: plan.map_err(|error| defect("the plan", &error))?,
            archive: archive.clone(),
        })
    }

    /// The row.
    pub fn row<'a>(&'a self, request: &'a Request) -> RunRow<'a> {
        RunRow {
            run: &request.run,
            request: &self.request,
            snapshot: &self.snapshot,
            memory: &self.memory,
            plan: &self.plan,
            archive: self.archive.as_bytes(),
        }
    }
}

/// The snapshot as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SnapshotRecord {
    /// As `pg_export_snapshot` names it.
    pub id: String,
    /// Position in the write-ahead log.
    pub lsn: String,
    /// The process that holds it, if it is one of its own; with the replication slot that begins with it, if there is one.
    pub kept: Option<Kept>,
    /// Some of what was brought in it is being cleared away: the plan cannot be gone on with, even if the snapshot is held.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_being_cleared: bool,
}

impl SnapshotRecord {
    /// Of the inspection's snapshot.
    pub fn of(inspection: &Inspection) -> Self {
        let snapshot = &inspection.view.snapshot;
        Self {
            id: snapshot.id.clone(),
            lsn: snapshot.lsn.clone(),
            kept: snapshot.kept_by(),
            is_being_cleared: false,
        }
    }

    /// As an earlier session has left it.
    pub fn of_ledger(ledger: &Ledger) -> Result<Self, Failure> {
        serde_json::from_str(&ledger.snapshot).map_err(|error| {
            Failure::defect(format!(
                "the ledger's snapshot cannot be understood: {error}"
            ))
        })
    }

    /// The statement by which clearing begins: it says so in the ledger.
    pub fn begin_clearing(self) -> Result<SqlText, Failure> {
        let record = Self {
            is_being_cleared: true,
            ..self
        };
        Ok(ledger::note_snapshot(&json("the snapshot", &record)?))
    }
}

fn defect(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::defect(format!("putting {what} into JSON: {error}"))
}

fn json(what: &str, value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(|error| defect(what, &error))?;
    Ok(ascii_json(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_for_the_ledger_is_ascii_and_says_the_same() {
        let value = vec!["größe \u{1f42c} \"…\"".to_owned()];
        let text = json("a test", &value).expect("JSON");
        assert!(text.is_ascii(), "{text}");
        let again: Vec<String> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(again, value);
    }
}
