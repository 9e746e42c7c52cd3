//! Of which transactions nothing is written down, neither that they committed nor that they did not, although all of them are over.
//!
//! The server takes such a one for one that came to nothing: it shows none of its rows, clears them away in time, and shows again what it
//! deleted. A crash leaves such as well, of those that were at work; and thousands in a row of one that sets savepoints, since each has a
//! number of its own. But where the record was overwritten with zeros, cut off or made anew (`pg_resetwal`), they begin or end with a sector
//! of the disk, which those of a crash hardly ever do. So the record is looked at as it is on disk, before the server is asked for any
//! row. Layout: `clog.c`, `slru.c`.

use super::SalvageError;
use super::account::{Cause, LostObject};
use super::facts::Quiet;
use crate::pg::{PgError, Session};

/// Number of 32-bit transaction ids.
const EPOCH: i64 = 1 << 32;
/// The first that is none of the server's own (`FirstNormalTransactionId`).
const FIRST: i64 = 3;
/// Transactions whose fates are on one page, and in one file: two bits each.
const OF_A_PAGE: i64 = 32_768;
const OF_A_FILE: i64 = 32 * OF_A_PAGE;
/// Those whose fates are in one sector of the least size, 512 bytes.
const OF_A_SECTOR: i64 = 2048;
/// Of fewer in a row it is nothing special when they begin or end with a sector.
const LEAST: i64 = 64;

/// What the record of transactions lacks.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The number of the next one.
    next: i64,
    /// Runs of them, in order: the first, and the one behind the last.
    lacking: Vec<(i64, i64)>,
}

/// The latest transaction of a 32-bit number that there can have been.
pub(super) fn latest(xid: u32, next: i64) -> i64 {
    let full = next.div_euclid(EPOCH) * EPOCH + i64::from(xid);
    if full >= next { full - EPOCH } else { full }
}

impl Record {
    /// Looks through it, as far back as rows may name transactions. What is not there is as good as zeros.
    pub async fn read(session: &Session, quiet: &Quiet) -> Result<Self, SalvageError> {
        let next = quiet.next_transaction;
        let oldest = (next - quiet.unfrozen).max(FIRST);
        // What came later may not be on disk yet; and on a server that is in use, many may be at work.
        let end = next.min(quiet.next_at_checkpoint);
        let least = if quiet.is_cold() { LEAST } else { OF_A_PAGE };
        let mut reading = Reading::of(oldest, least);
        while reading.at < end {
            let number = reading.at.div_euclid(OF_A_FILE);
            let bytes = file(session, number.rem_euclid(EPOCH / OF_A_FILE)).await?;
            let skipped = usize::try_from(reading.at.rem_euclid(OF_A_FILE) / 4).unwrap_or(0);
            let to = end.min((number + 1) * OF_A_FILE);
            reading.take(bytes.get(skipped..).unwrap_or_default(), to);
        }
        Ok(Self {
            next,
            lacking: reading.ended(oldest),
        })
    }

    /// Whether it lacks nothing.
    pub fn is_whole(&self) -> bool {
        self.lacking.is_empty()
    }

    /// Whether it lacks a transaction.
    pub fn lacks(&self, xid: u32) -> bool {
        if self.is_whole() {
            return false;
        }
        let full = latest(xid, self.next);
        let behind = self.lacking.partition_point(|run| run.1 <= full);
        let run = self.lacking.get(behind);
        run.is_some_and(|run| run.0 <= full)
    }

    /// For the account.
    pub fn loss(&self) -> Option<LostObject> {
        let (first, last) = (self.lacking.first()?.0, self.lacking.last()?.1 - 1);
        let count: i64 = self.lacking.iter().map(|run| run.1 - run.0).sum();
        Some(LostObject {
            class: "record of transactions".to_owned(),
            object: "pg_xact".to_owned(),
            what: format!(
                "it does not say whether {count} transactions committed, from {first} to {last}: rows that they wrote may be missing, and rows \
                 that they deleted or replaced may be there again"
            ),
            cause: Cause::silent(
                "nothing is recorded of many transactions in a row: the record was overwritten, or made anew without what was in the log",
            ),
        })
    }
}

