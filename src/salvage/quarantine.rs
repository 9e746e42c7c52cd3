//! What has been asked of a damaged table, written down before it is asked: `salvage.journal` in the run directory.
//!
//! A probe may crash the server, or this program, or the machine. What was asked and never answered is then taken to be what
//! did it, and is never asked again. So each line is on disk before its probe is sent. A last line that is not whole was not
//! sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::account::Cause;
use super::probe::Probe;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Line {
    Asked {
        table: u32,
        probe: Probe,
    },
    Read {
        table: u32,
        probe: Probe,
    },
    Failed {
        table: u32,
        probe: Probe,
        cause: Cause,
    },
}

/// The journal, open.
#[derive(Debug)]
pub struct Quarantine {
    file: File,
    failed: BTreeMap<(u32, Probe), Cause>,
}

impl Quarantine {
    /// Opens it, or makes one. What an earlier session asked and never heard of has failed.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = options.open(path)?;
        let mut open: BTreeSet<(u32, Probe)> = BTreeSet::new();
        let mut failed = BTreeMap::new();
        for line in BufReader::new(&file).lines() {
            match serde_json::from_str(&line?) {
                Ok(Line::Asked { table, probe }) => {
                    open.insert((table, probe));
                }
                Ok(Line::Read { table, probe }) => {
                    open.remove(&(table, probe));
                }
                Ok(Line::Failed {
                    table,
                    probe,
                    cause,
                }) => {
                    open.remove(&(table, probe));
                    failed.insert((table, probe), cause);
                }
                Err(_) => {}
            }
        }
        failed.extend(open.into_iter().map(|probe| (probe, Cause::interrupted())));
        let mut quarantine = Self { file, failed };
        // A line that was cut off is ended.
        quarantine.file.write_all(b"\n")?;
        Ok(quarantine)
    }

    /// Why a probe must not be asked again, if it must not.
    pub fn verdict(&self, table: u32, probe: Probe) -> Option<&Cause> {
        self.failed.get(&(table, probe))
    }

    /// Before a probe is sent; it is on disk when this returns.
    pub fn asks(&mut self, table: u32, probe: Probe) -> io::Result<()> {
        self.write(&Line::Asked { table, probe })?;
        self.file.sync_data()
    }

    /// It was read. That need not be on disk: it would only be asked for by halves.
    pub fn read(&mut self, table: u32, probe: Probe) -> io::Result<()> {
        self.write(&Line::Read { table, probe })
    }

    /// It could not be read.
    pub fn failed(&mut self, table: u32, probe: Probe, cause: &Cause) -> io::Result<()> {
        self.failed.insert((table, probe), cause.clone());
        self.write(&Line::Failed {
            table,
            probe,
            cause: cause.clone(),
        })
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salvage::account::DamageClass;

    #[test]
    fn what_was_asked_and_never_answered_is_not_asked_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        let blocks = |from, to| Probe::Blocks { from, to };
        {
            let mut journal = Quarantine::open(&path).expect("opened");
            journal.asks(1, blocks(0, 8)).expect("written");
            journal.read(1, blocks(0, 8)).expect("written");
            journal.asks(1, blocks(8, 9)).expect("written");
            assert!(journal.verdict(1, blocks(8, 9)).is_none());
        }
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(b"{\"what\":\"asked\",\"tab"))
            .expect("half a line");
        let mut journal = Quarantine::open(&path).expect("opened");
        assert!(journal.verdict(1, blocks(0, 8)).is_none());
        let cause = journal.verdict(1, blocks(8, 9)).expect("it is known");
        assert_eq!(cause.class, DamageClass::Crash);
        journal.asks(2, blocks(0, 1)).expect("written");
        let again = Quarantine::open(&path).expect("opened");
        assert!(again.verdict(2, blocks(0, 1)).is_some());
    }
}
