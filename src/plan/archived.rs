//! What an archive says of the database that it is of, as the facts that a plan is made from. There is no server to ask: all of it
//! is read from the table of contents.
//!
//! Left open is what only a catalog knows, and a restore can do without: types (rows stay text), sizes of indexes (taken from
//! those of their tables), the planner's statistics (tables are analyzed), and what materialized views hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::catalog::{
    Column, Constraint, Index, LargeObject, Matview, Sequence, ServerFacts, SourceFacts, Table,
};
use crate::model::{Bytes, DumpId, Oid, QualifiedName, Rows, ServerVersion, quote_ident};
use crate::toc::{Entry, Text, Toc};

use super::PlanError;

/// What is known of an archive besides its table of contents.
#[derive(Debug, Default)]
pub struct ArchiveData {
    /// How many rows each `TABLE DATA` entry has, and bytes of text; estimates, if nobody counted.
    pub sizes: HashMap<DumpId, (Rows, Bytes)>,
    /// Large objects that are in it, each with the `BLOBS` entry that it is listed by.
    pub objects: BTreeMap<Oid, DumpId>,
    /// The encoding of the rows.
    pub encoding: String,
}

/// The database that an archive is of.
#[derive(Debug)]
pub struct Archived {
    /// Everything that is no data.
    pub toc: Toc,
    /// The server that it was dumped from, as far as that is known.
    pub source: ServerFacts,
    /// What the database held.
    pub facts: SourceFacts,
    /// Where the rows of each table are: its `TABLE DATA` entry.
    pub rows: BTreeMap<QualifiedName, DumpId>,
    /// Tables whose rows the archive does not have, although they could have some.
    pub without_rows: BTreeSet<QualifiedName>,
}

/// Entries that stand for data, or for what is planned from the facts.
const DATA: [&str; 5] = [
    "TABLE DATA",
    "BLOBS",
    "SEQUENCE SET",
    "MATERIALIZED VIEW DATA",
    "STATISTICS DATA",
];

impl Archived {
    /// Reads the table of contents, which is in UTF-8, unless the database had no encoding.
    pub fn of(toc: Toc, data: &ArchiveData) -> Result<Self, PlanError> {
        let reading = Reading::of(&toc, data)?;
        reading.refuse_foreign_rows()?;
        let facts = SourceFacts {
            tables: reading.tables()?,
            indexes: reading.indexes(),
            constraints: reading.constraints(),
            sequences: reading.sequences()?,
            matviews: reading.matviews(),
            large_objects: reading.large_objects(),
            ..SourceFacts::default()
        };
        let rows = reading
            .rows
            .iter()
            .map(|(name, entry)| (name.clone(), entry.dump_id));
        let rows: BTreeMap<QualifiedName, DumpId> = rows.collect();
        let without_rows = toc.entries.iter().filter(|entry| entry.has_rows());
        let without_rows = without_rows
            .filter_map(Entry::qualified_name)
            .filter(|name| !rows.contains_key(name))
            .collect();
        let source = server(&toc, data);
        let mut toc = toc;
        toc.entries
            .retain(|entry| !DATA.contains(&entry.desc.as_str()));
        Ok(Self {
            toc,
            source,
            facts,
            rows,
            without_rows,
        })
    }
}

fn server(toc: &Toc, data: &ArchiveData) -> ServerFacts {
    let text = |text: &Option<Text>| text.as_ref().map(Text::to_string_lossy).unwrap_or_default();
    ServerFacts {
        version: ServerVersion::reported(&text(&toc.header.server_version)),
        system_identifier: None,
        database_oid: Oid(0),
        database: text(&toc.header.database),
        role: String::new(),
        superuser: false,
        creates_databases: false,
        in_recovery: false,
        cancels_reads: false,
        streaming_delay: None,
        archive_delay: None,
        encoding: data.encoding.clone(),
        block_size: 8192,
        shared_buffers: Bytes(0),
        maintenance_work_mem: Bytes(0),
        has_pgconvoy_schema: false,
        lock_slots: 0,
        locks_per_session: 0,
        value_settings: Vec::new(),
        passing_over_damage: Vec::new(),
    }
}

/// The entries, found by what they are about.
struct Reading<'a> {
    toc: &'a Toc,
    data: &'a ArchiveData,
    by_id: HashMap<DumpId, &'a Entry>,
    /// `TABLE DATA` entries by their table.
    rows: BTreeMap<QualifiedName, &'a Entry>,
    /// Partition → the table it is a partition of.
    parents: BTreeMap<QualifiedName, QualifiedName>,
    /// `TABLE` entries of partitioned tables.
    partitioned: BTreeSet<QualifiedName>,
    /// Foreign tables, or the partitioned tables above them.
    above_foreign: BTreeSet<QualifiedName>,
}

