//! Rows that a key tells from one another.
//!
//! A row is known by the text of its key. Both sides of a piece are read, key → hash of the row; what one has and the other
//! has not is missing or extra, and what both have with different hashes is changed.

use std::collections::{HashMap, HashSet, VecDeque};

use super::pieces::{self, PIECE_ROWS, Piece};
use super::{DifferingRow, Found, read};
use crate::model::{RowKind, quote_ident};
use crate::pg::wire::RowSink;
use crate::pg::{PgError, Pool};
use crate::verify::rows::{
    Bucketing, Buckets, Comparand, Ends, Key, ReadColumn, Scale, as_text, fields, first_fields,
    key_range,
};

/// Ranges into which one that is too large is cut.
const FINER: usize = 1 << 12;
/// If no more rows than this may differ, their keys are looked for first, and then only these rows are read.
const FEW: u64 = 20_000;
/// Keys in one statement.
const KEYS: usize = 500;
/// How often a table is read again to look at another part of its rows.
const PASSES: u64 = 16;
/// Rows that are kept in one such pass.
const PASS_ROWS: u64 = 1 << 20;

type Looked<'a> = ((&'a Buckets, &'a Buckets), &'a Ends);

/// Key → hash of the row.
type Hashes = HashMap<Box<[u8]>, u128>;

/// Finds them.
pub(super) async fn find(
    comparand: &Comparand,
    key: &Key,
    (buckets, ends): Looked<'_>,
    remembered: usize,
) -> Result<Found, PgError> {
    let mut search = Search {
        comparand,
        key,
        ends,
        found: Found::default(),
        remembered,
    };
    match buckets.0.by().clone() {
        Bucketing::ByOrder(scale) => {
            let pieces = pieces::differing(scale, buckets.0, buckets.1);
            search.pieces(pieces).await?;
        }
        by @ Bucketing::ByKey { .. } => search.buckets(&by, buckets).await?,
        Bucketing::One | Bucketing::ByContent { .. } => search.piece("", None).await?,
    }
    Ok(search.found)
}

struct Search<'a> {
    comparand: &'a Comparand,
    key: &'a Key,
    ends: &'a Ends,
    found: Found,
    remembered: usize,
}

