//! What an archive's manifest says against what a server holds: rows, large objects, sequences. The files are not needed.
//!
//! Rows are read as the dump has read them: the same columns, in COPY's text format, in the archive's encoding. Two versions of
//! Postgres may print the same float in different ways; then nothing is said about the table, rather than something wrong.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::Arc;

use futures_util::StreamExt as _;
use xxhash_rust::xxh3::Xxh3;

use super::Outcome;
use super::content::{Evidence, Reading, judge};
use crate::archive::{Content, FileFacts, LargeObjectFacts, Manifest, TableFacts};
use crate::catalog::{
    Column, Sequence, SourceFacts, Table, Types, large_object_content, print_floats_differently,
};
use crate::event::{Emit, What};
use crate::model::{
    Bytes, CopyFormat, Difference, DifferenceKind, MultisetDigest, Oid, QualifiedName, RowLayout,
    ServerVersion, SqlText, TableVerdict, Unverified, Verdict, count, quote_ident,
};
use crate::pg::wire::{Gauge, ObjectRows, ObjectSink, Unframed, read_into};
use crate::pg::{PgError, Pool};

/// Large objects that are asked for at once.
const OBJECTS_AT_ONCE: usize = 500;

/// A server whose database is compared with an archive.
pub struct Archived<'a> {
    /// What the archive holds.
    pub manifest: &'a Manifest,
    /// Sessions that see one snapshot of the server.
    pub pool: &'a Pool,
    /// What it says of its tables.
    pub facts: &'a SourceFacts,
    /// Its version.
    pub version: ServerVersion,
    /// How many sessions read at once.
    pub readers: usize,
    /// The server may hold large objects besides: it is not said to hold nothing but what is in the archive.
    pub beside_others: bool,
    /// What it has answered already, when nobody was to change any more what was asked for: by the question, word for word.
    pub answered: HashMap<SqlText, MultisetDigest>,
}

/// What is read at once, and what it must be: a table, or all partitions of one whose rows may be in others than they were.
pub struct Subject<'a> {
    table: &'a QualifiedName,
    columns: &'a [String],
    content: Content,
    /// Read with what is below it.
    is_tree: bool,
    /// What its columns are made of, and which rows belong to the archive.
    like: Option<&'a Table>,
}

impl<'a> Subject<'a> {
    fn of(facts: &'a TableFacts, table: Option<&'a Table>) -> Self {
        Self {
            table: &facts.table,
            columns: &facts.columns,
            content: facts.content,
            is_tree: false,
            like: table,
        }
    }

    fn column(&self, name: &str) -> Option<&'a Column> {
        let mut columns = self.like?.columns.iter();
        columns.find(|column| column.name == name)
    }
}

/// Compares, and tells the verdict of each subject.
pub async fn compare(
    archived: &Archived<'_>,
    mut subjects: Vec<Subject<'_>>,
    emit: &Arc<dyn Emit>,
) -> Outcome {
    let mut outcome = Outcome::default();
    // The largest first, or the last of them would keep one reader busy and the others waiting.
    subjects.sort_by_key(|subject| std::cmp::Reverse(subject.content.bytes));
    let reads = subjects.into_iter().map(|subject| archived.judge(subject));
    let mut read = futures_util::stream::iter(reads).buffer_unordered(archived.readers.max(1));
    while let Some((verdict, found)) = read.next().await {
        emit.emit(What::TableVerified(verdict));
        outcome.extend(found);
    }
    drop(read);
    outcome.extend(archived.large_objects().await);
    outcome.extend(sequences(archived.manifest, &archived.facts.sequences));
    outcome
}

