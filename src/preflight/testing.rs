//! Facts for the tests of rules: two servers and a schema, to which each test adds what its rule is about.

use std::collections::BTreeMap;

use super::{CheckFacts, Measured, MeasuredLog, PreflightFacts};
use crate::catalog::{
    Circumstances, Counts, DatabaseFacts, Disks, Index, LocaleProvider, Orphans,
    OwnerWithoutCreate, Pulse, ServerFacts, Setting, SourceFacts, Table, TargetFacts, Unreadable,
};
use crate::model::{Bytes, DumpId, Finding, Oid, QualifiedName, Rows, ServerVersion, SqlText};
use crate::plan::testing::unit;
use crate::plan::{CopyUnit, Plan};
use crate::salvage::WrongFile;
use crate::toc::{
    ArchiveFormat, ArchiveVersion, Compression, CreatedAt, DataPlace, Entry, Header,
    RestoreOptions, Section, Text, Toc,
};

/// Owns what [`PreflightFacts`] borrows. The default has nothing to find.
pub(super) struct World {
    pub source: ServerFacts,
    pub target: ServerFacts,
    pub source_facts: SourceFacts,
    pub target_facts: TargetFacts,
    pub toc: Toc,
    pub restore: RestoreOptions,
    pub unreadable: Unreadable,
    pub out_of_reach: Vec<QualifiedName>,
    pub settings: Vec<String>,
    pub assumable: Vec<String>,
    pub without_create: Vec<OwnerWithoutCreate>,
    pub source_now: Circumstances,
    pub target_now: Circumstances,
    pub pulses: (Pulse, Pulse),
    pub source_database: DatabaseFacts,
    pub target_database: DatabaseFacts,
    pub wrong_files: Vec<WrongFile>,
    pub orphans: Option<Orphans>,
    pub counts: Option<Counts>,
    pub disks: Option<Disks>,
    pub packed: BTreeMap<QualifiedName, Bytes>,
    pub plan: Plan,
    pub measured: Option<Measured>,
}

fn server(system_identifier: i64) -> ServerFacts {
    ServerFacts {
        version: ServerVersion(150_018),
        system_identifier: Some(system_identifier),
        database_oid: Oid(16_384),
        database: "shop".into(),
        role: "me".into(),
        superuser: true,
        creates_databases: true,
        in_recovery: false,
        cancels_reads: false,
        streaming_delay: None,
        archive_delay: None,
        encoding: "UTF8".into(),
        block_size: 8192,
        shared_buffers: Bytes(128 << 20),
        maintenance_work_mem: Bytes(64 << 20),
        has_pgconvoy_schema: false,
        lock_slots: 6400,
        locks_per_session: 64,
        value_settings: Vec::new(),
        passing_over_damage: Vec::new(),
    }
}

fn database() -> DatabaseFacts {
    DatabaseFacts {
        name: "shop".into(),
        owner: "owner".into(),
        encoding: "UTF8".into(),
        lc_collate: "C".into(),
        lc_ctype: "C".into(),
        provider: LocaleProvider::Libc,
        locale: None,
        icu_rules: None,
        tablespace: "pg_default".into(),
        connection_limit: -1,
        comment: None,
        grants: None,
        settings: Vec::new(),
        labels: Vec::new(),
    }
}

impl Default for World {
    fn default() -> Self {
        let header = Header {
            version: ArchiveVersion(1, 14, 0),
            int_size: 4,
            offset_size: 8,
            format: ArchiveFormat::Directory { code: 3 },
            compression: Compression::Level(0),
            created_at: CreatedAt {
                second: 0,
                minute: 0,
                hour: 0,
                day: 1,
                month0: 0,
                year_since_1900: 126,
                is_dst: 0,
            },
            database: None,
            server_version: None,
            dump_version: None,
        };
        Self {
            source: server(1),
            target: server(2),
            source_facts: SourceFacts::default(),
            target_facts: TargetFacts {
                roles: vec!["me".into()],
                ..TargetFacts::default()
            },
            toc: Toc {
                header,
                entries: Vec::new(),
            },
            restore: RestoreOptions::default(),
            unreadable: Unreadable::default(),
            out_of_reach: Vec::new(),
            settings: Vec::new(),
            assumable: Vec::new(),
            without_create: Vec::new(),
            source_now: Circumstances::default(),
            target_now: Circumstances::default(),
            pulses: (Pulse::default(), Pulse::default()),
            source_database: database(),
            target_database: database(),
            wrong_files: Vec::new(),
            orphans: None,
            counts: None,
            disks: None,
            packed: BTreeMap::new(),
            plan: Plan {
                memory: Bytes(512 << 20),
                ..Plan::of_nothing(2)
            },
            measured: None,
        }
    }
}

