//! What the catalog and the data directory of a damaged source say: tables, the files they are in, the indexes that know their
//! rows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::SalvageError;
use super::files::{Listing, Shape, shape};
use super::keys::KeyColumn;
use super::on_disk::listing;
use super::page::Attribute;
use super::record::Record;
use super::sound::{Demand, Layout, Values};
use crate::model::{Oid, QualifiedName};
use crate::pg::{Answer, PgError, Query, Session};

pub(super) const RELATIONS: Query = Query::new(
    "salvage/relations.sql",
    include_str!("../../sql/salvage/relations.sql"),
);
pub(super) const INDEXES: Query = Query::new(
    "salvage/indexes.sql",
    include_str!("../../sql/salvage/indexes.sql"),
);
pub(super) const COLUMNS: Query = Query::new(
    "salvage/columns.sql",
    include_str!("../../sql/salvage/columns.sql"),
);
pub(super) const FILES: Query = Query::new(
    "salvage/files.sql",
    include_str!("../../sql/salvage/files.sql"),
);
pub(super) const SEQUENCES: Query = Query::new(
    "salvage/sequences.sql",
    include_str!("../../sql/salvage/sequences.sql"),
);
pub(super) const QUIET: Query = Query::new(
    "salvage/quiet.sql",
    include_str!("../../sql/salvage/quiet.sql"),
);

/// What a server that was shut down and started again has written by the time that its catalogs have been read: with checksums, a page
/// whose rows are found to be committed is logged as a whole.
const WRITTEN_BY_ITSELF: i64 = 1 << 20;
/// How often it is looked whether others are gone: a session that has just ended is there for a moment still.
const LOOKS: u32 = 5;
/// How long in between.
const PAUSE: Duration = Duration::from_millis(100);

/// A column that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFacts {
    /// Its name.
    pub name: String,
    /// Which attribute it is, from 0: there are others that are not copied.
    pub attribute: usize,
    /// Its type, if a server may show of a damaged value what none takes back: then it is asked to do so, by way of another.
    pub taken_back: Option<(String, String)>,
    /// NULL may stand in the place of a value that cannot be read.
    pub nullable: bool,
    /// If not: what may, a literal. Without it, the row is lost.
    pub empty: Option<String>,
    /// What its bytes have to be.
    pub demand: Demand,
}

/// A B-tree that holds an entry for each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFacts {
    /// Its name.
    pub name: QualifiedName,
    /// The path of its first file.
    pub path: String,
    /// Its columns.
    pub columns: Vec<KeyColumn>,
}

/// What is searched like a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One.
    Table,
    /// A materialized view.
    Matview,
    /// `pg_largeobject`.
    LargeObjects,
    /// A table of the catalog. Its rows are not copied: only whether they are there is looked at.
    Catalog,
}

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceFile {
    /// Its OID.
    pub oid: Oid,
    /// Its name.
    pub name: QualifiedName,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// Its OID.
    pub oid: Oid,
    /// Its name.
    pub name: QualifiedName,
    /// Whether it is one.
    pub kind: Kind,
    /// The path of its first file.
    pub path: String,
    /// Its files.
    pub shape: Shape,
    /// Pages that it had when they were last counted, and rows on them.
    pub pages: u32,
    /// See there.
    pub rows: u64,
    /// The path of the first file of its TOAST, and its files.
    pub toast: Option<(String, Shape)>,
    /// The path of the first file of the index of its TOAST.
    pub toast_index: Option<String>,
    /// What is wrong with the files of its TOAST.
    pub toast_files: Vec<String>,
    /// The same, and what seems to be missing from them.
    pub toast_wrong: Vec<String>,
    /// Columns that are copied.
    pub columns: Vec<ColumnFacts>,
    /// How all of its attributes are stored, in their order.
    pub attributes: Vec<Attribute>,
    /// What they demand, in the same order.
    pub demands: Vec<Demand>,
    /// The best first.
    pub indexes: Vec<IndexFacts>,
    /// The attributes of the first of them, from 0, if all of them are copied.
    pub key: Vec<usize>,
}

