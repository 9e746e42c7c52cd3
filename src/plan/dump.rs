//! What a dump reads, in which pieces, and in which order: the largest first.
//!
//! ```text
//!   a large table   part 1, part 2, …   each with a reader of its own; they go into one file, in this order
//!   small tables    one after the other, many to a job
//!   large objects   a few hundred to a job
//! ```
//!
//! The rows are read in COPY's text format, which is what an archive holds. The pieces of a large table are many and small:
//! who has read one waits for its turn to append it, and holds it in memory meanwhile. To read a range costs the server up to a
//! third more than its share of the whole table, so that only those are cut without which some workers would wait for others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use super::around::Around;
use super::builder::client_encoding;
use super::tables::{CopyUnit, Range};
use crate::catalog::{ServerFacts, SourceFacts, Table, Types};
use crate::event::{Phase, PlannedJob};
use crate::model::{Bytes, DumpId, JobId, Oid, QualifiedName, Rows, VerifyLevel};
use crate::toc::{Entry, LargeObjectList, Text, Toc};

/// About how much of a table a piece holds, as stored on the source.
const PART: Bytes = Bytes(16 << 20);
/// A table of less than this many pieces is read whole.
const FEWEST_PARTS: u64 = 3;
/// A larger one is always cut: what is broken off has to be read again from the beginning.
const LARGEST_WHOLE: Bytes = Bytes(1 << 30);
/// Tables up to this size share a job …
const SMALL: Bytes = Bytes(2 << 20);
/// … of about this size …
const BUNDLE: Bytes = Bytes(16 << 20);
/// … and of this many tables at most.
const TABLES_PER_JOB: usize = 200;
/// Large objects of one job.
const OBJECTS_PER_JOB: usize = 500;
/// Ranges of blocks can be read on their own from version 14 on.
const TID_RANGE_SCANS: u32 = 14;

/// What a dump reads. Immutable.
#[derive(Debug, Clone)]
pub struct DumpPlan {
    /// Client encoding of the sessions that read.
    pub client_encoding: String,
    /// Tables, in the order of the archive.
    pub units: Vec<DumpUnit>,
    /// Lists of large objects.
    pub lists: Vec<LargeObjectList>,
    /// The jobs, by number, in the order in which they are to be begun.
    pub jobs: Vec<DumpJob>,
}

/// What the operator asked for, as far as the plan depends on it.
#[derive(Debug, Clone)]
pub struct DumpOptions {
    /// Number of workers.
    pub workers: u32,
    /// What will be proven.
    pub verify: VerifyLevel,
    /// Nothing was to be left out.
    pub everything: bool,
    /// How damaged tables are read.
    pub around: BTreeMap<QualifiedName, Around>,
}

/// A table whose rows are dumped.
#[derive(Debug, Clone)]
pub struct DumpUnit {
    /// Its `TABLE DATA` entry.
    pub dump_id: DumpId,
    /// How it is read.
    pub copy: CopyUnit,
    /// The name of its file, without what a compression adds to it.
    pub file: String,
    /// Its parts; one, without bounds, if it is read whole.
    pub parts: Vec<Option<Range>>,
}

/// The smallest thing that can be done again alone.
#[derive(Debug, Clone)]
pub struct DumpJob {
    /// What it does, for a person.
    pub label: String,
    /// What it does.
    pub work: DumpWork,
    /// Bytes on the source.
    pub bytes: Bytes,
    /// Rows expected.
    pub rows: Rows,
}

