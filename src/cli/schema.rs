//! The schema of a server as an archive, by its own `pg_dump`.

use std::ffi::OsString;

use super::explain::explained;
use super::inspect::Server;
use crate::failure::Failure;
use crate::follow;
use crate::ledger;
use crate::model::Filters;
use crate::pg::client_tools::ClientTool;

/// The schema archive of a server, by `pg_dump`, in a snapshot, filtered.
pub async fn dump_schema(
    server: &Server,
    pg_dump: &ClientTool,
    (snapshot, filters): (Option<&str>, &Filters),
) -> Result<Vec<u8>, Failure> {
    // Where the database has an encoding, its names and definitions travel in UTF-8; otherwise as the bytes they are.
    let encoding = match server.facts.encoding.as_str() {
        "SQL_ASCII" => None,
        _ => Some("UTF8"),
    };
    let options = filters.pg_dump_args();
    describe(server, pg_dump, (snapshot, encoding, options)).await
}

/// The same in a named encoding, with options of `pg_dump`'s own.
pub async fn describe(
    server: &Server,
    pg_dump: &ClientTool,
    (snapshot, encoding, options): (Option<&str>, Option<&str>, Vec<String>),
) -> Result<Vec<u8>, Failure> {
    let mut arguments: Vec<OsString> = vec![
        "--format=custom".into(),
        "--schema-only".into(),
        "--lock-wait-timeout=10s".into(),
    ];
    for ours in [ledger::SCHEMA, follow::SCHEMA] {
        arguments.push(format!("--exclude-schema={ours}").into());
    }
    arguments.extend(snapshot.map(|id| OsString::from(format!("--snapshot={id}"))));
    arguments.extend(encoding.map(|name| OsString::from(format!("--encoding={name}"))));
    arguments.extend(options.into_iter().map(OsString::from));
    let connection = server.child_environment();
    match pg_dump.run(&arguments, Some(&connection)).await {
        Ok(output) => Ok(output.stdout),
        Err(error) => Err(explained(error.into(), server).await),
    }
}
