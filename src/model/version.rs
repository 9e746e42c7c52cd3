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

    /// As a server reports it, or an archive has it: `15.18 (Debian 15.18-0+deb12u1)`, `18beta1`. 0 if there is no number in front.
    pub fn reported(text: &str) -> Self {
        let number = |part: &str| {
            let digits = part.chars().take_while(char::is_ascii_digit);
            digits.collect::<String>().parse::<u32>().unwrap_or(0)
        };
        let mut parts = text.split('.');
        let major = parts.next().map_or(0, number);
        let minor = parts.next().map_or(0, number);
        Self(major.saturating_mul(10_000).saturating_add(minor))
    }

    /// The oldest server that pgconvoy reads from or writes to.
    pub const OLDEST: Self = Self(100_000);
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.0 % 10_000)
    }
}