/// What a job does.
#[derive(Debug, Clone)]
pub enum DumpWork {
    /// Whole tables, by index.
    Tables(Vec<usize>),
    /// A part of a table: the table's index, and the part's.
    Part(usize, usize),
    /// `count(*)` of a table that is read in parts, by its index.
    Count(usize),
    /// Large objects.
    LargeObjects(Vec<Oid>),
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum DumpPlanError {
    /// The archive names a table that the catalog does not show.
    #[error(
        "planning: {entry} is in pg_dump's list, but the table cannot be read; is the role \"{role}\" allowed to?"
    )]
    NotVisible {
        /// The entry.
        entry: String,
        /// The connected role.
        role: String,
    },
    /// The catalog shows tables that the archive does not name, although it was to hold everything.
    #[error(
        "planning: pg_dump has not listed the rows of {tables}, although the source has such tables"
    )]
    NotListed {
        /// Their names.
        tables: String,
    },
    /// An entry that is not as `pg_dump` writes it.
    #[error("planning: {entry} is not understood: {what}")]
    Entry {
        /// The entry.
        entry: String,
        /// What of it.
        what: &'static str,
    },
}

impl DumpPlan {
    /// Makes it. `toc` is that of a directory.
    pub fn make(
        toc: &Toc,
        (server, facts): (&ServerFacts, &SourceFacts),
        options: &DumpOptions,
    ) -> Result<Self, DumpPlanError> {
        let by_oid: HashMap<Oid, &Table> = facts
            .tables
            .iter()
            .map(|table| (table.oid, table))
            .collect();
        let data = toc.entries.iter().filter(|entry| entry.is_table_data());
        let data = data.map(|entry| match by_oid.get(&entry.oid) {
            Some(table) => Ok((entry, *table)),
            None => Err(DumpPlanError::NotVisible {
                entry: entry.to_string(),
                role: server.role.clone(),
            }),
        });
        let data: Vec<(&Entry, &Table)> = data.collect::<Result<_, _>>()?;
        let sizes = data.iter().map(|(_, table)| table.total).collect();
        let cut_from = smallest_to_cut(sizes, options.workers);
        let units = data
            .iter()
            .map(|(entry, table)| unit(entry, table, (server, facts, options), cut_from));
        let units = units.collect::<Result<Vec<_>, _>>()?;
        let misunderstood = |entry: &Entry| DumpPlanError::Entry {
            entry: entry.to_string(),
            what: "the large objects that it is about",
        };
        let lists = toc.large_object_lists().map_err(misunderstood)?;
        let jobs = jobs(&units, &lists, options.verify != VerifyLevel::None);
        let unlisted = unlisted(&units, facts);
        if options.everything && !unlisted.is_empty() {
            return Err(DumpPlanError::NotListed {
                tables: unlisted.join(", "),
            });
        }
        let client_encoding = client_encoding(&server.encoding).to_owned();
        Ok(Self {
            client_encoding,
            units,
            lists,
            jobs,
        })
    }

    /// The jobs as displays need them.
    pub fn announced(&self) -> Vec<PlannedJob> {
        let numbered = (0..).map(JobId).zip(&self.jobs);
        numbered
            .map(|(id, job)| PlannedJob {
                id,
                phase: Phase::Data,
                label: job.label.clone(),
                bytes: job.bytes,
                rows: job.rows,
            })
            .collect()
    }

    /// What is stored on the source of all tables.
    pub fn data_bytes(&self) -> Bytes {
        self.units.iter().map(|unit| unit.copy.bytes).sum()
    }
}

/// Tables of the catalog that `pg_dump` has not listed. Members of extensions are made by these, and only some have rows that belong into a dump.
fn unlisted(units: &[DumpUnit], facts: &SourceFacts) -> Vec<String> {
    let listed: HashSet<&QualifiedName> = units.iter().map(|unit| &unit.copy.table).collect();
    let tables = facts.tables.iter();
    let ours = tables.filter(|table| table.extension.is_none());
    let names = ours.map(|table| &table.name);
    names
        .filter(|name| !listed.contains(name))
        .map(QualifiedName::shown)
        .collect()
}

