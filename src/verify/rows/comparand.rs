//! What is compared: tables, materialized views and large objects, and what is read of each, the same on both sides.

use std::collections::{BTreeMap, BTreeSet};

use super::buckets::{Bucketing, Scale};
use super::cut::{self, Size};
use super::form::Forms;
use super::key::Key;
use crate::catalog::{Column, Matview, SourceFacts, Table, Types, large_object_content};
use crate::model::{Bytes, ColumnForm, Oid, QualifiedName, Rows, ServerVersion, quote_ident};
use crate::verify::Scope;

/// Large objects that are read together.
const LARGE_OBJECTS: usize = 500;
/// Tables with fewer rows are read whole a second time if they differ.
const FEW_ROWS: u64 = 10_000;

/// A table, and columns that tell its rows apart.
pub type TableKey = (QualifiedName, Vec<String>);

/// What is known of both databases, each in its snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What the source holds.
    pub source: &'a SourceFacts,
    /// What the target holds.
    pub target: &'a SourceFacts,
    /// Their versions.
    pub versions: (ServerVersion, ServerVersion),
    /// Each table's keys, the best first, on the source and on the target.
    pub keys: (&'a [TableKey], &'a [TableKey]),
    /// Which objects take part.
    pub scope: &'a Scope,
    /// Relations whose rows are not to be looked at.
    pub without_rows: &'a BTreeSet<QualifiedName>,
    /// Columns that are not to be looked at.
    pub without_columns: &'a BTreeSet<(QualifiedName, String)>,
}

/// What is to be read, and what cannot be, because only one side has it.
#[derive(Debug, Default)]
pub struct Pairing {
    /// What is on both sides.
    pub comparands: Vec<Comparand>,
    /// Tables and materialized views of the source that the target does not have.
    pub missing: Vec<QualifiedName>,
}

/// What a comparand is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A table with rows of its own, or a partitioned one that has to be read as a whole.
    Table,
    /// A materialized view.
    Matview {
        /// The query that it holds the result of, as the source has it; `None` if it must not be run.
        definition: Option<String>,
    },
    /// Large objects, in parts of one megabyte.
    LargeObjects(Vec<Oid>),
}

/// One column that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadColumn {
    /// Its name, unquoted.
    pub name: String,
    /// What stands in the select list.
    pub expression: String,
    /// Text that is the same if the value is.
    pub text: String,
    /// Why values may differ although this text does not, as a clause; `None` if they cannot.
    pub differs_untold: Option<&'static str>,
    /// Text for people.
    pub shown: String,
    /// The server computes it.
    pub generated: bool,
    /// It is an array.
    pub is_array: bool,
}

/// Something that is read on both sides and compared.
#[derive(Debug, Clone)]
pub struct Comparand {
    /// Its name; of large objects the first one's.
    pub name: QualifiedName,
    /// What it is.
    pub subject: Subject,
    /// What stands behind FROM.
    pub from: String,
    /// The columns, those of the key first.
    pub columns: Vec<ReadColumn>,
    /// Columns that are compared otherwise than by the bytes that the server sends, or not at all.
    pub forms: Vec<ColumnForm>,
    /// A condition that holds for all that is read.
    pub condition: Option<String>,
    /// The key, if there is one on both sides.
    pub key: Option<Key>,
    /// Rows, as the statistics have it.
    pub rows: Rows,
    /// What there is to read on the source and on the target, and of it the heap.
    pub sizes: [(Bytes, Bytes); 2],
    /// Of a partitioned table that is read as a whole: a partition that takes no part, and is read with the others.
    pub read_along: Option<QualifiedName>,
    /// Of such a table: a partition is a foreign table, and its rows are read with the others.
    pub reaches_foreign: bool,
}

