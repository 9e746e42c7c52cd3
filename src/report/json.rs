//! `report.json`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Report;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It cannot be expressed in JSON.
    #[error("putting the report into JSON")]
    Encode(#[source] serde_json::Error),
    /// The file system refused.
    #[error("writing the report to {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The report as indented JSON with a line end.
pub fn bytes(report: &Report) -> Result<Vec<u8>, WriteError> {
    let mut bytes = serde_json::to_vec_pretty(report).map_err(WriteError::Encode)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The report as one line, without a line end: the last line of `--json`.
pub fn line(report: &Report) -> Result<String, WriteError> {
    serde_json::to_string(report).map_err(WriteError::Encode)
}

/// Writes the report. Whoever reads the file sees a whole report or none: it is written beside its place, brought to the
/// disk, and renamed.
pub fn write(report: &Report, path: &Path) -> Result<(), WriteError> {
    let bytes = bytes(report)?;
    let failed = |source| WriteError::Write {
        path: path.to_owned(),
        source,
    };
    let beside = path.with_extension("json.part");
    let mut file = File::create(&beside).map_err(failed)?;
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    // The commit point.
    std::fs::rename(&beside, path).map_err(failed)
}
