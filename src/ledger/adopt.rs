//! What of a new plan is done already, when a run goes on in another snapshot. Pure.
//!
//! The new plan has other numbers, sizes and bundles than the old one, so done-marks cannot be carried over by job. What
//! counts is what is there: rows by their digest, objects by their entry as the target's own dump shows it, and statements that
//! belong to no entry by their text.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{DoneMark, EDITED, FailedBefore, Mark, Marks, WHOLE};
use crate::model::{Bytes, DumpId, JobId, MultisetDigest, QualifiedName, SqlText};
use crate::plan::{CopyUnit, Job, Plan, Statement, Work};

/// What the target has that need not be made again.
#[derive(Debug, Clone, Default)]
pub struct There {
    /// Entries of the new table of contents.
    pub entries: HashSet<DumpId>,
    /// Entries that are there, and have another owner or place than they should.
    pub without_owner: HashSet<DumpId>,
    /// Statements of no entry that were run.
    pub statements: HashSet<SqlText>,
    /// Statements in whose place others were run that the operator had edited, and what the ledger calls these.
    pub edited: HashMap<SqlText, String>,
    /// Tables of the source whose rows are there as they are in the new snapshot.
    pub rows: BTreeMap<QualifiedName, Held>,
}

/// What was read of a table in the new snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The rows.
    pub digest: MultisetDigest,
    /// Bytes that were read.
    pub bytes: Bytes,
}

/// The tables that a job copies, or of which it copies a part, by their index; each with the part of the job that its mark is for.
pub fn copied(work: &Work) -> Vec<(usize, u32)> {
    match work {
        Work::Copy { tables } => tables.iter().copied().zip(1..).collect(),
        Work::CopyChunk { table, .. } => vec![(*table, WHOLE)],
        Work::Run { .. }
        | Work::RunAlone { .. }
        | Work::Count { .. }
        | Work::ReadSource { .. }
        | Work::Compare { .. }
        | Work::LargeObjects { .. }
        | Work::CompareMatview { .. }
        | Work::CompareLargeObjects { .. } => Vec::new(),
    }
}

/// What the old plan's marks say of each table that is whole: source table → digest of its rows.
pub fn held(plan: &Plan, marks: &Marks) -> BTreeMap<QualifiedName, MultisetDigest> {
    let mut parts: BTreeMap<usize, (u32, MultisetDigest)> = BTreeMap::new();
    for job in &plan.jobs {
        for (table, part) in copied(&job.work) {
            let mark = marks.part(job.id, part);
            if let Some(digest) = mark.and_then(|mark| mark.mark.digest) {
                let (count, sum) = parts.entry(table).or_default();
                *count += 1;
                *sum += digest;
            }
        }
    }
    let is_whole = |table: usize, count: u32| {
        let unit = plan.tables.get(table);
        unit.filter(|unit| unit.chunks == count)
    };
    parts
        .into_iter()
        .filter_map(|(table, (count, sum))| Some((is_whole(table, count)?.table.clone(), sum)))
        .collect()
}

/// The jobs and parts that brought rows to a table of the target, by the marks.
pub fn brought(plan: &Plan, marks: &Marks, table: &QualifiedName) -> Vec<(JobId, u32)> {
    let mut brought = Vec::new();
    let is_it = |index: usize| {
        plan.tables
            .get(index)
            .is_some_and(|unit| unit.into == *table)
    };
    for job in &plan.jobs {
        let parts = copied(&job.work).into_iter();
        for (_, part) in parts.filter(|(table, _)| is_it(*table)) {
            let rows = marks.part(job.id, part).map(|mark| mark.mark.rows);
            if rows.is_some_and(|rows| rows.0 > 0) {
                brought.push((job.id, part));
            }
        }
    }
    brought
}

