//! `--schema-from`: the definitions from elsewhere, if the source's own cannot be read; the rows are the source's.
//!
//! That only goes well if both have the same tables, so the columns are compared before anything is touched, by name and by type. Kept in the
//! run directory, for a session that goes on.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::archive::Store;
use crate::catalog::{self, Table};
use crate::cli::arguments::resolve_connection;
use crate::cli::inspect::{Road, Server};
use crate::cli::requested::Requested;
use crate::cli::run_dir::RunDir;
use crate::cli::schema::dump_schema;
use crate::cli::secrets::SCHEMA_PASSWORD;
use crate::cli::session::Session;
use crate::event::{Emit as _, What};
use crate::failure::Failure;
use crate::model::{QualifiedName, Side};
use crate::salvage::Facts;
use crate::toc::{Text, Toc};

/// The archive that it is kept as.
const KEPT: &str = "schema-from.dump";

/// Reads it, and compares it with the tables of the source.
pub(super) async fn read(
    from: &str,
    (road, requested): (&Road, &Requested),
    session: &Session<'_>,
) -> Result<Arc<Vec<u8>>, Failure> {
    let is_conninfo = from.contains('=') || from.starts_with("postgres");
    let whose = if is_conninfo {
        "the server of --schema-from"
    } else {
        from
    };
    let archive = if is_conninfo {
        let side = ("--schema-from", SCHEMA_PASSWORD);
        let conninfo = resolve_connection(from, &requested.environment, side)?;
        let server = Server::connect(conninfo, Side::Source).await;
        let server = server.map_err(|failure| failure.while_doing("--schema-from"))?;
        dump_schema(&server, &road.pg_dump, (None, &requested.filters)).await?
    } else {
        definitions(Path::new(from), road)?
    };
    let toc = Toc::of_server(archive.as_slice())?;
    let tables = tables(&road.source).await?;
    let differences = differences(&toc, &tables, requested.filters.is_empty());
    if !differences.is_empty() {
        return Err(Failure {
            details: differences,
            ..Failure::usage(
                format!("{whose} does not have the tables of the source"),
                "Take the definitions from a place that has the same tables; nothing was touched.",
            )
        });
    }
    session.emitter().emit(What::Note {
        text: format!(
            "the definitions are those of {whose}, and were not compared with the source's: only the columns of {} tables are known to be \
             the same",
            tables.len()
        ),
    });
    let path = session.output.run_dir().path().join(KEPT);
    std::fs::write(&path, &archive).map_err(|error| Failure::file("writing", &path, &error))?;
    Ok(Arc::new(archive))
}

/// Whether an earlier session has taken them from elsewhere.
pub(super) fn is_kept(run_dir: &RunDir) -> bool {
    run_dir.path().join(KEPT).exists()
}

/// What an earlier session has taken from elsewhere.
pub(super) fn kept(run_dir: &RunDir) -> Result<Option<Arc<Vec<u8>>>, Failure> {
    let path = run_dir.path().join(KEPT);
    match std::fs::read(&path) {
        Ok(archive) => Ok(Some(Arc::new(archive))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file("reading", &path, &error)),
    }
}

/// The definitions of an archive, without what it says of rows.
fn definitions(path: &Path, road: &Road) -> Result<Vec<u8>, Failure> {
    let mut toc = Store::at(path)?.toc()?;
    let then = toc.header.dump_version.as_ref();
    let then = then.map(Text::to_string_lossy).unwrap_or_default();
    let major = then.split(['.', ' ', 'b', 'r', 'd']).next();
    let major = major.and_then(|major| major.parse::<u32>().ok());
    if major != Some(road.pg_dump.version.major()) {
        return Err(Failure::usage(
            format!(
                "{} was described by pg_dump {then}, and the target will be by {}, which words definitions differently",
                path.display(),
                road.pg_dump
            ),
            "Name a server with --schema-from, or an archive by that version of pg_dump.",
        ));
    }
    if !matches!(toc.encoding().as_deref(), Some("UTF8" | "SQL_ASCII")) {
        return Err(Failure::usage(
            format!("{} has names that are not in UTF-8", path.display()),
            "Name a server with --schema-from.",
        ));
    }
    let is_about_objects =
        |tag: &[u8]| tag.starts_with(b"LARGE OBJECT ") || tag.starts_with(b"LARGE OBJECTS ");
    toc.entries
        .retain(|entry| !entry.is_of_content() && !is_about_objects(&entry.tag));
    Ok(toc.to_bytes()?)
}

/// The source's tables: names and types of their columns.
async fn tables(
    source: &Server,
) -> Result<BTreeMap<QualifiedName, Vec<(String, String)>>, Failure> {
    let facts = Facts::read(&source.session).await?;
    let sequences = facts.sequences.into_iter().map(|one| one.name).collect();
    let facts = catalog::source_facts_but(&source.session, &sequences).await?;
    let columns = |table: &Table| {
        let columns = table.columns.iter().map(|column| {
            let of = facts.types.get(&column.type_oid);
            (
                column.name.clone(),
                of.map_or(String::new(), |of| of.name.clone()),
            )
        });
        columns.collect()
    };
    let ours = facts
        .tables
        .iter()
        .filter(|table| table.extension.is_none());
    Ok(ours
        .map(|table| (table.name.clone(), columns(table)))
        .collect())
}

/// What is not the same, a sentence for each table.
fn differences(
    toc: &Toc,
    tables: &BTreeMap<QualifiedName, Vec<(String, String)>>,
    is_everything: bool,
) -> Vec<String> {
    let mut differences = Vec::new();
    let mut left: BTreeMap<&QualifiedName, &Vec<(String, String)>> = tables.iter().collect();
    for entry in toc.entries.iter().filter(|entry| entry.is("TABLE")) {
        let Some(name) = entry.qualified_name() else {
            continue;
        };
        let Some(ours) = left.remove(&name) else {
            // A partitioned table has no rows of its own.
            if !entry
                .defn_bytes()
                .windows(13)
                .any(|some| some == b"PARTITION BY ")
            {
                differences.push(format!("{} is not on the source", name.shown()));
            }
            continue;
        };
        let Some(theirs) = toc.defined_columns(entry) else {
            continue;
        };
        let is_whole = !toc.inherits_columns(entry);
        let text = |columns: &[(String, String)]| {
            let columns = columns.iter().map(|(name, of)| format!("{name} {of}"));
            columns.collect::<Vec<_>>().join(", ")
        };
        let same = |column: &&(String, String)| ours.contains(column);
        let is_same = if is_whole {
            theirs == *ours
        } else {
            theirs.iter().filter(same).count() == theirs.len()
        };
        if !is_same {
            differences.push(format!(
                "{}: the source has ({}), and there it is ({})",
                name.shown(),
                text(ours),
                text(&theirs)
            ));
        }
    }
    if is_everything {
        differences.extend(
            left.keys()
                .map(|name| format!("{} is only on the source", name.shown())),
        );
    }
    differences
}
