//! A dump of which everything was written before it was interrupted: what is left is the manifest, and the archive's name.
//!
//! Nothing of the source is needed for that, and its snapshot is usually gone. What is written is looked at first, as every session
//! does that goes on with another's work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::request::{kept, on_a_thread, refuse_of_another};
use super::write::{broken_off, entries_checked, put_away, tell_what_is_lacking};
use super::{DumpRequest, tell_start};
use crate::archive::{
    ArchiveError, Journal, LOSSES, Line, Manifest, Noted, Problem, Unfinished, changed_since,
};
use crate::cli::output::Output;
use crate::cli::requested::reached_again;
use crate::cli::salvage;
use crate::cli::session::step;
use crate::event::{Emit, What};
use crate::execute::dump::{large_objects_checked, verdict_of};
use crate::failure::Failure;
use crate::model::{Bytes, Endpoint, Rows, RunCommand, ServerVersion, Side, VerifyLevel};
use crate::pg::conninfo::{Conninfo, Environment};
use crate::pg::keeper::Kept;
use crate::pg::{Connector, Snapshot};
use crate::salvage::Losses;

/// How long a source is asked whether it still holds a snapshot that nobody needs.
const ASK_FOR: Duration = Duration::from_secs(10);

/// Finishes it; `false` if there is anything else left to do.
pub(super) async fn finish(
    request: &DumpRequest,
    given: Option<Conninfo>,
    output: &Output,
) -> Result<bool, Failure> {
    let archive = request.unfinished()?;
    if !archive.exists()? {
        return Ok(false);
    }
    let (_journal, noted) = Journal::open(&archive)?;
    let whole = noted.and_then(|mut noted| {
        let manifest = noted.whole.take()?;
        Some((noted, manifest))
    });
    let Some((noted, manifest)) = whole else {
        return Ok(false);
    };
    refuse_of_another(request, (&archive, Some(&noted)))?;
    let emitter = output.emitter();
    step(&emitter, "looking at what was written");
    let written = Arc::new((archive, noted, manifest));
    let looked_at = Arc::clone(&written);
    let changed = on_a_thread(move || {
        let (archive, noted, manifest) = &*looked_at;
        changed_since(archive, manifest, &noted.lines)
    });
    let changed = changed.await?.map_err(unread)?;
    let (archive, noted, manifest) = &*written;
    if !changed.is_empty() {
        let text = format!(
            "everything had been written, but some of it has changed since: {}",
            Problem::listed(&changed)
        );
        emitter.emit(What::Note { text });
        return Ok(false);
    }
    tell((archive, manifest), noted, request, output)?;
    step(&emitter, "finishing the archive");
    archive.settle(manifest).map_err(broken_off)?;
    // The commit point.
    archive.finish(manifest).map_err(broken_off)?;
    if let Some(text) = put_away(archive) {
        emitter.emit(What::Note { text });
    }
    if let Some(kept) = kept(&noted.header) {
        Box::pin(give_back(&kept, given, request, output)).await;
    }
    Ok(true)
}

/// What cannot be read may be as it was, and the snapshot in which it could be written anew is gone.
fn unread(error: ArchiveError) -> Failure {
    let is_a_file = matches!(error, ArchiveError::File { .. });
    let failure = broken_off(error);
    if !is_a_file {
        return failure;
    }
    Failure {
        hint: Some(
            "Nothing was touched: the whole archive has been written. Resume again when it can be read. If it never will be, remove it: the \
             dump then begins again."
                .to_owned(),
        ),
        ..failure
    }
}

