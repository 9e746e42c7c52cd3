//! Server versions, as `server_version_num` counts them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `server_version_num`: 150018 is 15.18. Versions before 10 are not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerVersion(pub u32);

impl ServerVersion {
    /// The major version: 15 of 15.18.
    pub fn major(self) -> u32 {
        self.0 / 10_000
    }

    /// The oldest server that pgconvoy reads from or writes to.
    pub const OLDEST: Self = Self(100_000);
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.0 % 10_000)
    }
}