impl Archived<'_> {
    /// What there is to read.
    pub fn subjects(&self) -> Vec<Subject<'_>> {
        let tables: HashMap<&QualifiedName, &Table> = self
            .facts
            .tables
            .iter()
            .map(|table| (&table.name, table))
            .collect();
        let mut trees: BTreeMap<&QualifiedName, Vec<(&TableFacts, &Table)>> = BTreeMap::new();
        let mut subjects = Vec::new();
        for facts in &self.manifest.tables {
            let table = tables.get(&facts.table).copied();
            let root = table.filter(|table| table.load_via_root);
            match root.and_then(|table| Some((table.partition_root.as_ref()?, table))) {
                Some((root, table)) => trees.entry(root).or_default().push((facts, table)),
                None => subjects.push(Subject::of(facts, table)),
            }
        }
        for (root, leaves) in trees {
            let (first, table) = leaves[0];
            // Otherwise the same row looks another way in each of them.
            let alike = leaves.iter().all(|(leaf, _)| leaf.columns == first.columns);
            if alike {
                subjects.push(Subject {
                    table: root,
                    content: leaves
                        .iter()
                        .fold(Content::default(), |sum, (leaf, _)| sum.and(leaf.content)),
                    is_tree: true,
                    ..Subject::of(first, Some(table))
                });
            } else {
                subjects.extend(
                    leaves
                        .iter()
                        .map(|(leaf, table)| Subject::of(leaf, Some(table))),
                );
            }
        }
        subjects
    }

    async fn judge(&self, subject: Subject<'_>) -> (TableVerdict, Outcome) {
        let mut outcome = Outcome::default();
        let read = match (subject.like, self.incomparable(&subject)) {
            (None, _) => Err("the server has no such table".to_owned()),
            (_, Some(because)) => Err(because),
            _ => self.rows(&subject).await.map_err(|error| error.to_string()),
        };
        outcome.notes.extend(self.untold(&subject));
        let content = subject.content.digest;
        let evidence = Evidence {
            read: Some(content),
            source_count: Some(content.rows),
            target: read.as_ref().ok().copied(),
            hashed: true,
        };
        let (mut verdict, differences) = judge(subject.table, &evidence);
        outcome.differences.extend(differences);
        if subject.like.is_none() {
            verdict = Verdict::Different;
            outcome.differences.push(Difference {
                kind: DifferenceKind::Missing,
                class: "table data".into(),
                object: subject.table.to_string(),
                detail: format!(
                    "the archive has {} of it; the server has no such table",
                    count(content.rows.0, "row", "rows")
                ),
            });
        } else if let Err(because) = read {
            outcome.unverified.push(Unverified {
                class: "table data".into(),
                object: subject.table.shown(),
                because,
            });
        }
        let verdict = TableVerdict {
            table: subject.table.clone(),
            format: archive_format(),
            read: evidence.read,
            source_count: evidence.source_count,
            target: evidence.target,
            bytes: Bytes(subject.content.bytes),
            copy_ms: 0,
            verdict,
            forms: Vec::new(),
        };
        (verdict, outcome)
    }

    /// Why its rows, read from this server, need not look as they did on the one that was dumped.
    fn incomparable(&self, subject: &Subject<'_>) -> Option<String> {
        let table = subject.like?;
        if table.load_via_root && !subject.is_tree {
            return Some(
                "its rows may be in other partitions than they were, and the partitions' columns are not in the same order"
                    .to_owned(),
            );
        }
        let then = ServerVersion(self.manifest.source.server_version_num);
        let types = Types(&self.facts.types);
        let mut columns = table.columns.iter();
        let has_floats = columns.any(|column| {
            subject.columns.contains(&column.name) && types.holds_floats(column.type_oid)
        });
        (has_floats && print_floats_differently(then, self.version)).then(|| {
            format!(
                "it has floats, which PostgreSQL {then} and {} print differently",
                self.version
            )
        })
    }

    /// What is read of a column: all of its value, which its type may print only in part. The archive has it all, as far as it is
    /// in there, and its text is what was stored.
    fn whole(&self, subject: &Subject<'_>, name: &str) -> String {
        let column = subject.column(name);
        column.map_or_else(
            || quote_ident(name),
            |column| Types(&self.facts.types).whole(column),
        )
    }

    /// What its text does not tell of it.
    fn untold(&self, subject: &Subject<'_>) -> Vec<String> {
        let types = Types(&self.facts.types);
        let table = subject.table.shown();
        let columns = |holds: &dyn Fn(Oid) -> bool| {
            let holds = |name: &&String| {
                let column = subject.column(name);
                column.is_some_and(|column| holds(column.type_oid))
            };
            let columns: Vec<String> = subject.columns.iter().filter(holds).cloned().collect();
            (!columns.is_empty()).then(|| columns.join(", "))
        };
        let xml = columns(&|oid| types.hides_xml(oid)).map(|columns| {
            format!(
                "{table}: of XML inside of {columns}, an archive has what is printed: without a plain declaration, and a line break at its \
                 beginning"
            )
        });
        let names = columns(&|oid| types.holds_names(oid)).map(|columns| {
            format!(
                "{table}: of functions and operators in {columns}, an archive has only the names: which one is meant, of several with the \
                 same name and different arguments, was not compared"
            )
        });
        [xml, names].into_iter().flatten().collect()
    }

    async fn rows(&self, subject: &Subject<'_>) -> Result<MultisetDigest, PgError> {
        let columns = subject.columns.iter();
        let columns: Vec<String> = columns.map(|name| self.whole(subject, name)).collect();
        let only = if subject.is_tree { "" } else { "only " };
        let format = archive_format();
        let encoding = self.manifest.source.encoding.as_str();
        let reading = Reading {
            from: &format!("{only}{}", subject.table),
            columns: &columns,
            condition: subject
                .like
                .and_then(|table| table.extension_condition.as_deref()),
            format: &format,
            arrays: &[],
            encoding: (!matches!(encoding, "UTF8" | "SQL_ASCII")).then_some(encoding),
        };
        if let Some(digest) = self.answered.get(&reading.statement()) {
            return Ok(*digest);
        }
        let mut wire = self.pool.take().await?;
        match reading.hash(&mut wire, &Gauge::default()).await {
            Ok(relayed) => {
                self.pool.give_back(wire);
                Ok(relayed.digest)
            }
            Err(error) => {
                self.pool.give_up(wire);
                Err(error)
            }
        }
    }

    /// Large objects of the archive, and those that the server has besides.
    async fn large_objects(&self) -> Outcome {
        let class = || "large object".to_owned();
        let mut outcome = Outcome::default();
        let wanted: &[LargeObjectFacts] = &self.manifest.large_objects;
        let mut same = 0;
        let held = self.facts.large_objects.iter().map(|object| object.oid);
        let held: HashSet<Oid> = held.collect();
        // To ask for one that is not there would be an error, and nothing would be known of the others.
        let there = |batch: &[LargeObjectFacts]| -> Vec<Oid> {
            let oids = batch.iter().map(|object| object.oid);
            oids.filter(|oid| held.contains(oid)).collect()
        };
        let reads: Vec<_> = wanted
            .chunks(OBJECTS_AT_ONCE)
            .map(|batch| (batch, there(batch)))
            .map(|(batch, oids)| async move { (batch, self.objects(&oids).await) })
            .collect();
        let mut read = futures_util::stream::iter(reads).buffered(self.readers.max(1));
        while let Some((batch, there)) = read.next().await {
            let there = match there {
                Ok(there) => there,
                Err(error) => {
                    outcome.unverified.push(Unverified {
                        class: class(),
                        object: format!("{} and those after it", batch[0].oid),
                        because: error.to_string(),
                    });
                    continue;
                }
            };
            for object in batch {
                let (kind, detail) = match there.get(&object.oid) {
                    Some(facts) if *facts == object.content => {
                        same += 1;
                        continue;
                    }
                    None => (DifferenceKind::Missing, "the server has none".to_owned()),
                    Some(facts) => (
                        DifferenceKind::Different,
                        format!(
                            "the archive has {} bytes, hash {:032x}; the server has {}, hash {:032x}",
                            object.content.bytes, object.content.xxh3, facts.bytes, facts.xxh3
                        ),
                    ),
                };
                outcome.differences.push(Difference {
                    kind,
                    class: class(),
                    object: object.oid.to_string(),
                    detail,
                });
            }
        }
        let known: HashSet<Oid> = wanted.iter().map(|object| object.oid).collect();
        if !self.beside_others {
            let extra = self.facts.large_objects.iter().map(|object| object.oid);
            let extra = extra.filter(|oid| !known.contains(oid));
            outcome.differences.extend(extra.map(|oid| Difference {
                kind: DifferenceKind::Extra,
                class: class(),
                object: oid.to_string(),
                detail: "it is not in the archive".to_owned(),
            }));
        }
        outcome
            .checked
            .push(("large objects' contents".to_owned(), same));
        outcome
    }

    async fn objects(&self, oids: &[Oid]) -> Result<HashMap<Oid, FileFacts>, PgError> {
        if oids.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = SqlText::from(format!(
            "copy ({}) to stdout (format binary)",
            large_object_content(oids)
        ));
        let mut wire = self.pool.take().await?;
        let mut unframed = Unframed::new(ObjectRows::new(Hashes::default()));
        let gauge = Gauge::default();
        let read = read_into(&mut wire, &sql, RowLayout::PLAIN, (&gauge, &mut unframed)).await;
        match read {
            Ok(_) => self.pool.give_back(wire),
            Err(error) => {
                self.pool.give_up(wire);
                return Err(error);
            }
        }
        let hashes = unframed.into_inner().finish();
        let hashes = hashes.map_err(|source| PgError::Io {
            doing: "reading large objects".to_owned(),
            source,
        })?;
        Ok(hashes.done)
    }
}

