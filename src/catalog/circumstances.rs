//! How things stand on a server at the moment, as far as they could spoil a move: who else is at work, what there is room for,
//! what it keeps and for whom.
//!
//! Unlike the rest of the catalog it is not read in a snapshot, and nothing of it is moved. An ordinary role is not told everything;
//! what a server refuses altogether is named, and the rest still read.

use std::collections::BTreeMap;

use super::counts::PRIMARY_KEYS;
use super::disks::{DISK_PLACES, PACKED_ROWS};
use super::foreign_keys::FOREIGN_KEYS;
use super::queries::VersionedQuery;
use super::read::unreadable;
use super::sessions::{BarringLock, Holder, barring_locks};
use crate::model::{Bytes, Oid, QualifiedName};
use crate::pg::{Answer, PgError, Query, Session};

macro_rules! queries {
    ($($name:ident = $file:literal;)*) => {
        $(const $name: VersionedQuery = VersionedQuery {
            newest: Query::new($file, include_str!(concat!("../../sql/preflight/", $file))),
            older: None,
        };)*

        /// All of them, for the test that prepares each on every supported server.
        pub const CIRCUMSTANCES_QUERIES: &[VersionedQuery] = &[
            $($name,)*
            FOREIGN_KEYS,
            PRIMARY_KEYS,
            DISK_PLACES,
            PACKED_ROWS,
        ];
    };
}

queries! {
    SETTINGS = "settings.sql";
    CONNECTIONS = "connections.sql";
    SESSIONS = "sessions.sql";
    PREPARED = "prepared.sql";
    SLOTS = "slots.sql";
    LOG_CONSUMERS = "log_consumers.sql";
    DATABASE_STATE = "database_state.sql";
    OTHER_DATABASES = "other_databases.sql";
    PULSE = "pulse.sql";
    COLLATIONS = "collations.sql";
    UNREADABLE_LARGE_OBJECTS = "unreadable_large_objects.sql";
    UNCARRIED = "uncarried.sql";
}

/// How things stand on one side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Circumstances {
    /// Settings that matter to a move.
    pub settings: BTreeMap<String, Setting>,
    /// Sessions there are, and may be.
    pub connections: Connections,
    /// Other people's sessions in the database, the longest transaction first.
    pub sessions: Vec<Guest>,
    /// Locks that keep everybody out.
    pub locks: Vec<BarringLock>,
    /// Prepared transactions of the database.
    pub prepared: Vec<Prepared>,
    /// Replication slots of the server.
    pub slots: Vec<Slot>,
    /// Who else gets the write-ahead log.
    pub log_consumers: LogConsumers,
    /// Age and checksums.
    pub state: DatabaseState,
    /// Other databases of the server, with their sizes where we may ask for them.
    pub other_databases: Vec<(String, Option<Bytes>)>,
    /// Collations of the system, one for each use.
    pub collations: Vec<SystemCollation>,
    /// What is in no dump. The server is asked for rows of extensions here; the rest is known when the source has been looked at.
    pub uncarried: Vec<NotDumped>,
    /// What the server refused to tell, and why.
    pub refused: Vec<(String, String)>,
}

/// A setting of the server, as sessions begin with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting {
    /// As `pg_settings` has it.
    pub value: String,
    /// What its number counts, as `pg_settings` has it.
    pub unit: Option<String>,
    /// In bytes or milliseconds, if it is a number; -1 stays -1.
    pub amount: Option<i64>,
}

impl Setting {
    /// As it can be set, with its unit where that has a name: `1024MB`, `-1`. Without one, a number counts what the server counts.
    fn spelled(&self) -> String {
        let named = |unit: &&str| unit.starts_with(|c: char| c.is_ascii_alphabetic());
        let unit = self.unit.as_deref().filter(named);
        let unit = unit.filter(|_| self.value.parse::<u64>().is_ok());
        format!("{}{}", self.value, unit.unwrap_or_default())
    }
}

/// Sessions there are, and may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// `max_connections`.
    pub most: u64,
    /// Of these, those that only privileged roles get.
    pub reserved: u64,
    /// Client sessions on the server.
    pub open_everywhere: u64,
    /// Limit of the database, if it has one.
    pub database_limit: Option<u64>,
    /// Client sessions in it.
    pub open_in_database: u64,
    /// Limit of the connected role, if it has one.
    pub role_limit: Option<u64>,
    /// Its client sessions.
    pub open_of_role: u64,
}

/// Somebody else's session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guest {
    /// Who it is.
    pub holder: Holder,
    /// It is in a transaction.
    pub in_transaction: bool,
    /// For how long.
    pub transaction_seconds: u64,
    /// That transaction has written something.
    pub has_written: bool,
}

/// A prepared transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Its identifier.
    pub name: String,
    /// Whose it is.
    pub role: String,
    /// How long ago it was prepared.
    pub seconds: u64,
}

