//! The queries, each with the server versions it is for.

use crate::model::ServerVersion;
use crate::pg::Query;

/// A query for servers of some major versions.
#[derive(Debug, Clone, Copy)]
pub struct VersionedQuery {
    /// For servers after the last one named in `older`.
    pub newest: Query,
    /// For servers up to this major version, if they need another text.
    pub older: Option<(u32, Query)>,
}

impl VersionedQuery {
    /// The text for this server.
    pub fn for_server(&self, version: ServerVersion) -> &Query {
        match &self.older {
            Some((last, query)) if version.major() <= *last => query,
            _ => &self.newest,
        }
    }
}

macro_rules! queries {
    ($($name:ident = $file:literal $(, up to $last:literal = $older:literal)?;)*) => {
        $(pub(super) const $name: VersionedQuery = VersionedQuery {
            newest: Query::new($file, include_str!(concat!("../../sql/catalog/", $file))),
            older: queries!(@older $($last, $older)?),
        };)*

        /// All of them, for the test that prepares each on every supported server.
        pub const QUERIES: &[VersionedQuery] = &[$($name),*];
    };
    (@older) => { None };
    (@older $last:literal, $older:literal) => {
        Some(($last, Query::new($older, include_str!(concat!("../../sql/catalog/", $older)))))
    };
}

queries! {
    SERVER = "server.sql";
    RELATIONS = "relations.sql";
    SCHEMAS = "schemas.sql";
    DECODED_NAMES = "decoded_names.sql";
    DECODED_TEXTS = "decoded_texts.sql";
    READABLE_TABLES = "readable_tables.sql";
    TABLES = "tables.sql";
    COLUMNS = "columns.sql", up to 11 = "columns.11.sql";
    INTEGER_KEYS = "integer_keys.sql", up to 10 = "integer_keys.10.sql";
    TYPES = "types.sql";
    INDEXES = "indexes.sql";
    CONSTRAINTS = "constraints.sql", up to 10 = "constraints.10.sql";
    SAMPLED = "sampled.sql";
    COLUMN_STATISTICS = "column_statistics.sql";
    SEQUENCES = "sequences.sql";
    MATVIEWS = "matviews.sql";
    LARGE_OBJECTS = "large_objects.sql";
    LARGE_OBJECT_BYTES = "large_object_bytes.sql";
    LARGE_OBJECT_GRANTS = "large_object_grants.sql";
    LEDGER_SCHEMA = "ledger_schema.sql";
    HOLDINGS = "holdings.sql";
    ROLES = "roles.sql";
    TABLESPACES = "tablespaces.sql";
    AVAILABLE_EXTENSIONS = "extensions.sql";
    SUPERUSER_EXTENSIONS = "superuser_extensions.sql";
    INSTALLED_EXTENSIONS = "installed_extensions.sql";
    ACTIVITY = "activity.sql";
    DATABASE = "database.sql";
    DATABASE_SETTINGS = "database_settings.sql";
    MISSING_PRIVILEGES = "missing_privileges.sql";
    DATABASE_GRANTS = "database_grants.sql";
    DATABASE_LABELS = "database_labels.sql";
    SUBSCRIPTIONS = "subscriptions.sql";
    DROPPABLE = "droppable.sql";
    NEW_DATABASE = "new_database.sql";
    ASSUMABLE_ROLES = "assumable_roles.sql", up to 15 = "assumable_roles.15.sql";
    OWNERS_WITHOUT_CREATE = "owners_without_create.sql";
    UNREADABLE = "unreadable.sql";
    OUT_OF_REACH = "out_of_reach.sql";
    REMADE = "remade.sql";
    LOCKS = "locks.sql";
    CONNECTIONS = "connections.sql";
    LOCK_TABLE = "lock_table.sql";
    FIRING_TRIGGERS = "firing_triggers.sql";
    NO_PLAIN_TABLES = "no_plain_tables.sql";
}
