//! A database that exists only as facts and a table of contents: whatever size and shape, and no server for it.
//!
//! Its entries are those that `pg_dump` would write, as far as the planner looks at them: tables, indexes, constraints and
//! foreign keys, each with a statement that can be split and extended.

use std::collections::{BTreeMap, BTreeSet};

use pgconvoy::catalog::{Column, Constraint, Index, ServerFacts, SourceFacts, Table, Type};
use pgconvoy::model::{Bytes, DumpId, Oid, QualifiedName, Rows, ServerVersion, VerifyLevel};
use pgconvoy::plan::{Inputs, Left, Plan, PlanOptions, Salvaged};
use pgconvoy::toc::{
    ArchiveFormat, ArchiveVersion, Compression, CreatedAt, DataPlace, Entry, Header,
    RestoreOptions, Section, Toc,
};

const INTEGER: Oid = Oid(23);
const BLOCK: u64 = 8192;

/// How an index came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// `CREATE INDEX`.
    Plain,
    /// A primary key.
    Key,
}

/// A database under construction.
#[derive(Debug, Default)]
pub struct Database {
    pre_data: Vec<Entry>,
    indexes: Vec<Entry>,
    foreign_keys: Vec<Entry>,
    facts: SourceFacts,
    dump_ids: BTreeMap<String, DumpId>,
    next: i32,
}

impl Database {
    /// A table with so many bytes of rows.
    pub fn table(&mut self, name: &str, bytes: u64) {
        let definition = format!(
            "CREATE TABLE public.{name} (\n    id integer NOT NULL,\n    a integer,\n    b integer\n);\n"
        );
        let entry = self.entry("TABLE", name, &definition, Vec::new());
        self.dump_ids.insert(name.to_owned(), entry.dump_id);
        let oid = Oid(20_000 + entry.dump_id.0.unsigned_abs());
        self.pre_data.push(entry);
        let column = |name: &str| Column {
            name: name.to_owned(),
            type_oid: INTEGER,
            generated: false,
            is_virtual: false,
        };
        self.facts.tables.push(Table {
            oid,
            name: public(name),
            unlogged: false,
            has_children: false,
            heap: Bytes(bytes.next_multiple_of(BLOCK)),
            total: Bytes(bytes),
            row_estimate: Rows(bytes / 100),
            extension: None,
            extension_condition: None,
            partition_root: None,
            load_via_root: false,
            reaches_foreign: false,
            columns: ["id", "a", "b"].map(column).into(),
            integer_key: Some("id".to_owned()),
            key_range: None,
        });
    }

    /// An index of a table, with its size.
    pub fn index(&mut self, table: &str, name: &str, method: &str, bytes: u64, made: Made) {
        let on = self.dump_ids[table];
        let unique = if made == Made::Key { "UNIQUE " } else { "" };
        let definition =
            format!("CREATE {unique}INDEX {name} ON public.{table} USING {method} (id)");
        let entry = match made {
            Made::Plain => self.entry("INDEX", name, &format!("{definition};\n"), vec![on]),
            Made::Key => {
                let add = format!(
                    "ALTER TABLE ONLY public.{table}\n    ADD CONSTRAINT {name} PRIMARY KEY (id);\n"
                );
                let entry = self.entry("CONSTRAINT", &format!("{table} {name}"), &add, vec![on]);
                self.dump_ids
                    .insert(format!("{table}'s key"), entry.dump_id);
                entry
            }
        };
        self.indexes.push(entry);
        self.facts.indexes.push(Index {
            oid: Oid(0),
            name: public(name),
            table: public(table),
            relation: Oid(0),
            method: method.to_owned(),
            partitioned: false,
            valid: true,
            ready: true,
            bytes: Bytes(bytes),
            entries: Rows(0),
            definition,
            constraint: (made == Made::Key).then(|| name.to_owned()),
            constraint_kind: (made == Made::Key).then_some('p'),
            deferrable: false,
            deferred: false,
        });
    }

    /// A foreign key from one table to another's primary key.
    pub fn foreign_key(&mut self, table: &str, name: &str, references: &str) {
        let definition = format!(
            "ALTER TABLE ONLY public.{table}\n    ADD CONSTRAINT {name} FOREIGN KEY (a) REFERENCES public.{references}(id);\n"
        );
        let mut dependencies = vec![self.dump_ids[table]];
        dependencies.extend(self.dump_ids.get(&format!("{references}'s key")));
        dependencies.push(self.dump_ids[references]);
        let entry = self.entry(
            "FK CONSTRAINT",
            &format!("{table} {name}"),
            &definition,
            dependencies,
        );
        self.foreign_keys.push(entry);
        self.facts.constraints.push(Constraint {
            table: public(table),
            name: name.to_owned(),
            kind: 'f',
            validated: true,
            enforced: true,
            on_partitioned: false,
            inherited: false,
            references: Some(public(references)),
            references_partitioned: false,
            over_time: None,
        });
    }

