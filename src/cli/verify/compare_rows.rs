//! The rows of both databases, and of the tables that differ the rows that do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::StreamExt as _;

use super::Asked;
use super::again::{Again, Undecided};
use super::alike::Alike;
use super::look::{self, Both, Look};
use crate::event::{Emit, What};
use crate::model::{
    Difference, DifferenceKind, Oid, QualifiedName, Rows, RowsDiffer, TableVerdict, Unverified,
    Verdict, VerifyLevel,
};
use crate::pg::PgError;
use crate::toc::Entry;
use crate::verify::drill::{self, Found, Limits};
use crate::verify::matview::{Tables, ViewVerdict};
use crate::verify::rows::{
    self, Comparand, Ends, Inputs, Judgement, Pairing, Reading, Sides, Subject,
};

/// Keys that a difference's detail gives.
const MOST_KEYS: usize = 3;

/// A table whose rows differ.
pub struct TableDiffers {
    /// What was read.
    pub comparand: Comparand,
    /// Its line of the report, which is told when it is known to last.
    pub verdict: TableVerdict,
    /// The difference.
    pub difference: Difference,
    /// The rows, if they could be found.
    pub found: Option<(Found, RowsDiffer)>,
}

/// What a look at the rows has found.
#[derive(Default)]
pub struct RowsLook {
    /// Tables whose rows differ.
    pub tables: Vec<TableDiffers>,
    /// Materialized views and large objects that differ.
    pub others: Vec<Difference>,
    /// What could not be read.
    pub unverified: Vec<Unverified>,
    /// Tables that are the same on both sides.
    pub same_tables: Alike,
    /// How many materialized views and large objects are the same.
    pub same: BTreeMap<&'static str, u64>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// What rules kept from being compared.
    pub not_compared: BTreeMap<String, Vec<String>>,
}

/// Reads all rows, or those of some relations only; tables that are known to be the same already need not be among these.
pub async fn compare(
    (both, look, ends): (&Both, &Look, &Arc<Ends>),
    asked: &Asked,
    (only, known): (Option<&BTreeSet<String>>, &Alike),
    emit: &Arc<dyn Emit>,
) -> RowsLook {
    let mut found = RowsLook {
        same_tables: known.clone(),
        ..RowsLook::default()
    };
    let mut pairing = pair(both, look, asked, &mut found.not_compared);
    if let Some(only) = only {
        pairing.comparands.retain(|one| is_among(one, only));
        pairing.missing.clear();
    }
    let is_first = only.is_none();
    if is_first && asked.level != VerifyLevel::Schema {
        found.unverified.extend(unknown_tables(look));
    }
    let reading = Reading {
        comparands: pairing.comparands,
        level: asked.level,
        readers: asked.jobs,
        judged_without: u32::try_from(pairing.missing.len()).unwrap_or(u32::MAX),
        is_first,
    };
    let level = asked.level;
    // What may have failed for the encoding in which it was read is read in its own.
    let own_encoding = look::own_encoding(both).filter(|_| level == VerifyLevel::Content);
    let tell = |also_unread: bool| {
        let told = Arc::clone(emit);
        move |comparand: &Comparand, sides: &Sides| {
            // What differs is told when it is known where, and whether it lasts.
            let is_settled = match rows::judge(sides) {
                Judgement::Same => true,
                Judgement::Differs => false,
                Judgement::Unknown => also_unread,
            };
            if comparand.subject == Subject::Table && is_settled {
                told.emit(What::TableVerified(rows::verdict(comparand, sides, level)));
            }
        }
    };
    let again = Again { ends, asked, emit };
    let mut read = rows::read(reading, ends, emit, &mut tell(own_encoding.is_none())).await;
    if let Some(encoding) = own_encoding {
        read = again.unread(read, encoding, &mut tell(true)).await;
    }
    found.missing(&pairing.missing);
    let mut differing = Vec::new();
    for (comparand, sides) in read {
        match rows::judge(&sides) {
            Judgement::Same => found.same(&comparand, level),
            Judgement::Unknown => found
                .unverified
                .extend(rows::unverified(&comparand, &sides)),
            Judgement::Differs => differing.push((comparand, sides)),
        }
    }
    let differs = |(comparand, _): &(Comparand, Sides)| comparand.subject == Subject::Table;
    let tables = if found.tables.is_empty() && !differing.iter().any(differs) {
        found.same_tables.tables(&look.source, asked)
    } else {
        Tables::Differ
    };
    Box::pin(look_for_rows(&again, &differing, tables, &mut found)).await;
    found
}