impl Pairing {
    /// Pairs what takes part.
    pub fn of(inputs: &Inputs<'_>) -> Self {
        let mut pairing = Self::default();
        let target_tables: BTreeMap<&QualifiedName, &Table> =
            by_name(&inputs.target.tables, |table| &table.name);
        let mut roots: BTreeMap<&QualifiedName, Vec<(&Table, &Table)>> = BTreeMap::new();
        for table in inputs
            .source
            .tables
            .iter()
            .filter(|table| takes_part(inputs, table))
        {
            let Some(&found) = target_tables.get(&table.name) else {
                pairing.missing.push(table.name.clone());
                continue;
            };
            match &table.partition_root {
                Some(root) if table.load_via_root => {
                    roots.entry(root).or_default().push((table, found));
                }
                _ => pairing.comparands.push(inputs.table(table, found)),
            }
        }
        for (root, leaves) in roots {
            pairing.comparands.extend(inputs.root(root, &leaves));
        }
        let target_views: BTreeMap<&QualifiedName, &Matview> =
            by_name(&inputs.target.matviews, |view| &view.name);
        for view in inputs.source.matviews.iter().filter(|view| view.populated) {
            let left_out = inputs.without_rows.contains(&view.name);
            if left_out || !inputs.scope.has_relation(&view.name) {
                continue;
            }
            // One that holds nothing is found by its state.
            if let Some(found) = target_views.get(&view.name).filter(|view| view.populated) {
                pairing.comparands.push(inputs.matview(view, found));
            }
        }
        if inputs.scope.large_objects {
            pairing.comparands.extend(large_objects(inputs));
        }
        pairing
    }
}

fn by_name<T>(items: &[T], name: fn(&T) -> &QualifiedName) -> BTreeMap<&QualifiedName, &T> {
    items.iter().map(|item| (name(item), item)).collect()
}

fn takes_part(inputs: &Inputs<'_>, table: &Table) -> bool {
    let configures = |extension: &String| inputs.scope.has_extension(extension);
    let known =
        inputs.scope.has_relation(&table.name) || table.extension.as_ref().is_some_and(configures);
    known && !inputs.without_rows.contains(&table.name)
}

/// Those that are on both sides; what is on one only is found without looking into it.
fn large_objects(inputs: &Inputs<'_>) -> Vec<Comparand> {
    let there: BTreeSet<Oid> = inputs
        .target
        .large_objects
        .iter()
        .map(|one| one.oid)
        .collect();
    let common = inputs.source.large_objects.iter().map(|one| one.oid);
    let common: Vec<Oid> = common.filter(|oid| there.contains(oid)).collect();
    common
        .chunks(LARGE_OBJECTS)
        .map(Comparand::of_large_objects)
        .collect()
}