impl<'a> Reading<'a> {
    fn of(toc: &'a Toc, data: &'a ArchiveData) -> Result<Self, PlanError> {
        let mut rows = BTreeMap::new();
        for entry in toc.entries.iter().filter(|entry| entry.is("TABLE DATA")) {
            if rows.insert(named(entry)?, entry).is_some() {
                return Err(PlanError::ArchivedEntry {
                    entry: entry.to_string(),
                    what: "another entry has rows of the same table",
                });
            }
        }
        let attached = toc.entries.iter().filter(|entry| entry.is("TABLE ATTACH"));
        let parents = attached
            .filter_map(|entry| Some((entry.qualified_name()?, toc.attached_to(entry)?)))
            .collect();
        let tables = toc.entries.iter().filter(|entry| entry.is("TABLE"));
        let partitioned = tables
            .filter(|entry| !entry.has_rows())
            .filter_map(Entry::qualified_name)
            .collect();
        let mut reading = Self {
            by_id: toc
                .entries
                .iter()
                .map(|entry| (entry.dump_id, entry))
                .collect(),
            toc,
            data,
            rows,
            parents,
            partitioned,
            above_foreign: BTreeSet::new(),
        };
        let foreign = reading.of_kind("FOREIGN TABLE");
        let foreign = foreign.filter_map(Entry::qualified_name);
        reading.above_foreign = foreign.map(|name| reading.top(&name)).collect();
        Ok(reading)
    }

    fn of_kind(&self, desc: &'static str) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let entries = self.toc.entries.iter();
        entries.filter(move |entry| entry.is(desc))
    }

    /// They are on another server, which is not the target, and perhaps the very one that they were read from.
    fn refuse_foreign_rows(&self) -> Result<(), PlanError> {
        let foreign = self.of_kind("FOREIGN TABLE");
        let tables: Vec<QualifiedName> = foreign
            .filter_map(Entry::qualified_name)
            .filter(|name| self.rows.contains_key(name))
            .collect();
        if tables.is_empty() {
            Ok(())
        } else {
            Err(PlanError::ForeignRows { tables })
        }
    }

    fn tables(&self) -> Result<Vec<Table>, PlanError> {
        let definitions: BTreeMap<QualifiedName, &Entry> = self
            .of_kind("TABLE")
            .filter_map(|entry| Some((entry.qualified_name()?, entry)))
            .collect();
        let rows = self.rows.iter();
        rows.map(|(name, &entry)| self.table(name, entry, definitions.get(name).copied()))
            .collect()
    }