impl Search<'_> {
    /// Ranges of the key's index, a large one cut again.
    async fn pieces(&mut self, mut pieces: VecDeque<Piece>) -> Result<(), PgError> {
        let column = quote_ident(&self.key.columns[0]);
        while let Some(piece) = pieces.pop_front() {
            let condition = piece.scale.condition(&column, piece.from, piece.to);
            if piece.rows <= 2 * PIECE_ROWS {
                self.piece(&condition, None).await?;
                continue;
            }
            let finer = self.finer(&condition, &column).await?;
            match finer {
                Some(finer) => finer
                    .into_iter()
                    .rev()
                    .for_each(|piece| pieces.push_front(piece)),
                // All of one number: the rest of the key tells them apart.
                None => self.parts(&condition, piece.rows).await?,
            }
        }
        Ok(())
    }

    /// A range that is too large, sorted into smaller ones of what is really there.
    async fn finer(
        &self,
        condition: &str,
        column: &str,
    ) -> Result<Option<VecDeque<Piece>>, PgError> {
        let [source, target] = &self.ends.pools;
        let (left, right) = tokio::try_join!(
            key_range(source, self.comparand, column, condition),
            key_range(target, self.comparand, column, condition)
        )?;
        let known: Vec<(i128, i128)> = [left, right].into_iter().flatten().collect();
        let (Some(low), Some(high)) = (
            known.iter().map(|ends| ends.0).min(),
            known.iter().map(|ends| ends.1).max(),
        ) else {
            return Ok(Some(VecDeque::new()));
        };
        if low == high {
            return Ok(None);
        }
        let scale = Scale {
            low,
            high,
            buckets: FINER,
            is_uuid: self.key.number == Some(true),
            is_part: true,
        };
        let statement = self.comparand.copy_out(&[], condition);
        let side = async |pool: &Pool| {
            let buckets = Buckets::new(Bucketing::ByOrder(scale));
            read(pool, &statement, buckets).await
        };
        let (left, right) = tokio::try_join!(side(source), side(target))?;
        let pieces = pieces::differing(scale, &left, &right);
        Ok(Some(pieces))
    }

    /// Rows whose key falls into buckets that differ.
    async fn buckets(
        &mut self,
        by: &Bucketing,
        (source, target): (&Buckets, &Buckets),
    ) -> Result<(), PgError> {
        let differing = source.differing(target);
        let rows: u64 = differing
            .iter()
            .map(|bucket| source.rows(*bucket).max(target.rows(*bucket)))
            .sum();
        let wanted: HashSet<usize> = differing.into_iter().collect();
        let keys = if rows <= FEW {
            self.keys_in(by, &wanted).await?
        } else {
            None
        };
        if let Some(keys) = keys {
            for batch in keys.chunks(KEYS) {
                let condition = self.key.is_one_of(batch.iter().map(Vec::as_slice));
                let (mut left, mut right) = self.read_both(&condition, None).await?;
                // What the server takes for equal may be written in two ways, 1.0 and 1.00, and each finds both: a row is looked at
                // with its own.
                let own: HashSet<&[String]> = batch.iter().map(Vec::as_slice).collect();
                for hashes in [&mut left, &mut right] {
                    hashes.retain(|key, _| own.contains(&*self.key_texts(key)));
                }
                self.compare(left, &right);
            }
            return Ok(());
        }
        let passes = rows.div_ceil(PASS_ROWS).min(PASSES);
        self.found.cut_off |= rows.div_ceil(PASS_ROWS) > PASSES;
        for pass in 0..passes {
            let filter = Filter {
                buckets: Some((by.clone(), wanted.clone())),
                part: (pass, rows.div_ceil(PASS_ROWS)),
            };
            self.piece("", Some(filter)).await?;
        }
        Ok(())
    }

    /// A range that cannot be cut by the key's first column.
    async fn parts(&mut self, condition: &str, rows: u64) -> Result<(), PgError> {
        let parts = rows.div_ceil(PASS_ROWS);
        self.found.cut_off |= parts > PASSES;
        for pass in 0..parts.min(PASSES) {
            let filter = Filter {
                buckets: None,
                part: (pass, parts),
            };
            self.piece(condition, Some(filter)).await?;
        }
        Ok(())
    }

    /// The texts of the keys of either side whose rows fall into certain buckets. Reads nothing but the key, for which its
    /// index will do. `None` if one of them is not UTF-8, which a database without an encoding may hold.
    async fn keys_in(
        &self,
        by: &Bucketing,
        wanted: &HashSet<usize>,
    ) -> Result<Option<Vec<Vec<String>>>, PgError> {
        let count = self.key.columns.len();
        let mut bare = self.comparand.clone();
        bare.columns.truncate(count);
        bare.columns
            .extend(self.key.columns.iter().map(|name| ReadColumn {
                name: name.clone(),
                expression: as_text(&quote_ident(name)),
                text: String::new(),
                differs_untold: None,
                shown: String::new(),
                generated: false,
                is_array: false,
            }));
        let statement = bare.copy_out(&[], "");
        let side = async |pool: &Pool| {
            let sink = Keys {
                by,
                wanted,
                count,
                found: HashSet::new(),
            };
            Ok::<_, PgError>(read(pool, &statement, sink).await?.found)
        };
        let [source, target] = &self.ends.pools;
        let (mut left, right) = tokio::try_join!(side(source), side(target))?;
        left.extend(right);
        let keys: Vec<Vec<String>> = left.into_iter().collect();
        let is_text = |key: &Vec<String>| !key.iter().any(|text| text.contains('\u{fffd}'));
        Ok(Some(keys).filter(|keys| keys.iter().all(is_text)))
    }

    /// Reads both sides of what a condition selects, and compares them.
    async fn piece(&mut self, condition: &str, filter: Option<Filter>) -> Result<(), PgError> {
        let (left, right) = self.read_both(condition, filter).await?;
        self.compare(left, &right);
        Ok(())
    }

    async fn read_both(
        &self,
        condition: &str,
        filter: Option<Filter>,
    ) -> Result<(Hashes, Hashes), PgError> {
        let texts: Vec<String> = self
            .key
            .columns
            .iter()
            .map(|name| as_text(&quote_ident(name)))
            .collect();
        let statement = self.comparand.copy_out(&texts, condition);
        let side = async |pool: &Pool| {
            let sink = Piecemeal {
                key_columns: texts.len(),
                filter: filter.as_ref(),
                rows: HashMap::new(),
            };
            Ok::<_, PgError>(read(pool, &statement, sink).await?.rows)
        };
        let [source, target] = &self.ends.pools;
        tokio::try_join!(side(source), side(target))
    }

    fn compare(&mut self, source: Hashes, target: &Hashes) {
        let mut rows = Vec::new();
        for (key, _) in target.iter().filter(|(key, _)| !source.contains_key(*key)) {
            rows.push(self.row(RowKind::Extra, key));
        }
        for (key, hash) in source {
            match target.get(&key) {
                None => rows.push(self.row(RowKind::Missing, &key)),
                Some(other) if *other != hash => rows.push(self.row(RowKind::Changed, &key)),
                Some(_) => {}
            }
        }
        // In an order that the next run has as well: numbers by their size.
        rows.sort_by_cached_key(|row| {
            let part = |text: &String| (text.parse::<i128>().unwrap_or(i128::MAX), text.clone());
            (row.key.iter().map(part).collect::<Vec<_>>(), row.kind)
        });
        for row in rows {
            self.found.note(row, self.remembered);
        }
    }

    fn row(&self, kind: RowKind, key: &[u8]) -> DifferingRow {
        DifferingRow {
            kind,
            key: self.key_texts(key),
            copies: 1,
            hash: None,
        }
    }

    fn key_texts(&self, key: &[u8]) -> Vec<String> {
        // The fields without the field count that stands in front of a row.
        let row = [&[0, 0][..], key].concat();
        texts(&row, self.key.columns.len())
    }
}

