//! Runs the catalog queries and turns rows into facts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::facts::{
    Activity, Column, Constraint, Extension, Holding, Index, LargeObject, LargeObjectGrant,
    Matview, SourceFacts, Table, TargetFacts, Type,
};
use super::ledger_schema::{self, LedgerSchema, ledger_schema};
use super::queries::{self, VersionedQuery};
use super::remade::remade;
use super::sequences::sequences_but;
use crate::model::{Bytes, Oid, QualifiedName, Relation, quote_ident};
use crate::pg::{Answer, Parameter, PgError, Query, Session};

/// The first major version that scans a range of blocks without reading the whole table.
const TID_RANGE_SCANS: u32 = 14;

/// Tables below this are never cut into ranges of keys.
const WORTH_CUTTING: Bytes = Bytes(1 << 20);

/// Everything the plan needs to know of the source. The session is inside the run's snapshot.
pub async fn source_facts(session: &Session) -> Result<SourceFacts, PgError> {
    Box::pin(source_facts_but(session, &BTreeSet::new())).await
}

/// The same without sequences that cannot be read.
pub async fn source_facts_but(
    session: &Session,
    unreadable: &BTreeSet<QualifiedName>,
) -> Result<SourceFacts, PgError> {
    // What asks twice comes last: after a failure, its second question fails because of that.
    let (
        mut tables,
        mut matviews,
        indexes,
        constraints,
        (large_objects, large_object_bytes),
        extensions,
        sequences,
    ) = tokio::try_join!(
        biased;
        tables(session),
        matviews(session),
        indexes(session),
        constraints(session),
        large_objects_and_bytes(session),
        installed_extensions(session),
        sequences_but(session, unreadable),
    )?;
    if session.version().major() < TID_RANGE_SCANS {
        key_ranges(session, &mut tables).await?;
    }
    let relations: Vec<u32> = tables
        .iter()
        .map(|table| table.oid.0)
        .chain(matviews.iter().map(|view| view.oid.0))
        .collect();
    let mut columns = columns(session, &relations).await?;
    for table in &mut tables {
        table.columns = columns.remove(&table.oid).unwrap_or_default();
    }
    for matview in &mut matviews {
        matview.columns = columns.remove(&matview.oid).unwrap_or_default();
    }
    let all_columns = tables
        .iter()
        .flat_map(|table| &table.columns)
        .chain(matviews.iter().flat_map(|view| &view.columns));
    let mut type_oids: Vec<u32> = all_columns.map(|column| column.type_oid.0).collect();
    type_oids.sort_unstable();
    type_oids.dedup();
    Ok(SourceFacts {
        types: types(session, &type_oids).await?,
        indexes,
        constraints,
        sequences,
        large_objects,
        large_object_bytes,
        extensions,
        remade: remade(session).await?,
        sampled: BTreeMap::new(),
        tables,
        matviews,
    })
}

/// Smallest and largest key of the tables that are worth cutting up, on servers that cannot scan ranges of blocks.
async fn key_ranges(session: &Session, tables: &mut [Table]) -> Result<(), PgError> {
    for table in tables
        .iter_mut()
        .filter(|table| table.total > WORTH_CUTTING)
    {
        let Some(key) = table.integer_key.as_deref().map(quote_ident) else {
            continue;
        };
        let sql = format!(
            "select min({key})::int8 as min, max({key})::int8 as max from only {}",
            table.name
        );
        for row in session.query_text("the range of a key", &sql, &[]).await? {
            table.key_range = row
                .get::<Option<i64>>("min")?
                .zip(row.get::<Option<i64>>("max")?);
        }
    }
    Ok(())
}

/// What the target holds and offers.
pub async fn target_facts(session: &Session) -> Result<TargetFacts, PgError> {
    let (held, roles, tablespaces, extensions, installed, missing_privileges) = tokio::try_join!(
        biased;
        held(session),
        roles(session),
        names(session, &queries::TABLESPACES),
        extensions(session, &queries::AVAILABLE_EXTENSIONS, "default_version"),
        installed_extensions(session),
        names(session, &queries::MISSING_PRIVILEGES),
    )?;
    let (ledger_schema, holdings) = held;
    Ok(TargetFacts {
        ledger_schema,
        holdings,
        roles,
        tablespaces,
        superuser_extensions: superuser_extensions(session).await?,
        extensions,
        installed,
        missing_privileges,
    })
}

