//! Everything from the plan to the archive's name.

use std::fmt::Write as _;
use std::sync::Arc;

use chrono::Utc;

use super::account;
use super::contents::contents;
use super::whole::tell_not_given_back;
use super::{DumpRequest, Session, Source, refuse_what_is_out_of_reach};
use crate::archive::{
    Algorithm, ArchiveError, Codec, FileFacts, Journal, LargeObjectFacts, Line, Manifest,
    SequenceFacts, SourceFacts, TOC, Unfinished,
};
use crate::catalog::{self, Disk};
use crate::cli::join::at_once;
use crate::cli::output::Emitter;
use crate::cli::session::step;
use crate::cli::signals;
use crate::event::{Emit, What};
use crate::execute::dump::{self, Dump, DumpError, Dumped};
use crate::execute::{release, still_held};
use crate::failure::Failure;
use crate::fault;
use crate::model::{QualifiedName, Side, Unverified, VerifyLevel};
use crate::pg::VALUE_SETTINGS;
use crate::plan::{DumpOptions, DumpPlan};
use crate::preflight::{self, archive_disk};
use crate::salvage::DamageMap;
use crate::toc::{LargeObjectList, Text, Toc};
use crate::verify::left_behind::of_extensions;
use crate::verify::{LeftBehind, Scope};

/// An archive that is begun, and ours alone.
pub(super) struct Begun {
    /// Where its files are.
    pub archive: Unfinished,
    /// Where what is finished is noted.
    pub journal: Journal,
    /// What an earlier session has finished, in the same snapshot.
    pub finished: Vec<Line>,
}

impl Begun {
    /// One that nobody has begun.
    fn new(request: &DumpRequest, source: &Source) -> Result<Self, Failure> {
        let archive = request.unfinished()?;
        archive.begin()?;
        let (mut journal, _) = Journal::open(&archive)?;
        journal.begin(&request.header(&source.snapshot)?)?;
        Ok(Self {
            archive,
            journal,
            finished: Vec::new(),
        })
    }
}

/// Dumps what is not finished yet, and finishes the archive.
pub(super) async fn write(
    mut source: Source,
    request: &DumpRequest,
    session: &Session<'_>,
    begun: Option<Begun>,
) -> Result<(), Failure> {
    let codec = request.codec()?;
    let emitter = session.output.emitter();
    step(&emitter, "reading the schema of the source");
    let (toc, plan, lacks) = tokio::select! {
        made = Box::pin(plan(&source, request, (codec, &emitter))) => made?,
        failure = signals::stopped(session.stop.clone()) => return Err(failure),
    };
    let Begun {
        archive,
        journal,
        finished,
    } = match begun {
        Some(begun) => begun,
        None => begin(request, &source, &plan, &emitter)?,
    };
    // From here on there is something that can be resumed, in this snapshot.
    source.snapshot.keep().await?;
    emitter.emit(What::Planned {
        jobs: plan.announced(),
        tables: u32::try_from(plan.units.len()).unwrap_or(u32::MAX),
        bytes: plan.data_bytes(),
    });
    step(&emitter, "dumping");
    let dumped = dump::run(Dump {
        plan: Arc::clone(&plan),
        source: source.server.connector.clone(),
        snapshot: source.snapshot.id.clone(),
        archive: archive.clone(),
        codec,
        workers: request.jobs,
        verify: request.verify,
        emit: Arc::new(emitter.clone()),
        stop: session.stop.clone(),
        patience: session.running.patience(),
        max_retries: session.retry.max_retries,
        journal: journal.clone(),
        finished,
    });
    let dumped = Box::pin(dumped).await;
    let dumped = dumped.map_err(|error| why_stopped(error, session))?;
    let written = Written {
        archive,
        journal,
        toc,
        plan,
        dumped,
        lacks,
    };
    Box::pin(finish(source, written, request, session)).await
}

/// Everything of an archive that is read of the source, but for what stands in its table of contents.
struct Written {
    archive: Unfinished,
    journal: Journal,
    toc: Toc,
    plan: Arc<DumpPlan>,
    dumped: Dumped,
    /// What is not in it although nobody left it out.
    lacks: Vec<Unverified>,
}

