//! What a sync has changed on the target, or would change.

use serde::{Deserialize, Serialize};

use super::{Bytes, QualifiedName, Rows};

/// Everything that a sync has changed, in one transaction of the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    /// It is committed; otherwise this is what would be changed.
    pub committed: bool,
    /// Tables with rows that differed.
    pub tables: Vec<SyncedTable>,
    /// Sequences that stood elsewhere.
    pub sequences: Vec<QualifiedName>,
    /// Large objects that only the source had.
    pub large_objects_added: u64,
    /// Large objects with another content, owner, comment or other grants.
    pub large_objects_changed: u64,
    /// Large objects that only the target had.
    pub large_objects_removed: u64,
    /// Materialized views that held something else.
    pub materialized_views: Vec<QualifiedName>,
    /// Of a turn: those of the tables that replication carries. Something has kept it from that, or somebody has written to a side that was
    /// closed; what that was is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overruled: Vec<QualifiedName>,
}

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncedTable {
    /// The table, or the partition.
    pub table: QualifiedName,
    /// Rows that only the source had.
    pub inserted: Rows,
    /// Rows with the same key and other values.
    pub updated: Rows,
    /// Rows that only the target had.
    pub deleted: Rows,
    /// Why all of its rows were copied anew, as a clause; `None` if only those that differ were touched.
    pub anew: Option<String>,
    /// `CopyData` bytes that were written, framing included; 0 if nothing has been yet.
    pub bytes: Bytes,
}

impl Synced {
    /// Whether there was nothing to change.
    pub fn is_nothing(&self) -> bool {
        self.tables.is_empty()
            && self.sequences.is_empty()
            && self.materialized_views.is_empty()
            && self.large_objects() == 0
    }

    /// Large objects, whatever is the matter with them.
    pub fn large_objects(&self) -> u64 {
        self.large_objects_added + self.large_objects_changed + self.large_objects_removed
    }

    /// Rows of all tables: inserted, updated, deleted.
    pub fn rows(&self) -> [Rows; 3] {
        let sum = |rows: fn(&SyncedTable) -> Rows| self.tables.iter().map(rows).sum();
        [
            sum(|table| table.inserted),
            sum(|table| table.updated),
            sum(|table| table.deleted),
        ]
    }
}
