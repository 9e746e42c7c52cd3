//! What there is to know about a server, as plain values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ledger_schema::LedgerSchema;
use super::remade::Remade;
use super::sequences::Sequence;
use super::statistics::Sampled;
use crate::model::{Bytes, Oid, QualifiedName, Rows, ServerVersion, quote_ident};

/// Who and what a server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// `server_version_num`.
    pub version: ServerVersion,
    /// Made by `initdb`; equal on a server and its standbys.
    pub system_identifier: Option<i64>,
    /// The connected database's OID.
    pub database_oid: Oid,
    /// The connected database's name.
    pub database: String,
    /// The connected role.
    pub role: String,
    /// Whether that role is a superuser.
    pub superuser: bool,
    /// Whether it may create databases.
    #[serde(default)]
    pub creates_databases: bool,
    /// Whether the server is a standby.
    pub in_recovery: bool,
    /// Whether what it replays may cancel a long read: not if it waits for reads, or has its primary keep what they need.
    pub cancels_reads: bool,
    /// How long it waits for reads, as it is set: `max_standby_streaming_delay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streaming_delay: Option<String>,
    /// `max_standby_archive_delay` of a standby that reads an archive.
    #[serde(default)]
    pub archive_delay: Option<String>,
    /// Database encoding, as `pg_encoding_to_char` names it.
    pub encoding: String,
    /// Bytes per block, 8192 unless compiled otherwise.
    pub block_size: u64,
    /// `shared_buffers`.
    pub shared_buffers: Bytes,
    /// `maintenance_work_mem`.
    pub maintenance_work_mem: Bytes,
    /// Whether there is a schema `pgconvoy`, the name that a ledger has.
    pub has_pgconvoy_schema: bool,
    /// How many relation locks the shared lock table is laid out for.
    pub lock_slots: u64,
    /// Of these, those of one session: `max_locks_per_transaction`.
    pub locks_per_session: u64,
    /// What [`VALUE_SETTINGS`](crate::pg::VALUE_SETTINGS) are in a session of this role that does not pin them, by name.
    pub value_settings: Vec<(String, String)>,
    /// Which of [`PASSING_OVER_DAMAGE`](crate::pg::PASSING_OVER_DAMAGE) are on in a session of this role that does not switch them off.
    #[serde(default)]
    pub passing_over_damage: Vec<String>,
}

impl ServerFacts {
    /// What `max_locks_per_transaction` has to be for so many locks at a time, if it is too small.
    pub fn locks_setting_for(&self, locks: u64) -> Option<u64> {
        let sessions = self.lock_slots / self.locks_per_session.max(1);
        let too_few = self.lock_slots > 0 && locks > self.lock_slots;
        too_few.then(|| locks.div_ceil(sessions.max(1)).max(64))
    }

    /// What a query is run with whose result is stored on `target`: as sessions of this server have it, since `date_trunc`, for example,
    /// goes by the time zone. Names of locales are a machine's own.
    pub fn settings_of_queries(&self, target: &Self) -> Vec<(String, String)> {
        let known = |setting: &&(String, String)| {
            setting.0 != "lc_monetary" || target.value_settings.contains(setting)
        };
        self.value_settings.iter().filter(known).cloned().collect()
    }
}

/// A column, in attribute order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name, unquoted.
    pub name: String,
    /// Type; a key of [`SourceFacts::types`].
    pub type_oid: Oid,
    /// `GENERATED ALWAYS AS (…)`: computed by the server, so compared and not copied.
    pub generated: bool,
    /// Generated, and not even stored (18+).
    pub is_virtual: bool,
}

/// A type, and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Type {
    /// As `format_type` prints it.
    pub name: String,
    /// Its schema.
    pub schema: String,
    /// `pg_type.typtype`: `b`ase, `c`omposite, `d`omain, `e`num, `r`ange, `m`ultirange, `p`seudo.
    pub kind: char,
    /// Element type of a true array.
    pub element: Option<Oid>,
    /// Base type of a domain.
    pub base: Option<Oid>,
    /// Whether it has both a send and a receive function.
    pub has_binary: bool,
    /// Types of a composite's fields.
    pub fields: Vec<Oid>,
    /// Subtype of a range.
    pub subtype: Option<Oid>,
    /// Range type of a multirange.
    pub range: Option<Oid>,
    /// The extension it belongs to.
    pub extension: Option<String>,
}

