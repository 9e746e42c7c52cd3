//! Copy, freeze and count jobs.

use super::builder::{Builder, Draft};
use super::{CopyUnit, PlanError, Range, Work, cost};
use crate::catalog::Table;
use crate::event::Phase;
use crate::model::LockMode;
use crate::model::{Bytes, DumpId, JobId, Rows, SqlText};

/// A table up to this size is small: what it costs is what it costs to begin and to end with it, so it travels with others in one
/// transaction. It is not frozen: TRUNCATE, which COPY FREEZE asks for, gives it a new file, and takes longer than the
/// rows; and its foreign keys are checked in no time anyway.
const SMALL: Bytes = Bytes(2 << 20);
/// A bundle of small tables is full at this size …
const BUNDLE_BYTES: Bytes = Bytes(16 << 20);
/// … or at this many tables: the locks on each, and later on its indexes, are held until the bundle commits …
const BUNDLE_TABLES: usize = 64;
/// … or earlier, so that every worker has some; but what costs nothing per table costs the more per bundle.
const SMALLEST_BUNDLE: usize = 8;
const BUNDLES_PER_WORKER: usize = 4;
/// Chunks are for more workers than this. One COPY keeps a core of either server busy; two at once gain about what
/// the chunked table then pays for VACUUM, which FREEZE would have saved it.
const WORKERS_WITHOUT_CHUNKS: u64 = 2;
/// No chunk is smaller, unless the operator says so: a chunked table loses FREEZE and pays a VACUUM for it.
const SMALLEST_CHUNK: Bytes = Bytes(64 << 20);
/// More chunks than this for a worker do not even out the work any better.
const CHUNKS_PER_WORKER: u64 = 4;
/// TID range scans (`TidRangeScan`) came with 14; before, a range of blocks costs a scan of the whole table.
const TID_RANGE_SCANS: u32 = 14;

impl<'a> Builder<'a> {
    /// The rows of all tables, largest first.
    pub fn plan_data(&mut self) -> Result<(), PlanError> {
        let mut tables = self.tables_to_copy()?;
        tables.sort_by(|(a, _), (b, _)| b.total.cmp(&a.total).then_with(|| a.name.cmp(&b.name)));
        let total: Bytes = tables.iter().map(|(table, _)| table.total).sum();
        let small = tables.iter().filter(|(table, _)| table.total <= SMALL);
        let most = bundle_tables(small.count(), self.inputs.options.jobs);
        let mut bundle: Vec<usize> = Vec::new();
        for (table, entry) in tables {
            self.refuse_foreign_partitions(table)?;
            let unit = self.units.len();
            self.units.push(CopyUnit {
                rows_in: self
                    .inputs
                    .archive
                    .and_then(|rows| rows.get(&table.name))
                    .copied(),
                ..CopyUnit::new(table, entry, &self.formats)
            });
            self.shield(unit);
            self.read_around(unit);
            self.tables.entry(table.name.clone()).or_default().bytes = table.total;
            let ranges = self.chunks(table, total);
            if ranges.len() > 1 {
                self.leave_uncounted(unit);
                self.plan_chunks(unit, ranges);
                continue;
            }
            // Others are not read as a damaged one is because they travel with it.
            let is_damaged = !self.units[unit].settings(true).is_empty();
            let alone = self.is_in_order(&table.name) || is_damaged;
            if table.total > SMALL || alone {
                // What others refer to cannot be truncated.
                let is_new = self.inputs.options.left.existing.is_none();
                self.units[unit].freeze = is_new
                    && table.total > SMALL
                    && !table.load_via_root
                    && table.extension.is_none();
                if self.units[unit].freeze {
                    self.leave_uncounted(unit);
                }
                self.plan_copy(vec![unit]);
                continue;
            }
            let size: Bytes = bundle.iter().map(|&unit| self.units[unit].bytes).sum();
            if bundle.len() >= most || size + table.total > BUNDLE_BYTES {
                self.plan_copy(std::mem::take(&mut bundle));
            }
            bundle.push(unit);
        }
        if !bundle.is_empty() {
            self.plan_copy(bundle);
        }
        self.plan_comparisons();
        Ok(())
    }

    /// What is loaded through a root goes wherever the target thinks it belongs, be that another server.
    fn refuse_foreign_partitions(&self, table: &Table) -> Result<(), PlanError> {
        let is_meant = table.load_via_root && table.reaches_foreign;
        let root = table.partition_root.as_ref().filter(|_| is_meant);
        let mut entries = self.inputs.toc.entries.iter();
        match root.filter(|_| entries.any(|entry| entry.is("FOREIGN TABLE"))) {
            Some(table) => Err(PlanError::ForeignPartitions {
                table: table.clone(),
            }),
            None => Ok(()),
        }
    }

