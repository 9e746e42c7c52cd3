//! Where a run reads from or writes to, as shown to people.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ServerVersion;

/// Which end of the road something is at.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Where from. It is only read.
    #[default]
    Source,
    /// Where to. A move writes it, a comparison only reads it.
    Target,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

/// A server's database, without any secret; or an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where the archive is, if this is one; there is no host then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// Host name, address, or the directory of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database name.
    pub database: String,
    /// Role that is connected.
    pub user: String,
    /// Server version, once connected.
    pub version: Option<ServerVersion>,
}

impl Endpoint {
    /// Of an archive.
    pub fn archive(path: String, database: String) -> Self {
        Self {
            archive: Some(path),
            host: String::new(),
            port: 0,
            database,
            user: String::new(),
            version: None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(archive) = &self.archive {
            return write!(f, "the archive {archive}");
        }
        write!(f, "{} at {}:{}", self.database, self.host, self.port)?;
        match self.version {
            Some(version) => write!(f, " (PostgreSQL {version})"),
            None => Ok(()),
        }
    }
}