#[cfg(test)]
impl Type {
    /// A base type of the server's own.
    pub fn built_in(name: &str) -> Self {
        Self {
            name: name.to_owned(),
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
}

/// An ordinary table or leaf partition: something that has rows of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its OID on the source.
    pub oid: Oid,
    /// Its name, on both sides.
    pub name: QualifiedName,
    /// Not WAL-logged.
    pub unlogged: bool,
    /// Has (or had) inheritance children: it must be read with `ONLY`.
    pub has_children: bool,
    /// Main fork.
    pub heap: Bytes,
    /// Main fork, TOAST, free space and visibility maps.
    pub total: Bytes,
    /// `reltuples`, 0 when never analyzed.
    pub row_estimate: Rows,
    /// The extension whose configuration table it is.
    pub extension: Option<String>,
    /// The condition on rows of such a table that belong to the user; may be empty.
    pub extension_condition: Option<String>,
    /// The topmost partitioned table above it.
    pub partition_root: Option<QualifiedName>,
    /// Its rows must be loaded through that root, because a row's partition can differ between servers.
    pub load_via_root: bool,
    /// It, or the root above it, has a foreign table below: what reads the tree reads the foreign server.
    pub reaches_foreign: bool,
    /// All columns, in attribute order.
    pub columns: Vec<Column>,
    /// The only column of the primary key, if that is one column of an integer type.
    pub integer_key: Option<String>,
    /// Smallest and largest value of that key; only read from servers that cannot scan ranges of blocks.
    pub key_range: Option<(i64, i64)>,
}

#[cfg(test)]
impl Table {
    /// One of which nothing is known but its name and columns.
    pub fn bare(name: QualifiedName, columns: Vec<Column>) -> Self {
        Self {
            oid: Oid(1),
            name,
            unlogged: false,
            has_children: false,
            heap: Bytes(0),
            total: Bytes(0),
            row_estimate: Rows(0),
            extension: None,
            extension_condition: None,
            partition_root: None,
            load_via_root: false,
            reaches_foreign: false,
            columns,
            integer_key: None,
            key_range: None,
        }
    }
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its OID.
    pub oid: Oid,
    /// Its name.
    pub name: QualifiedName,
    /// The table or materialized view it is on.
    pub table: QualifiedName,
    /// That relation's OID.
    pub relation: Oid,
    /// Access method: `btree`, `gin`, …
    pub method: String,
    /// On a partitioned table: has no storage of its own.
    pub partitioned: bool,
    /// `indisvalid`.
    pub valid: bool,
    /// `indisready`.
    pub ready: bool,
    /// Size.
    pub bytes: Bytes,
    /// Entries, as the server last counted them; 0 if it never has.
    #[serde(default)]
    pub entries: Rows,
    /// `pg_get_indexdef`.
    pub definition: String,
    /// The primary key, unique or exclusion constraint it serves.
    pub constraint: Option<String>,
    /// `pg_constraint.contype` of that constraint.
    pub constraint_kind: Option<char>,
    /// The constraint is deferrable.
    pub deferrable: bool,
    /// The constraint is initially deferred.
    pub deferred: bool,
}

/// A constraint on a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// Its table.
    pub table: QualifiedName,
    /// Its name.
    pub name: String,
    /// `pg_constraint.contype`.
    pub kind: char,
    /// `convalidated`.
    pub validated: bool,
    /// `conenforced` (18+): one that is not can neither be violated nor validated.
    pub enforced: bool,
    /// On a partitioned table.
    pub on_partitioned: bool,
    /// Made by a constraint of the partitioned parent.
    pub inherited: bool,
    /// The table a foreign key points to.
    pub references: Option<QualifiedName>,
    /// That table is partitioned.
    pub references_partitioned: bool,
    /// Of a foreign key over periods of time (18+): what adds it, as `ADD CONSTRAINT name` takes it. Servers validate only that the periods
    /// meet (18.4), and look whether they are covered when such a key is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_time: Option<String>,
}