/// Statements of no entry that are done by the old plan's marks.
pub fn statements_run(plan: &Plan, marks: &Marks) -> HashSet<SqlText> {
    let mut run = HashSet::new();
    for job in &plan.jobs {
        for (statement, part) in job.work.statements().iter().zip(1..) {
            if statement.entry.is_none() && marks.has(job.id, part) {
                run.insert(statement.sql.clone());
            }
        }
    }
    run
}

/// The marks of a new plan for what is there.
pub fn adopt(plan: &Plan, there: &There) -> Marks {
    let mut marks = Marks::default();
    for job in &plan.jobs {
        match &job.work {
            Work::Run { statements, .. } => {
                let done = statements.iter().map(|statement| {
                    let edited = there.edited.get(&statement.sql).cloned();
                    let what =
                        edited.or_else(|| is_there(statement, there).then(|| job.label.clone()));
                    let mark = Mark::default();
                    what.map(|what| DoneMark { what, mark })
                });
                mark_parts(job, done, &mut marks);
            }
            Work::Copy { tables } => {
                let held = |table: &usize| there.rows.get(&plan.tables[*table].table);
                let done = tables.iter().map(|table| {
                    let mark = held(table).map(mark_of)?;
                    let what = job.label.clone();
                    Some(DoneMark { what, mark })
                });
                mark_parts(job, done, &mut marks);
            }
            // These are done again. No table that is there is copied in chunks.
            Work::RunAlone { .. }
            | Work::CopyChunk { .. }
            | Work::Count { .. }
            | Work::ReadSource { .. }
            | Work::Compare { .. }
            | Work::LargeObjects { .. }
            | Work::CompareMatview { .. }
            | Work::CompareLargeObjects { .. } => {}
        }
    }
    marks
}

/// Whether two units read the same columns of the same table in the same form, so that their digests can be compared.
pub fn comparable(old: &CopyUnit, new: &CopyUnit) -> bool {
    old.table == new.table
        && old.into == new.into
        && old.columns == new.columns
        && old.stored_as == new.stored_as
        && old.format == new.format
        && old.arrays == new.arrays
        && old.encoding == new.encoding
        && old.condition == new.condition
}

fn mark_of(held: &Held) -> Mark {
    Mark {
        rows: held.digest.rows,
        bytes: held.bytes,
        digest: Some(held.digest),
    }
}

/// Marks the parts that are done; the whole, too, if all of them are.
fn mark_parts(job: &Job, parts: impl Iterator<Item = Option<DoneMark>>, marks: &mut Marks) {
    let mut whole = true;
    for (mark, part) in parts.zip(1..) {
        match mark {
            Some(mark) => marks.add(job.id, part, mark),
            None => whole = false,
        }
    }
    if whole {
        let what = job.label.clone();
        let mark = Mark::default();
        marks.add(job.id, WHOLE, DoneMark { what, mark });
    }
}

/// A statement in whose place another was run, that the operator had edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// As it was planned.
    pub sql: SqlText,
    /// Its entry, by the number that it had then.
    pub entry: Option<DumpId>,
    /// What the ledger calls it.
    pub what: String,
}

/// What stood in the place of the old plan's statements.
pub fn edited(plan: &Plan, marks: &Marks) -> Vec<Replaced> {
    let edited = marks.edited().filter_map(|(job, part, file)| {
        let statement = statement_of(plan, job, part)?;
        Some(Replaced {
            sql: statement.sql.clone(),
            entry: statement.entry.as_ref().map(|entry| entry.dump_id),
            what: format!("{EDITED}{file}"),
        })
    });
    edited.collect()
}

