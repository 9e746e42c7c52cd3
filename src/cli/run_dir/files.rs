//! Writes files of the run directory: each is there whole, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Serialize;

use crate::failure::Failure;
use crate::ledger::Packed;

/// JSON, with line breaks.
pub(super) fn write_json(path: &Path, what: &str, value: &impl Serialize) -> Result<(), Failure> {
    write_with(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value).map_err(|error| {
            // The disk's own words, if it is that.
            let defect = io::Error::other(format!("putting {what} into JSON: {error}"));
            error.io_error_kind().map_or(defect, |_| error.into())
        })?;
        file.write_all(b"\n")
    })
}

/// A small file.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> Result<(), Failure> {
    write_with(path, |file| file.write_all(content))
}

/// What was packed, as it was before.
pub(super) fn write_packed(path: &Path, content: &Packed) -> Result<(), Failure> {
    write_with(path, |file| io::copy(&mut content.open()?, file).map(drop))
}

/// Under another name first: whoever is killed in the middle leaves nothing that looks whole.
fn write_with(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), Failure> {
    let unfinished = path.with_extension("unfinished");
    let write = || {
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = BufWriter::new(new_file(&unfinished)?);
        write(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|error| Failure::file("writing", path, &error))
}

/// One that was not there, readable for its owner alone.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
