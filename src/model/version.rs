//! Server versions, as `server_version_num` counts them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `server_version_num`: 150018 is 15.18. Versions before 10 are not supported; theirs have a part more: 90624 is 9.6.24.
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
        let mut parts = text.split('.').map(number);
        let mut part = || parts.next().unwrap_or(0);
        let (major, minor) = (part(), part());
        let minor = if (1..10).contains(&major) {
            minor.saturating_mul(100).saturating_add(part())
        } else {
            minor
        };
        Self(major.saturating_mul(10_000).saturating_add(minor))
    }

    /// The oldest server that pgconvoy reads from or writes to.
    pub const OLDEST: Self = Self(100_000);
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = (self.major(), self.0 % 10_000);
        if (1..10).contains(&major) {
            write!(f, "{major}.{}.{}", minor / 100, minor % 100)
        } else {
            write!(f, "{major}.{minor}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_and_shown_as_the_server_has_it() {
        for (text, number, shown) in [
            ("15.18 (Debian 15.18-0+deb12u1)", 150_018, "15.18"),
            ("18beta1", 180_000, "18.0"),
            ("10.23", 100_023, "10.23"),
            ("9.6.24", 90_624, "9.6.24"),
            ("8.4.22", 80_422, "8.4.22"),
            ("none", 0, "0.0"),
        ] {
            let version = ServerVersion::reported(text);
            assert_eq!((version.0, &*version.to_string()), (number, shown));
        }
    }
}