/// A server with a damaged extension among those that it could create refuses to list their versions: then nothing is known.
async fn superuser_extensions(session: &Session) -> Result<Vec<String>, PgError> {
    match names(session, &queries::SUPERUSER_EXTENSIONS).await {
        Err(error) if error.code().is_some() && !error.is_lost_connection() => Ok(Vec::new()),
        listed => listed,
    }
}

/// Tables that may be read, with their OIDs.
pub async fn readable_tables(session: &Session) -> Result<Vec<(Oid, QualifiedName)>, PgError> {
    let table = |row: &Answer| Ok((row.oid("oid")?, row.name("schema", "name")?));
    ask_each(session, &queries::READABLE_TABLES, table).await
}

/// Everything that a pattern can match. Asked under the role's own `search_path`, which is put back to empty afterwards.
pub async fn relations(session: &Session) -> Result<Vec<Relation>, PgError> {
    const OWN_PATH: &str = "select pg_catalog.set_config('search_path', reset_val, false) \
                            from pg_catalog.pg_settings where name = 'search_path'";
    // Sent without a pause, so that no other question comes in between.
    let (set, rows, put_back) = tokio::join!(
        biased;
        session.execute(OWN_PATH),
        ask(session, &queries::RELATIONS, &[]),
        session.execute("set search_path = ''"),
    );
    set.and(put_back)?;
    let rows = rows?;
    let mut names = BTreeMap::new();
    for row in &rows {
        names.insert(row.oid("oid")?, row.name("schema", "name")?);
    }
    let relation = |row: &Answer| {
        let parents = row.oids("parents")?;
        Ok(Relation {
            name: row.name("schema", "name")?,
            visible: row.get("visible")?,
            parents: parents
                .iter()
                .filter_map(|parent| names.get(parent))
                .cloned()
                .collect(),
        })
    };
    rows.iter().map(relation).collect()
}

/// Names of all schemas that are not the system's.
pub async fn schemas(session: &Session) -> Result<Vec<String>, PgError> {
    names(session, &queries::SCHEMAS).await
}

/// What a database holds that a move would collide with or bury.
pub async fn holdings(session: &Session) -> Result<Vec<Holding>, PgError> {
    Ok(held(session).await?.1)
}

/// The same, with whose a schema pgconvoy is among it.
async fn held(session: &Session) -> Result<(Option<LedgerSchema>, Vec<Holding>), PgError> {
    let whose = ledger_schema(session).await?;
    let kind = ledger_schema::kind(whose);
    let rows = ask(session, &queries::HOLDINGS, &[&kind]).await?;
    let holding = |row: &Answer| {
        Ok(Holding {
            kind: row.get("kind")?,
            count: row.count("count")?,
            examples: row.get("examples")?,
        })
    };
    let held: Result<Vec<Holding>, PgError> = rows.iter().map(holding).collect();
    Ok((whose, held?))
}

/// Names of all roles.
pub async fn roles(session: &Session) -> Result<Vec<String>, PgError> {
    names(session, &queries::ROLES).await
}

/// Extensions of the database.
pub async fn installed_extensions(session: &Session) -> Result<Vec<Extension>, PgError> {
    extensions(session, &queries::INSTALLED_EXTENSIONS, "version").await
}

/// Roles that the connected role can become, and so give objects to.
pub async fn assumable_roles(session: &Session) -> Result<Vec<String>, PgError> {
    names(session, &queries::ASSUMABLE_ROLES).await
}

/// Tables, materialized views and sequences that the connected role may not read, wholly or row by row.
pub async fn unreadable(session: &Session) -> Result<Vec<QualifiedName>, PgError> {
    let rows = ask(session, &queries::UNREADABLE, &[]).await?;
    rows.iter().map(|row| row.name("schema", "name")).collect()
}

/// Tables and sequences of a standby whose rows it does not have, because they are not logged. None of any other server.
pub async fn out_of_reach(session: &Session) -> Result<Vec<QualifiedName>, PgError> {
    let rows = ask(session, &queries::OUT_OF_REACH, &[]).await?;
    rows.iter().map(|row| row.name("schema", "name")).collect()
}

/// Rows written to each table so far.
pub async fn activity(session: &Session) -> Result<Vec<Activity>, PgError> {
    let activity = |row: &Answer| {
        Ok(Activity {
            table: row.name("schema", "name")?,
            oid: row.oid("relid")?,
            written: row.count("written")?,
        })
    };
    ask_each(session, &queries::ACTIVITY, activity).await
}