/// The old plan's failures in the new one, where they have a place in it.
pub fn failed_in(old: &Plan, failed: &[FailedBefore], new: &Plan) -> Vec<FailedBefore> {
    let mut by_sql: HashMap<&SqlText, (JobId, u32)> = HashMap::new();
    let mut by_table: HashMap<&QualifiedName, (JobId, u32)> = HashMap::new();
    for job in &new.jobs {
        let parts = job.work.statements().iter().zip(1..);
        by_sql.extend(parts.map(|(statement, part)| (&statement.sql, (job.id, part))));
        if let Work::Copy { tables } = &job.work {
            let parts = tables.iter().zip(1..);
            let name = |table: usize| &new.tables[table].table;
            by_table.extend(parts.map(|(&table, part)| (name(table), (job.id, part))));
        }
    }
    // How anything else failed has no place in another plan: it is tried again.
    let place = |before: &FailedBefore| {
        if let Work::Copy { tables } = &old.job(before.job)?.work {
            let place = usize::try_from(before.part).ok()?.checked_sub(1)?;
            let unit = old.tables.get(*tables.get(place)?)?;
            by_table.get(&unit.table).copied()
        } else {
            let statement = statement_of(old, before.job, before.part)?;
            by_sql.get(&statement.sql).copied()
        }
    };
    let moved = |before: &FailedBefore| {
        let (job, part) = place(before)?;
        let before = before.clone();
        Some(FailedBefore {
            job,
            part,
            ..before
        })
    };
    failed.iter().filter_map(moved).collect()
}

fn statement_of(plan: &Plan, job: JobId, part: u32) -> Option<&Statement> {
    let statements = plan.job(job)?.work.statements();
    statements.get(usize::try_from(part).ok()?.checked_sub(1)?)
}

/// What computes something from rows is done again, always: it is cheap to say and hard to be sure of otherwise.
fn is_computed(statement: &Statement) -> bool {
    const COMPUTED: [&[u8]; 5] = [
        b"refresh materialized view ",
        b"select pg_catalog.set_config('pgconvoy.written'",
        b"analyze ",
        b"select 1 / (pg_catalog.pg_restore_attribute_stats(",
        b"select pg_catalog.setval(",
    ];
    let sql = statement.sql.as_bytes();
    COMPUTED.iter().any(|begin| sql.starts_with(begin))
}

fn is_there(statement: &Statement, there: &There) -> bool {
    if is_computed(statement) {
        return false;
    }
    match &statement.entry {
        Some(entry) if there.without_owner.contains(&entry.dump_id) => !gives_away(statement),
        Some(entry) => there.entries.contains(&entry.dump_id),
        None => there.statements.contains(&statement.sql),
    }
}

