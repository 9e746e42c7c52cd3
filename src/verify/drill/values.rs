//! Rows that differ, column by column: which columns, and, if that is wanted, both values.
//!
//! Values are compared by their beginning, their length, and a hash where they are long, all made by the server, so that a
//! value of a gigabyte costs no memory.

use std::collections::HashMap;

use bytes::Bytes;

use super::{DifferingRow, Found, Limits};
use crate::model::{
    ColumnDifference, RowDifference, RowKind, ShownValue, SqlText, quote_ident, quote_literal,
};
use crate::pg::{PgError, Pool};
use crate::verify::rows::{Comparand, Ends, ReadColumn, as_text};

/// Characters that are compared as they are.
const COMPARED: usize = 1000;
/// Characters of a value that are shown.
const SHOWN: usize = 1000;
/// Rows of one statement.
const ROWS: usize = 50;
/// Result columns for each column: beginning, length and hash of what is compared; beginning and length of what is shown.
const PARTS: usize = 5;

type Row = Vec<Option<Bytes>>;
/// Rows by the texts of their keys.
type Rows = HashMap<Vec<String>, Row>;

/// The first of the rows that were found.
pub(super) async fn examples(
    comparand: &Comparand,
    found: &Found,
    ends: &Ends,
    limits: Limits,
) -> Result<Vec<RowDifference>, PgError> {
    let rows = &found.rows[..found.rows.len().min(limits.shown)];
    let mut examples = Vec::new();
    for batch in rows.chunks(ROWS) {
        let wanted = |kind: RowKind| {
            let of_kind = batch.iter().filter(|row| limits.values && row.kind == kind);
            of_kind.map(|row| row.key.clone()).collect::<Vec<_>>()
        };
        let changed: Vec<Vec<String>> = batch
            .iter()
            .filter(|row| row.kind == RowKind::Changed)
            .map(|row| row.key.clone())
            .collect();
        let ours = [changed.clone(), wanted(RowKind::Missing)].concat();
        let theirs = [changed, wanted(RowKind::Extra)].concat();
        let [source, target] = &ends.pools;
        let (left, right) = tokio::try_join!(
            fetch(comparand, source, &ours),
            fetch(comparand, target, &theirs)
        )?;
        let example = |row| example(comparand, row, (&left, &right), limits.values);
        examples.extend(batch.iter().map(example));
    }
    Ok(examples)
}

/// The rows of one side that have certain keys, by these.
async fn fetch(comparand: &Comparand, pool: &Pool, keys: &[Vec<String>]) -> Result<Rows, PgError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let (names, condition) = if let Some(key) = &comparand.key {
        let texts = key.columns.iter().map(|name| as_text(&quote_ident(name)));
        (
            texts.collect(),
            key.is_one_of(keys.iter().map(Vec::as_slice)),
        )
    } else {
        let places = keys.iter().flatten().map(|place| quote_literal(place));
        let places: Vec<String> = places.collect();
        let places = places.join(", ");
        let condition = format!("ctid = any (array[{places}]::pg_catalog.tid[])");
        (vec!["ctid::pg_catalog.text".to_owned()], condition)
    };
    let columns = comparand.columns.iter().map(parts);
    let list: Vec<String> = names.iter().cloned().chain(columns).collect();
    let sql = SqlText::from(format!(
        "select {} from {}{}",
        list.join(", "),
        comparand.from,
        comparand.filter(&condition)
    ));
    let mut wire = pool.lend().await?;
    let rows = wire.query(&sql).await?;
    wire.give_back();
    let mut found = HashMap::new();
    for mut row in rows {
        let values = row.split_off(names.len().min(row.len()));
        found.insert(
            row.into_iter()
                .map(text)
                .map(Option::unwrap_or_default)
                .collect(),
            values,
        );
    }
    Ok(found)
}

/// What is asked of one column.
fn parts(column: &ReadColumn) -> String {
    let (compared, shown) = (&column.text, &column.shown);
    let length = |text: &str| format!("pg_catalog.char_length({text})");
    format!(
        "pg_catalog.left({compared}, {COMPARED}), {length}, \
         case when {length} > {COMPARED} then pg_catalog.md5({compared}) end, \
         pg_catalog.left({shown}, {SHOWN}), {shown_length}",
        length = length(compared),
        shown_length = length(shown),
    )
}

fn example(
    comparand: &Comparand,
    row: &DifferingRow,
    (source, target): (&Rows, &Rows),
    with_values: bool,
) -> RowDifference {
    let (ours, theirs) = (source.get(&row.key), target.get(&row.key));
    let mut columns = Vec::new();
    for (index, column) in comparand.columns.iter().enumerate() {
        let part = |row: Option<&Row>| {
            let parts = row?.get(index * PARTS..(index + 1) * PARTS)?;
            Some(parts.to_vec())
        };
        let (left, right) = (part(ours), part(theirs));
        let same = match (&left, &right) {
            (Some(left), Some(right)) => left[..3] == right[..3],
            _ => !with_values,
        };
        if same || left.is_none() && right.is_none() {
            continue;
        }
        columns.push(ColumnDifference {
            column: column.name.clone(),
            source: left.filter(|_| with_values).map(shown),
            target: right.filter(|_| with_values).map(shown),
        });
    }
    RowDifference {
        kind: row.kind,
        key: row.key.clone(),
        copies: row.copies,
        columns,
    }
}

fn shown(mut parts: Vec<Option<Bytes>>) -> ShownValue {
    let length = parts
        .pop()
        .and_then(text)
        .and_then(|length| length.parse().ok());
    ShownValue {
        text: parts.pop().and_then(text),
        cut_from: length.filter(|length| *length > SHOWN as u64),
    }
}

fn text(value: Option<Bytes>) -> Option<String> {
    value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