    /// What is set aside while a table is loaded that an earlier session has finished.
    fn shield(&mut self, unit: usize) {
        let shields = &self.inputs.options.left.shields;
        let unit = &mut self.units[unit];
        if let Some(shield) = shields.get(&unit.into) {
            unit.shield = shield.clone();
        }
    }

    /// A damaged table is read otherwise.
    fn read_around(&mut self, unit: usize) {
        let around = &self.inputs.options.salvaged.around;
        let unit = &mut self.units[unit];
        if let Some(around) = around.get(&unit.table) {
            unit.read_around(around.clone(), &self.inputs.source.encoding);
        }
    }

    /// Tables of the archive as the catalog knows them, and configuration tables of extensions.
    fn tables_to_copy(&mut self) -> Result<Vec<(&'a Table, Option<DumpId>)>, PlanError> {
        let facts = self.inputs.facts;
        let mut tables = Vec::new();
        let mut left_out = Vec::new();
        for (name, &entry) in &self.relations {
            // A partitioned table has no rows of its own, and neither has a materialized view that COPY could load.
            let Some(table) = self.facts_by_name.get(name) else {
                let has_rows = self.entries[&entry].has_rows();
                if has_rows && self.inputs.archive.is_some() {
                    // What was there before is none of our business.
                    if self.inputs.options.left.existing.is_none() {
                        left_out.push(name);
                    }
                    continue;
                }
                if has_rows {
                    return Err(PlanError::TableNotVisible {
                        table: name.clone(),
                        role: self.inputs.source.role.clone(),
                    });
                }
                continue;
            };
            tables.push((*table, Some(entry)));
        }
        let has_extension = |name: &str| {
            self.inputs
                .toc
                .entries
                .iter()
                .any(|entry| entry.is("EXTENSION") && entry.tag == name)
        };
        let configuration = facts.tables.iter().filter(|table| {
            table.extension.as_deref().is_some_and(has_extension)
                && !self.relations.contains_key(&table.name)
        });
        tables.extend(configuration.map(|table| (table, None)));
        let (excluded, copied) = tables.into_iter().partition::<Vec<_>, _>(|(table, _)| {
            self.inputs.options.exclude_data.contains(&table.name)
        });
        left_out.extend(excluded.into_iter().map(|(table, _)| &table.name));
        for table in left_out {
            self.excluded.push(table.clone());
            let jobs = self.tables.entry(table.clone()).or_default();
            jobs.loaded.clone_from(&self.schema_done);
        }
        Ok(copied)
    }

    /// The chunks of a table; none or one if it is better copied whole.
    fn chunks(&self, table: &Table, total: Bytes) -> Vec<Range> {
        let left = &self.inputs.options.left;
        let in_one_piece = left.copied.contains(&table.name)
            || left.shields.contains_key(&table.name)
            || left.existing.is_some()
            || self
                .inputs
                .options
                .salvaged
                .around
                .contains_key(&table.name);
        if table.load_via_root || table.extension.is_some() || in_one_piece {
            return Vec::new();
        }
        let workers = u64::from(self.inputs.options.jobs);
        let asked_for = self.inputs.options.chunk_size;
        let fair_share = total.0 / workers.max(1);
        let worth_it = match asked_for {
            Some(size) => table.total > size,
            // Only a table that would keep one worker busy while the others have nothing left to do.
            None => {
                workers > WORKERS_WITHOUT_CHUNKS
                    && table.total.0 > fair_share.max(2 * SMALLEST_CHUNK.0)
            }
        };
        if !worth_it {
            return Vec::new();
        }
        let size = asked_for.map_or(SMALLEST_CHUNK.0, |size| size.0.max(1));
        let most = if asked_for.is_some() {
            u64::MAX
        } else {
            workers * CHUNKS_PER_WORKER
        };
        let count = table.total.0.div_ceil(size).clamp(1, most.max(1));
        if self.inputs.archive.is_some() {
            // One reader serves those who load at the same time; who comes later has a file read once more.
            return Range::of_stripes(count.min(workers));
        }
        let block_size = self.inputs.source.block_size.max(1);
        if self.inputs.source.version.major() >= TID_RANGE_SCANS {
            let blocks = (table.heap.0 / block_size).max(1);
            return Range::of_blocks(blocks, count.min(blocks));
        }
        match (&table.integer_key, table.key_range) {
            (Some(column), Some(range)) => Range::of_keys(column, range, count),
            _ => Vec::new(),
        }
    }

