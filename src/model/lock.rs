//! Postgres's table-level locks: which jobs would wait for each other inside the server.

use serde::{Deserialize, Serialize};

/// Postgres's table-level lock modes (manual, "Explicit Locking"), weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// `SELECT`, `COPY … TO`.
    AccessShare,
    /// `SELECT … FOR UPDATE`; the referenced table while a foreign key is validated.
    RowShare,
    /// `INSERT`, `UPDATE`, `DELETE`, `COPY … FROM`.
    RowExclusive,
    /// `VACUUM`, `ANALYZE`, `VALIDATE CONSTRAINT`, `CREATE STATISTICS`.
    ShareUpdateExclusive,
    /// `CREATE INDEX`.
    Share,
    /// `CREATE TRIGGER`, `ADD FOREIGN KEY`, on both tables.
    ShareRowExclusive,
    /// `REFRESH MATERIALIZED VIEW CONCURRENTLY`.
    Exclusive,
    /// `TRUNCATE`, most of `ALTER TABLE`, `REFRESH MATERIALIZED VIEW`.
    AccessExclusive,
}

impl LockMode {
    /// All modes, weakest first.
    pub const ALL: [Self; 8] = [
        Self::AccessShare,
        Self::RowShare,
        Self::RowExclusive,
        Self::ShareUpdateExclusive,
        Self::Share,
        Self::ShareRowExclusive,
        Self::Exclusive,
        Self::AccessExclusive,
    ];

    /// The modes that cannot be held by another transaction at the same time (`LockConflicts` in lock.c).
    pub fn conflicts(self) -> &'static [Self] {
        match self {
            Self::AccessShare => &Self::ALL[7..],
            Self::RowShare => &Self::ALL[6..],
            Self::RowExclusive => &Self::ALL[4..],
            Self::ShareUpdateExclusive => &Self::ALL[3..],
            // The one mode of the middle that does not conflict with itself.
            Self::Share => &[
                Self::RowExclusive,
                Self::ShareUpdateExclusive,
                Self::ShareRowExclusive,
                Self::Exclusive,
                Self::AccessExclusive,
            ],
            Self::ShareRowExclusive => &Self::ALL[2..],
            Self::Exclusive => &Self::ALL[1..],
            Self::AccessExclusive => &Self::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table "Conflicting Lock Modes" of the manual, a row for the requested mode, a column for the held one.
    #[test]
    fn the_conflicts_are_those_of_the_manual() {
        let table = [
            ".......X", // ACCESS SHARE
            "......XX", // ROW SHARE
            "....XXXX", // ROW EXCLUSIVE
            "...XXXXX", // SHARE UPDATE EXCLUSIVE
            "..XX.XXX", // SHARE
            "..XXXXXX", // SHARE ROW EXCLUSIVE
            ".XXXXXXX", // EXCLUSIVE
            "XXXXXXXX", // ACCESS EXCLUSIVE
        ];
        for (requested, row) in LockMode::ALL.into_iter().zip(table) {
            for (held, mark) in LockMode::ALL.into_iter().zip(row.chars()) {
                let conflict = requested.conflicts().contains(&held);
                assert_eq!(conflict, mark == 'X', "{requested:?} against {held:?}");
            }
        }
    }
}