/// A collation that the operating system or ICU gives, and not a dump.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemCollation {
    /// Its name.
    pub name: String,
    /// The only encoding that it is for; none if it is for all.
    pub encoding: Option<String>,
    /// A table, view or type that uses it.
    pub used_by: Option<QualifiedName>,
}

/// Something that no dump carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDumped {
    /// What it is.
    pub kind: NotDumpedKind,
    /// Its name, and what kind of object it is, for people.
    pub object: String,
}

/// What is in no dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDumpedKind {
    /// Rows of a table of this extension that is no configuration of it.
    ExtensionRows(String),
    /// Something that was made or changed in `pg_catalog` or `information_schema`.
    InSystemSchema,
    /// A comment, or grants, on a part of this relation that has no entry of its own.
    Remark {
        /// The relation.
        on: QualifiedName,
        /// It is grants, and no comment.
        grants: bool,
    },
}

/// A replication slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// It is for logical decoding.
    pub logical: bool,
    /// It decodes the connected database.
    pub here: bool,
    /// Somebody is reading from it.
    pub active: bool,
    /// It keeps write-ahead log.
    pub keeps_log: bool,
    /// How much.
    pub kept: Bytes,
}

/// Who else gets the write-ahead log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogConsumers {
    /// Standbys and other receivers that are connected.
    pub connected: u64,
    /// Those of them that commits wait for.
    pub synchronous: u64,
    /// Those of which we may not see what they are.
    pub hidden: u64,
    /// The archiver's last attempt failed.
    pub archiver_fails: bool,
    /// How often it has failed.
    pub archiver_failures: u64,
}

/// A database's age and health.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseState {
    /// Age of its oldest transaction id that is not frozen.
    pub transactions: u64,
    /// The same of multixacts.
    pub multixacts: u64,
    /// Pages whose checksum was wrong, if there are checksums and somebody counts.
    pub checksum_failures: Option<u64>,
    /// When that last happened.
    pub last_checksum_failure: Option<String>,
    /// Size of all large objects.
    pub large_objects: Bytes,
}

/// What the connected role may not read of what is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// Tables, materialized views and sequences, wholly or row by row.
    pub relations: Vec<QualifiedName>,
    /// Large objects, each of which has an owner and privileges of its own: how many, and some of them.
    pub large_objects: (u64, Vec<Oid>),
}

/// Where a server is at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Its own clock.
    pub at_ms: u64,
    /// The next transaction id that it gives out.
    pub next_transaction: u64,
    /// Rows written to the database so far, counted with a delay of up to a second.
    pub rows_written: u64,
}

impl Circumstances {
    /// Asks a server. Only a lost connection is an error.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        let mut asking = Asking {
            session,
            refused: Vec::new(),
        };
        let settings = asking.rows("settings", &SETTINGS, setting).await?;
        Ok(Self {
            settings: settings.into_iter().collect(),
            connections: asking
                .row("connections", &CONNECTIONS, Connections::from_answer)
                .await?,
            sessions: asking
                .rows("sessions", &SESSIONS, Guest::from_answer)
                .await?,
            locks: asking.locks().await?,
            prepared: asking
                .rows("prepared transactions", &PREPARED, Prepared::from_answer)
                .await?,
            slots: asking
                .rows("replication slots", &SLOTS, Slot::from_answer)
                .await?,
            log_consumers: asking
                .row("standbys", &LOG_CONSUMERS, LogConsumers::from_answer)
                .await?,
            state: asking
                .row(
                    "the database's state",
                    &DATABASE_STATE,
                    DatabaseState::from_answer,
                )
                .await?,
            other_databases: asking
                .rows("other databases", &OTHER_DATABASES, |row| {
                    let bytes = row.get::<Option<i64>>("bytes")?;
                    let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
                    Ok((row.get("name")?, bytes.map(Bytes)))
                })
                .await?,
            collations: asking
                .rows("collations", &COLLATIONS, SystemCollation::from_answer)
                .await?,
            uncarried: asking
                .rows("rows of extensions", &UNCARRIED, NotDumped::from_answer)
                .await?,
            refused: asking.refused,
        })
    }

    /// A setting's text; empty if the server does not have it.
    pub fn setting(&self, name: &str) -> &str {
        self.settings
            .get(name)
            .map_or("", |setting| setting.value.as_str())
    }

    /// What to set it to so that it is as it is now.
    pub fn spelled(&self, name: &str) -> Option<String> {
        self.settings.get(name).map(Setting::spelled)
    }

    /// A setting that counts bytes or milliseconds, and is not without limit.
    pub fn amount(&self, name: &str) -> Option<u64> {
        let amount = self.settings.get(name)?.amount?;
        u64::try_from(amount).ok()
    }
}

