//! What a dump was asked for, as `run.json` keeps it; and a dump taken up again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::write::{Begun, put_away};
use super::{Asked, Source, connect, contents, damage, place_of, tell_snapshot, tell_start};
use crate::archive::{
    Codec, Header, Journal, Line, Manifest, Noted, Store, Unfinished, is_finished, still_as_noted,
};
use crate::cli::inspect::Server;
use crate::cli::keeper;
use crate::cli::output::Output;
use crate::cli::requested::reached_again;
use crate::cli::run_dir::RunDir;
use crate::cli::say::say;
use crate::cli::session::step;
use crate::cli::verify::check_archive;
use crate::event::{Emit as _, What};
use crate::failure::Failure;
use crate::ledger::Identity;
use crate::model::{ExitStatus, Filters, RunCommand, Side, VerifyLevel};
use crate::pg::Snapshot;
use crate::pg::client_tools::Search;
use crate::pg::conninfo::{Conninfo, Environment};
use crate::pg::keeper::Kept;
use crate::plan::Doubtful;
use crate::toc::RestoreOptions;

/// What was asked for. Holds no password.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct DumpRequest {
    /// Always `dump`: other runs have none, or another.
    pub command: RunCommand,
    /// What identifies the run: its directory.
    pub run: String,
    /// Where from, as `PG*` variables.
    pub source: BTreeMap<String, String>,
    /// Who the source is.
    pub source_identity: Identity,
    /// Where to: absolute.
    pub archive: PathBuf,
    /// As `-Z` has it.
    pub compression: String,
    /// Patterns.
    pub filters: Filters,
    /// What is left out.
    pub restore: RestoreOptions,
    /// Number of workers.
    pub jobs: u32,
    /// What to prove.
    pub verify: VerifyLevel,
    /// For how many seconds a process of its own holds the snapshot of an interrupted run; `None` is no such process.
    pub keep_snapshot_s: Option<u64>,
    /// The source is damaged; what of it is read that may be wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salvage: Option<Doubtful>,
}

/// What was asked for stays, and so must be able to be done.
const BY_THE_SAME: &str = "Resume it with the client programs that it was begun with (PGCONVOY_PG_BIN names their directory).";

/// What a run was asked for, if it is a dump.
pub(in crate::cli) fn asked_for(run_dir: &RunDir) -> Result<Option<DumpRequest>, Failure> {
    /// Of any run.
    #[derive(Deserialize)]
    struct Any {
        #[serde(default)]
        command: RunCommand,
    }
    match run_dir.read_request::<Any>()? {
        Some(any) if any.command == RunCommand::Dump => run_dir.read_request(),
        _ => Ok(None),
    }
}

impl DumpRequest {
    /// What was asked for, of a server that was found.
    pub fn new(server: &Server, (run, archive): (String, PathBuf), asked: Asked) -> Self {
        Self {
            command: RunCommand::Dump,
            run,
            source: server
                .connector
                .conninfo()
                .record(&server.session.peer().host),
            source_identity: Identity::of(&server.facts),
            archive,
            compression: asked.compress.to_string(),
            filters: asked.filters,
            restore: asked.restore,
            jobs: asked.jobs,
            verify: asked.verify,
            keep_snapshot_s: asked.keep_snapshot.map(|length| length.as_secs()),
            salvage: asked.salvage,
        }
    }

    /// The first line of the journal, in a snapshot.
    pub fn header(&self, snapshot: &Snapshot) -> Result<Header, Failure> {
        let holder = serde_json::to_value(snapshot.kept_by());
        Ok(Header {
            run: self.run.clone(),
            holder: holder
                .map_err(|error| Failure::defect(format!("a snapshot as JSON: {error}")))?,
        })
    }

    /// How long a process of its own holds the snapshot without us.
    pub fn keep_snapshot(&self) -> Option<Duration> {
        self.keep_snapshot_s.map(Duration::from_secs)
    }

    /// The options that leave a part of the database out.
    pub fn narrowed_by(&self) -> Vec<String> {
        let mut options = self.filters.pg_dump_args();
        options.extend(self.restore.options().map(str::to_owned));
        options
    }

    /// In what a finished archive of this name is not what was asked for; `None` if it may be that.
    fn differs_from(&self, manifest: &Manifest) -> Option<String> {
        let (asked, source) = (&self.source_identity, &manifest.source);
        let known = asked.system_identifier.zip(source.system_identifier);
        if asked.database != source.database || known.is_some_and(|(one, other)| one != other) {
            let place = (&source.database, &source.server);
            return Some(format!("it is of database {} on {}", place.0, place.1));
        }
        let narrowed_by = self.narrowed_by();
        if narrowed_by != manifest.narrowed_by {
            let options = |options: &[String]| match options {
                [] => "nothing".to_owned(),
                options => options.join(" "),
            };
            let (there, ours) = (options(&manifest.narrowed_by), options(&narrowed_by));
            return Some(format!("it was narrowed by {there}, not by {ours}"));
        }
        (self.compression != manifest.compression)
            .then(|| format!("it is compressed by {}", manifest.compression))
    }

    /// The archive, begun or not.
    pub fn unfinished(&self) -> Result<Unfinished, Failure> {
        Ok(Unfinished::of(&self.archive, Path::new(&self.run))?)
    }

    /// How to compress.
    pub fn codec(&self) -> Result<Codec, Failure> {
        self.compression
            .parse()
            .map_err(|error| Failure::defect(format!("the compression in run.json: {error}")))
    }
}

