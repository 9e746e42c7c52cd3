//! The schema of a server as an archive, by its own `pg_dump`; that of an archive in the encoding of our names; and archives of which
//! the schema is not in the encoding of the rows.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};

use tokio::sync::oneshot;

use super::explain::explained;
use super::inspect::Server;
use crate::archive::Manifest;
use crate::catalog;
use crate::failure::Failure;
use crate::follow;
use crate::ledger::{self, Packed, Packing};
use crate::model::Filters;
use crate::pg::Session;
use crate::pg::client_tools::ClientTool;
use crate::toc::{Texts, Toc};

/// What is said of a server's database.
pub struct Described {
    /// Without what is no part of it.
    pub toc: Toc,
    /// As it was written.
    pub archive: Packed,
    /// What `pg_dump` warned of, a line each: often the only word for what it leaves out.
    pub warnings: Vec<String>,
}

impl Described {
    /// By an archive that is there.
    pub fn by(archive: &[u8]) -> Result<Self, Failure> {
        let (toc, archive) = read_and_pack(archive)?;
        Ok(Self {
            toc,
            archive,
            warnings: Vec::new(),
        })
    }
}

/// The schema archive of a server, by `pg_dump`, in a snapshot, filtered.
pub async fn dump_schema(
    server: &Server,
    pg_dump: &ClientTool,
    (snapshot, filters): (Option<&str>, &Filters),
) -> Result<Vec<u8>, Failure> {
    let arguments = arguments(snapshot, encoding_of(server), filters.pg_dump_args());
    let connection = server.child_environment();
    match pg_dump.run(&arguments, Some(&connection)).await {
        Ok(output) => Ok(output.stdout),
        Err(error) => Err(explained(error.into(), server).await),
    }
}

/// What is said of a server's database, and what it is said by. The archive is read and packed while it comes: it is large.
pub async fn describe_and_keep(
    server: &Server,
    pg_dump: &ClientTool,
    (snapshot, filters): (Option<&str>, &Filters),
) -> Result<Described, Failure> {
    let arguments = arguments(snapshot, encoding_of(server), filters.pg_dump_args());
    let read = |archive: &mut dyn BufRead| read_and_pack(archive);
    let (read, warnings) = reading(server, pg_dump, (arguments, read)).await?;
    let (toc, archive) = read?;
    Ok(Described {
        toc,
        archive,
        warnings,
    })
}

/// What is said of a server's database, and what `pg_dump` has warned of. Its archive is not kept.
pub async fn read_schema(
    server: &Server,
    pg_dump: &ClientTool,
    (snapshot, filters): (Option<&str>, &Filters),
) -> Result<(Toc, Vec<String>), Failure> {
    let arguments = arguments(snapshot, encoding_of(server), filters.pg_dump_args());
    let read = |archive: &mut dyn BufRead| Toc::of_server(archive);
    let (toc, warnings) = reading(server, pg_dump, (arguments, read)).await?;
    Ok((toc?, warnings))
}

/// What is said of a whole database that should say the same as another one: what it says alike is held once. `pg_dump` is at work from
/// now on, and is listened to when `room` is there for what it says, or nobody makes any.
pub async fn read_schema_beside(
    server: &Server,
    pg_dump: &ClientTool,
    (other, room): (&Toc, oneshot::Receiver<()>),
) -> Result<Toc, Failure> {
    let options = Filters::default().pg_dump_args();
    let arguments = arguments(None, encoding_of(server), options);
    let texts = Texts::of(other);
    let read = |archive: &mut dyn BufRead| {
        let _ = room.blocking_recv();
        Toc::of_server_beside(archive, texts)
    };
    let (toc, _) = reading(server, pg_dump, (arguments, read)).await?;
    Ok(toc?)
}

/// Where the database has an encoding, its names and definitions travel in UTF-8; otherwise as the bytes they are.
fn encoding_of(server: &Server) -> Option<&'static str> {
    match server.facts.encoding.as_str() {
        "SQL_ASCII" => None,
        _ => Some("UTF8"),
    }
}

/// What is said of it in a named encoding, with options of `pg_dump`'s own.
pub async fn describe(
    server: &Server,
    pg_dump: &ClientTool,
    (snapshot, encoding, options): (Option<&str>, Option<&str>, Vec<String>),
) -> Result<Toc, Failure> {
    let arguments = arguments(snapshot, encoding, options);
    let read = |archive: &mut dyn BufRead| Toc::of_server(archive);
    let (toc, _) = reading(server, pg_dump, (arguments, read)).await?;
    Ok(toc?)
}

/// What is made of an archive while it comes, and what `pg_dump` has warned of.
async fn reading<T: Send + 'static>(
    server: &Server,
    pg_dump: &ClientTool,
    (arguments, read): (
        Vec<OsString>,
        impl FnOnce(&mut dyn BufRead) -> T + Send + 'static,
    ),
) -> Result<(T, Vec<String>), Failure> {
    let connection = server.child_environment();
    match pg_dump
        .run_reading(&arguments, Some(&connection), read)
        .await
    {
        Ok((read, stderr)) => Ok((read, warnings(&stderr))),
        Err(error) => Err(explained(error.into(), server).await),
    }
}

fn read_and_pack(archive: impl Read) -> Result<(Toc, Packed), Failure> {
    let packing = |error| Failure::defect(format!("compressing the schema: {error}"));
    let mut archive = BufReader::new(Packing::new(archive).map_err(packing)?);
    let toc = Toc::of_server(&mut archive)?;
    let archive = archive.into_inner().finish().map_err(packing)?;
    Ok((toc, archive))
}

fn arguments(
    snapshot: Option<&str>,
    encoding: Option<&str>,
    options: Vec<String>,
) -> Vec<OsString> {
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
    arguments
}

/// What it says unasked are warnings, and what belongs to them. What the server says at its connection, which stands among that without
/// its name, the server says to us as well.
pub fn warnings(stderr: &str) -> Vec<String> {
    let said = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("pg_dump: "));
    let warned = said.map(|said| {
        let told = said.strip_prefix("warning: ");
        told.or_else(|| said.strip_prefix("WARNING: "))
            .unwrap_or(said)
    });
    warned.map(|text| text.trim().to_owned()).collect()
}

/// What is wrong with an archive whose table of contents is in another encoding than its rows; `None` if it is not.
pub fn in_two_encodings(manifest: &Manifest, toc: &Toc) -> Option<String> {
    let named = manifest.contradicted_by(toc)?;
    let rows = &manifest.source.encoding;
    Some(format!(
        "the table of contents says that everything in the archive is in {named}, and the rows are in {rows}: pg_restore would take \
         them for {named}; pgconvoy restore reads them as what they are"
    ))
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

#[cfg(test)]
mod tests {
    use super::warnings;

    #[test]
    fn a_warning_is_told_whichever_pg_dump_says_it() {
        let new = "pg_dump: warning: WITH OIDS is not supported anymore (table \"t\")\npg_dump: detail: more of it\n";
        assert_eq!(
            warnings(new),
            [
                "WITH OIDS is not supported anymore (table \"t\")",
                "detail: more of it"
            ]
        );
        let old = "pg_dump: WARNING: owner of table \"t\" appears to be invalid\n";
        assert_eq!(
            warnings(old),
            ["owner of table \"t\" appears to be invalid"]
        );
        let of_the_server =
            "WARNING:  database \"d\" has a collation version mismatch\nDETAIL:  …\n";
        assert_eq!(warnings(of_the_server), [""; 0]);
    }
}
