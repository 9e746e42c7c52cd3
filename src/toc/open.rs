//! The one function of this module that touches the file system.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::{Toc, TocError};

impl Toc {
    /// Opens an archive: a custom file, or a directory with a `toc.dat`.
    pub fn open(path: &Path) -> Result<Self, TocError> {
        let file = if path.is_dir() {
            path.join("toc.dat")
        } else {
            path.to_owned()
        };
        let opened = File::open(&file).map_err(|source| TocError::Open { path: file, source })?;
        Self::read(BufReader::new(opened))
    }
}
