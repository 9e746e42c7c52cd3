//! Names of rules on which two modules must agree: the one that finds something, and one that passes it over, or decides by it. The name
//! of any other rule stands where it is found.

/// What could not be looked at: as long as there is any of it, a look before the leap decides nothing.
pub const NOT_LOOKED_AT: &str = "not-looked-at";
/// `ALTER DATABASE … SET` that the target does not have: told before a move, and after it.
pub const DATABASE_SETTINGS: &str = "database-settings";
/// Another encoding on the target: told before a move, and after it.
pub const ENCODING_DIFFERS: &str = "encoding-differs";
/// The target holds something; rows alone are loaded into what it holds.
pub const TARGET_NOT_EMPTY: &str = "target-not-empty";
/// The target holds something, and will be emptied.
pub const TARGET_EMPTIED: &str = "target-emptied";
/// Somebody else's schema has the name of the ledger's.
pub const TARGET_SCHEMA_TAKEN: &str = "target-schema-taken";
/// No plans were compared, or not those of all statements.
pub const PLANS_NOT_COMPARED: &str = "plans-not-compared";

// What an operator may pass over, because it then fails by itself.

/// The target does not offer an extension.
pub const EXTENSIONS_MISSING: &str = "extensions-missing";
/// The connected role may not read a large object.
pub const LARGE_OBJECTS_UNREADABLE: &str = "large-objects-unreadable";
/// Only a superuser can create it.
pub const NEEDS_SUPERUSER: &str = "needs-superuser";
/// The connected role cannot give objects to their owner.
pub const OWNERS_NOT_ASSUMABLE: &str = "owners-not-assumable";
/// An owner may create nothing in the schema of what it is to own.
pub const OWNERS_WITHOUT_CREATE: &str = "owners-without-create";
/// The target does not have a role.
pub const ROLES_MISSING: &str = "roles-missing";
/// The connected role may not read a relation.
pub const SOURCE_UNREADABLE: &str = "source-unreadable";
/// The target does not have a tablespace.
pub const TABLESPACES_MISSING: &str = "tablespaces-missing";
/// The connected role may not create what the target needs.
pub const TARGET_PRIVILEGES: &str = "target-privileges";