/// What the session that wrote it has found, as far as what is written is evidence for it.
fn tell(
    (archive, manifest): (&Unfinished, &Manifest),
    noted: &Noted,
    request: &DumpRequest,
    output: &Output,
) -> Result<(), Failure> {
    let emitter = output.emitter();
    let source = &manifest.source;
    tell_start(
        RunCommand::Resume,
        dumped_from(request, manifest),
        request,
        output,
    );
    emitter.emit(What::SnapshotTaken {
        side: Side::Source,
        snapshot: source.snapshot.clone(),
        lsn: source.lsn.clone(),
    });
    let text =
        "everything had been written, and is intact: the archive is finished without the source";
    emitter.emit(What::Note {
        text: text.to_owned(),
    });
    emitter.emit(What::Planned {
        jobs: Vec::new(),
        tables: u32::try_from(manifest.tables.len()).unwrap_or(u32::MAX),
        bytes: Bytes(0),
    });
    let counts: BTreeMap<&str, Option<u64>> = noted
        .lines
        .iter()
        .filter_map(|line| match line {
            Line::Table { facts, counted, .. } => Some((facts.file.as_str(), *counted)),
            Line::LargeObjects { .. } => None,
        })
        .collect();
    for facts in &manifest.tables {
        let counted = counts.get(facts.file.as_str()).copied().flatten();
        let evidence = (Some(facts.content), counted.map(Rows));
        let (verdict, _) = verdict_of(facts, (request.verify, evidence));
        emitter.emit(What::TableVerified(verdict));
    }
    if !manifest.large_objects.is_empty() && request.verify != VerifyLevel::None {
        emitter.emit(large_objects_checked(manifest.large_objects.len()));
    }
    emitter.emit(entries_checked(&archive.store().toc_of(manifest)?));
    tell_what_is_lacking(&manifest.lacks, &emitter);
    if let Some(losses) = losses(archive, manifest)? {
        salvage::tell_losses(&losses, &emitter);
    }
    Ok(())
}

/// The server, as its manifest and the request have it: it may not be there any more.
fn dumped_from(request: &DumpRequest, manifest: &Manifest) -> (Endpoint, String) {
    let source = &manifest.source;
    let (host, port) = source.server.rsplit_once(':').unwrap_or_default();
    let endpoint = Endpoint {
        archive: None,
        host: host.to_owned(),
        port: port.parse().unwrap_or_default(),
        database: source.database.clone(),
        user: request.source.get("PGUSER").cloned().unwrap_or_default(),
        version: Some(ServerVersion(source.server_version_num)),
    };
    (endpoint, source.database.clone())
}

/// The account of a damaged source, as it is in the archive.
fn losses(archive: &Unfinished, manifest: &Manifest) -> Result<Option<Losses>, Failure> {
    let Some(facts) = &manifest.losses else {
        return Ok(None);
    };
    let mut account = facts.account.iter();
    let noted = account.find(|(name, _)| name == LOSSES);
    let noted = noted.map(|(_, facts)| *facts).unwrap_or_default();
    let store = archive.store();
    let bytes = store.as_noted(LOSSES, noted)?;
    match serde_json::from_slice(&bytes) {
        Ok(losses) => Ok(Some(losses)),
        Err(error) => Err(ArchiveError::Data {
            path: store.path_of(LOSSES),
            what: format!("it cannot be understood: {error}"),
        }
        .into()),
    }
}

/// The session that wrote everything may have been killed before it gave the snapshot back. Nothing depends on it but the source, which
/// cannot clean up for as long as it is held.
async fn give_back(kept: &Kept, given: Option<Conninfo>, request: &DumpRequest, output: &Output) {
    let environment = Environment::of_process();
    let asked = async {
        let conninfo = reached_again(given, &request.source, &environment, Side::Source)?;
        let connector = Connector::new(conninfo, Side::Source)?;
        if let Some(mut snapshot) = Snapshot::resume(&connector, kept).await? {
            snapshot.release().await?;
            output.emitter().emit(What::SnapshotReleased);
        }
        Ok::<(), Failure>(())
    };
    let because = match tokio::time::timeout(ASK_FOR, asked).await {
        Ok(Ok(())) => return,
        Ok(Err(failure)) => failure.message,
        Err(_) => "it does not answer".to_owned(),
    };
    tell_not_given_back(&because, &output.emitter());
}

/// Nothing that is written depends on it.
pub(super) fn tell_not_given_back(because: &str, emit: &dyn Emit) {
    let text = format!(
        "it is not known whether the source still holds the snapshot ({because}); if so, that ends by itself"
    );
    emit.emit(What::Note { text });
}
