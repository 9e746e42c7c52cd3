//! Typed facts about a server, read with the queries in `sql/catalog/`.
//!
//! One complete query per file (`sql/README.md` says how they are kept); where a server version needs another text, its last major
//! version is the suffix (`columns.11.sql`: up to 11). [`QUERIES`] lists them all, and a test prepares each against every supported
//! server; so are those of [`CIRCUMSTANCES_QUERIES`], in `sql/preflight/`. Facts say what is; what to do about it is decided in
//! `preflight` and `plan`.
//!
//! | file | how it is read |
//! |---|---|
//! | `queries` | the queries, each with the server versions it is for |
//! | `facts` | what a source or a target has, as plain values |
//! | `read` | answers → facts |
//! | `decoded` | texts in another encoding, as the server decodes them |
//!
//! | file | what is there, in the run's snapshot |
//! |---|---|
//! | `server`, `database` | who and what a server is; how its database was created, and what it could be emptied of |
//! | `types` | whether a type's binary form is the value's own, and what it holds |
//! | `sequences` | where sequences stand |
//! | `foreign_keys`, `orphans` | the keys that are said to hold; rows that violate one |
//! | `statistics` | the planner's, so that the target can be given them |
//! | `remade` | what no dump says of a relation |
//! | `owners` | who may own what in which schema |
//! | `ledger_schema` | whose a schema with the ledger's name is |
//! | `loaded` | what tables hold before they are loaded, and what would fire |
//!
//! | file | how things stand, outside of any snapshot |
//! |---|---|
//! | `circumstances` | who else is at work, what there is room for, what is kept and for whom |
//! | `sessions` | whose locks and connections are in our way |
//! | `disks` | the room on a server's disks, where this machine can see them |
//! | `counts` | small tables counted twice, by rows and by keys |

mod circumstances;
mod counts;
mod database;
mod decoded;
mod disks;
mod facts;
mod foreign_keys;
mod ledger_schema;
mod loaded;
mod orphans;
mod owners;
mod queries;
mod read;
mod remade;
mod sequences;
mod server;
mod sessions;
mod statistics;
mod types;

pub use circumstances::{
    CIRCUMSTANCES_QUERIES, Circumstances, Connections, DatabaseState, Guest, LogConsumers,
    NotDumped, NotDumpedKind, Prepared, Pulse, Setting, Slot, SystemCollation, Unreadable,
};
pub use counts::{Counts, Keyed, LARGEST_COUNTED, Miscount};
pub use database::{
    DatabaseFacts, DatabaseGrant, DatabaseSetting, Droppable, LocaleProvider, MissingDefault,
    database_facts, droppable, missing_defaults, subscriptions,
};
pub use decoded::{decoded_names, decoded_texts};
pub use disks::{Disk, Disks, packed_rows};
pub use facts::{
    Activity, Column, Constraint, Extension, Holding, Index, LargeObject, LargeObjectGrant,
    Matview, ServerFacts, SourceFacts, Table, TargetFacts, Type,
};
pub(crate) use foreign_keys::in_partitions;
pub use foreign_keys::{ForeignKey, Reference, foreign_keys};
pub use ledger_schema::{LEDGER_SCHEMA, LedgerSchema, ledger_schema};
pub use loaded::{Trigger, filled, firing_triggers, no_plain_tables};
pub use orphans::{Orphan, Orphans};
pub use owners::{NewOwner, OwnerWithoutCreate, owners_without_create};
pub use queries::{QUERIES, VersionedQuery};
pub use read::{
    activity, assumable_roles, constraints, holdings, in_full, indexes, installed_extensions,
    large_object_content, large_objects, out_of_reach, readable_tables, relations, roles, schemas,
    source_facts, source_facts_but, target_facts, unreadable,
};
pub use remade::{HalfDetached, Remade, WithOids, remade};
pub use sequences::{LOGGED_AHEAD, LoggedAhead, Sequence, sequences, sequences_but};
pub use server::server_facts;
pub use sessions::{
    BarringLock, Holder, LockTable, barring_locks, connections, locks_on, writing_locks,
};
pub use statistics::{ColumnStatistics, Sampled, sampled};
pub use types::{
    Types, intervals_differ_because, print_floats_differently, text_with_rounded_floats,
};