/// Whether a statement says who owns an object, or where and how it is stored, and nothing else.
fn gives_away(statement: &Statement) -> bool {
    let text = statement.sql.to_string_lossy();
    let last = text.rsplit(";\n").find(|part| !part.trim().is_empty());
    let says = |words: &str| last.is_some_and(|part| part.contains(words));
    last.is_some_and(|part| part.trim_start().starts_with("ALTER "))
        && (says(" OWNER TO ") || says(" SET TABLESPACE ") || says(" SET ACCESS METHOD "))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{name, plan, unit};
    use super::*;
    use crate::event::EntryRef;
    use crate::model::Rows;
    use crate::plan::Range;

    fn statement(entry: Option<i32>, sql: &str) -> Statement {
        let entry = entry.map(|dump_id| EntryRef {
            dump_id: DumpId(dump_id),
            desc: "INDEX".into(),
            tag: "public i".into(),
            owner: "".into(),
        });
        Statement {
            entry,
            needs: Vec::new(),
            prelude: None,
            sql: SqlText::from(sql),
            otherwise: None,
        }
    }

    fn mark(rows: u64) -> DoneMark {
        let digest = MultisetDigest {
            rows: Rows(rows),
            sum: u128::from(rows),
        };
        DoneMark {
            what: "done".into(),
            mark: Mark {
                rows: Rows(rows),
                bytes: Bytes(1),
                digest: Some(digest),
            },
        }
    }

    fn chunk(table: usize) -> Work {
        let range = Range::Block { from: 0, to: None };
        Work::CopyChunk { table, range }
    }

    #[test]
    fn a_table_is_held_when_all_of_its_parts_are() {
        let tables = vec![unit("whole", 1), unit("cut", 2), unit("half", 2)];
        let work = vec![
            Work::Copy { tables: vec![0] },
            chunk(1),
            chunk(1),
            chunk(2),
            chunk(2),
        ];
        let plan = plan(tables, work);
        let mut marks = Marks::default();
        marks.add(JobId(0), 1, mark(3));
        for job in [1, 2, 3] {
            marks.add(JobId(job), WHOLE, mark(2));
        }
        let held = held(&plan, &marks);
        let rows: Vec<(&str, u64)> = held
            .iter()
            .map(|(table, digest)| (table.name.as_str(), digest.rows.0))
            .collect();
        assert_eq!(rows, [("cut", 4), ("whole", 3)]);
        assert_eq!(brought(&plan, &marks, &name("half")), [(JobId(3), WHOLE)]);
    }

    #[test]
    fn what_is_there_is_done_but_not_what_is_computed_from_rows() {
        let statements = vec![
            statement(Some(7), "create index i on t (a)"),
            statement(Some(8), "create index j on t (b)"),
        ];
        let computed = vec![
            statement(None, "analyze t"),
            statement(None, "select pg_catalog.setval('s', 3, true)"),
            statement(Some(7), "refresh materialized view v"),
            statement(
                Some(7),
                "select pg_catalog.set_config('pgconvoy.written', '{}', true);\nrefresh materialized view v;\nselect 0",
            ),
        ];
        let half = vec![
            statement(Some(9), "create type mood as enum ();\n"),
            statement(Some(9), "ALTER TYPE public.mood OWNER TO app;\n"),
        ];
        let run = |statements| Work::Run {
            statements,
            settings: Vec::new(),
        };
        let work = vec![
            run(statements),
            run(computed),
            Work::Copy { tables: vec![0, 1] },
            run(half),
        ];
        let plan = plan(vec![unit("same", 1), unit("changed", 1)], work);
        let same = Held {
            digest: MultisetDigest::default(),
            bytes: Bytes(5),
        };
        let there = There {
            entries: HashSet::from([DumpId(7)]),
            without_owner: HashSet::from([DumpId(9)]),
            statements: HashSet::from([SqlText::from("analyze t")]),
            edited: HashMap::from([(
                SqlText::from("create index j on t (b)"),
                format!("{EDITED}failed/001.sql"),
            )]),
            rows: BTreeMap::from([(name("same"), same)]),
        };
        let marks = adopt(&plan, &there);
        assert!(marks.whole(JobId(0)), "{marks:?}");
        let edited: Vec<_> = marks.edited().collect();
        assert_eq!(edited, [(JobId(0), 2, "failed/001.sql")]);
        assert_eq!(marks.parts(JobId(1)), 0, "{marks:?}");
        assert!(
            marks.has(JobId(3), 1) && !marks.has(JobId(3), 2),
            "{marks:?}"
        );
        assert!(marks.has(JobId(2), 1) && !marks.has(JobId(2), 2) && !marks.whole(JobId(2)));
    }

    #[test]
    fn a_failure_keeps_its_place_by_what_failed() {
        let run = |sqls: &[&str]| Work::Run {
            statements: sqls.iter().map(|sql| statement(Some(1), sql)).collect(),
            settings: Vec::new(),
        };
        let old = plan(
            vec![unit("t", 1)],
            vec![run(&["a", "b"]), Work::Copy { tables: vec![0] }],
        );
        let new = plan(
            vec![unit("u", 1), unit("t", 1)],
            vec![Work::Copy { tables: vec![0, 1] }, run(&["b"])],
        );
        let failed = |job, part| FailedBefore {
            job: JobId(job),
            part,
            message: String::new(),
            statement: None,
        };
        let moved = failed_in(&old, &[failed(0, 1), failed(0, 2), failed(1, 1)], &new);
        let places: Vec<_> = moved.iter().map(|one| (one.job.0, one.part)).collect();
        assert_eq!(places, [(1, 1), (0, 2)]);
    }
}
