//! Exit statuses: a promise to scripts.

use serde::{Deserialize, Serialize};

/// What the process exits with. The numbers are documented in the README and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// 0: finished and proven.
    Proven,
    /// 1: failed; the message says what.
    Failed,
    /// 2: wrong usage or configuration; nothing was touched.
    Usage,
    /// 3: finished, but source and target differ; the report says where.
    Different,
    /// 4: no-go: the check refused; nothing was touched.
    NoGo,
    /// 5: interrupted by a signal or a lost connection.
    Interrupted,
    /// 6: finished and proven, except for losses or waivers that were recorded by name.
    Waived,
}

impl ExitStatus {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Proven => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Different => 3,
            Self::NoGo => 4,
            Self::Interrupted => 5,
            Self::Waived => 6,
        }
    }

    /// The status with this number. Any other number is a failure, whatever it was.
    pub fn of_code(code: i32) -> Self {
        const ALL: [ExitStatus; 7] = [
            ExitStatus::Proven,
            ExitStatus::Failed,
            ExitStatus::Usage,
            ExitStatus::Different,
            ExitStatus::NoGo,
            ExitStatus::Interrupted,
            ExitStatus::Waived,
        ];
        let same = |status: &Self| i32::from(status.code()) == code;
        ALL.into_iter().find(same).unwrap_or(Self::Failed)
    }
}