fn unit(
    entry: &Entry,
    table: &Table,
    (server, facts, options): (&ServerFacts, &SourceFacts, &DumpOptions),
    cut_from: Bytes,
) -> Result<DumpUnit, DumpPlanError> {
    let misunderstood = |what| DumpPlanError::Entry {
        entry: entry.to_string(),
        what,
    };
    let known: Vec<&str> = table
        .columns
        .iter()
        .filter(|column| !column.generated)
        .map(|column| column.name.as_str())
        .collect();
    let named = entry
        .copied_columns()
        .ok_or_else(|| misunderstood("its COPY statement"))?;
    // Names that are not UTF-8 here are in the archive in the database's encoding.
    let differs = |(text, name): (&Text, &&str)| text.to_str().is_some_and(|text| text != *name);
    if named.len() != known.len() || named.iter().zip(&known).any(differs) {
        return Err(misunderstood("its columns are not those of the catalog"));
    }
    let crate::toc::DataPlace::File(file) = &entry.data else {
        return Err(misunderstood("its place in the archive"));
    };
    let file = file
        .to_str()
        .ok_or_else(|| misunderstood("its file's name"))?;
    let known = (&*server.encoding, Types(&facts.types));
    let mut copy = CopyUnit::as_text(table, entry.dump_id, known);
    let around = options.around.get(&table.name);
    // What is read around damage is one statement.
    let parts = if around.is_some() || table.total < cut_from {
        vec![None]
    } else {
        parts(table, server)
    };
    if let Some(around) = around {
        copy.read_around(around.clone(), &server.encoding);
    }
    Ok(DumpUnit {
        dump_id: entry.dump_id,
        copy,
        file: file.to_owned(),
        parts,
    })
}

/// From which size on tables are cut: so that the workers, who take the largest first, have about the same to do.
fn smallest_to_cut(mut sizes: Vec<Bytes>, workers: u32) -> Bytes {
    let workers = u64::from(workers);
    if workers < 2 {
        return Bytes(u64::MAX);
    }
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let share = sizes.iter().map(|size| size.0).sum::<u64>() / workers;
    let can_be_cut = |size: &&Bytes| size.0.div_ceil(PART.0) >= FEWEST_PARTS;
    let large = &sizes[..sizes.iter().take_while(can_be_cut).count()];
    let must = |size: &&Bytes| **size > LARGEST_WHOLE;
    let mut cut = large.iter().take_while(must).count();
    while cut < large.len() && longest(&large[..cut], &large[cut..], workers) > share + share / 20 {
        cut += 1;
    }
    match cut.checked_sub(1).and_then(|last| large.get(last)) {
        Some(smallest) => *smallest,
        None => Bytes(u64::MAX),
    }
}

/// What the busiest worker has to read of tables that are cut, and then of whole ones, each of which goes to who has the least.
fn longest(cut: &[Bytes], whole: &[Bytes], workers: u64) -> u64 {
    let shared = cut.iter().map(|size| size.0).sum::<u64>() / workers;
    let mut loads: BinaryHeap<Reverse<u64>> = (0..workers).map(|_| Reverse(shared)).collect();
    for size in whole {
        if let Some(mut least) = loads.peek_mut() {
            least.0 = least.0.saturating_add(size.0);
        }
    }
    loads.into_iter().map(|load| load.0).max().unwrap_or(0)
}

/// The parts of a table, in the order in which a scan of the whole would find them.
fn parts(table: &Table, server: &ServerFacts) -> Vec<Option<Range>> {
    let whole = vec![None];
    let count = table.total.0.div_ceil(PART.0);
    if server.version.major() >= TID_RANGE_SCANS {
        let blocks = (table.heap.0 / server.block_size.max(1)).max(1);
        let ranges = Range::of_blocks(blocks, count.min(blocks));
        return ranges.into_iter().map(Some).collect();
    }
    match (&table.integer_key, table.key_range) {
        (Some(column), Some(range)) => Range::of_keys(column, range, count)
            .into_iter()
            .map(Some)
            .collect(),
        _ => whole,
    }
}