/// What of the tables that differ does.
async fn look_for_rows(
    again: &Again<'_>,
    differing: &[(Comparand, Sides)],
    tables: Tables,
    found: &mut RowsLook,
) {
    let asked = again.asked;
    if !differing.is_empty() && asked.level == VerifyLevel::Content {
        again.emit.emit(What::StepStarted {
            step: format!(
                "looking for the rows that differ, in {} places",
                differing.len()
            ),
        });
    }
    let limits = Limits {
        shown: asked.max_rows,
        values: asked.show_values,
        remembered: asked.remembered,
    };
    let how = (again, tables);
    let searches = differing
        .iter()
        .map(|(comparand, sides)| search(comparand, sides, how, limits));
    let searches: Vec<_> = searches.collect();
    let results: Vec<Searched> = futures_util::stream::iter(searches)
        .buffered(usize::try_from(asked.jobs.max(1)).unwrap_or(1))
        .collect()
        .await;
    let mut undecided = Vec::new();
    for result in results {
        match result {
            Searched::Undecided(one) => undecided.push(*one),
            result => found.add(result),
        }
    }
    Box::pin(again.decide(undecided, limits, found)).await;
}

/// Whether something is to be looked at again. Of large objects, which are read many at a time, those that differ are named one
/// by one.
fn is_among(comparand: &Comparand, only: &BTreeSet<String>) -> bool {
    let is_part = match &comparand.subject {
        Subject::LargeObjects(oids) => oids.iter().any(|oid| only.contains(&oid.to_string())),
        Subject::Table | Subject::Matview { .. } => false,
    };
    is_part || only.contains(&rows::object(comparand))
}

fn pair(
    both: &Both,
    look: &Look,
    asked: &Asked,
    not_compared: &mut BTreeMap<String, Vec<String>>,
) -> Pairing {
    let mut without_rows = both.exclude_data.clone();
    let mut without_columns = BTreeSet::new();
    for rule in &asked.ignore {
        let mut left_out = Vec::new();
        let tables = look.source.facts.tables.iter().map(|table| &table.name);
        let views = look.source.facts.matviews.iter().map(|view| &view.name);
        for name in tables
            .chain(views)
            .filter(|name| rule.leaves_out_rows(name))
        {
            if look.scope.has_relation(name) && without_rows.insert(name.clone()) {
                left_out.push(format!("the rows of {}", name.shown()));
            }
        }
        if let Some((table, column)) = rule.column() {
            left_out.push(format!("column {column} of {}", table.shown()));
            without_columns.insert((table, column));
        }
        if !left_out.is_empty() {
            not_compared.insert(rule.text.clone(), left_out);
        }
    }
    let mut pairing = Pairing::of(&Inputs {
        source: &look.source.facts,
        target: &look.target.facts,
        versions: (both.source.facts.version, both.target.facts.version),
        keys: (&look.source.keys, &look.target.keys),
        scope: &look.scope,
        without_rows: &without_rows,
        without_columns: &without_columns,
    });
    if asked.level == VerifyLevel::Schema {
        pairing = Pairing::default();
    } else if asked.level == VerifyLevel::Counts {
        // Neither has a number of rows that says anything.
        let has_rows =
            |comparand: &Comparand| !matches!(comparand.subject, Subject::LargeObjects(_));
        pairing.comparands.retain(has_rows);
    }
    pairing
}

/// Tables that `pg_dump` lists and the catalog queries do not: their rows are not read, so they must not go unsaid.
fn unknown_tables(look: &Look) -> Vec<Unverified> {
    let known: BTreeSet<&QualifiedName> = look
        .source
        .facts
        .tables
        .iter()
        .map(|table| &table.name)
        .collect();
    let listed = look
        .source
        .toc
        .entries
        .iter()
        .filter(|entry| entry.has_rows());
    let names = listed.filter_map(Entry::qualified_name);
    names
        .filter(|name| !known.contains(name))
        .map(|name| Unverified {
            class: "table data".to_owned(),
            object: name.shown(),
            because: "pg_dump lists it on the source, but the source's catalog shows no such table"
                .to_owned(),
        })
        .collect()
}