fn archive_format() -> CopyFormat {
    CopyFormat::Text {
        because: "an archive holds text".to_owned(),
    }
}

/// Hashes each object.
#[derive(Default)]
struct Hashes {
    current: Option<(Oid, Box<Xxh3>, u64)>,
    done: HashMap<Oid, FileFacts>,
}

impl ObjectSink for Hashes {
    fn begin(&mut self, oid: Oid) -> io::Result<()> {
        self.end()?;
        self.current = Some((oid, Box::new(Xxh3::new()), 0));
        Ok(())
    }

    fn content(&mut self, content: &[u8]) -> io::Result<()> {
        if let Some((_, hash, bytes)) = &mut self.current {
            hash.update(content);
            *bytes += content.len() as u64;
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        if let Some((oid, hash, bytes)) = self.current.take() {
            let xxh3 = hash.digest128();
            self.done.insert(oid, FileFacts { bytes, xxh3 });
        }
        Ok(())
    }
}

fn sequences(manifest: &Manifest, there: &[Sequence]) -> Outcome {
    let mut outcome = Outcome::default();
    let there: HashMap<&QualifiedName, &Sequence> = there
        .iter()
        .map(|sequence| (&sequence.name, sequence))
        .collect();
    let mut same = 0;
    for wanted in &manifest.sequences {
        let (kind, detail) = match there.get(&wanted.sequence) {
            Some(found)
                if (found.last_value, found.is_called) == (wanted.last_value, wanted.is_called) =>
            {
                same += 1;
                continue;
            }
            Some(found) => (
                DifferenceKind::Different,
                format!(
                    "in the archive it stands at {} (called: {}), on the server at {} (called: {})",
                    wanted.last_value, wanted.is_called, found.last_value, found.is_called
                ),
            ),
            None => (
                DifferenceKind::Missing,
                "the server has no such sequence".to_owned(),
            ),
        };
        outcome.differences.push(Difference {
            kind,
            class: "sequence".to_owned(),
            object: wanted.sequence.shown(),
            detail,
        });
    }
    outcome.checked.push(("sequences".to_owned(), same));
    outcome
}