/// All indexes.
pub async fn indexes(session: &Session) -> Result<Vec<Index>, PgError> {
    let index = |row: &Answer| {
        Ok(Index {
            oid: row.oid("oid")?,
            name: row.name("schema", "name")?,
            table: row.name("table_schema", "table_name")?,
            relation: row.oid("relation")?,
            method: row.get("method")?,
            partitioned: row.get("partitioned")?,
            valid: row.get("valid")?,
            ready: row.get("ready")?,
            bytes: row.bytes("bytes")?,
            entries: row.estimate("entries")?,
            definition: lossy(row.get("definition")?),
            constraint: row.get("constraint_name")?,
            constraint_kind: row.optional_char("constraint_kind")?,
            deferrable: row.get("deferrable")?,
            deferred: row.get("deferred")?,
        })
    };
    ask_each(session, &queries::INDEXES, index).await
}

/// All constraints of tables.
pub async fn constraints(session: &Session) -> Result<Vec<Constraint>, PgError> {
    let constraint = |row: &Answer| {
        let references = match row.get::<Option<String>>("referenced_schema")? {
            Some(_) => Some(row.name("referenced_schema", "referenced_name")?),
            None => None,
        };
        Ok(Constraint {
            table: row.name("schema", "table_name")?,
            name: row.get("name")?,
            kind: row.char("kind")?,
            validated: row.get("validated")?,
            enforced: row.get("enforced")?,
            on_partitioned: row.get("on_partitioned")?,
            inherited: row.get("inherited")?,
            references,
            references_partitioned: row.get("references_partitioned")?,
            over_time: row.get("over_time")?,
        })
    };
    ask_each(session, &queries::CONSTRAINTS, constraint).await
}

/// The query for the content of large objects, to be put into a COPY, which takes no parameters.
pub fn large_object_content(oids: &[Oid]) -> String {
    const QUERY: &str = include_str!("../../sql/catalog/large_object_content.sql");
    let list: Vec<String> = oids.iter().map(ToString::to_string).collect();
    QUERY.replace(":oids::", &format!("'{{{}}}'::", list.join(",")))
}

async fn tables(session: &Session) -> Result<Vec<Table>, PgError> {
    let key = |row: &Answer| Ok((row.oid("relation")?, row.get::<String>("name")?));
    let table = |row: &Answer| {
        let partition_root = match row.get::<Option<String>>("root_schema")? {
            Some(_) => Some(row.name("root_schema", "root_name")?),
            None => None,
        };
        Ok(Table {
            oid: row.oid("oid")?,
            name: row.name("schema", "name")?,
            unlogged: row.get("unlogged")?,
            has_children: row.get("has_children")?,
            heap: row.bytes("heap_bytes")?,
            total: row.bytes("total_bytes")?,
            row_estimate: row.estimate("row_estimate")?,
            extension: row.get("extension")?,
            extension_condition: row.get("extension_condition")?,
            partition_root,
            load_via_root: row.get("load_via_root")?,
            reaches_foreign: row.get("reaches_foreign")?,
            columns: Vec::new(),
            integer_key: None,
            key_range: None,
        })
    };
    let (keys, mut tables) = tokio::try_join!(
        biased;
        ask_each(session, &queries::INTEGER_KEYS, key),
        ask_each(session, &queries::TABLES, table),
    )?;
    let mut keys: BTreeMap<Oid, String> = keys.into_iter().collect();
    for table in &mut tables {
        table.integer_key = keys.remove(&table.oid);
    }
    Ok(tables)
}

/// What is no UTF-8 becomes U+FFFD: a statement made from it fails or differs, and is never taken for the same.
fn lossy(definition: &[u8]) -> String {
    String::from_utf8_lossy(definition).into_owned()
}

/// What is no UTF-8 is written in hexadecimal, so that what differs stays different.
pub fn in_full(comment: &[u8]) -> String {
    let hex = || {
        comment.iter().fold("\\x".to_owned(), |mut hex, byte| {
            let _infallible = write!(hex, "{byte:02x}");
            hex
        })
    };
    std::str::from_utf8(comment).map_or_else(|_| hex(), str::to_owned)
}

async fn matviews(session: &Session) -> Result<Vec<Matview>, PgError> {
    let matview = |row: &Answer| {
        Ok(Matview {
            oid: row.oid("oid")?,
            name: row.name("schema", "name")?,
            populated: row.get("populated")?,
            calls_user_code: row.get("calls_user_code")?,
            definition: lossy(row.get("definition")?),
            bytes: row.bytes("bytes")?,
            row_estimate: row.estimate("row_estimate")?,
            inputs: row.oids("inputs")?,
            reads_foreign_property: row.get("reads_foreign_property")?,
            columns: Vec::new(),
        })
    };
    ask_each(session, &queries::MATVIEWS, matview).await
}

