//! `pgconvoy verify --archive`: the files of an archive against its manifest, or a server against it.

use std::io::{self, Write as _};
use std::path::Path;

use serde_json::json;

use super::{VerifyArgs, archive_server, stock};
use crate::archive::{
    ArchiveError, LOSSES, LossFacts, Manifest, Problem, Store, TOC, check_files_of,
};
use crate::cli::output::style_of_stderr;
use crate::cli::schema::in_two_encodings;
use crate::failure::Failure;
use crate::model::{Bytes, ExitStatus, Rows, Unverified};
use crate::progress::words;

/// Objects of which something is lost that are named.
const MOST_LOSSES: usize = 10;

/// Looks at every file; with a server, compares that with what the manifest says.
pub(super) async fn verify(archive: &Path, args: &VerifyArgs) -> Result<ExitStatus, Failure> {
    let store = Store::at(archive)?;
    let server = args.connection.server_of_archive()?;
    let manifest = match Manifest::of(&store) {
        Err(error @ ArchiveError::NoManifest { .. }) => {
            return stock::verify((&store, error), server.is_some(), args);
        }
        manifest => manifest?,
    };
    if let Some(server) = server {
        return Box::pin(archive_server::verify((store, manifest), server, args)).await;
    }
    refuse_after(args)?;
    tell_check((&store, &manifest), args.output.display.json())
}

/// Plans are a server's.
pub(super) fn refuse_after(args: &VerifyArgs) -> Result<(), Failure> {
    if !args.after.after {
        return Ok(());
    }
    Err(Failure::usage(
        "--after checks a server, and an archive is not one",
        "Give it to pgconvoy verify --source … --target … when the archive has been restored.",
    ))
}

/// Looks at every file of an archive, and tells what is wrong with it.
pub(in crate::cli) fn check_archive(archive: &Path, json: bool) -> Result<ExitStatus, Failure> {
    let archive = Store::at(archive)?;
    tell_check((&archive, &Manifest::of(&archive)?), json)
}

fn tell_check((archive, manifest): (&Store, &Manifest), json: bool) -> Result<ExitStatus, Failure> {
    let mut problems = check_files_of(archive, manifest)?;
    let mut sentence = sentence(archive.shown(), manifest, &problems);
    if problems.is_empty()
        && let Some(what) = in_two_encodings(manifest, &archive.toc_of(manifest)?)
    {
        sentence = format!(
            "NOT for pg_restore: {} is as it was written, but pg_restore may make another database of it: it would misread text that is not \
             ASCII. Restore it with pgconvoy restore, or dump again.",
            archive.shown().display()
        );
        problems.push(Problem {
            file: TOC.to_owned(),
            object: None,
            what,
        });
    }
    let status = match &manifest.losses {
        _ if !problems.is_empty() => ExitStatus::Different,
        None if manifest.lacks.is_empty() => ExitStatus::Proven,
        // As it was written is not all that there was.
        _ => ExitStatus::Waived,
    };
    tell_all(&problems, (status, &sentence), json)
}

/// Tells what is wrong, and what it comes to.
pub(super) fn tell_all(
    problems: &[Problem],
    (status, sentence): (ExitStatus, &str),
    json: bool,
) -> Result<ExitStatus, Failure> {
    let told = if json {
        tell_json(problems, (status, sentence))
    } else {
        tell(problems, sentence)
    };
    told.map_err(|error| Failure::file("writing to", Path::new("the terminal"), &error))?;
    Ok(status)
}

fn sentence(archive: &Path, manifest: &Manifest, problems: &[Problem]) -> String {
    let rows: Rows = manifest
        .tables
        .iter()
        .map(|table| table.content.digest.rows)
        .sum();
    let bytes: u64 = manifest.files().map(|(_, facts)| facts.bytes).sum();
    let source = &manifest.source;
    let path = archive.display();
    if problems.is_empty() {
        let (word, losses) = match &manifest.losses {
            None if manifest.lacks.is_empty() => ("Proven", String::new()),
            None => ("Intact, but incomplete", String::new()),
            Some(losses) => ("Salvaged, with losses", not_in_it(losses)),
        };
        let lacks = lacking(&manifest.lacks);
        return format!(
            "{word}: {path} is as it was written: {}, {}, {} ({}), dumped from {} at {} (LSN {}).{losses}{lacks}",
            words::count(manifest.tables.len() as u64, "table", "tables"),
            words::count(rows.0, "row", "rows"),
            words::count(
                manifest.large_objects.len() as u64,
                "large object",
                "large objects"
            ),
            Bytes(bytes),
            source.database,
            source.server,
            source.lsn
        );
    }
    format!(
        "NOT as it was written: {} of {path}. Do not restore from it; what is named above is damaged, the rest is whole.",
        words::count(problems.len() as u64, "file", "files")
    )
}

/// What of the database could not be dumped.
fn lacking(lacks: &[Unverified]) -> String {
    let named = lacks.iter();
    let named: Vec<String> = named
        .map(|one| {
            let what = format!("{} {} ({})", one.class, one.object, one.because);
            words::one_line(&what)
        })
        .collect();
    if named.is_empty() {
        return String::new();
    }
    format!(
        " It does not hold everything: this could not be dumped, or not in full: {}.",
        named.join("; ")
    )
}

/// That it is an account with losses, and of what.
fn not_in_it(losses: &LossFacts) -> String {
    let mut lost: Vec<String> = losses
        .lost
        .iter()
        .take(MOST_LOSSES)
        .map(|(object, what)| format!("{object} ({what})"))
        .collect();
    if losses.lost.len() > MOST_LOSSES {
        lost.push(format!("{} more", losses.lost.len() - MOST_LOSSES));
    }
    format!(
        " It does not hold everything: the database was damaged, and this is lost or suspect: {}. The account is in its {LOSSES}.",
        lost.join("; ")
    )
}

fn about(problem: &Problem) -> String {
    match &problem.object {
        Some(object) => format!("{} ({object})", problem.file),
        None => problem.file.clone(),
    }
}

fn tell(problems: &[Problem], sentence: &str) -> io::Result<()> {
    let style = style_of_stderr();
    let mut stderr = io::stderr();
    for problem in problems {
        let about = words::one_line(&about(problem));
        writeln!(
            stderr,
            "{} {about}: {}",
            style.bad("damaged:"),
            problem.what
        )?;
    }
    writeln!(stderr, "{sentence}")
}

fn tell_json(problems: &[Problem], (status, sentence): (ExitStatus, &str)) -> io::Result<()> {
    let problems: Vec<_> = problems
        .iter()
        .map(|problem| {
            json!({ "file": problem.file, "object": problem.object, "what": problem.what })
        })
        .collect();
    let line = json!({ "status": status.code(), "sentence": sentence, "problems": problems });
    writeln!(io::stdout(), "{line}")
}