fn jobs(units: &[DumpUnit], lists: &[LargeObjectList], counts: bool) -> Vec<DumpJob> {
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_key(|&index| Reverse(units[index].copy.bytes));
    let (large, small): (Vec<usize>, Vec<usize>) = order
        .into_iter()
        .partition(|&index| units[index].copy.bytes > SMALL);
    let mut jobs: Vec<DumpJob> = large
        .into_iter()
        .flat_map(|index| jobs_of(units, index, counts))
        .collect();
    for list in lists {
        jobs.extend(list.oids.chunks(OBJECTS_PER_JOB).map(|oids| DumpJob {
            label: match oids {
                [one] => format!("large object {one}"),
                oids => format!("{} large objects from {}", oids.len(), oids[0]),
            },
            work: DumpWork::LargeObjects(oids.to_vec()),
            bytes: Bytes(0),
            rows: Rows(oids.len() as u64),
        }));
    }
    let mut bundle: Vec<usize> = Vec::new();
    let mut size = Bytes(0);
    for index in small {
        if bundle.len() >= TABLES_PER_JOB || size > BUNDLE {
            jobs.push(whole_tables(units, std::mem::take(&mut bundle)));
            size = Bytes(0);
        }
        bundle.push(index);
        size += units[index].copy.bytes;
    }
    if !bundle.is_empty() {
        jobs.push(whole_tables(units, bundle));
    }
    jobs
}

fn jobs_of(units: &[DumpUnit], index: usize, counts: bool) -> Vec<DumpJob> {
    let unit = &units[index];
    let count = unit.parts.len();
    if count == 1 {
        return vec![whole_tables(units, vec![index])];
    }
    let of_each = |total: u64| total / count as u64;
    let parts = (0..count).map(|part| DumpJob {
        label: format!("dump {} {}/{count}", unit.copy.table.shown(), part + 1),
        work: DumpWork::Part(index, part),
        bytes: Bytes(of_each(unit.copy.bytes.0)),
        rows: Rows(of_each(unit.copy.rows.0)),
    });
    let counted = counts.then(|| DumpJob {
        label: format!("count {}", unit.copy.table.shown()),
        work: DumpWork::Count(index),
        bytes: Bytes(0),
        rows: Rows(0),
    });
    parts.chain(counted).collect()
}

fn whole_tables(units: &[DumpUnit], tables: Vec<usize>) -> DumpJob {
    let copies = || tables.iter().map(|&index| &units[index].copy);
    let names: Vec<&QualifiedName> = copies().map(|copy| &copy.table).collect();
    DumpJob {
        label: match names.as_slice() {
            [] => String::new(),
            [one] => format!("dump {}", one.shown()),
            [first, rest @ ..] => {
                format!(
                    "dump {} and {} more small tables",
                    first.shown(),
                    rest.len()
                )
            }
        },
        bytes: copies().map(|copy| copy.bytes).sum(),
        rows: copies().map(|copy| copy.rows).sum(),
        work: DumpWork::Tables(tables),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_from(megabytes: &[u64], workers: u32) -> Option<u64> {
        let sizes = megabytes.iter().map(|size| Bytes(size << 20)).collect();
        let from = smallest_to_cut(sizes, workers).0;
        (from < u64::MAX).then_some(from >> 20)
    }

    #[test]
    fn only_those_tables_are_cut_without_which_workers_would_wait() {
        assert_eq!(cut_from(&[100, 100, 20], 1), None);
        assert_eq!(cut_from(&[100, 100], 2), None);
        assert_eq!(cut_from(&[100, 60, 40], 2), None);
        assert_eq!(cut_from(&[500, 1, 2], 2), Some(500));
        assert_eq!(cut_from(&[500, 90, 80, 70, 40], 2), Some(500));
        assert_eq!(cut_from(&[100, 100, 100], 2), Some(100));
        assert_eq!(cut_from(&[90, 80, 70], 8), Some(70));
        // Nothing of this can be cut.
        assert_eq!(cut_from(&[30, 1, 1], 2), None);
        assert_eq!(cut_from(&[], 4), None);
    }

    #[test]
    fn what_would_take_long_to_read_again_is_cut_in_any_case() {
        assert_eq!(cut_from(&[2000, 2000], 2), Some(2000));
        assert_eq!(cut_from(&[3000, 1025, 1024, 1023], 2), Some(1025));
    }
}
