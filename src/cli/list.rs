//! `pgconvoy list`: what is in an archive, entry by entry.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;

use super::say::said;
use crate::archive::{ArchiveError, LOSSES, Manifest, Store, TableFacts};
use crate::failure::Failure;
use crate::model::{Bytes, DumpId, ExitStatus};
use crate::progress::words;
use crate::toc::{Entry, RestoreOptions, Text, Toc};

/// List what is in an archive: the table of contents, with rows and sizes where the archive records them
///
/// Reads archives made by pgconvoy dump and by `pg_dump` (-Fd, -Fc). Each line is what `pg_restore -l` prints, so that it can
/// be given to `pg_restore -L`; what is known about a table's data stands above it, as a comment.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// The directory, the file, or the address in object storage
    #[arg(value_name = "ARCHIVE")]
    archive: PathBuf,
}

impl ListArgs {
    /// From the command line.
    pub(super) fn start(&self) -> Result<ExitStatus, Failure> {
        let archive = Store::at(&self.archive)?;
        let manifest = match Manifest::of(&archive) {
            Ok(manifest) => Some(manifest),
            // One by pg_dump has none, and a file is no directory.
            Err(ArchiveError::NoManifest { .. }) => None,
            Err(ArchiveError::File { .. }) if !archive.has_files() => None,
            Err(error) => return Err(error.into()),
        };
        let toc = match &manifest {
            Some(manifest) => archive.toc_of(manifest),
            None => archive.toc(),
        };
        let toc = toc.map_err(Failure::refused_archive)?;
        said(write(&toc, manifest.as_ref()))?;
        Ok(ExitStatus::Proven)
    }
}

fn write(toc: &Toc, manifest: Option<&Manifest>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in head(toc, manifest) {
        writeln!(out, "; {line}")?;
    }
    let tables = manifest.map(|manifest| manifest.tables.as_slice());
    let tables: HashMap<DumpId, &TableFacts> = tables
        .unwrap_or_default()
        .iter()
        .map(|table| (table.dump_id, table))
        .collect();
    // As pg_restore has it: without what is not restored unless that is asked for.
    let options = RestoreOptions::default();
    let entries = toc.entries.iter();
    for entry in entries.filter(|entry| options.leaves_out(entry).is_none()) {
        if let Some(facts) = tables.get(&entry.dump_id) {
            writeln!(
                out,
                "; {}, {} in {} ({})",
                words::count(facts.content.digest.rows.0, "row", "rows"),
                Bytes(facts.content.bytes),
                facts.file,
                Bytes(facts.on_disk.bytes)
            )?;
        }
        writeln!(out, "{}", line(entry))?;
    }
    Ok(())
}

fn head(toc: &Toc, manifest: Option<&Manifest>) -> Vec<String> {
    let header = &toc.header;
    let text = |text: &Option<Text>| {
        let text = text.as_ref().map(Text::to_string_lossy);
        words::one_line(&text.unwrap_or_default())
    };
    let mut lines = vec![
        format!(
            "database {}, PostgreSQL {}, by pg_dump {}, format {}",
            text(&header.database),
            text(&header.server_version),
            text(&header.dump_version),
            header.version
        ),
        format!("{} entries", toc.entries.len()),
    ];
    let Some(manifest) = manifest else {
        lines.push("without a manifest: it cannot be known whether it is complete".to_owned());
        return lines;
    };
    if !manifest.narrowed_by.is_empty() {
        let options = words::one_line(&manifest.narrowed_by.join(" "));
        lines.push(format!("left out as requested: {options}"));
    }
    let by = format!(
        "by its manifest: dumped by pgconvoy {} at LSN {}, finished {}",
        manifest.pgconvoy_version,
        manifest.source.lsn,
        manifest.finished_at.format("%Y-%m-%d %H:%M:%S UTC")
    );
    lines.push(match &manifest.losses {
        Some(_) => format!("NOT whole, {by}"),
        None if manifest.lacks.is_empty() => format!("whole, {by}"),
        None => format!("incomplete, {by}"),
    });
    let lacks = manifest.lacks.iter();
    lines.extend(lacks.map(|one| {
        let what = format!("not in it, or not in full: {} {}", one.class, one.object);
        words::one_line(&what)
    }));
    let Some(losses) = &manifest.losses else {
        return lines;
    };
    let lost = losses.lost.iter();
    lines.extend(lost.map(|(object, what)| words::one_line(&format!("lost of {object}: {what}"))));
    lines.push(format!("the account of it: {LOSSES}"));
    lines
}

/// As `pg_restore -l` has it (`PrintTOCSummary` in `pg_backup_archiver.c`).
fn line(entry: &Entry) -> String {
    let text = |text: Option<&Text>, none: &str| {
        text.map_or(none.to_owned(), |text| sanitized(&text.to_string_lossy()))
    };
    format!(
        "{}; {} {} {} {} {} {}",
        entry.dump_id,
        entry.table_oid,
        entry.oid,
        entry.desc,
        text(entry.namespace.as_ref(), "-"),
        text(Some(&entry.tag), ""),
        text(entry.owner.as_ref(), "")
    )
}

/// An entry is a line, whatever its name is (`sanitize_line` in `dumputils.c`).
fn sanitized(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