impl World {
    pub fn facts(&self) -> PreflightFacts<'_> {
        PreflightFacts {
            source: &self.source,
            target: &self.target,
            source_facts: &self.source_facts,
            target_facts: &self.target_facts,
            toc: Some(&self.toc),
            restore: &self.restore,
            overwrite: None,
            create: false,
            selective: false,
            unreadable: &self.unreadable,
            out_of_reach: &self.out_of_reach,
            database_settings: &self.settings,
            assumable_roles: &self.assumable,
            owners_without_create: &self.without_create,
        }
    }

    pub fn check_facts(&self) -> CheckFacts<'_> {
        CheckFacts {
            basis: self.facts(),
            source: &self.source_now,
            target: &self.target_now,
            pulses: self.pulses,
            source_database: &self.source_database,
            target_database: Some(&self.target_database),
            wrong_files: &self.wrong_files,
            orphans: self.orphans.as_ref(),
            counts: self.counts.as_ref(),
            disks: self.disks.as_ref(),
            packed: &self.packed,
            plan: &self.plan,
            measured: self.measured.as_ref(),
        }
    }

    /// Measures the road: two sessions copy and index 1 MB in a second each, 64 MB of log are written in one, and a commit waits so
    /// long for its disk.
    pub fn measure(&mut self, commit_us: u64) {
        const MB: f64 = 1_048_576.0;
        self.measured = Some(Measured {
            sessions: 2,
            read_bytes_per_second: Some(MB),
            copy_bytes_per_second: Some(MB),
            write_bytes_per_second: MB,
            index_bytes_per_second: MB,
            source_round_trip_us: 100,
            target_round_trip_us: 100,
            log: Some(MeasuredLog {
                bytes_per_second: 64.0 * MB,
                commit_us,
            }),
        });
    }

    /// Sets a setting of the source.
    pub fn source_setting(&mut self, name: &str, value: &str, amount: Option<i64>) {
        let value = value.to_owned();
        let setting = Setting {
            value,
            amount,
            ..Setting::default()
        };
        self.source_now.settings.insert(name.to_owned(), setting);
    }

    /// Sets a setting of the target.
    pub fn target_setting(&mut self, name: &str, value: &str, amount: Option<i64>) {
        let value = value.to_owned();
        let setting = Setting {
            value,
            amount,
            ..Setting::default()
        };
        self.target_now.settings.insert(name.to_owned(), setting);
    }

    /// Adds a table to what will be copied.
    pub fn copied(&mut self, name: &str, bytes: Bytes) {
        self.plan.tables.push(CopyUnit {
            columns: Vec::new(),
            bytes,
            ..unit(QualifiedName::new("public", name))
        });
    }

    /// Adds an index to what the source holds; it can be told more about it.
    pub fn index(&mut self, name: &str, table: &str, bytes: Bytes) -> &mut Index {
        self.source_facts.indexes.push(Index {
            oid: Oid(2),
            name: QualifiedName::new("public", name),
            table: QualifiedName::new("public", table),
            relation: Oid(1),
            method: "btree".into(),
            partitioned: false,
            valid: true,
            ready: true,
            bytes,
            entries: Rows(0),
            definition: String::new(),
            constraint: None,
            constraint_kind: None,
            deferrable: false,
            deferred: false,
        });
        let last = self.source_facts.indexes.len() - 1;
        &mut self.source_facts.indexes[last]
    }

    /// Adds an entry; what it returns can be told more about it.
    pub fn entry(&mut self, desc: &str, tag: &str, defn: &str) -> Added<'_> {
        let id = i32::try_from(self.toc.entries.len()).expect("few") + 1;
        self.toc.entries.push(Entry {
            dump_id: DumpId(id),
            had_dumper: false,
            table_oid: Oid(0),
            oid: Oid(0),
            tag: Text::from(tag),
            desc: desc.into(),
            section: Section::PreData,
            defn: Some(SqlText::from(defn)),
            drop_stmt: Some(SqlText::from(format!("DROP {desc} {tag};\n"))),
            copy_stmt: None,
            namespace: Some(Text::from("public")),
            tablespace: None,
            table_am: None,
            relkind: None,
            owner: None,
            with_oids: false,
            dependencies: Box::default(),
            data: DataPlace::File(Text::default()),
        });
        let last = self.toc.entries.len() - 1;
        Added(&mut self.toc.entries[last])
    }

    /// Adds a table to what the source holds.
    pub fn table(&mut self, name: &str) {
        self.source_facts
            .tables
            .push(Table::bare(QualifiedName::new("public", name), Vec::new()));
    }
}

/// An entry that was just added.
pub(super) struct Added<'a>(&'a mut Entry);

impl Added<'_> {
    pub fn owner(self, owner: &str) -> Self {
        self.0.owner = Some(Text::from(owner));
        self
    }

    pub fn tablespace(self, name: &str) -> Self {
        self.0.tablespace = Some(Text::from(name));
        self
    }
}

/// The names of the rules, in order.
pub(super) fn rules(findings: &[Finding]) -> Vec<&str> {
    findings
        .iter()
        .map(|finding| finding.rule.as_str())
        .collect()
}