impl TableFacts {
    /// With its columns and its indexes.
    fn with(self, columns: Vec<ColumnFacts>, indexes: Vec<IndexFacts>) -> Self {
        let mut demands = vec![Demand::NONE; self.attributes.len()];
        for column in &columns {
            if let Some(demand) = demands.get_mut(column.attribute) {
                *demand = column.demand;
            }
        }
        let attribute = |key: &KeyColumn| {
            let column = columns.iter().find(|column| column.name == key.name)?;
            // An index may hold a shorter form of it.
            let stored = self.attributes.get(column.attribute)?;
            let is_same = i32::from(key.length) == stored.length && stored.length >= -1;
            is_same.then_some(column.attribute)
        };
        let first = indexes.first();
        let key: Option<Vec<usize>> =
            first.and_then(|index| index.columns.iter().map(attribute).collect());
        Self {
            demands,
            key: key.unwrap_or_default(),
            columns,
            indexes,
            ..self
        }
    }

    /// What its rows look like.
    pub(super) fn layout(&self) -> Layout<'_> {
        Layout {
            attributes: &self.attributes,
            demands: &self.demands,
            key: &self.key,
        }
    }

    /// The number of an attribute among the columns that are copied.
    pub(super) fn column_of(&self, attribute: usize) -> Option<u16> {
        let mut columns = self.columns.iter();
        let number = columns.position(|column| column.attribute == attribute)?;
        u16::try_from(number).ok()
    }
}

/// Whether anybody uses the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    /// Other clients.
    pub others: u64,
    /// The server cleans up by itself.
    pub autovacuum: bool,
    /// Bytes of the log since the last checkpoint: what is on disk may be as old as that.
    pub written_bytes: i64,
    /// Pages have checksums.
    pub checksums: bool,
    /// The number of the next transaction.
    pub next_transaction: i64,
    /// The same at the last checkpoint.
    pub next_at_checkpoint: i64,
    /// Nobody was at work then: a transaction that was may have written since, under a number that it had before.
    pub idle_at_checkpoint: bool,
    /// How many of the last transactions rows of this database may name that are not frozen.
    pub unfrozen: i64,
}

impl Quiet {
    /// Whether the files are what the server shows: nothing was written since the last checkpoint, but for what the server notes by itself
    /// when rows are read.
    pub fn is_cold(&self) -> bool {
        self.others == 0
            && self.written_bytes <= WRITTEN_BY_ITSELF
            && self.next_transaction <= self.next_at_checkpoint
            && self.idle_at_checkpoint
    }
}

/// All facts.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Tables, by OID.
    pub tables: Vec<TableFacts>,
    /// Sequences.
    pub sequences: Vec<SequenceFile>,
    /// The files of all relations, by directory.
    pub listings: BTreeMap<String, Listing>,
    /// Whether anybody uses it.
    pub quiet: Quiet,
    /// What the record of transactions lacks, once somebody has looked.
    pub record: Record,
}

impl Facts {
    /// The files of a relation whose first has this path.
    pub fn shape_of(&self, path: &str) -> Shape {
        shape_in(&self.listings, path)
    }

    /// Whether it is of use to look at pages of TOAST on disk: without checksums the server refuses what it refuses each time anew.
    pub(super) fn toast_tells(&self) -> bool {
        self.quiet.is_cold() && self.quiet.checksums
    }

    /// The next transaction when the facts were read, without its epoch.
    pub(super) fn next_transaction_id(&self) -> u32 {
        u32::try_from(self.quiet.next_transaction.rem_euclid(1 << 32)).unwrap_or(0)
    }

    /// The number of the next transaction now.
    pub(super) async fn next_transaction(&self, session: &Session) -> Result<i64, SalvageError> {
        if self.quiet.is_cold() {
            return Ok(self.quiet.next_transaction);
        }
        Ok(look_around(session).await?.next_transaction)
    }