/// Describes what is written, gives the snapshot back, and finishes the archive.
async fn finish(
    mut source: Source,
    written: Written,
    request: &DumpRequest,
    session: &Session<'_>,
) -> Result<(), Failure> {
    let emitter = session.output.emitter();
    step(&emitter, "finishing the archive");
    let Written {
        archive,
        mut journal,
        toc,
        plan,
        dumped,
        lacks,
    } = written;
    let lists = lists(&archive, &plan.lists, &dumped)?;
    let bytes = toc.to_bytes()?;
    let adds_up = account::adds_up(source.damage.as_deref(), (&*plan, &dumped), &emitter);
    let is_whole = is_the_same(&toc, &bytes, &emitter);
    let mut has_doubts = dumped.has_doubts || !is_whole || !adds_up;
    let losses = account::write(&source, (&archive, session.output)).await?;
    let mut manifest = manifest(&source, request, dumped)
        .with_losses(losses)
        .lacking(lacks);
    manifest.toc = archive.write(TOC, &bytes).map_err(broken_off)?;
    manifest.large_object_lists = lists;
    manifest.sequences = sequences(&source, &toc).await?;
    if request.verify == VerifyLevel::Content {
        has_doubts |= !read_again(&archive, &manifest, &emitter)?;
    }
    // An error if its holder has ended before: then what was read last may be empty without having been.
    let how = (session.retry.max_retries, &emitter as &dyn Emit);
    still_held(&mut source.snapshot, &source.server.connector, how).await?;
    if has_doubts {
        release(source.snapshot, &source.server.connector, how).await?;
        let text = "the archive is not given its name: what was written stays in";
        let text = format!("{text} {}", archive.path().display());
        emitter.emit(What::Note { text });
        return Ok(());
    }
    archive.settle(&manifest).map_err(broken_off)?;
    journal.note_whole(&manifest).map_err(broken_off)?;
    // From here on nothing of the source is needed: whoever goes on has only to finish.
    fault::point("whole-noted");
    if let Err(error) = release(source.snapshot, &source.server.connector, how).await {
        tell_not_given_back(&Failure::from(error).message, &emitter);
    }
    // The commit point.
    archive.finish(&manifest).map_err(broken_off)?;
    if let Some(text) = put_away(&archive) {
        emitter.emit(What::Note { text });
    }
    Ok(())
}

/// What only an unfinished archive needs goes. There are stores in which nothing may be removed: what stays there does no harm, and is told.
pub(super) fn put_away(archive: &Unfinished) -> Option<String> {
    let failure = broken_off(archive.put_away().err()?);
    let because = [&[failure.message], failure.details.as_slice()].concat();
    Some(format!(
        "the archive is complete; what only an unfinished one needs could not be removed, and does no harm: {}",
        because.join(": ")
    ))
}

/// Begins one; beforehand, says if it may be too large for its disk.
fn begin(
    request: &DumpRequest,
    source: &Source,
    plan: &DumpPlan,
    emit: &dyn Emit,
) -> Result<Begun, Failure> {
    let archive = request.unfinished()?;
    let disk = archive.parent().and_then(|path| Disk::of(path).ok());
    let is_packed = request.codec()?.algorithm != Algorithm::None;
    let told = disk.and_then(|disk| archive_disk(&disk, plan.data_bytes(), is_packed));
    if let Some(finding) = told {
        emit.emit(What::Finding(finding));
    }
    Begun::new(request, source)
}

/// Something is written already, and can be gone on with when the store does what it should.
pub(super) fn broken_off(error: ArchiveError) -> Failure {
    DumpError::from(error).into()
}

/// What the archive holds, but for what is yet to be written.
fn manifest(source: &Source, request: &DumpRequest, dumped: Dumped) -> Manifest {
    let (server, snapshot) = (&source.server, &source.snapshot);
    let endpoint = &server.endpoint;
    let settings = VALUE_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Manifest {
        format: Manifest::FORMAT,
        pgconvoy_version: env!("CARGO_PKG_VERSION").to_owned(),
        finished_at: Utc::now(),
        source: SourceFacts {
            server: format!("{}:{}", endpoint.host, endpoint.port),
            database: server.facts.database.clone(),
            server_version_num: server.facts.version.0,
            system_identifier: server.facts.system_identifier,
            encoding: server.facts.encoding.clone(),
            snapshot: snapshot.id.clone(),
            lsn: snapshot.lsn.clone(),
            settings: settings.to_vec(),
        },
        narrowed_by: request.narrowed_by(),
        compression: request.compression.clone(),
        toc: FileFacts::default(),
        sequences: Vec::new(),
        tables: dumped.tables,
        large_objects: dumped.large_objects,
        large_object_lists: Vec::new(),
        losses: None,
        lacks: Vec::new(),
    }
}

