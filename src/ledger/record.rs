//! What a run was asked for, and what it saw before it touched the target: all that another session, or another machine,
//! needs besides the plan.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::catalog::{Activity, Extension, Sequence, ServerFacts};
use crate::follow::Wanted;
use crate::model::{Bytes, Filters, Oid, VerifyLevel};
use crate::plan::Doubtful;
use crate::toc::{RestoreOptions, Selection};

/// What was asked for. Holds no password.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What identifies the run: when it began, and a little more.
    pub run: String,
    /// Where from, as `PG*` variables.
    pub source: BTreeMap<String, String>,
    /// Where to, likewise.
    pub target: BTreeMap<String, String>,
    /// Who the source is; of an archive only the database's name is known.
    pub source_identity: Identity,
    /// Who the target is, as it was found before anything was done to it; records of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_identity: Option<Identity>,
    /// What is restored, if it is an archive: then `source` is what the target is compared with besides, or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveRecord>,
    /// The target database's name.
    pub target_database: String,
    /// Patterns.
    pub filters: Filters,
    /// What is left out.
    pub restore: RestoreOptions,
    /// Create the target database.
    pub create: bool,
    /// Empty the target database of this name.
    pub overwrite: Option<String>,
    /// Number of workers.
    pub jobs: u32,
    /// What to prove.
    pub verify: VerifyLevel,
    /// Memory for index builds, if the operator said so.
    pub memory: Option<Bytes>,
    /// Chunk size, if the operator said so.
    pub chunk_size: Option<Bytes>,
    /// For how many seconds a process of its own holds the snapshot of an interrupted run; `None` is no such process.
    pub keep_snapshot_s: Option<u64>,
    /// The source is damaged: what of it can be read was searched for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub salvage: bool,
    /// The target follows the source once the copy is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<Wanted>,
    /// What of it was read although it may be wrong.
    #[serde(default, skip_serializing_if = "Doubtful::is_none")]
    pub doubtful: Doubtful,
}

/// An archive, and by what it is known to be the same again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRecord {
    /// Where it is: absolute.
    pub path: PathBuf,
    /// Hash (xxh3-128) of its table of contents, in hexadecimal digits.
    pub contents: String,
    /// What of it is restored.
    #[serde(default)]
    pub selection: Selection,
    /// What it has is dropped from the target first.
    #[serde(default)]
    pub clean: bool,
    /// Triggers and foreign keys do not fire while rows are loaded.
    #[serde(default)]
    pub disable_triggers: bool,
}

/// What does not change when a server is restarted, fails over to a standby or gets another address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Made by `initdb`; not visible to everybody.
    pub system_identifier: Option<i64>,
    /// The database's OID; 0 if it was not there.
    pub database_oid: Oid,
    /// The database's name.
    pub database: String,
}

/// No database has it (`InvalidOid`).
const UNKNOWN: Oid = Oid(0);

impl Identity {
    /// Of a database.
    pub fn of(facts: &ServerFacts) -> Self {
        Self {
            system_identifier: facts.system_identifier,
            database_oid: facts.database_oid,
            database: facts.database.clone(),
        }
    }

    /// Of a database that is yet to be created, on the server that another one is asked of.
    pub fn of_new(facts: &ServerFacts, database: &str) -> Self {
        Self {
            system_identifier: facts.system_identifier,
            database_oid: UNKNOWN,
            database: database.to_owned(),
        }
    }

    /// Whether it may be the same database: what is not known does not speak against it.
    pub fn may_be(&self, other: &Self) -> bool {
        let servers = self.system_identifier.zip(other.system_identifier);
        let oids = [self.database_oid, other.database_oid];
        servers.is_none_or(|(one, two)| one == two)
            && (oids.contains(&UNKNOWN) || self.database_oid == other.database_oid)
            && self.database == other.database
    }
}

/// What was seen before anything was done, and cannot be seen again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Extensions that the target had.
    pub installed: Vec<Extension>,
    /// Where the source's sequences stood: they do not follow snapshots.
    pub sequences: Vec<Sequence>,
    /// Rows written to each table of the source before the snapshot.
    pub activity: Vec<Activity>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_known_by_what_does_not_change() {
        let one = Identity {
            system_identifier: Some(7),
            database_oid: Oid(16384),
            database: "app".into(),
        };
        let hidden = Identity {
            system_identifier: None,
            ..one.clone()
        };
        let other = Identity {
            system_identifier: Some(8),
            ..one.clone()
        };
        assert!(one.may_be(&hidden) && hidden.may_be(&other));
        assert!(!one.may_be(&other));
        let anew = Identity {
            database_oid: Oid(16385),
            ..one.clone()
        };
        assert!(!one.may_be(&anew));
    }

    /// One that is to be created has no OID yet.
    #[test]
    fn a_database_that_is_not_there_yet_is_known_by_its_server() {
        let there = Identity {
            system_identifier: Some(7),
            database_oid: Oid(16384),
            database: "app".into(),
        };
        let new = Identity {
            database_oid: UNKNOWN,
            ..there.clone()
        };
        assert!(new.may_be(&there) && there.may_be(&new));
        let elsewhere = Identity {
            system_identifier: Some(8),
            ..there
        };
        assert!(!new.may_be(&elsewhere));
    }
}
