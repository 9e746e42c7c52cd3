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
    /// Every one of them, by number.
    pub const ALL: [Self; 7] = [
        Self::Proven,
        Self::Failed,
        Self::Usage,
        Self::Different,
        Self::NoGo,
        Self::Interrupted,
        Self::Waived,
    ];

    /// In a word, as JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Different => "different",
            Self::NoGo => "no_go",
            Self::Interrupted => "interrupted",
            Self::Waived => "waived",
        }
    }

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
        let same = |status: &Self| i32::from(status.code()) == code;
        Self::ALL.into_iter().find(same).unwrap_or(Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_one_word() {
        for status in ExitStatus::ALL {
            let json = serde_json::to_string(&status).expect("is JSON");
            assert_eq!(json, format!("\"{}\"", status.word()));
            assert_eq!(ExitStatus::of_code(i32::from(status.code())), status);
        }
    }
}