/// What is in the database, how it is read, and what of it no archive by this role can hold, which is told at once.
async fn plan(
    source: &Source,
    request: &DumpRequest,
    (codec, emit): (Codec, &Emitter),
) -> Result<(Toc, Arc<DumpPlan>, Vec<Unverified>), Failure> {
    let toc = Box::pin(contents(source, request, codec));
    let unreadable = source.damage.as_deref().map(|map| map.sequences.clone());
    let unreadable = unreadable.unwrap_or_default();
    let facts = async {
        let session = source.snapshot.session();
        let facts = catalog::source_facts_but(session, &unreadable).await?;
        // One after the other: what a server refuses is rolled back to before it was asked.
        Ok((facts, LeftBehind::read(session).await?))
    };
    let ((toc, warnings), (facts, left_behind)) = at_once(toc, Box::pin(facts)).await?;
    let warned = preflight::pg_dump_warned(&warnings).into_iter();
    warned.for_each(|finding| emit.emit(What::Finding(finding)));
    refuse_what_is_out_of_reach(&source.server, request, &toc).await?;
    let mut scope = Scope::of(&toc);
    scope.large_objects = !request.filters.selects();
    let lacks = left_behind.unverified(Side::Source, &scope, &request.restore);
    tell_what_is_lacking(&lacks, emit);
    if let Some(text) = of_extensions(&facts.extensions, &scope) {
        emit.emit(What::Note { text });
    }
    let options = DumpOptions {
        workers: request.jobs,
        verify: request.verify,
        everything: request.filters.is_empty(),
        around: DamageMap::for_plan(source.damage.as_deref()).around,
    };
    let plan = DumpPlan::make(&toc, (&source.server.facts, &facts), &options)?;
    Ok((toc, Arc::new(plan), lacks))
}

/// Tells what is not in the archive although nobody left it out.
pub(super) fn tell_what_is_lacking(lacks: &[Unverified], emit: &dyn Emit) {
    let lacks = lacks.iter().cloned();
    lacks.for_each(|one| emit.emit(What::Unverified(one)));
}

fn why_stopped(error: DumpError, session: &Session<'_>) -> Failure {
    match (error, session.stop.borrow().cause()) {
        (DumpError::Stopped, Some(cause)) => Failure::stopped(cause),
        (error, _) => Failure::from(error),
    }
}

/// The lists of large objects: their numbers, and the files that they are in.
fn lists(
    archive: &Unfinished,
    lists: &[LargeObjectList],
    dumped: &Dumped,
) -> Result<Vec<(String, FileFacts)>, Failure> {
    let mut written = Vec::with_capacity(lists.len());
    for list in lists {
        let mut text = String::new();
        for oid in &list.oids {
            let found = dumped
                .large_objects
                .binary_search_by_key(oid, |object: &LargeObjectFacts| object.oid);
            if found.is_ok() {
                let _infallible = writeln!(text, "{oid} blob_{oid}.dat");
            }
        }
        let name = list.file.to_string_lossy();
        let facts = archive.write(&name, text.as_bytes()).map_err(broken_off)?;
        written.push((name, facts));
    }
    Ok(written)
}

/// Where sequences stand, by names in UTF-8: in the archive they are in the database's encoding.
async fn sequences(source: &Source, toc: &Toc) -> Result<Vec<SequenceFacts>, Failure> {
    let positions = toc.sequence_positions().map_err(|entry| {
        Failure::defect(format!("{entry} does not say where the sequence stands"))
    })?;
    let texts = positions
        .iter()
        .flat_map(|position| [&position.schema, &position.name]);
    let names: Vec<String> = match source.server.facts.encoding.as_str() {
        "UTF8" | "SQL_ASCII" => texts.map(Text::to_string_lossy).collect(),
        _ => {
            // The session with the snapshot may have been ended meanwhile: it was idle for as long as everything was read.
            let session = source.server.connector.session("names").await?;
            catalog::decoded_names(&session, texts.map(|text| &**text)).await?
        }
    };
    let both = positions.iter().zip(names.chunks_exact(2));
    let facts = both.map(|(position, name)| SequenceFacts {
        sequence: QualifiedName::new(&name[0], &name[1]),
        last_value: position.last_value,
        is_called: position.is_called,
    });
    Ok(facts.collect())
}

/// What describes the archive is in its files as it was written; all others were looked at as they were finished. Tells what is not.
fn read_again(archive: &Unfinished, manifest: &Manifest, emit: &dyn Emit) -> Result<bool, Failure> {
    let mut all = true;
    for (name, facts) in manifest.descriptions() {
        if archive.reads_as(name, facts).map_err(broken_off)? {
            continue;
        }
        all = false;
        emit.emit(What::Unverified(Unverified {
            class: "file".into(),
            object: name.into(),
            because: "what is read back differs from what was written".into(),
        }));
    }
    Ok(all)
}

/// A table of contents that reads as it was written.
pub(super) fn entries_checked(toc: &Toc) -> What {
    What::Checked {
        what: "entries of the table of contents".into(),
        count: toc.entries.len() as u64,
    }
}

/// What is written must read as what it was.
fn is_the_same(toc: &Toc, bytes: &[u8], emit: &dyn Emit) -> bool {
    let is_the_same = Toc::parse(bytes).is_ok_and(|again| again == *toc);
    emit.emit(if is_the_same {
        entries_checked(toc)
    } else {
        What::Unverified(Unverified {
            class: "table of contents".into(),
            object: TOC.into(),
            because: "what is read back differs from what was written".into(),
        })
    });
    is_the_same
}