fn texts(row: &[u8], count: usize) -> Vec<String> {
    fields(row)
        .take(count)
        .map(|field| String::from_utf8_lossy(field.unwrap_or_default()).into_owned())
        .collect()
}

/// Which rows of a piece are looked at.
struct Filter {
    /// Those whose key falls into these buckets, by the columns that follow the texts of the key.
    buckets: Option<(Bucketing, HashSet<usize>)>,
    /// One part of so many, by a hash of the key.
    part: (u64, u64),
}

struct Piecemeal<'a> {
    key_columns: usize,
    filter: Option<&'a Filter>,
    rows: Hashes,
}

impl RowSink for Piecemeal<'_> {
    fn row(&mut self, hash: u128, head: &[u8]) {
        let key = first_fields(head, self.key_columns);
        if let Some(filter) = self.filter {
            let (part, parts) = filter.part;
            if xxhash_rust::xxh3::xxh3_64_with_seed(key, 1) % parts.max(1) != part {
                return;
            }
            if let Some((by, wanted)) = &filter.buckets {
                // Behind the texts come the columns as they were when the buckets were filled.
                let rest = head.get(key.len()..).unwrap_or_default();
                if !wanted.contains(&by.bucket(hash, rest)) {
                    return;
                }
            }
        }
        self.rows.insert(key.into(), hash);
    }
}

/// The texts of keys that fall into certain buckets: behind the key itself.
struct Keys<'a> {
    by: &'a Bucketing,
    wanted: &'a HashSet<usize>,
    count: usize,
    found: HashSet<Vec<String>>,
}

impl RowSink for Keys<'_> {
    fn row(&mut self, hash: u128, head: &[u8]) {
        if self.wanted.contains(&self.by.bucket(hash, head)) {
            let behind = first_fields(head, self.count).len();
            self.found
                .insert(texts(head.get(behind..).unwrap_or_default(), self.count));
        }
    }
}