    /// Copies tables whole, in one transaction.
    fn plan_copy(&mut self, units: Vec<usize>) {
        let bytes: Bytes = units.iter().map(|&unit| self.units[unit].bytes).sum();
        let rows: Rows = units.iter().map(|&unit| self.units[unit].rows).sum();
        let first = &self.units[units[0]];
        let label = match units.len() {
            1 => format!("copy {}", first.table.shown()),
            count => format!(
                "copy {} and {} more small tables",
                first.table.shown(),
                count - 1
            ),
        };
        let lock = |&unit: &usize| (self.units[unit].into.clone(), LockMode::AccessExclusive);
        // TRUNCATE and ALTER TABLE let nobody else at it; COPY does.
        let alone = |&&unit: &&usize| {
            let unit = &self.units[unit];
            unit.freeze || !unit.shield.is_empty()
        };
        let draft = Draft {
            after: self.schema_done.clone(),
            locks: units.iter().filter(alone).map(lock).collect(),
            needs: if units.len() == 1 {
                first.entry.into_iter().collect()
            } else {
                Vec::new()
            },
            cost: cost::copy(bytes) + cost::statements(2 * units.len()),
            bytes,
            rows,
            ..Draft::new(
                Phase::Data,
                label,
                Work::Copy {
                    tables: units.clone(),
                },
            )
        };
        let job = self.add(draft);
        let bundle = (units.len() > 1).then_some(units[0]);
        for unit in units {
            let table = self
                .tables
                .entry(self.units[unit].table.clone())
                .or_default();
            table.copied = vec![job];
            table.loaded = vec![job];
            table.bundle = bundle;
        }
    }

    /// Copies a table in parts, and freezes it afterwards: chunks loaded by several connections cannot use FREEZE, and
    /// foreign keys are validated several times faster when all pages are known to be visible.
    fn plan_chunks(&mut self, unit: usize, ranges: Vec<Range>) {
        let count = ranges.len();
        self.units[unit].chunks = u32::try_from(count).unwrap_or(u32::MAX);
        let CopyUnit {
            table,
            bytes,
            rows,
            entry,
            ..
        } = self.units[unit].clone();
        let (bytes_each, rows_each) = (Bytes(bytes.0 / count as u64), Rows(rows.0 / count as u64));
        let needs: Vec<DumpId> = entry.into_iter().collect();
        let mut copied: Vec<JobId> = Vec::new();
        for (index, range) in ranges.into_iter().enumerate() {
            let label = format!("copy {} {}/{count}", table.shown(), index + 1);
            copied.push(self.add(Draft {
                after: self.schema_done.clone(),
                needs: needs.clone(),
                cost: cost::copy(bytes_each),
                bytes: bytes_each,
                rows: rows_each,
                ..Draft::new(Phase::Data, label, Work::CopyChunk { table: unit, range })
            }));
        }
        let only = self.only();
        let statement = SqlText::from(format!("vacuum (freeze) {only}{table}"));
        let freeze = self.add(Draft {
            after: copied.clone(),
            needs: needs.clone(),
            cost: cost::read(bytes) * 2,
            locks: vec![(table.clone(), LockMode::ShareUpdateExclusive)],
            bytes,
            ..Draft::new(
                Phase::Finish,
                format!("freeze {}", table.shown()),
                Work::RunAlone { statement },
            )
        });
        if self.verifies_against_source() {
            copied.push(self.add(Draft {
                after: self.schema_done.clone(),
                needs,
                cost: cost::read(bytes),
                bytes,
                ..Draft::new(
                    Phase::Verify,
                    format!("count {} on the source", table.shown()),
                    Work::Count { table: unit },
                )
            }));
        }
        let jobs = self.tables.entry(table).or_default();
        jobs.copied = copied;
        jobs.loaded = vec![freeze];
    }
}

/// The most tables of a bundle, when there are so many small ones.
fn bundle_tables(small: usize, workers: u32) -> usize {
    let workers = usize::try_from(workers).unwrap_or(usize::MAX).max(1);
    let share = small.div_ceil(workers.saturating_mul(BUNDLES_PER_WORKER));
    share.clamp(SMALLEST_BUNDLE, BUNDLE_TABLES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_as_large_as_leaves_some_for_every_worker() {
        assert_eq!(bundle_tables(3, 2), 8);
        assert_eq!(bundle_tables(100, 2), 13);
        assert_eq!(bundle_tables(3000, 2), 64);
        assert_eq!(bundle_tables(3000, 32), 24);
        assert_eq!(bundle_tables(0, 0), 8);
    }
}