impl Inputs<'_> {
    pub(super) fn forms(&self) -> Forms<'_> {
        Forms {
            source: Types(&self.source.types),
            target: Types(&self.target.types),
            versions: self.versions,
        }
    }

    fn table(&self, source: &Table, target: &Table) -> Comparand {
        let condition = source
            .extension_condition
            .as_deref()
            .map(|condition| {
                condition
                    .trim()
                    .trim_start_matches("WHERE")
                    .trim_start_matches("where")
            })
            .filter(|condition| !condition.trim().is_empty())
            .map(|condition| format!("({condition})"));
        let mut comparand = Comparand {
            subject: Subject::Table,
            from: format!("only {}", source.name),
            condition,
            key: self.key(source, target),
            rows: source.row_estimate.max(target.row_estimate),
            sizes: [(source.total, source.heap), (target.total, target.heap)],
            ..Comparand::named(&source.name)
        };
        self.read_columns(&mut comparand, (&source.columns, &target.columns));
        comparand
    }

    /// A partitioned table whose rows may be in other partitions on the other server. It is what `leaves` say of it, which
    /// may each have another order of columns.
    fn root(&self, root: &QualifiedName, leaves: &[(&Table, &Table)]) -> Option<Comparand> {
        let &(source, target) = leaves.first()?;
        let (mut ours, mut theirs) = (source.columns.clone(), target.columns.clone());
        ours.sort_by(|a, b| a.name.cmp(&b.name));
        theirs.sort_by(|a, b| a.name.cmp(&b.name));
        let total = |side: fn(&(&Table, &Table)) -> Bytes| leaves.iter().map(side).sum();
        let mut comparand = Comparand {
            subject: Subject::Table,
            from: root.to_string(),
            rows: leaves.iter().map(|(source, _)| source.row_estimate).sum(),
            // Ranges of blocks are those of one table.
            sizes: [
                (total(|(source, _)| source.total), Bytes(0)),
                (total(|(_, target)| target.total), Bytes(0)),
            ],
            ..Comparand::named(root)
        };
        self.read_columns(&mut comparand, (&ours, &theirs));
        comparand.read_along = self.read_along(root, leaves);
        let mut tables = leaves.iter().flat_map(|(source, target)| [source, target]);
        comparand.reaches_foreign = tables.any(|table| table.reaches_foreign);
        Some(comparand)
    }

    fn read_along(&self, root: &QualifiedName, read: &[(&Table, &Table)]) -> Option<QualifiedName> {
        let mut all = self.source.tables.iter().chain(&self.target.tables);
        let is_read = |table: &Table| read.iter().any(|(one, _)| one.name == table.name);
        let left_out =
            all.find(|table| table.partition_root.as_ref() == Some(root) && !is_read(table));
        left_out.map(|table| table.name.clone())
    }

    fn matview(&self, source: &Matview, target: &Matview) -> Comparand {
        let mut comparand = Comparand {
            subject: Subject::Matview {
                definition: Some(source.definition.clone())
                    .filter(|_| !source.calls_user_code && !target.calls_user_code),
            },
            from: source.name.to_string(),
            rows: source.row_estimate.max(target.row_estimate),
            sizes: [(source.bytes, Bytes(0)), (target.bytes, Bytes(0))],
            ..Comparand::named(&source.name)
        };
        self.read_columns(&mut comparand, (&source.columns, &target.columns));
        comparand
    }

    /// The column that one is compared with, or why there is none, as a clause.
    fn partner<'c>(
        &self,
        table: &QualifiedName,
        column: &Column,
        theirs: &'c [Column],
    ) -> Result<&'c Column, &'static str> {
        if self
            .without_columns
            .contains(&(table.clone(), column.name.clone()))
        {
            return Err("it is ignored on request");
        }
        let mut others = theirs.iter();
        let found = others
            .find(|other| other.name == column.name)
            .ok_or("the target has no such column")?;
        // To compute it may fail, on both sides, for rows that are the same.
        if column.is_virtual && found.is_virtual {
            return Err("it is virtual and holds nothing; its definition is compared");
        }
        Ok(found)
    }

    /// The columns that both sides have, those of the key first. The others are found by the definitions.
    fn read_columns(&self, comparand: &mut Comparand, (ours, theirs): (&[Column], &[Column])) {
        let forms = self.forms();
        for column in ours {
            let found = match self.partner(&comparand.name, column, theirs) {
                Ok(found) => found,
                Err(because) => {
                    comparand.forms.push(ColumnForm {
                        column: column.name.clone(),
                        form: "not at all".to_owned(),
                        because: because.to_owned(),
                    });
                    continue;
                }
            };
            let key = comparand.key.as_ref();
            let form = if key.is_some_and(|key| key.columns.contains(&column.name)) {
                forms.of_key(column, found)
            } else {
                forms.of(column, found)
            };
            comparand.forms.extend(form.told);
            comparand.columns.push(ReadColumn {
                name: column.name.clone(),
                text: forms.text_of(column, &form.expression),
                differs_untold: forms.differs_untold(column),
                shown: forms.shown(column, &form.expression),
                expression: form.expression,
                generated: column.generated,
                is_array: form.is_array,
            });
        }
        if let Some(key) = &comparand.key {
            let place =
                |column: &ReadColumn| key.columns.iter().position(|name| *name == column.name);
            comparand
                .columns
                .sort_by_key(|column| place(column).unwrap_or(usize::MAX));
        }
    }
}