async fn columns(
    session: &Session,
    relations: &[u32],
) -> Result<BTreeMap<Oid, Vec<Column>>, PgError> {
    let mut columns: BTreeMap<Oid, Vec<Column>> = BTreeMap::new();
    let query = queries::COLUMNS.for_server(session.version());
    let column = |row: &Answer| {
        let of_relation = columns.entry(row.oid("relation")?).or_default();
        of_relation.push(Column {
            name: row.get("name")?,
            type_oid: row.oid("type")?,
            generated: row.get("generated")?,
            is_virtual: row.get("virtual")?,
        });
        Ok(())
    };
    session.query_each(query, &[&relations], column).await?;
    Ok(columns)
}

async fn types(session: &Session, oids: &[u32]) -> Result<BTreeMap<Oid, Type>, PgError> {
    let mut types = BTreeMap::new();
    for row in ask(session, &queries::TYPES, &[&oids]).await? {
        let facts = Type {
            name: row.get("name")?,
            schema: row.get::<Option<String>>("schema")?.unwrap_or_default(),
            kind: row.char("kind")?,
            element: row.optional_oid("element")?,
            base: row.optional_oid("base")?,
            has_binary: row.get("has_binary")?,
            fields: row.oids("fields")?,
            subtype: row.optional_oid("subtype")?,
            range: row.optional_oid("range")?,
            extension: row.get("extension")?,
        };
        types.insert(row.oid("oid")?, facts);
    }
    Ok(types)
}

/// Large objects, and what all of them take on disk.
async fn large_objects_and_bytes(session: &Session) -> Result<(Vec<LargeObject>, Bytes), PgError> {
    let bytes = |row: &Answer| row.bytes("bytes");
    let (objects, bytes) = tokio::try_join!(
        biased;
        large_objects(session),
        ask_each(session, &queries::LARGE_OBJECT_BYTES, bytes),
    )?;
    Ok((objects, bytes.into_iter().sum()))
}

/// Large objects with their owners, grants and comments.
pub async fn large_objects(session: &Session) -> Result<Vec<LargeObject>, PgError> {
    let mut grants: BTreeMap<Oid, Vec<LargeObjectGrant>> = BTreeMap::new();
    let grant = |row: &Answer| {
        let of_object = grants.entry(row.oid("oid")?).or_default();
        // An object whose last privilege was revoked has a row without one.
        if let Some(privilege) = row.get::<Option<String>>("privilege")? {
            of_object.push(LargeObjectGrant {
                grantor: row.get("grantor")?,
                grantee: row.get("grantee")?,
                privilege,
                grantable: row.get::<Option<bool>>("grantable")?.unwrap_or(false),
            });
        }
        Ok(())
    };
    let object = |row: &Answer| {
        Ok(LargeObject {
            oid: row.oid("oid")?,
            owner: row.get("owner")?,
            comment: row.get::<Option<&[u8]>>("comment")?.map(in_full),
            grants: None,
        })
    };
    let (_, mut objects) = tokio::try_join!(
        biased;
        ask_each(session, &queries::LARGE_OBJECT_GRANTS, grant),
        ask_each(session, &queries::LARGE_OBJECTS, object),
    )?;
    for object in &mut objects {
        object.grants = grants.remove(&object.oid);
        if let Some(grants) = &mut object.grants {
            grants.sort();
        }
    }
    Ok(objects)
}

async fn extensions(
    session: &Session,
    query: &VersionedQuery,
    version: &str,
) -> Result<Vec<Extension>, PgError> {
    let rows = ask(session, query, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Extension {
                name: row.get("name")?,
                version: row.get(version)?,
            })
        })
        .collect()
}

pub(super) async fn names(
    session: &Session,
    query: &VersionedQuery,
) -> Result<Vec<String>, PgError> {
    ask(session, query, &[])
        .await?
        .iter()
        .map(|row| row.get("name"))
        .collect()
}

/// Asks, and makes something of each row as it arrives.
pub(super) async fn ask_each<T>(
    session: &Session,
    query: &VersionedQuery,
    make: impl FnMut(&Answer) -> Result<T, PgError>,
) -> Result<Vec<T>, PgError> {
    let query = query.for_server(session.version());
    session.query_each(query, &[], make).await
}

pub(super) async fn ask(
    session: &Session,
    query: &VersionedQuery,
    params: &[&dyn Parameter],
) -> Result<Vec<Answer>, PgError> {
    let query: &Query = query.for_server(session.version());
    session.query(query, params).await
}