    /// Reads them.
    pub async fn read(session: &Session) -> Result<Self, SalvageError> {
        let quiet = quiet(session).await?;
        let relations = session.query(&RELATIONS, &[]).await?;
        let indexes = session.query(&INDEXES, &[]).await?;
        let mut directories: BTreeSet<String> = BTreeSet::new();
        for (rows, column) in [
            (&relations, "path"),
            (&relations, "toast_path"),
            (&relations, "toast_index_path"),
            (&indexes, "path"),
        ] {
            for row in rows {
                let path: Option<String> = row.get(column)?;
                directories.extend(path.as_deref().map(|path| split(path).0.to_owned()));
            }
        }
        let mut listings = BTreeMap::new();
        for directory in directories {
            let listing = listing(session, &directory).await?;
            listings.insert(directory, listing);
        }
        let mut columns = columns(session).await?;
        let mut by_table: BTreeMap<Oid, Vec<IndexFacts>> = BTreeMap::new();
        for row in &indexes {
            by_table
                .entry(row.oid("relation")?)
                .or_default()
                .push(index(row)?);
        }
        let mut tables = Vec::with_capacity(relations.len());
        for row in &relations {
            let oid = row.oid("oid")?;
            let columns = columns.remove(&oid).unwrap_or_default();
            let indexes = by_table.remove(&oid).unwrap_or_default();
            tables.push(table(row, &listings)?.with(columns, indexes));
        }
        let sequences = session.query(&SEQUENCES, &[]).await?;
        let sequences = sequences.iter().map(|row| {
            Ok(SequenceFile {
                oid: row.oid("oid")?,
                name: row.name("schema", "name")?,
            })
        });
        Ok(Self {
            tables,
            sequences: sequences.collect::<Result<_, PgError>>()?,
            listings,
            quiet,
            record: Record::default(),
        })
    }
}

/// What is wrong with the files of a table or a materialized view, or of an index of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongFile {
    /// Whose rows they hold, or lead to.
    pub table: QualifiedName,
    /// The index that they are of, if they hold no rows.
    pub index: Option<QualifiedName>,
    /// What, a clause.
    pub what: String,
}

/// Relations whose files are missing or cut off. Looked at twice: they come and go.
pub async fn wrong_files(session: &Session) -> Result<Vec<WrongFile>, SalvageError> {
    let mut wrong = Facts::read(session).await?.wrong_files();
    if !wrong.is_empty() {
        let again = Facts::read(session).await?.wrong_files();
        wrong.retain(|one| again.contains(one));
    }
    Ok(wrong)
}

impl Facts {
    fn wrong_files(&self) -> Vec<WrongFile> {
        let mut found = Vec::new();
        for table in &self.tables {
            let of_table = table.shape.wrong.iter().cloned();
            let of_toast = table.toast_files.iter();
            let of_toast = of_toast.map(|what| format!("{what} (the table's long values)"));
            found.extend(of_table.chain(of_toast).map(|what| WrongFile {
                table: table.name.clone(),
                index: None,
                what,
            }));
            for index in &table.indexes {
                let shape = self.shape_of(&index.path);
                found.extend(shape.wrong.into_iter().map(|what| WrongFile {
                    table: table.name.clone(),
                    index: Some(index.name.clone()),
                    what,
                }));
            }
        }
        found
    }
}

/// The directory and the name of a file.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((".", path))
}

fn shape_in(listings: &BTreeMap<String, Listing>, path: &str) -> Shape {
    let (directory, name) = split(path);
    listings
        .get(directory)
        .map(|listing| shape(listing, name))
        .unwrap_or_default()
}

fn table(row: &Answer, listings: &BTreeMap<String, Listing>) -> Result<TableFacts, PgError> {
    let path: String = row.get("path")?;
    let toast: Option<String> = row.get("toast_path")?;
    let pages = |column| Ok::<_, PgError>(u32::try_from(row.count(column)?).unwrap_or(u32::MAX));
    let toast_pages = pages("toast_pages")?;
    let (mut toast_wrong, mut toast_files) = (Vec::new(), Vec::new());
    let toast = toast.map(|path| (shape_in(listings, &path), path));
    if let Some((shape, _)) = &toast {
        if shape.reached < toast_pages {
            toast_wrong.push(format!(
                "its TOAST has {} blocks, where there were once {toast_pages}",
                shape.reached
            ));
        }
        toast_files.clone_from(&shape.wrong);
        toast_wrong.extend(shape.wrong.iter().cloned());
    }
    Ok(TableFacts {
        oid: row.oid("oid")?,
        name: row.name("schema", "name")?,
        kind: match row.char("kind")? {
            'm' => Kind::Matview,
            'L' => Kind::LargeObjects,
            'C' => Kind::Catalog,
            _ => Kind::Table,
        },
        shape: shape_in(listings, &path),
        path,
        pages: pages("pages")?,
        rows: row.count("rows")?,
        toast: toast.map(|(shape, path)| (path, shape)),
        toast_index: row.get("toast_index_path")?,
        toast_files,
        toast_wrong,
        columns: Vec::new(),
        attributes: attributes(row)?,
        demands: Vec::new(),
        indexes: Vec::new(),
        key: Vec::new(),
    })
}

