//! Rows of a table: how many, and a hash of the multiset.
//!
//! The bytes that are hashed are the column's own, as COPY sends them, never the type's notion of equality: `1.0` and
//! `1.00`, `-0` and `0` are different rows here.

use crate::model::{
    CopyFormat, Difference, DifferenceKind, MultisetDigest, QualifiedName, Rows, SqlText, Verdict,
    quote_literal,
};
use crate::pg::PgError;
use crate::pg::wire::{Gauge, Relayed, Wire, read_copy};

/// What to read of a table, the same on both sides.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// What stands behind `FROM`: a quoted table name, perhaps after `only`, or a query in parentheses with an alias.
    pub from: &'a str,
    /// Expressions, in order. Empty: a table without columns, of which only the number of rows can be compared.
    pub columns: &'a [String],
    /// A condition, with its `WHERE`.
    pub condition: Option<&'a str>,
    /// Format.
    pub format: &'a CopyFormat,
    /// Places of the expressions that are arrays, for the binary format.
    pub arrays: &'a [u16],
    /// Encoding of text, when it is not the session's.
    pub encoding: Option<&'a str>,
}

/// What is known of both sides of a table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence {
    /// What was read from the source.
    pub read: Option<MultisetDigest>,
    /// `count(*)` on the source, in the same snapshot.
    pub source_count: Option<Rows>,
    /// What was read from the target.
    pub target: Option<MultisetDigest>,
    /// Whether contents were hashed, on both sides.
    pub hashed: bool,
}

impl Reading<'_> {
    /// `COPY (SELECT …) TO STDOUT`.
    pub fn statement(&self) -> SqlText {
        let encoding = self
            .encoding
            .map(|name| format!(", encoding {}", quote_literal(name)))
            .unwrap_or_default();
        SqlText::from(format!(
            "copy (select {} from {} {}) to stdout (format {}{encoding})",
            self.columns.join(", "),
            self.from,
            self.condition.unwrap_or_default(),
            self.format.keyword(),
        ))
    }

    /// Reads and hashes all rows.
    pub async fn hash(&self, wire: &mut Wire, gauge: &Gauge) -> Result<Relayed, PgError> {
        let layout = self.format.layout(self.arrays);
        read_copy(wire, &self.statement(), layout, gauge).await
    }

    /// Counts all rows.
    pub async fn count(&self, wire: &mut Wire) -> Result<Rows, PgError> {
        wire.count(&self.count_statement()).await
    }

    /// `SELECT count(*)`.
    pub fn count_statement(&self) -> SqlText {
        SqlText::from(format!(
            "select count(*) from {} {}",
            self.from,
            self.condition.unwrap_or_default()
        ))
    }
}

/// What the evidence says. Whatever is missing makes the verdict "not verified", never "identical".
pub fn judge(table: &QualifiedName, evidence: &Evidence) -> (Verdict, Vec<Difference>) {
    let mut differences = Vec::new();
    let mut differ = |kind, detail: String| {
        differences.push(Difference {
            kind,
            class: "table data".into(),
            object: table.to_string(),
            detail,
        });
    };
    let Evidence {
        read: Some(read),
        source_count: Some(count),
        target: Some(target),
        hashed,
    } = *evidence
    else {
        return (Verdict::NotVerified, differences);
    };
    if read.rows != count {
        let detail = format!(
            "{} rows were read from the source, but it counts {count} in the same snapshot",
            read.rows
        );
        differ(
            if read.rows < count {
                DifferenceKind::Missing
            } else {
                DifferenceKind::Extra
            },
            detail,
        );
    }
    if target.rows != count {
        let kind = if target.rows < count {
            DifferenceKind::Missing
        } else {
            DifferenceKind::Extra
        };
        differ(
            kind,
            format!(
                "the source has {count} rows, the target has {}",
                target.rows
            ),
        );
    } else if hashed && target.sum != read.sum {
        let detail = format!(
            "{count} rows on both sides, but not with the same content ({:032x}, {:032x})",
            read.sum, target.sum
        );
        differ(DifferenceKind::Different, detail);
    }
    let verdict = match (differences.is_empty(), hashed) {
        (false, _) => Verdict::Different,
        (true, true) => Verdict::Identical,
        (true, false) => Verdict::SameCount,
    };
    (verdict, differences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(rows: u64, sum: u128) -> MultisetDigest {
        MultisetDigest {
            rows: Rows(rows),
            sum,
        }
    }

    fn whole() -> Evidence {
        Evidence {
            read: Some(digest(2, 7)),
            source_count: Some(Rows(2)),
            target: Some(digest(2, 7)),
            hashed: true,
        }
    }

    #[test]
    fn identical_needs_every_piece_of_evidence() {
        let table = QualifiedName::new("public", "t");
        let verdict = |evidence: Evidence| judge(&table, &evidence);
        assert_eq!(verdict(whole()), (Verdict::Identical, vec![]));
        for missing in [
            Evidence {
                read: None,
                ..whole()
            },
            Evidence {
                source_count: None,
                ..whole()
            },
            Evidence {
                target: None,
                ..whole()
            },
        ] {
            assert_eq!(verdict(missing).0, Verdict::NotVerified);
        }
        assert_eq!(
            verdict(Evidence {
                hashed: false,
                ..whole()
            })
            .0,
            Verdict::SameCount
        );
        for (different, kind) in [
            (
                Evidence {
                    target: Some(digest(2, 8)),
                    ..whole()
                },
                DifferenceKind::Different,
            ),
            (
                Evidence {
                    target: Some(digest(1, 7)),
                    ..whole()
                },
                DifferenceKind::Missing,
            ),
            (
                Evidence {
                    target: Some(digest(3, 7)),
                    ..whole()
                },
                DifferenceKind::Extra,
            ),
            // A hole between two chunks: what was read arrived, but it was not all.
            (
                Evidence {
                    source_count: Some(Rows(3)),
                    ..whole()
                },
                DifferenceKind::Missing,
            ),
        ] {
            let (verdict, differences) = verdict(different);
            assert_eq!((verdict, differences[0].kind), (Verdict::Different, kind));
        }
    }
}
