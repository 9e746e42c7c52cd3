//! The file that a comparison leaves for a person to read and run.

use serde::{Deserialize, Serialize};

/// SQL that would bring the target in line with the source; all of it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairFile {
    /// Where it is, as it was given.
    pub file: String,
    /// How many of the differences are gone when it has been run.
    pub covered: u64,
    /// How many there are.
    pub differences: u64,
}

impl RepairFile {
    /// Whether it leaves nothing to be done by hand.
    pub fn is_whole(&self) -> bool {
        self.covered >= self.differences
    }
}