    fn table(
        &self,
        name: &QualifiedName,
        entry: &Entry,
        definition: Option<&Entry>,
    ) -> Result<Table, PlanError> {
        let understood = |what: &'static str| PlanError::ArchivedEntry {
            entry: entry.to_string(),
            what,
        };
        let into = self.toc.copied_into(entry);
        let into = into.ok_or_else(|| understood("its COPY statement (an archive of INSERTs?)"))?;
        let columns = entry.copied_columns();
        let columns = columns.ok_or_else(|| understood("the columns of its COPY statement"))?;
        let column = |text: &Text| {
            let name = text.to_str().ok_or_else(|| PlanError::NameNotUtf8 {
                what: format!("a column of {entry}"),
            })?;
            Ok(Column {
                name: name.to_owned(),
                type_oid: Oid(0),
                generated: false,
                is_virtual: false,
            })
        };
        let extension = match definition {
            Some(_) => None,
            None => Some(
                self.extension(entry)
                    .ok_or_else(|| understood("whose rows they are"))?,
            ),
        };
        let (rows, bytes) = self
            .data
            .sizes
            .get(&entry.dump_id)
            .copied()
            .unwrap_or_default();
        let load_via_root = into != *name;
        Ok(Table {
            oid: definition.map_or(entry.oid, |definition| definition.oid),
            name: name.clone(),
            unlogged: definition.is_some_and(|definition| self.toc.is_unlogged(definition)),
            has_children: false,
            heap: bytes,
            total: bytes,
            row_estimate: rows,
            extension,
            extension_condition: None,
            partition_root: if load_via_root {
                Some(into)
            } else {
                self.root(name)
            },
            load_via_root,
            reaches_foreign: self.above_foreign.contains(&self.top(name)),
            columns: columns
                .iter()
                .map(column)
                .collect::<Result<_, PlanError>>()?,
            integer_key: None,
            key_range: None,
        })
    }

    /// A table without a definition is one that an extension makes; which, the archive does not say: one of its schema, if
    /// there is one, and otherwise any.
    fn extension(&self, entry: &Entry) -> Option<String> {
        let of_its_schema = |extension: &&Entry| {
            let schema = entry.namespace.as_ref().map(Text::quoted);
            let schema = schema.unwrap_or_default();
            let bare = schema
                .get(1..schema.len().saturating_sub(1))
                .unwrap_or_default();
            let defn = extension.defn_bytes();
            !bare.is_empty() && defn.windows(bare.len()).any(|part| part == bare)
        };
        let found = self.of_kind("EXTENSION").find(of_its_schema);
        let found = found.or_else(|| self.of_kind("EXTENSION").next())?;
        found.tag.to_str().map(str::to_owned)
    }

    fn root(&self, table: &QualifiedName) -> Option<QualifiedName> {
        let mut root = None;
        let mut next = self.parents.get(table);
        // A circle is nothing that pg_dump writes, and must not be followed for ever.
        for _ in 0..=self.parents.len() {
            let Some(parent) = next else { break };
            root = Some(parent.clone());
            next = self.parents.get(parent);
        }
        root
    }

    fn top(&self, name: &QualifiedName) -> QualifiedName {
        self.root(name).unwrap_or_else(|| name.clone())
    }

    /// The size that an index is taken to have: an entry for each row of its table, and a part of the table's size.
    fn index_size(&self, table: &QualifiedName) -> (Rows, Bytes) {
        let entry = self.rows.get(table);
        let sizes = entry.and_then(|entry| self.data.sizes.get(&entry.dump_id));
        sizes.map_or((Rows(0), Bytes(0)), |(rows, bytes)| {
            (*rows, Bytes(bytes.0 / 4))
        })
    }

    fn indexes(&self) -> Vec<Index> {
        let plain = self.of_kind("INDEX").filter_map(|entry| {
            let name = entry.qualified_name()?;
            let (table, method) = self.toc.indexed(entry)?;
            let definition = String::from_utf8_lossy(entry.defn_bytes()).into_owned();
            Some(self.index(name, table, (method, definition)))
        });
        let of_constraints = self.of_kind("CONSTRAINT").filter_map(|entry| {
            let table = self.toc.constrained(entry)?;
            let constraint = entry.tag.to_str()?.strip_prefix(table.name.as_str())?;
            let constraint = constraint.strip_prefix(' ')?.to_owned();
            let name = QualifiedName::new(&table.schema, &constraint);
            let key = self.toc.key_definition(entry);
            let definition = key.as_ref().and_then(|key| {
                let rest = std::str::from_utf8(&key.index).ok()?;
                Some(format!(
                    "create unique index {} on {table} using btree {rest}",
                    quote_ident(&constraint)
                ))
            });
            let kind = definition
                .is_some()
                .then_some(&key)
                .and_then(Option::as_ref);
            let kind = kind.map(|key| if key.primary { 'p' } else { 'u' });
            let method = if kind.is_some() { "btree" } else { "gist" }.to_owned();
            Some(Index {
                constraint: Some(constraint),
                constraint_kind: kind,
                deferrable: key.as_ref().is_some_and(|key| key.deferrable),
                deferred: key.as_ref().is_some_and(|key| key.deferred),
                ..self.index(name, table, (method, definition.unwrap_or_default()))
            })
        });
        plain.chain(of_constraints).collect()
    }

    fn index(
        &self,
        name: QualifiedName,
        table: QualifiedName,
        (method, definition): (String, String),
    ) -> Index {
        let (entries, bytes) = self.index_size(&table);
        Index {
            oid: Oid(0),
            name,
            relation: Oid(0),
            method,
            partitioned: self.partitioned.contains(&table),
            valid: true,
            ready: true,
            bytes,
            entries,
            definition,
            constraint: None,
            constraint_kind: None,
            deferrable: false,
            deferred: false,
            table,
        }
    }

    /// Foreign keys, which are validated on their own. One that is not understood has its turn at the end, as it is.
    fn constraints(&self) -> Vec<Constraint> {
        let keys = self.of_kind("FK CONSTRAINT").filter_map(|entry| {
            let (table, references) = self.toc.key_between(entry)?;
            let name = entry.tag.to_str()?.strip_prefix(table.name.as_str())?;
            let definition = entry.defn_bytes().trim_ascii_end();
            Some(Constraint {
                name: name.strip_prefix(' ')?.to_owned(),
                kind: 'f',
                validated: !definition.ends_with(b"NOT VALID;"),
                enforced: true,
                on_partitioned: self.partitioned.contains(&table),
                inherited: false,
                references_partitioned: self.partitioned.contains(&references),
                over_time: None,
                references: Some(references),
                table,
            })
        });
        keys.collect()
    }

    fn sequences(&self) -> Result<Vec<Sequence>, PlanError> {
        let positions = self.toc.sequence_positions();
        let positions = positions.map_err(|entry| PlanError::ArchivedEntry {
            entry: entry.to_string(),
            what: "where the sequence stands",
        })?;
        let known: BTreeSet<QualifiedName> = self
            .of_kind("SEQUENCE")
            .filter_map(Entry::qualified_name)
            .collect();
        positions
            .into_iter()
            .map(|position| {
                let names = position.schema.to_str().zip(position.name.to_str());
                let (schema, name) = names.ok_or_else(|| PlanError::NameNotUtf8 {
                    what: format!("the sequence {}", position.name.to_string_lossy()),
                })?;
                let name = QualifiedName::new(schema, name);
                let extension = (!known.contains(&name))
                    .then(|| {
                        self.of_kind("EXTENSION")
                            .next()?
                            .tag
                            .to_str()
                            .map(str::to_owned)
                    })
                    .flatten();
                Ok(Sequence {
                    name,
                    last_value: position.last_value,
                    is_called: position.is_called,
                    extension,
                    ahead: None,
                })
            })
            .collect()
    }

    fn matviews(&self) -> Vec<Matview> {
        let populated: BTreeSet<QualifiedName> = self
            .of_kind("MATERIALIZED VIEW DATA")
            .filter_map(Entry::qualified_name)
            .collect();
        let views = self.of_kind("MATERIALIZED VIEW").filter_map(|entry| {
            let name = entry.qualified_name()?;
            let inputs = self.inputs(entry);
            Some(Matview {
                oid: entry.oid,
                populated: populated.contains(&name),
                name,
                calls_user_code: true,
                definition: String::new(),
                bytes: Bytes(0),
                row_estimate: Rows(0),
                reads_foreign_property: inputs.iter().any(|input| input.owner != entry.owner),
                inputs: inputs.iter().map(|input| input.oid).collect(),
                columns: Vec::new(),
            })
        });
        views.collect()
    }

    /// Every relation that a view reads, also through views.
    fn inputs(&self, view: &Entry) -> Vec<&'a Entry> {
        let mut inputs: Vec<&'a Entry> = Vec::new();
        let mut seen: BTreeSet<DumpId> = BTreeSet::from([view.dump_id]);
        let mut next: Vec<DumpId> = view.dependencies.to_vec();
        while let Some(id) = next.pop() {
            let Some(&entry) = self.by_id.get(&id).filter(|_| seen.insert(id)) else {
                continue;
            };
            match entry.desc.as_str() {
                "VIEW" => next.extend(&entry.dependencies),
                "TABLE" | "FOREIGN TABLE" | "MATERIALIZED VIEW" => {}
                _ => continue,
            }
            inputs.push(entry);
        }
        inputs
    }

    fn large_objects(&self) -> Vec<LargeObject> {
        let lists: BTreeSet<DumpId> = self.of_kind("BLOBS").map(|list| list.dump_id).collect();
        let mut owners: HashMap<Oid, &Text> = HashMap::new();
        let described = self.toc.entries.iter();
        for entry in
            described.filter(|entry| matches!(entry.desc.as_str(), "BLOB" | "BLOB METADATA"))
        {
            let Some(owner) = &entry.owner else { continue };
            let list = match entry.desc.as_str() {
                "BLOB" => String::from_utf8_lossy(&entry.tag),
                _ => String::from_utf8_lossy(entry.defn_bytes()),
            };
            let oids = list
                .split_ascii_whitespace()
                .filter_map(|oid| oid.parse().ok());
            owners.extend(oids.map(|oid| (Oid(oid), owner)));
        }
        let objects = self.data.objects.iter();
        // The others are in the archive, and not in the part of it that is restored.
        objects
            .filter(|(_, list)| lists.contains(*list))
            .map(|(&oid, _)| LargeObject {
                oid,
                owner: owners
                    .get(&oid)
                    .map(|owner| owner.to_string_lossy())
                    .unwrap_or_default(),
                comment: None,
                grants: None,
            })
            .collect()
    }
}

fn named(entry: &Entry) -> Result<QualifiedName, PlanError> {
    entry
        .qualified_name()
        .ok_or_else(|| PlanError::NameNotUtf8 {
            what: entry.to_string(),
        })
}
