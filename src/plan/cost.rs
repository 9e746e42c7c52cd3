//! How long a job may take, in microseconds.
//!
//! Rough rates of one ordinary core. Only their ratios matter here: they decide which job is the start of the longest
//! path. A prediction for people needs rates measured on the servers themselves.

use super::{Job, Work};
use crate::model::Bytes;

/// Reading, relaying and writing a byte of table data with COPY.
const COPY_NS_PER_BYTE: u64 = 9;
/// Sorting and writing a byte of a finished b-tree.
const BTREE_NS_PER_BYTE: u64 = 22;
/// The same for `GIN`, `GiST` and the others.
const OTHER_INDEX_NS_PER_BYTE: u64 = 60;
/// Sequential reading, for `VACUUM`, `ANALYZE`, `count(*)` and checks.
const READ_NS_PER_BYTE: u64 = 1;
/// A query over a byte of a table: reading it, and joining or grouping its rows.
const QUERY_NS_PER_BYTE: u64 = 1;
/// Reading with COPY and hashing.
const VERIFY_NS_PER_BYTE: u64 = 5;
/// Checking a foreign key, for a byte of the referencing table: two index-only scans that meet, of which the table's own size
/// is only an indication (a social network's 24 keys, whose tables are 3.2 GB in sum: 1.8 s).
const FOREIGN_KEY_PS_PER_BYTE: u64 = 600;
/// Bringing over a large object of up to a few kB, and reading it back. Of larger ones their bytes count.
const LARGE_OBJECT_US: u64 = 80;
const READ_BACK_LARGE_OBJECT_US: u64 = 16;
/// A statement that only touches the catalogs, or does a small thing: a row or a hundred are copied, an index over them is built.
const STATEMENT_US: u64 = 400;
/// A statement of a schema: every second one makes a table, with files, a row type, and rows in a dozen catalogs.
const DEFINITION_US: u64 = 550;
/// Reading a small table back, beside others.
const READ_BACK_US: u64 = 250;

/// A table, or a part of one.
pub(super) fn copy(bytes: Bytes) -> u64 {
    STATEMENT_US + bytes.0 * COPY_NS_PER_BYTE / 1000
}

/// An index of this size by this method.
pub(super) fn index(method: &str, bytes: Bytes) -> u64 {
    let rate = if method == "btree" {
        BTREE_NS_PER_BYTE
    } else {
        OTHER_INDEX_NS_PER_BYTE
    };
    STATEMENT_US + bytes.0 * rate / 1000
}

/// One pass over a table.
pub(super) fn read(bytes: Bytes) -> u64 {
    STATEMENT_US + bytes.0 * READ_NS_PER_BYTE / 1000
}

/// A materialized view of this size, whose query reads so much.
pub(super) fn refresh(result: Bytes, read: Bytes) -> u64 {
    STATEMENT_US + (2 * result.0 * COPY_NS_PER_BYTE + read.0 * QUERY_NS_PER_BYTE) / 1000
}

/// Checking a foreign key of a table that is frozen, indexed and analyzed.
pub(super) fn foreign_key(bytes: Bytes) -> u64 {
    STATEMENT_US + bytes.0 / 1000 * FOREIGN_KEY_PS_PER_BYTE / 1000
}

/// Reading a table back.
pub(super) fn verify(bytes: Bytes) -> u64 {
    STATEMENT_US + bytes.0 * VERIFY_NS_PER_BYTE / 1000
}

/// How much of a job's cost is not for its statements, which take as long where rows travel slowly.
pub(super) fn besides_statements(job: &Job) -> u64 {
    let count = match &job.work {
        Work::Run { statements, .. } => statements.len() + 1,
        Work::Copy { tables } => 2 * tables.len() + 1,
        Work::Compare { comparisons } => {
            return job
                .cost
                .saturating_sub(STATEMENT_US + read_back(comparisons.len()));
        }
        Work::CompareMatview { .. } => 2,
        Work::RunAlone { .. }
        | Work::CopyChunk { .. }
        | Work::Count { .. }
        | Work::ReadSource { .. }
        | Work::LargeObjects { .. }
        | Work::CompareLargeObjects { .. } => 1,
    };
    job.cost.saturating_sub(statements(count))
}

/// So many large objects, of so many bytes.
pub(super) fn large_objects(count: usize, bytes: Bytes) -> u64 {
    STATEMENT_US + (LARGE_OBJECT_US * count as u64).max(bytes.0 * COPY_NS_PER_BYTE / 1000)
}

/// Reading them back.
pub(super) fn verify_large_objects(count: usize, bytes: Bytes) -> u64 {
    let by_bytes = bytes.0 * VERIFY_NS_PER_BYTE / 1000;
    STATEMENT_US + (READ_BACK_LARGE_OBJECT_US * count as u64).max(by_bytes)
}

/// Some statements.
pub(super) fn statements(count: usize) -> u64 {
    STATEMENT_US * count as u64
}

/// Statements of a schema.
pub(super) fn definitions(count: usize) -> u64 {
    DEFINITION_US * count as u64
}

/// Reading so many tables back, besides their bytes.
pub(super) fn read_back(count: usize) -> u64 {
    READ_BACK_US * count as u64
}