fn attributes(row: &Answer) -> Result<Vec<Attribute>, PgError> {
    let lengths: Vec<i32> = row.get("lengths")?;
    let alignments: Vec<String> = row.get("alignments")?;
    let attribute = |(length, align): (i32, String)| Attribute {
        length,
        align: match align.as_str() {
            "s" => 2,
            "i" => 4,
            "d" => 8,
            _ => 1,
        },
    };
    Ok(lengths.into_iter().zip(alignments).map(attribute).collect())
}

fn index(row: &Answer) -> Result<IndexFacts, PgError> {
    let names: Vec<String> = row.get("columns")?;
    let types: Vec<u32> = row.get("types")?;
    let lengths: Vec<i32> = row.get("lengths")?;
    let alignments: Vec<String> = row.get("alignments")?;
    let columns = names
        .into_iter()
        .zip(types)
        .zip(lengths)
        .zip(alignments)
        .map(|(((name, type_oid), length), align)| KeyColumn {
            name,
            type_oid,
            length: i16::try_from(length).unwrap_or(-2),
            align: align.chars().next().unwrap_or('c'),
        });
    Ok(IndexFacts {
        name: row.name("schema", "name")?,
        path: row.get("path")?,
        columns: columns.collect(),
    })
}

async fn columns(session: &Session) -> Result<BTreeMap<Oid, Vec<ColumnFacts>>, PgError> {
    let mut columns: BTreeMap<Oid, Vec<ColumnFacts>> = BTreeMap::new();
    for row in session.query(&COLUMNS, &[]).await? {
        let of_table = columns.entry(row.oid("relation")?).or_default();
        if row.get::<bool>("generated")? {
            continue;
        }
        let (category, name): (String, String) = (row.get("category")?, row.get("type_name")?);
        let is_domain: bool = row.get("is_domain")?;
        let number = usize::try_from(row.get::<i32>("number")?).unwrap_or(0);
        let not_null: bool = row.get("not_null")?;
        let taken_back: Option<String> = row.get("taken_back")?;
        let by_way_of: String = row.get("by_way_of")?;
        of_table.push(ColumnFacts {
            name: row.get("name")?,
            attribute: number.saturating_sub(1),
            taken_back: taken_back.map(|of| (by_way_of, of)),
            nullable: !not_null,
            demand: Demand {
                values: Values::of(row.oid("type_oid")?.0, row.get("modifier")?),
                not_null: not_null && row.get::<bool>("is_never_null")?,
                has_default: row.get("has_missing")?,
            },
            empty: empty_value(&category, &name)
                .filter(|_| !is_domain)
                .map(str::to_owned),
        });
    }
    Ok(columns)
}

/// What an empty value of a type that is stored out of line looks like, where NULL is not allowed.
fn empty_value(category: &str, name: &str) -> Option<&'static str> {
    match (category, name) {
        (_, "json" | "jsonb") => Some("'null'"),
        ("S", _) | (_, "bytea") => Some("''"),
        ("A", _) => Some("'{}'"),
        _ => None,
    }
}

/// Whether anybody uses the source now.
pub async fn quiet(session: &Session) -> Result<Quiet, SalvageError> {
    let mut found = look_around(session).await?;
    for _ in 1..LOOKS {
        if found.others == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        found = look_around(session).await?;
    }
    Ok(found)
}

async fn look_around(session: &Session) -> Result<Quiet, SalvageError> {
    let rows = session.query(&QUIET, &[]).await?;
    let row = rows.first().ok_or(PgError::Answer {
        query: QUIET.name,
        what: "no row".into(),
    })?;
    Ok(Quiet {
        others: row.count("others")?,
        autovacuum: row.get("autovacuum")?,
        written_bytes: row.get("written_bytes")?,
        checksums: row.get("checksums")?,
        next_transaction: row.get("next_transaction")?,
        next_at_checkpoint: row.get("next_at_checkpoint")?,
        idle_at_checkpoint: row.get("idle_at_checkpoint")?,
        unfrozen: row.get("unfrozen")?,
    })
}