    /// A comment on a table: something that is made last, and locks it.
    pub fn comment(&mut self, table: &str) {
        let definition = format!("COMMENT ON TABLE public.{table} IS 'a table';\n");
        let on = self.dump_ids[table];
        let mut entry = self.entry("COMMENT", &format!("TABLE {table}"), &definition, vec![on]);
        entry.section = Section::None;
        entry.drop_stmt = None;
        self.foreign_keys.push(entry);
    }

    fn entry(&mut self, desc: &str, tag: &str, defn: &str, dependencies: Vec<DumpId>) -> Entry {
        self.next += 1;
        Entry {
            dependencies: dependencies.into(),
            ..entry(DumpId(self.next), desc, tag, defn)
        }
    }

    /// The plan for so many workers, and for a target with as much memory as a machine of that size has.
    pub fn plan(&self, workers: u32) -> Plan {
        let parts = [&self.pre_data, &self.indexes, &self.foreign_keys];
        let mut entries = about_the_archive();
        entries.extend(parts.into_iter().flatten().cloned());
        let toc = Toc {
            header: header(),
            entries,
        };
        let mut facts = self.facts.clone();
        facts.types = BTreeMap::from([(INTEGER, integer())]);
        let (source, target) = (server(), server());
        let options = PlanOptions {
            jobs: workers,
            verify: VerifyLevel::Content,
            restore: RestoreOptions::default(),
            exclude_data: BTreeSet::new(),
            chunk_size: None,
            memory: Bytes(u64::from(workers) * (512 << 20)),
            left: Left::default(),
            salvaged: Salvaged::default(),
        };
        let inputs = Inputs {
            toc: &toc,
            source: &source,
            facts: &facts,
            target: &target,
            archive: None,
            options: &options,
        };
        Plan::make(&inputs).expect("a database that can be planned")
    }
}

fn public(name: &str) -> QualifiedName {
    QualifiedName::new("public", name)
}

fn entry(dump_id: DumpId, desc: &str, tag: &str, defn: &str) -> Entry {
    let table = desc == "TABLE";
    Entry {
        dump_id,
        had_dumper: false,
        table_oid: Oid(1259),
        oid: Oid(dump_id.0.unsigned_abs()),
        tag: tag.into(),
        desc: desc.into(),
        section: if table {
            Section::PreData
        } else {
            Section::PostData
        },
        defn: Some(defn.into()),
        drop_stmt: Some(format!("DROP {desc} public.{tag};\n").into()),
        copy_stmt: None,
        namespace: Some("public".into()),
        tablespace: Some("".into()),
        table_am: table.then(|| "heap".into()),
        relkind: table.then_some(b'r'),
        owner: Some("postgres".into()),
        with_oids: false,
        dependencies: Box::default(),
        data: DataPlace::File("".into()),
    }
}

/// What stands first in every archive.
fn about_the_archive() -> Vec<Entry> {
    let settings = [
        ("ENCODING", "SET client_encoding = 'UTF8';\n"),
        ("STDSTRINGS", "SET standard_conforming_strings = 'on';\n"),
        (
            "SEARCHPATH",
            "SELECT pg_catalog.set_config('search_path', '', false);\n",
        ),
    ];
    let numbered = settings.into_iter().zip(1_000_000..);
    let setting = |((desc, defn), number)| Entry {
        section: Section::PreData,
        namespace: None,
        tablespace: None,
        owner: None,
        ..entry(DumpId(number), desc, desc, defn)
    };
    numbered.map(setting).collect()
}

fn integer() -> Type {
    Type {
        name: "integer".to_owned(),
        schema: "pg_catalog".to_owned(),
        kind: 'b',
        element: None,
        base: None,
        has_binary: true,
        fields: Vec::new(),
        subtype: None,
        range: None,
        extension: None,
    }
}

fn header() -> Header {
    Header {
        version: ArchiveVersion(1, 16, 0),
        int_size: 4,
        offset_size: 8,
        format: ArchiveFormat::Custom,
        compression: Compression::None,
        created_at: CreatedAt {
            second: 0,
            minute: 0,
            hour: 0,
            day: 1,
            month0: 0,
            year_since_1900: 126,
            is_dst: 0,
        },
        database: Some("d".into()),
        server_version: Some("18.0".into()),
        dump_version: Some("18.0".into()),
    }
}

fn server() -> ServerFacts {
    ServerFacts {
        version: ServerVersion(180_000),
        system_identifier: None,
        database_oid: Oid(16_384),
        database: "d".to_owned(),
        role: "postgres".to_owned(),
        superuser: true,
        creates_databases: true,
        in_recovery: false,
        cancels_reads: false,
        streaming_delay: None,
        archive_delay: None,
        encoding: "UTF8".to_owned(),
        block_size: BLOCK,
        shared_buffers: Bytes(1 << 30),
        maintenance_work_mem: Bytes(64 << 20),
        has_pgconvoy_schema: false,
        lock_slots: 1 << 20,
        locks_per_session: 64,
        value_settings: Vec::new(),
        passing_over_damage: Vec::new(),
    }
}
