//! Sums up what the jobs read and counted, and has it judged once both sides of a table are known.

use std::collections::HashMap;

use super::outcome::{Found, Measured};
use crate::event::{Emit, What};
use crate::model::{
    Bytes, Difference, DifferenceKind, MultisetDigest, Oid, Rows, TableVerdict, Unverified,
    Verdict, VerifyLevel,
};
use crate::plan::{Comparison, Plan};
use crate::verify::content::{self, judge};
use crate::verify::matview::ViewVerdict;

/// What is known of the source's tables and of large objects so far.
#[derive(Default)]
pub(super) struct Evidence {
    copied: HashMap<usize, Copied>,
    counted: HashMap<usize, Rows>,
    read_again: HashMap<usize, MultisetDigest>,
    large_objects: HashMap<Oid, (MultisetDigest, Measured)>,
}

#[derive(Default)]
struct Copied {
    digest: MultisetDigest,
    bytes: Bytes,
    duration_ms: u64,
    parts: u32,
}

impl Evidence {
    /// Takes a piece in; when it is the last one for a table, the verdict is emitted.
    pub fn take(&mut self, plan: &Plan, found: Found, emit: &dyn Emit) {
        match found {
            Found::Copied {
                table,
                digest,
                bytes,
                duration_ms,
            } => {
                let copied = self.copied.entry(table).or_default();
                copied.digest += digest;
                copied.bytes += bytes;
                copied.duration_ms += duration_ms;
                copied.parts += 1;
            }
            Found::Counted { table, rows } => {
                self.counted.insert(table, rows);
            }
            Found::ReadSource { comparison, digest } => {
                self.read_again.insert(comparison, digest);
            }
            Found::Matview {
                comparison,
                verdict,
            } => {
                tell_matview(&plan.comparisons[comparison], verdict, emit);
            }
            Found::ReadTarget {
                comparison,
                digest,
                hashed,
            } => {
                self.judge(
                    plan,
                    &plan.comparisons[comparison],
                    (comparison, digest, hashed),
                    emit,
                );
            }
            Found::Unreadable {
                comparison,
                because,
            } => {
                let comparison = &plan.comparisons[comparison];
                let class = if comparison.matview {
                    "materialized view"
                } else {
                    "table data"
                };
                emit.emit(What::Unverified(Unverified {
                    class: class.into(),
                    object: comparison.table.to_string(),
                    because,
                }));
            }
            Found::LargeObjectsCopied {
                first,
                digest,
                measured,
            } => {
                self.large_objects.insert(first, (digest, measured));
            }
            Found::LargeObjectsRead {
                first,
                digest,
                measured,
            } => {
                self.judge_large_objects(first, (digest, measured), emit);
            }
        }
    }

    /// Verdicts for tables when nothing was to be verified: what was copied, and that nobody looked.
    pub fn unjudged(&self, plan: &Plan, emit: &dyn Emit) {
        let indexes = if plan.verify == VerifyLevel::None {
            0..plan.tables.len()
        } else {
            0..0
        };
        for index in indexes {
            let unit = &plan.tables[index];
            let copied = self.copied.get(&index);
            emit.emit(What::TableVerified(TableVerdict {
                table: unit.table.clone(),
                format: unit.format.clone(),
                read: copied.map(|copied| copied.digest),
                source_count: None,
                target: None,
                bytes: copied.map(|copied| copied.bytes).unwrap_or_default(),
                copy_ms: copied.map_or(0, |copied| copied.duration_ms),
                verdict: Verdict::NotVerified,
                forms: Vec::new(),
            }));
        }
    }

    fn judge(
        &self,
        plan: &Plan,
        comparison: &Comparison,
        (index, target, hashed): (usize, MultisetDigest, bool),
        emit: &dyn Emit,
    ) {
        let copied: Vec<&Copied> = comparison
            .copied
            .iter()
            .filter_map(|unit| self.copied.get(unit))
            .collect();
        let counts: Vec<Rows> = comparison
            .copied
            .iter()
            .filter_map(|unit| self.counted.get(unit))
            .copied()
            .collect();
        let all_copied = copied.len() == comparison.copied.len()
            && comparison
                .copied
                .iter()
                .zip(&copied)
                .all(|(&unit, copied)| plan.tables[unit].chunks == copied.parts);
        let copied_digest = all_copied.then(|| copied.iter().map(|copied| copied.digest).sum());
        let read = if comparison.reads_source {
            self.read_again.get(&index).copied()
        } else {
            copied_digest
        };
        let source_count =
            (counts.len() == comparison.copied.len()).then(|| counts.iter().copied().sum());
        let evidence = content::Evidence {
            read,
            source_count,
            target: Some(target),
            hashed,
        };
        let (verdict, differences) = judge(&comparison.table, &evidence);
        emit.emit(What::TableVerified(TableVerdict {
            table: comparison.table.clone(),
            format: comparison.format.clone(),
            read,
            source_count,
            target: Some(target),
            bytes: copied.iter().map(|copied| copied.bytes).sum(),
            copy_ms: copied.iter().map(|copied| copied.duration_ms).sum(),
            verdict,
            forms: Vec::new(),
        }));
        if verdict == Verdict::NotVerified {
            let because = "a part of it was not copied or not counted".to_owned();
            emit.emit(What::Unverified(Unverified {
                class: "table data".into(),
                object: comparison.table.to_string(),
                because,
            }));
        }
        for difference in differences {
            emit.emit(What::Difference(difference));
        }
    }

    fn judge_large_objects(&self, first: Oid, read: (MultisetDigest, Measured), emit: &dyn Emit) {
        let class = || "large objects' contents".to_owned();
        let object = format!("{first} and those after it");
        let Some(copied) = self.large_objects.get(&first) else {
            let because = "they were not copied".to_owned();
            return emit.emit(What::Unverified(Unverified {
                class: class(),
                object,
                because,
            }));
        };
        if *copied == read {
            return emit.emit(What::Checked {
                what: class(),
                count: read.1.objects,
            });
        }
        let side = |(digest, measured): &(MultisetDigest, Measured)| {
            format!(
                "{} objects of {} bytes in parts of 1 MB ({digest})",
                measured.objects, measured.bytes
            )
        };
        let detail = format!(
            "the source has {}; the target has {}",
            side(copied),
            side(&read)
        );
        emit.emit(What::Difference(Difference {
            kind: DifferenceKind::Different,
            class: class(),
            object,
            detail,
        }));
    }
}

fn tell_matview(comparison: &Comparison, verdict: ViewVerdict, emit: &dyn Emit) {
    let object = comparison.table.shown();
    let class = || "materialized view".to_owned();
    if let Some(what) = verdict.counted_as() {
        emit.emit(What::Checked {
            what: what.to_owned(),
            count: 1,
        });
    }
    match verdict {
        ViewVerdict::Unknown => emit.emit(What::Unverified(Unverified {
            class: class(),
            object,
            because: "it is not what the source's view holds, which may be out of date; only its query would show that, but it runs \
                      user-defined functions, and not with a superuser's rights"
                .to_owned(),
        })),
        ViewVerdict::Incomparable(because) => emit.emit(What::Unverified(Unverified {
            class: class(),
            object,
            because,
        })),
        ViewVerdict::Different(detail) => emit.emit(What::Difference(Difference {
            kind: DifferenceKind::Different,
            class: class(),
            object,
            detail,
        })),
        other => {
            if let Some(text) = other.note() {
                emit.emit(What::Note { text });
            }
        }
    }
}