/// A file of the record, as far as it can be read.
async fn file(session: &Session, number: i64) -> Result<Vec<u8>, SalvageError> {
    let sql = format!(
        "select pg_catalog.pg_read_binary_file('pg_xact/{number:04X}', 0, {}, true) as bytes",
        OF_A_FILE / 4
    );
    let rows = session
        .query_text("the record of transactions", &sql, &[])
        .await;
    let rows = match rows {
        Ok(rows) => rows,
        Err(PgError::Server { error, .. }) if error.code.starts_with("58") => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let Some(row) = rows.first() else {
        return Ok(Vec::new());
    };
    let bytes: Option<&[u8]> = row.get("bytes")?;
    Ok(bytes.unwrap_or_default().to_vec())
}

/// A look through the record, from the beginning of a page on.
struct Reading {
    /// The next transaction.
    at: i64,
    /// The first of those right before it of which nothing is written down.
    start: i64,
    /// How many in a row count.
    least: i64,
    found: Vec<(i64, i64)>,
}

impl Reading {
    /// From the page on that a transaction is on.
    fn of(oldest: i64, least: i64) -> Self {
        let at = oldest.div_euclid(OF_A_PAGE) * OF_A_PAGE;
        Self {
            at,
            start: at,
            least,
            found: Vec::new(),
        }
    }

    /// Takes in what is written down up to a transaction: four to a byte, the first in its lowest bits.
    fn take(&mut self, bytes: &[u8], to: i64) {
        let mut bytes = bytes.iter();
        while self.at < to {
            let behind = (self.at + 4).min(to);
            let byte = bytes.next().copied().unwrap_or(0);
            if byte == 0 {
                self.at = behind;
                continue;
            }
            for place in 0..4 {
                if self.at < behind {
                    if byte >> (2 * place) & 3 != 0 {
                        self.end_run();
                        self.start = self.at + 1;
                    }
                    self.at += 1;
                }
            }
        }
    }

    /// Takes in a run of so many that begins or ends with a sector.
    fn end_run(&mut self) {
        let is_cut = |at: i64| at % OF_A_SECTOR == 0;
        if self.at - self.start >= self.least && (is_cut(self.start) || is_cut(self.at)) {
            self.found.push((self.start, self.at));
        }
    }

    /// What was found of those that rows may name.
    fn ended(mut self, oldest: i64) -> Vec<(i64, i64)> {
        self.end_run();
        self.found.retain(|run| run.1 > oldest);
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(oldest: i64, pieces: &[(&[u8], i64)]) -> Vec<(i64, i64)> {
        let mut reading = Reading::of(oldest, LEAST);
        for (bytes, to) in pieces {
            reading.take(bytes, *to);
        }
        reading.ended(oldest)
    }

    #[test]
    fn only_many_in_a_row_are_damage() {
        // Committed, all of them.
        let sound = vec![0x55; 8192];
        assert_eq!(lacking(700, &[(&sound, 8000)]), []);
        // Of 63 in a row, up to the end of a sector, three are in the byte before; then there is one more.
        let mut some = sound.clone();
        some[497..512].fill(0);
        some[496] = 0x01;
        assert_eq!(lacking(3, &[(&some, 8000)]), []);
        some[496] = 0;
        assert_eq!(lacking(3, &[(&some, 8000)]), [(1984, 2048)]);
        // No row names them any more.
        assert_eq!(lacking(2048, &[(&some, 8000)]), []);
        assert_eq!(lacking(2047, &[(&some, 8000)]), [(1984, 2048)]);
        // Of the last byte, only some are over: what is behind the end is nobody's.
        assert_eq!(lacking(3, &[(&some, 2047)]), []);
        // They begin with a sector.
        let mut some = sound;
        some[512..528].fill(0);
        assert_eq!(lacking(3, &[(&some, 8000)]), [(2048, 2112)]);
    }

    #[test]
    fn savepoints_of_a_crash_begin_and_end_anywhere() {
        let mut some = vec![0x55; 8192];
        some[100..2000].fill(0);
        assert_eq!(lacking(3, &[(&some, 9000)]), []);
        // Up to the last one.
        assert_eq!(lacking(3, &[(&some, 7000)]), []);
        // The record ends with a page that is not there.
        let end = OF_A_PAGE + 100;
        let sound = vec![0x55; 8192];
        assert_eq!(lacking(3, &[(&sound, end)]), [(OF_A_PAGE, end)]);
    }

    #[test]
    fn what_is_not_there_is_zeros_also_from_one_file_to_the_next() {
        let sound = vec![0x55; 262_144];
        let half = &sound[..131_072];
        let pieces: [(&[u8], i64); 2] = [(half, OF_A_FILE), (&[], OF_A_FILE + 50)];
        let run = (OF_A_FILE / 2, OF_A_FILE + 50);
        assert_eq!(lacking(3, &pieces), [run]);
        let record = Record {
            next: EPOCH + OF_A_FILE + 50,
            lacking: vec![(EPOCH + run.0, EPOCH + run.1)],
        };
        let first = u32::try_from(run.0).expect("it fits");
        assert!(record.lacks(first) && !record.lacks(first - 1));
        assert!(record.lacks(u32::try_from(run.1).expect("it fits") - 1));
        // The next one, and those before the last time around.
        assert!(!record.lacks(u32::try_from(run.1).expect("it fits")));
        let loss = record.loss().expect("something is lost");
        assert!(
            loss.what.contains("whether 524338 transactions"),
            "{loss:?}"
        );
        assert!(Record::default().is_whole() && Record::default().loss().is_none());
    }
}
