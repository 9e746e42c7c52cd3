//! What happens between two databases of which one follows the other, as far as a record tells it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Bytes, Oid, QualifiedName, Side};

/// One step of a turn from one side to the other. The order is that in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnStep {
    /// Nothing is changed yet.
    Check,
    /// Nobody writes any more: the side that hands over is closed to writers, as the other one is already.
    Fence,
    /// The other side has applied everything.
    Drain,
    /// What replication does not carry is brought over, and everything is compared.
    BringOver,
    /// The way back is ready, before the first write.
    Reverse,
    /// From here on there is no way back but the other turn.
    Open,
    /// What the old direction needed is removed.
    Clear,
    /// What there was no time to compare is compared, while the other side is in service.
    Rest,
}

impl TurnStep {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Check,
        Self::Fence,
        Self::Drain,
        Self::BringOver,
        Self::Reverse,
        Self::Open,
        Self::Clear,
        Self::Rest,
    ];

    /// Whether a turn that fails in this step goes back to the side that it came from. Once the other side may have been opened,
    /// somebody may have written to it, and the only way is on.
    pub fn goes_back(self) -> bool {
        self < Self::Open
    }
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// The copy was begun, of a side.
    Copying,
    /// A side began to follow the other one.
    Following,
    /// A side was closed to writers.
    Closed,
    /// A side was opened to writers, and is in service.
    Opened,
    /// A turn went back: the side that it came from was opened again.
    WentBack,
    /// What had been left when a side was opened is the same on both.
    Compared,
    /// It is not.
    Differed,
    /// What had been left was dropped on both sides before it was compared.
    Dropped,
    /// A side that followed was let go.
    LetGo,
}

/// What a target follows its source by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowedBy {
    /// What the publication and the replication slot on the source are called, and the subscription on the target.
    pub name: String,
    /// Write-ahead log position from which on the source keeps its log.
    pub lsn: String,
}

/// Something that has happened, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowMoment {
    /// When.
    pub happened_at: DateTime<Utc>,
    /// What.
    pub happening: Happening,
    /// To which side.
    pub side: Side,
    /// For how long nobody could write to either side, once one is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_writers_ms: Option<u64>,
    /// What is not compared by content yet, once a side is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<LeftSize>,
}

/// A table of which a turn has only counted the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftTable {
    /// As it is compared: a root stands for partitions that may differ between servers.
    pub name: QualifiedName,
    /// The tables with rows.
    pub tables: Vec<QualifiedName>,
    /// Their OIDs, in the same order, on the side that handed over and on the one that took over: a name may become another's.
    #[serde(default)]
    pub oids: [Vec<Oid>; 2],
    /// Their size.
    pub bytes: Bytes,
}

/// All such tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftSize {
    /// How many.
    pub tables: u64,
    /// Their size.
    pub bytes: Bytes,
}

impl LeftSize {
    /// Of these.
    pub fn of(left: &[LeftTable]) -> Self {
        Self {
            tables: left.len() as u64,
            bytes: left.iter().map(|one| one.bytes).sum(),
        }
    }
}
