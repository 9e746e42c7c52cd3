//! The account of a salvage: `losses.json`, the survey's result beside it, and both for people.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use crate::failure::Failure;
use crate::progress::words;
use crate::salvage::{DamageMap, Losses};

/// Causes of a table that people are shown; all of them are in `losses.json`.
const CAUSES: usize = 3;
/// Tables that people are shown.
const TABLES: usize = 50;

/// Writes `losses.json`.
pub(super) fn write(directory: &Path, losses: &Losses) -> Result<(), Failure> {
    write_json(&directory.join("losses.json"), losses)
}

/// Writes a file whole, and on disk, or not at all.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let failed = |error: &io::Error| Failure::file("writing", path, error);
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| failed(&error.into()))?;
    text.push(b'\n');
    let new = path.with_extension("new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|error| failed(&error))
}

/// What an earlier session found, if it came to the end of its search.
pub(super) fn read_map(path: &Path) -> Result<Option<DamageMap>, Failure> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::file("reading", path, &error)),
    };
    let map = serde_json::from_slice(&text);
    map.map(Some)
        .map_err(|error| Failure::file("understanding", path, &error.into()))
}

/// The account, a sentence for each table.
pub(super) fn sentences(losses: &Losses) -> Vec<String> {
    let mut sentences = Vec::new();
    for table in losses.tables.iter().take(TABLES) {
        let causes: Vec<&str> = table
            .causes
            .iter()
            .take(CAUSES)
            .map(|cause| cause.message.as_str())
            .collect();
        let mut sentence = format!(
            "{}: lost: {}; {} can be read ({})",
            table.table.shown(),
            table.shown(),
            words::count(table.rows_read, "row", "rows"),
            causes.join("; ")
        );
        if let Some(file) = &table.keys_file {
            sentence = format!("{sentence}; keys of what is lost: {file}");
        }
        if let Some(file) = &table.values_file {
            sentence = format!("{sentence}; all lost values: {file}");
        }
        if let Some(file) = &table.suspect_file {
            sentence = format!("{sentence}; what is suspect: {file}");
        }
        for note in &table.notes {
            sentence = format!("{sentence}; {note}");
        }
        sentences.push(sentence);
    }
    if losses.tables.len() > TABLES {
        let more = losses.tables.len() - TABLES;
        sentences.push(format!("{more} more damaged tables: losses.json has them"));
    }
    sentences.extend(losses.objects.iter().map(|one| {
        format!(
            "{} {}: {} ({})",
            one.class, one.object, one.what, one.cause.message
        )
    }));
    sentences.extend(
        losses
            .notes
            .iter()
            .map(|note| format!("{note}; nothing is lost with it")),
    );
    if sentences.is_empty() {
        sentences.push(format!(
            "no damage was found: {} of {} can be read",
            words::count(losses.rows_read, "row", "rows"),
            words::count(losses.tables_looked_at, "table", "tables")
        ));
    }
    sentences
}

/// The account on stdout.
pub(super) fn show(losses: &Losses, directory: &Path, json: bool) -> Result<(), Failure> {
    let mut out = io::stdout();
    let written = if json {
        let line = serde_json::to_string(losses).map_err(io::Error::from);
        line.and_then(|line| writeln!(out, "{line}"))
    } else {
        let mut lines = sentences(losses);
        lines.push(format!(
            "The account is in {}.",
            directory.join("losses.json").display()
        ));
        writeln!(out, "{}", lines.join("\n"))
    };
    written.map_err(|error| Failure::file("writing", Path::new("stdout"), &error))
}