/// A materialized view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matview {
    /// Its OID.
    pub oid: Oid,
    /// Its name.
    pub name: QualifiedName,
    /// Whether it holds data.
    pub populated: bool,
    /// Whether that query runs user-defined functions.
    pub calls_user_code: bool,
    /// The query it holds the result of, as the source prints it.
    pub definition: String,
    /// Size.
    pub bytes: Bytes,
    /// `reltuples`, 0 when never analyzed.
    pub row_estimate: Rows,
    /// Every relation it reads, also through views.
    pub inputs: Vec<Oid>,
    /// Whether one of them belongs to another role.
    pub reads_foreign_property: bool,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// A large object, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObject {
    /// Its OID, which is its name.
    pub oid: Oid,
    /// Its owner.
    pub owner: String,
    /// Its comment.
    pub comment: Option<String>,
    /// Its privileges, when they are not the default.
    pub grants: Option<Vec<LargeObjectGrant>>,
}

/// One privilege on a large object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LargeObjectGrant {
    /// Who granted it on, or `None` for the owner.
    #[serde(default)]
    pub grantor: Option<String>,
    /// The role, or `None` for `PUBLIC`.
    pub grantee: Option<String>,
    /// `SELECT` or `UPDATE`.
    pub privilege: String,
    /// With grant option.
    pub grantable: bool,
}

impl LargeObjectGrant {
    /// The statement that grants it, by whoever did. An owner's grant option is implied, and is not said.
    pub fn statement(&self, oid: Oid, owner: &str) -> String {
        let grantee = self.grantee.as_deref();
        let option = if self.grantable && grantee != Some(owner) {
            " with grant option"
        } else {
            ""
        };
        let to = grantee.map_or("public".to_owned(), quote_ident);
        let privilege = &self.privilege;
        let grant = format!("grant {privilege} on large object {oid} to {to}{option}");
        match &self.grantor {
            Some(grantor) => {
                let grantor = quote_ident(grantor);
                format!("set local role {grantor}; {grant}; reset role")
            }
            None => grant,
        }
    }
}

/// What the source holds, in one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// Tables with rows of their own.
    pub tables: Vec<Table>,
    /// Types of all columns, and what those are made of.
    pub types: BTreeMap<Oid, Type>,
    /// Indexes.
    pub indexes: Vec<Index>,
    /// Constraints.
    pub constraints: Vec<Constraint>,
    /// Sequences.
    pub sequences: Vec<Sequence>,
    /// Materialized views.
    pub matviews: Vec<Matview>,
    /// Large objects.
    pub large_objects: Vec<LargeObject>,
    /// What all of them take on disk; no catalog says it of one.
    #[serde(default)]
    pub large_object_bytes: Bytes,
    /// Extensions of the database.
    pub extensions: Vec<Extension>,
    /// What is made anew as something else.
    #[serde(default)]
    pub remade: Remade,
    /// The planner's statistics of tables whose statistics are worth taking over.
    #[serde(default)]
    pub sampled: BTreeMap<QualifiedName, Sampled>,
}

/// Something a database holds: a kind of object, how many, and a few names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// `table`, `function`, …
    pub kind: String,
    /// How many.
    pub count: u64,
    /// Up to five names.
    pub examples: Vec<String>,
}

/// An extension, created or to be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Name.
    pub name: String,
    /// Version that is installed, or that would be.
    pub version: Option<String>,
}

/// What the target holds and offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFacts {
    /// What is already there.
    pub holdings: Vec<Holding>,
    /// Whose a schema pgconvoy is that is there.
    #[serde(default)]
    pub ledger_schema: Option<LedgerSchema>,
    /// Roles.
    pub roles: Vec<String>,
    /// Tablespaces.
    pub tablespaces: Vec<String>,
    /// Extensions that can be created.
    pub extensions: Vec<Extension>,
    /// Those of them that only a superuser can create, as far as the server says so.
    #[serde(default)]
    pub superuser_extensions: Vec<String>,
    /// Extensions that are there already.
    pub installed: Vec<Extension>,
    /// Privileges that the connected role lacks to create things, as GRANT names them.
    pub missing_privileges: Vec<String>,
}

/// Rows written to a table since the statistics were reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The table.
    pub table: QualifiedName,
    /// Its OID.
    pub oid: Oid,
    /// Inserted, updated and deleted rows.
    pub written: u64,
}