/// What became of something that differs.
pub(super) enum Searched {
    Table(Box<TableDiffers>),
    Others(Vec<Difference>),
    /// A materialized view that is as it should be, although the source's is not the same: as what it is counted, and a note.
    View(&'static str, Option<String>),
    /// Nothing of it can be compared.
    Unverified(Unverified),
    /// It is to be read once more.
    Undecided(Box<Undecided>),
}

impl Searched {
    /// With why a view is not what it should be.
    fn with(mut self, because: Option<String>) -> Self {
        if let (Self::Others(found), Some(because)) = (&mut self, because) {
            for one in found {
                one.detail = format!("{}; {because}", one.detail);
            }
        }
        self
    }
}

async fn search(
    comparand: &Comparand,
    sides: &Sides,
    (again, tables): (&Again<'_>, Tables),
    limits: Limits,
) -> Searched {
    let (ends, level) = (again.ends, again.asked.level);
    let mut because = None;
    if let Subject::Matview { .. } = comparand.subject {
        let judged = drill::matview(comparand, ends, (level, tables)).await;
        let verdict = judged.unwrap_or(ViewVerdict::Unknown);
        if let Some(counted_as) = verdict.counted_as() {
            return Searched::View(counted_as, verdict.note());
        }
        match verdict {
            ViewVerdict::Incomparable(because) => {
                return Searched::Unverified(Unverified {
                    class: rows::class(comparand).to_owned(),
                    object: comparand.name.shown(),
                    because,
                });
            }
            ViewVerdict::Different(detail) => because = Some(detail),
            _ => {}
        }
    }
    let searched = match &comparand.subject {
        Subject::LargeObjects(oids) => Searched::Others(large_objects(oids, sides, ends).await),
        _ if level != VerifyLevel::Content => {
            searched(table_differs(comparand, sides, Ok(None), level))
        }
        _ => {
            if let Some(by_text) = comparand.by_text() {
                return again.search((comparand, sides), by_text, limits).await;
            }
            let rows = find(comparand, sides, ends, limits).await;
            searched(table_differs(comparand, sides, rows.map(Some), level))
        }
    };
    searched.with(because)
}

pub(super) fn searched(differs: TableDiffers) -> Searched {
    match differs.comparand.subject {
        Subject::Table => Searched::Table(Box::new(differs)),
        _ => Searched::Others(vec![differs.difference]),
    }
}

pub(super) async fn find(
    comparand: &Comparand,
    sides: &Sides,
    ends: &Ends,
    limits: Limits,
) -> Result<(Found, RowsDiffer), PgError> {
    let found = drill::find(comparand, sides, ends, limits).await?;
    let described = drill::describe(comparand, &found, ends, limits).await?;
    Ok((found, described))
}

pub(super) fn table_differs(
    comparand: &Comparand,
    sides: &Sides,
    searched: Result<Option<(Found, RowsDiffer)>, PgError>,
    level: VerifyLevel,
) -> TableDiffers {
    let verdict = rows::verdict(comparand, sides, level);
    let rows_of = |side: usize| {
        sides[side]
            .as_ref()
            .map_or(Rows(0), |side| side.digest().rows)
    };
    let (source, target) = (rows_of(0), rows_of(1));
    let by_count = match target.cmp(&source) {
        std::cmp::Ordering::Less => DifferenceKind::Missing,
        std::cmp::Ordering::Greater => DifferenceKind::Extra,
        std::cmp::Ordering::Equal => DifferenceKind::Different,
    };
    let counts = format!("the source has {source} rows, the target has {target}");
    let (kind, detail, found) = match searched {
        Ok(Some((found, described))) if found.total() > 0 => {
            let kind = kind_of(&found);
            (kind, detail(&found, &described), Some((found, described)))
        }
        Ok(Some(_)) => {
            let detail = format!(
                "{counts}; their content differs, but no single row that differs could be found"
            );
            (by_count, detail, None)
        }
        Ok(None) => (by_count, counts, None),
        Err(error) => {
            let detail = format!("{counts}; which rows differ could not be determined: {error}");
            (by_count, detail, None)
        }
    };
    // A materialized view that lacks rows is there, and not what it was.
    let kind = match comparand.subject {
        Subject::Matview { .. } => DifferenceKind::Different,
        _ => kind,
    };
    TableDiffers {
        difference: Difference {
            kind,
            class: rows::class(comparand).to_owned(),
            object: rows::object(comparand),
            detail,
        },
        comparand: comparand.clone(),
        verdict,
        found,
    }
}

fn kind_of(found: &Found) -> DifferenceKind {
    match (found.missing, found.extra, found.changed) {
        (1.., 0, 0) => DifferenceKind::Missing,
        (0, 1.., 0) => DifferenceKind::Extra,
        _ => DifferenceKind::Different,
    }
}

/// `2 rows are missing, 1 has other values: id = 5, 7, 9`
pub fn detail(found: &Found, described: &RowsDiffer) -> String {
    let part = |number: u64, one: &str, many: &str| match number {
        0 => None,
        1 => Some(format!("1 row {one}")),
        _ => Some(format!("{} rows {many}", Rows(number))),
    };
    let parts: Vec<String> = [
        part(found.missing, "is missing", "are missing"),
        part(found.extra, "is extra", "are extra"),
        part(found.changed, "has other values", "have other values"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let at_least = if found.cut_off { "at least " } else { "" };
    let mut detail = format!("{at_least}{}", parts.join(", "));
    if !described.key.is_empty() {
        let keys: Vec<String> = found
            .rows
            .iter()
            .take(MOST_KEYS)
            .map(|row| row.key.join(", "))
            .collect();
        let more = found.total() > keys.len() as u64;
        let (names, keys) = (described.key.join(", "), keys.join("; "));
        let _ = write!(
            detail,
            ": {names} = {keys}{}",
            if more { "; …" } else { "" }
        );
    }
    detail
}

/// Which large objects of a batch differ.
async fn large_objects(oids: &[Oid], sides: &Sides, ends: &Arc<Ends>) -> Vec<Difference> {
    let difference = |object: String, detail: String| Difference {
        kind: DifferenceKind::Different,
        class: "large object".to_owned(),
        object,
        detail,
    };
    match drill::large_objects(oids, sides, ends).await {
        Ok(found) if !found.is_empty() => found
            .into_iter()
            .map(|oid| difference(oid.to_string(), "its content differs".to_owned()))
            .collect(),
        other => {
            let because = other
                .err()
                .map_or(String::new(), |error| format!(": {error}"));
            let first = oids.first().map_or(String::new(), ToString::to_string);
            vec![difference(
                format!("{first} and those after it"),
                format!(
                    "the content of one of {} differs; which one could not be determined{because}",
                    oids.len()
                ),
            )]
        }
    }
}

impl RowsLook {
    pub(super) fn same(&mut self, comparand: &Comparand, level: VerifyLevel) {
        match &comparand.subject {
            Subject::Table => self.same_tables.add(&comparand.name, level),
            Subject::Matview { .. } => *self.same.entry("materialized views").or_default() += 1,
            Subject::LargeObjects(oids) => {
                *self.same.entry("large objects' contents").or_default() += oids.len() as u64;
            }
        }
    }

    /// Tables that the target does not have: found by their definition, and told as a line of the table of verdicts as well.
    fn missing(&mut self, missing: &[QualifiedName]) {
        for name in missing {
            let comparand = Comparand::named(name);
            let absent: Sides = [
                Err("the table is not on the target".to_owned()),
                Err("the table is not on the target".to_owned()),
            ];
            let mut verdict = rows::verdict(&comparand, &absent, VerifyLevel::Content);
            verdict.verdict = Verdict::Different;
            self.tables.push(TableDiffers {
                difference: Difference {
                    kind: DifferenceKind::Missing,
                    class: "table".to_owned(),
                    object: name.shown(),
                    detail: "it is not on the target".to_owned(),
                },
                comparand,
                verdict,
                found: None,
            });
        }
    }

    pub(super) fn add(&mut self, searched: Searched) {
        match searched {
            Searched::Table(table) => self.tables.push(*table),
            Searched::Others(differences) => self.others.extend(differences),
            Searched::View(counted_as, note) => {
                *self.same.entry(counted_as).or_default() += 1;
                self.notes.extend(note);
            }
            Searched::Unverified(one) => self.unverified.push(one),
            // Decided by now.
            Searched::Undecided(_) => {}
        }
    }
}