/// A dump that was finished has nothing to resume. Says so, and whether the archive is still what it was.
pub(in crate::cli) fn finished_before(
    request: &DumpRequest,
) -> Result<Option<ExitStatus>, Failure> {
    let unfinished = request.unfinished()?;
    if unfinished.exists()? || !is_finished(&request.archive)? {
        return Ok(None);
    }
    let manifest = Manifest::of(&Store::at(&request.archive)?)?;
    if let Some(what) = request.differs_from(&manifest) {
        return Err(Failure::usage(
            format!(
                "{} belongs to another dump: {what}",
                request.archive.display()
            ),
            "Nothing was touched. Start this dump again under another name.",
        ));
    }
    // It may have been killed before it came to that.
    if let Some(text) = put_away(&unfinished) {
        say(&text);
    }
    say("There is nothing to resume: this dump was finished.");
    let status = check_archive(&request.archive, false)?;
    let was_proven = request.verify == VerifyLevel::Content;
    Ok(Some(match status {
        // An account with losses is 6 by itself.
        ExitStatus::Proven if !was_proven => ExitStatus::Waived,
        status => status,
    }))
}

/// The source again: in the snapshot of the session that was interrupted, with what that has finished, or in a new one.
pub(super) async fn take_up(
    request: &DumpRequest,
    given: Option<Conninfo>,
    output: &Output,
) -> Result<(Source, Begun), Failure> {
    let environment = Environment::of_process();
    let emitter = output.emitter();
    step(&emitter, "connecting");
    let conninfo = reached_again(given, &request.source, &environment, Side::Source)?;
    let filters = request.salvage.map(|_| &request.filters);
    let (mut server, left_out) = Box::pin(connect(conninfo, filters)).await?;
    if !request.source_identity.may_be(&Identity::of(&server.facts)) {
        return Err(Failure::usage(
            format!(
                "{} is not the database that the dump is of",
                server.endpoint
            ),
            "Start a dump of it under another name.",
        ));
    }
    tell_start(RunCommand::Resume, place_of(&server), request, output);
    let pg_dump = Search::run("pg_dump", &environment).await;
    let pg_dump = pg_dump.closest_for(server.facts.version)?;
    contents::check(&pg_dump, request.codec()?).map_err(|failure| Failure {
        hint: Some(BY_THE_SAME.to_owned()),
        ..failure
    })?;
    request.filters.check_pg_dump(pg_dump.version.major())?;
    let damage = damage(&mut server, (request, left_out), output).await?;
    let archive = request.unfinished()?;
    let (mut journal, noted) = Journal::open(&archive)?;
    refuse_of_another(request, (&archive, noted.as_ref()))?;
    let held = match noted.as_ref().and_then(|noted| kept(&noted.header)) {
        Some(kept) if archive.exists()? => Snapshot::resume(&server.connector, &kept).await?,
        _ => None,
    };
    let (snapshot, finished) = if let Some(snapshot) = held {
        archive.give_up_uploads()?;
        let lines = noted.map(|noted| noted.lines).unwrap_or_default();
        let finished = unharmed((&archive, lines), request, output).await?;
        (snapshot, finished)
    } else {
        let text =
            "the snapshot of the interrupted session is gone: the dump begins again, in a new one";
        emitter.emit(What::Note {
            text: text.to_owned(),
        });
        let snapshot = keeper::snapshot(&server, request.keep_snapshot()).await?;
        archive.clear()?;
        journal.begin(&request.header(&snapshot)?)?;
        (snapshot, Vec::new())
    };
    tell_snapshot(&snapshot, output);
    let begun = Begun {
        archive,
        journal,
        finished,
    };
    let source = Source {
        server,
        pg_dump,
        snapshot,
        damage,
    };
    Ok((source, begun))
}

/// What is there under the archive's name may be another dump's by now.
pub(super) fn refuse_of_another(
    request: &DumpRequest,
    (archive, noted): (&Unfinished, Option<&Noted>),
) -> Result<(), Failure> {
    if archive.is_of_its_run(&request.run, noted)? {
        return Ok(());
    }
    Err(Failure::usage(
        format!(
            "{} belongs to another dump, or the file that says whose it is has been removed",
            archive.path().display()
        ),
        "If it belongs to another dump, resume that one. If not, or if it is no longer needed, remove it and its journal, and start this dump again.",
    ))
}

/// Which keeper holds, or held, the snapshot.
pub(super) fn kept(header: &Header) -> Option<Kept> {
    serde_json::from_value(header.holder.clone()).ok()
}

/// What the journal says is finished, as far as the files are still what it says.
async fn unharmed(
    (archive, lines): (&Unfinished, Vec<Line>),
    request: &DumpRequest,
    output: &Output,
) -> Result<Vec<Line>, Failure> {
    let algorithm = request.codec()?.algorithm;
    let noted = lines.len();
    let archive = archive.clone();
    let unharmed = on_a_thread(move || still_as_noted(&archive, algorithm, lines)).await??;
    let text = format!(
        "{} of {noted} finished pieces of the archive are intact and stay",
        unharmed.len()
    );
    output.emitter().emit(What::Note { text });
    Ok(unharmed)
}

/// What takes its time and can be left off, on a thread of its own: whoever asks the run to stop does not wait for it, as a runtime waits
/// in its end for the threads that it has.
pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (tell, told) = oneshot::channel();
    let thread = thread::Builder::new().name("pgconvoy-look".to_owned());
    let started = thread.spawn(move || {
        let _nobody_waits = tell.send(work());
    });
    started.map_err(|error| Failure::defect(format!("starting a thread: {error}")))?;
    let looked = told.await;
    looked.map_err(|_| Failure::defect("a thread has ended without a result"))
}
