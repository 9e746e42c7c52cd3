//! What has been asked of a damaged table, written down before it is asked: `salvage.journal` in the run directory.
//!
//! A probe may crash the server, or this program, or the machine. What failed is never asked again. What was asked and never answered may be
//! what did it; but whoever is killed may have been killed by anybody. If it can be asked for by halves, it is. If not, rows depend on it
//! alone, and it is asked once more; what was not answered twice has failed. So each line is on disk before its probe is sent. A last
//! line that is not whole was not sent. A question that nobody waits for any more is taken back, and so is one whose answer is not the last
//! word. Whoever sends it again, because the session was taken away, need not ask anew.

use std::collections::BTreeMap;
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
        #[serde(flatten)]
        question: Question,
    },
    Read {
        #[serde(flatten)]
        question: Question,
    },
    TakenBack {
        #[serde(flatten)]
        question: Question,
    },
    Failed {
        #[serde(flatten)]
        question: Question,
        cause: Cause,
    },
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Question {
    /// Of which relation, by its OID.
    pub table: u32,
    /// What of it.
    pub probe: Probe,
    /// Also if what is read may be wrong: what cannot be read otherwise is asked for once more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubtful: bool,
}

/// The journal, open.
#[derive(Debug)]
pub struct Quarantine {
    file: File,
    failed: BTreeMap<Question, Cause>,
}

impl Quarantine {
    /// Opens it, or makes one.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = options.open(path)?;
        // How often it was asked, and never answered.
        let mut open: BTreeMap<Question, u32> = BTreeMap::new();
        let mut failed = BTreeMap::new();
        // Cut off within a character, a line is no text.
        for line in BufReader::new(&file).split(b'\n') {
            match serde_json::from_slice(&line?) {
                Ok(Line::Asked { question }) => *open.entry(question).or_default() += 1,
                Ok(Line::Read { question }) => _ = open.remove(&question),
                Ok(Line::TakenBack { question }) => {
                    if let Some(times) = open.get_mut(&question) {
                        *times = times.saturating_sub(1);
                    }
                }
                Ok(Line::Failed { question, cause }) => {
                    open.remove(&question);
                    failed.insert(question, cause);
                }
                Err(_) => {}
            }
        }
        let interrupted = open.into_iter().filter(|(question, times)| {
            let enough = if question.probe.has_halves() { 1 } else { 2 };
            *times >= enough
        });
        failed.extend(interrupted.map(|(question, _)| (question, Cause::interrupted())));
        let mut quarantine = Self { file, failed };
        // A line that was cut off is ended.
        quarantine.file.write_all(b"\n")?;
        Ok(quarantine)
    }

    /// Why it must not be asked again, if it must not.
    pub fn verdict(&self, question: Question) -> Option<&Cause> {
        self.failed.get(&question)
    }

    /// Before a probe is sent; it is on disk when this returns.
    pub fn asks(&mut self, question: Question) -> io::Result<()> {
        self.write(&Line::Asked { question })?;
        self.file.sync_data()
    }

    /// Nobody waits for the answer any more, and the question is not to blame for that.
    pub fn takes_back(&mut self, question: Question) -> io::Result<()> {
        self.write(&Line::TakenBack { question })
    }

    /// It was read. That need not be on disk: it would only be asked for by halves.
    pub fn read(&mut self, question: Question) -> io::Result<()> {
        self.write(&Line::Read { question })
    }

    /// It could not be read.
    pub fn failed(&mut self, question: Question, cause: &Cause) -> io::Result<()> {
        self.failed.insert(question, cause.clone());
        self.write(&Line::Failed {
            question,
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
        let blocks = |table, from, to| Question {
            table,
            probe: Probe::Blocks { from, to },
            doubtful: false,
        };
        {
            let mut journal = Quarantine::open(&path).expect("opened");
            journal.asks(blocks(1, 0, 8)).expect("written");
            journal.read(blocks(1, 0, 8)).expect("written");
            journal.asks(blocks(1, 8, 9)).expect("written");
            assert!(journal.verdict(blocks(1, 8, 9)).is_none());
        }
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(b"{\"what\":\"asked\",\"tab\xc3"))
            .expect("half a line");
        let mut journal = Quarantine::open(&path).expect("opened");
        assert!(journal.verdict(blocks(1, 0, 8)).is_none());
        let cause = journal.verdict(blocks(1, 8, 9)).expect("it is known");
        assert_eq!(cause.class, DamageClass::Crash);
        // In doubt it may be asked once more.
        let in_doubt = Question {
            doubtful: true,
            ..blocks(1, 8, 9)
        };
        assert!(journal.verdict(in_doubt).is_none());
        journal.asks(blocks(2, 0, 1)).expect("written");
        journal
            .failed(in_doubt, &Cause::interrupted())
            .expect("written");
        let again = Quarantine::open(&path).expect("opened");
        assert!(again.verdict(blocks(2, 0, 1)).is_some());
        assert!(again.verdict(in_doubt).is_some());
    }

    #[test]
    fn what_rows_depend_on_alone_is_asked_once_more_after_a_kill() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        let of = |probe| Question {
            table: 1,
            probe,
            doubtful: false,
        };
        let (row, table) = (of(Probe::Row { place: (3, 4) }), of(Probe::Plain));
        {
            let mut journal = Quarantine::open(&path).expect("opened");
            journal.asks(row).expect("written");
            // Whoever waited for it was told to stop.
            journal.asks(table).expect("written");
            journal.takes_back(table).expect("written");
        }
        {
            let mut journal = Quarantine::open(&path).expect("opened");
            assert!(journal.verdict(row).is_none());
            journal.asks(row).expect("written");
            journal.asks(table).expect("written");
        }
        let journal = Quarantine::open(&path).expect("opened");
        assert!(journal.verdict(row).is_some());
        assert!(journal.verdict(table).is_none());
    }
}
