//! `pgconvoy verify --archive` of one without a manifest, by `pg_dump`: read to its end, and proven to be nothing.
//!
//! What is damaged is found as far as that can be seen. There is nothing to compare with: whoever wants more has to restore it.

use std::io;

use super::VerifyArgs;
use super::archive::{refuse_after, tell_all};
use crate::archive::{ArchiveError, MANIFEST, ReadThrough, Store, read_through};
use crate::failure::Failure;
use crate::model::ExitStatus;
use crate::progress::words;
use crate::toc::TocError;

/// Which commands compare what is in such an archive with anything.
const RESTORE: &str = "Restore it into an empty database with pgconvoy restore, which compares the target with what comes out of the files; \
    to compare two databases, use pgconvoy verify --source … --target ….";

/// Reads all of it; `error` is that it has no manifest. It is compared with no server.
pub(super) fn verify(
    (archive, error): (&Store, ArchiveError),
    with_server: bool,
    args: &VerifyArgs,
) -> Result<ExitStatus, Failure> {
    let shown = archive.shown();
    let exists = archive.exists();
    if !exists.map_err(ArchiveError::file("opening", shown))? {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        return Err(Failure::file("opening", shown, &missing).with_status(ExitStatus::Usage));
    }
    if with_server {
        return Err(Failure {
            hint: Some(RESTORE.to_owned()),
            ..Failure::from(error)
        });
    }
    refuse_after(args)?;
    let read = read_through(archive).map_err(refused)?;
    // Without a manifest it stays what it is called with that cannot be verified.
    let status = if read.problems.is_empty() {
        ExitStatus::Usage
    } else {
        ExitStatus::Different
    };
    let sentence = sentence(archive, &read);
    let json = args.output.display.json();
    tell_all(&read.problems, (status, &sentence), json)
}

/// What is no archive that is read here.
fn refused(error: ArchiveError) -> Failure {
    let is_none = match &error {
        ArchiveError::Contents(error) => !matches!(error, TocError::Read { .. }),
        _ => false,
    };
    let failure = Failure::from(error);
    if is_none {
        failure.with_status(ExitStatus::Usage)
    } else {
        failure
    }
}

fn sentence(archive: &Store, read: &ReadThrough) -> String {
    let path = archive.shown().display();
    if read.is_unopened {
        return format!(
            "NOT whole: {path}. What is named above is missing or damaged, and nothing else was read. Use another copy of the archive, or dump \
             again."
        );
    }
    let tables = words::count(read.tables, "table", "tables");
    if !read.problems.is_empty() {
        return format!(
            "NOT whole: {path}. What is named above is damaged ({} of {tables} and {}). Use another copy of the archive, or dump again.",
            read.problems.len(),
            words::count(read.objects, "large object", "large objects")
        );
    }
    let uncounted = match read.uncounted {
        0 => String::new(),
        count => format!(
            ", and the statements of {}, which were not counted",
            words::count(count, "table", "tables")
        ),
    };
    let open = match read.open_ends {
        0 => String::new(),
        count => format!(
            " Of {}, not compressed or empty, it cannot be known whether the file ends too early.",
            words::count(count, "large object", "large objects")
        ),
    };
    format!(
        "Not proven: {path} has no {MANIFEST}: it was made by pg_dump, or is not whole. All that its table of contents names is there, and \
         was read to its end: {tables}, {}{uncounted}, {}.{open} It cannot be known what was left out of it, or whether rows that are not \
         compressed have changed. {RESTORE}",
        words::count(read.rows.0, "row", "rows"),
        words::count(read.objects, "large object", "large objects"),
    )
}
