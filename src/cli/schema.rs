//! The schema of a server as an archive, by its own `pg_dump`; and that of an archive in the encoding of our names.

use std::collections::HashMap;
use std::ffi::OsString;

use super::explain::explained;
use super::inspect::Server;
use crate::catalog;
use crate::failure::Failure;
use crate::follow;
use crate::ledger;
use crate::model::Filters;
use crate::pg::Session;
use crate::pg::client_tools::ClientTool;
use crate::toc::Toc;

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

/// A table of contents in UTF-8: a server knows every encoding that there is. Where the database had none, it stays as it is.
pub async fn in_utf8(toc: Toc, session: &Session) -> Result<Toc, Failure> {
    let encoding = toc.encoding();
    let encoding = encoding.as_deref().unwrap_or("SQL_ASCII");
    if matches!(encoding, "UTF8" | "SQL_ASCII") {
        return Ok(toc);
    }
    let texts: Vec<Vec<u8>> = toc
        .encoded_texts()
        .into_iter()
        .map(<[u8]>::to_vec)
        .collect();
    let bytes = texts.iter().map(Vec::as_slice);
    let decoded = catalog::decoded_texts(session, bytes, encoding).await;
    let decoded = decoded.map_err(|error| {
        let doing = format!("decoding the archive's names from {encoding}");
        Failure::from(error).while_doing(&doing)
    })?;
    let decoded: HashMap<Vec<u8>, String> = texts.into_iter().zip(decoded).collect();
    Ok(toc.in_utf8(&decoded))
}