impl Unreadable {
    /// Asks a server; of large objects only where they take part.
    pub async fn read(session: &Session, large_objects: bool) -> Result<Self, PgError> {
        let relations = unreadable(session).await?;
        if !large_objects {
            return Ok(Self {
                relations,
                ..Self::default()
            });
        }
        let query = UNREADABLE_LARGE_OBJECTS.for_server(session.version());
        let rows = session.query(query, &[]).await?;
        let large_objects = match rows.first() {
            Some(row) => (row.count("count")?, row.oids("examples")?),
            None => (0, Vec::new()),
        };
        Ok(Self {
            relations,
            large_objects,
        })
    }
}

impl Pulse {
    /// Asks a server.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        let rows = session.query(&PULSE.newest, &[]).await?;
        let Some(row) = rows.first() else {
            return Ok(Self::default());
        };
        Ok(Self {
            at_ms: row.count("at_ms")?,
            next_transaction: row.count("next_transaction")?,
            rows_written: row.count("rows_written")?,
        })
    }
}

struct Asking<'a> {
    session: &'a Session,
    refused: Vec<(String, String)>,
}

impl Asking<'_> {
    async fn rows<T>(
        &mut self,
        what: &str,
        query: &VersionedQuery,
        read: impl Fn(&Answer) -> Result<T, PgError>,
    ) -> Result<Vec<T>, PgError> {
        let query = query.for_server(self.session.version());
        let answered = self.session.query(query, &[]).await;
        let rows = self.unless_refused(what, answered)?;
        rows.iter().map(read).collect()
    }

    async fn row<T: Default>(
        &mut self,
        what: &str,
        query: &VersionedQuery,
        read: impl Fn(&Answer) -> Result<T, PgError>,
    ) -> Result<T, PgError> {
        let rows = self.rows(what, query, read).await?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    async fn locks(&mut self) -> Result<Vec<BarringLock>, PgError> {
        let answered = barring_locks(self.session).await;
        self.unless_refused("locks", answered)
    }

    fn unless_refused<T>(
        &mut self,
        what: &str,
        answered: Result<Vec<T>, PgError>,
    ) -> Result<Vec<T>, PgError> {
        match answered {
            Err(error) if error.code().is_some() && !error.is_lost_connection() => {
                self.refused.push((what.to_owned(), error.to_string()));
                Ok(Vec::new())
            }
            other => other,
        }
    }
}

fn setting(row: &Answer) -> Result<(String, Setting), PgError> {
    let setting = Setting {
        value: row.get("value")?,
        unit: row.get("unit")?,
        amount: row.get("amount")?,
    };
    Ok((row.get("name")?, setting))
}

impl Connections {
    fn from_answer(row: &Answer) -> Result<Self, PgError> {
        let limit = |column| {
            let limit = row.get::<i64>(column)?;
            Ok::<_, PgError>(u64::try_from(limit).ok())
        };
        Ok(Self {
            most: row.count("most")?,
            reserved: row.count("reserved")?,
            open_everywhere: row.count("open_everywhere")?,
            database_limit: limit("database_limit")?,
            open_in_database: row.count("open_in_database")?,
            role_limit: limit("role_limit")?,
            open_of_role: row.count("open_of_role")?,
        })
    }
}

impl Guest {
    fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            holder: Holder::from_row(row)?,
            in_transaction: row.get("in_transaction")?,
            transaction_seconds: row.count("transaction_seconds")?,
            has_written: row.get("has_written")?,
        })
    }
}

impl SystemCollation {
    fn from_answer(row: &Answer) -> Result<Self, PgError> {
        let schema = row.get::<Option<String>>("schema")?;
        let object = row.get::<Option<String>>("object")?;
        Ok(Self {
            name: row.get("name")?,
            encoding: row.get("encoding")?,
            used_by: schema
                .zip(object)
                .map(|(schema, object)| QualifiedName::new(schema, object)),
        })
    }
}

impl NotDumped {
    fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            kind: NotDumpedKind::ExtensionRows(row.get("extension")?),
            object: row.get("object")?,
        })
    }
}

impl Prepared {
    fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            name: row.get("name")?,
            role: row.get("role")?,
            seconds: row.count("seconds")?,
        })
    }
}

impl Slot {
    fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            name: row.get("name")?,
            logical: row.get("logical")?,
            here: row.get("here")?,
            active: row.get("active")?,
            keeps_log: row.get("keeps_log")?,
            kept: row.bytes("kept_bytes")?,
        })
    }
}

impl LogConsumers {
    fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            connected: row.count("connected")?,
            synchronous: row.count("synchronous")?,
            hidden: row.count("hidden")?,
            archiver_fails: row.get("archiver_fails")?,
            archiver_failures: row.count("archiver_failures")?,
        })
    }
}

impl DatabaseState {
    fn from_answer(row: &Answer) -> Result<Self, PgError> {
        let failures = row.get::<Option<i64>>("checksum_failures")?;
        Ok(Self {
            transactions: row.count("transactions")?,
            multixacts: row.count("multixacts")?,
            checksum_failures: failures.and_then(|failures| u64::try_from(failures).ok()),
            last_checksum_failure: row.get("last_checksum_failure")?,
            large_objects: row.bytes("large_object_bytes")?,
        })
    }
}