impl Comparand {
    /// One of which there is nothing to read.
    pub fn named(name: &QualifiedName) -> Self {
        Self {
            name: name.clone(),
            subject: Subject::Table,
            from: String::new(),
            columns: Vec::new(),
            forms: Vec::new(),
            condition: None,
            key: None,
            rows: Rows(0),
            sizes: [(Bytes(0), Bytes(0)); 2],
            read_along: None,
            reaches_foreign: false,
        }
    }

    /// Large objects.
    pub fn of_large_objects(oids: &[Oid]) -> Self {
        let first = oids.first().map_or(Oid(0), |oid| *oid);
        Self {
            subject: Subject::LargeObjects(oids.to_vec()),
            from: format!("({}) as content", large_object_content(oids)),
            columns: vec![ReadColumn {
                name: "*".to_owned(),
                expression: "*".to_owned(),
                text: "*".to_owned(),
                differs_untold: None,
                shown: "*".to_owned(),
                generated: false,
                is_array: false,
            }],
            rows: Rows(oids.len() as u64),
            ..Self::named(&QualifiedName::new("", first.to_string()))
        }
    }

    /// The name that people are shown.
    pub fn label(&self) -> String {
        match &self.subject {
            Subject::LargeObjects(oids) if oids.len() > 1 => {
                format!(
                    "large object {} and {} more",
                    self.name.name,
                    oids.len() - 1
                )
            }
            Subject::LargeObjects(_) => format!("large object {}", self.name.name),
            _ => self.name.shown(),
        }
    }

    /// The key's column whose numbers sort rows into buckets, if that is worth while.
    pub fn scale_column(&self) -> Option<(String, bool)> {
        let key = self.key.as_ref().filter(|_| self.is_large())?;
        let is_uuid = key.number?;
        Some((quote_ident(key.columns.first()?), is_uuid))
    }

    /// How its rows are sorted into buckets, given the smallest and largest number of its key.
    pub fn bucketing(&self, ends: Option<(i128, i128)>) -> Bucketing {
        let buckets = |rows: u64, most: usize| {
            usize::try_from(self.rows_or_guess() / rows)
                .unwrap_or(most)
                .clamp(1, most)
        };
        match (&self.subject, &self.key) {
            (Subject::LargeObjects(_), _) => Bucketing::ByKey {
                columns: 1,
                buckets: 4096,
            },
            _ if !self.is_large() => Bucketing::One,
            (
                _,
                Some(Key {
                    number: Some(is_uuid),
                    ..
                }),
            ) if ends.is_some() => {
                let (low, high) = ends.unwrap_or_default();
                Bucketing::ByOrder(Scale {
                    low,
                    high,
                    buckets: buckets(500, 1 << 13),
                    is_uuid: *is_uuid,
                    is_part: false,
                })
            }
            (_, Some(key)) => Bucketing::ByKey {
                columns: key.columns.len(),
                buckets: buckets(50, 1 << 16),
            },
            (_, None) => Bucketing::ByContent {
                buckets: buckets(50, 1 << 16),
            },
        }
    }

    /// The conditions of the chunks in which one side is read.
    pub(super) fn chunks(
        &self,
        side: usize,
        version: ServerVersion,
        (block_size, readers): (u64, u32),
    ) -> Vec<String> {
        let (total, heap) = self.sizes[side];
        cut::conditions(Size {
            version,
            heap,
            total,
            block_bytes: block_size,
            readers,
        })
    }

    fn is_large(&self) -> bool {
        self.rows_or_guess() > FEW_ROWS
    }

    /// A table that was never analyzed says that it has no rows.
    fn rows_or_guess(&self) -> u64 {
        let bytes = self.sizes[0].0.max(self.sizes[1].0);
        self.rows.0.max(bytes.0 / 500)
    }
}
