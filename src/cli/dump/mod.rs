//! `pgconvoy dump`: source server → archive, in a directory or in object storage, verified as written.
//!
//! ```text
//!   connect ─► snapshot ─► pg_dump's table of contents ─► plan ─► dump ─► manifest, name
//! ```
//!
//! | file | |
//! |---|---|
//! | `account` | what of a damaged source is lost, in the archive |
//! | `contents` | what `pg_dump` would write as its table of contents |
//! | `request` | what was asked for, as a session that goes on needs it |
//! | `write` | everything from the plan to the manifest |
//! | `whole` | the last step alone, of a dump that was interrupted before it |
//!
//! The commit point is the last step of `write`, or of `whole`: the archive gets its name, or in object storage its manifest.

mod account;
mod contents;
mod request;
mod whole;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::arguments::{
    KeeperOptions, LeaveOutArgs, OutputArgs, RetryArgs, RunningArgs, SelectionArgs, SourceArgs,
    SpeedArgs, VerifyArgs,
};
use super::detach;
use super::inspect::Server;
use super::keeper;
use super::output::Output;
use super::patterns::check_patterns;
use super::salvage::{self, LeftOut};
use super::session::step;
use super::signals;
use crate::archive::{ArchiveError, Codec, Unfinished, absolute};
use crate::catalog;
use crate::event::{Emit as _, What};
use crate::execute::Stop;
use crate::failure::Failure;
use crate::model::{
    Endpoint, ExitStatus, Filters, Finding, RunCommand, Severity, Side, VerifyLevel,
};
use crate::pg::Snapshot;
use crate::pg::client_tools::{ClientTool, Search};
use crate::pg::conninfo::{Conninfo, Environment};
use crate::plan::Doubtful;
use crate::preflight::{self, PreflightFacts};
use crate::report::Ending;
use crate::salvage::DamageMap;
use crate::toc::{RestoreOptions, Toc};

pub(super) use request::{DumpRequest, asked_for, finished_before};

/// Dump a database into an archive that `pg_restore` can read, and prove that the archive holds it
///
/// Writes a directory in `pg_dump`'s own format, on all cores, from one snapshot, and with it a manifest of what each file must
/// hold. Every file is read back after it is written. The archive gets its name only when all of it is on disk: a directory
/// called DIR is complete. Exits with 0 only then. In object storage (`s3://bucket/prefix`, `gs://`, `az://`) the same files
/// are objects, of which no copy is made on this machine, and the manifest comes last: without it there is no archive.
/// Credentials and settings come from the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
/// `AWS_REGION`, `AWS_ENDPOINT`; `GOOGLE_SERVICE_ACCOUNT` (a file); `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = super::AFTER_HELP,
    // Refused, with the reason: they belong to what restores the archive.
    mut_arg("no_owner", |option| option.hide(true)),
    mut_arg("no_tablespaces", |option| option.hide(true)),
)]
pub struct DumpArgs {
    /// Source.
    #[command(flatten)]
    pub connection: SourceArgs,

    /// The directory to write, or an address in object storage; nothing of that name may exist but an empty directory
    #[arg(long, value_name = "DIR", help_heading = "Archive")]
    pub archive: PathBuf,

    /// How to compress: none, gzip, lz4 or zstd, optionally with a level (zstd:9)
    #[arg(
        short = 'Z',
        long,
        value_name = "METHOD[:LEVEL]",
        default_value = "gzip",
        help_heading = "Archive"
    )]
    pub compress: Codec,

    /// Which objects.
    #[command(flatten)]
    pub selection: SelectionArgs,

    /// What to leave out of them.
    #[command(flatten)]
    pub leave_out: LeaveOutArgs,

    /// Number of workers, each with a connection to the source [default: all cores]
    #[arg(short = 'j', long, value_name = "N", help_heading = "Speed", value_parser = SpeedArgs::parse_jobs)]
    pub jobs: Option<u32>,

    /// What to prove.
    #[command(flatten)]
    pub verify: VerifyArgs,

    /// What survives a crash.
    #[command(flatten)]
    pub keeper: KeeperOptions,

    /// What is tried again.
    #[command(flatten)]
    pub retry: RetryArgs,

    /// How to start and stop it.
    #[command(flatten)]
    pub running: RunningArgs,

    /// How to tell.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A source that is looked at, in a snapshot.
struct Source {
    server: Server,
    pg_dump: ClientTool,
    snapshot: Snapshot,
    /// What of it can be read, if it is damaged.
    damage: Option<Arc<DamageMap>>,
}

/// What is to be dumped, and how.
pub(super) struct Asked {
    /// From where.
    pub conninfo: Conninfo,
    /// To where, as it was given.
    pub archive: PathBuf,
    pub compress: Codec,
    pub filters: Filters,
    pub restore: RestoreOptions,
    pub jobs: u32,
    pub verify: VerifyLevel,
    pub keep_snapshot: Option<Duration>,
    /// The source is damaged.
    pub salvage: Option<Doubtful>,
}

impl DumpArgs {
    /// From the command line: with a display and a run directory of its own.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        let options = self.output.options();
        if self.running.detach {
            let more = self.output.run_dir_as_argument(&options);
            return Box::pin(detach::start(&options, &more)).await;
        }
        let output = Output::start(&options)?;
        let asked = match self.asked() {
            Ok(asked) => asked,
            Err(failure) => {
                output.abandon(&failure).await;
                return Err(failure);
            }
        };
        Box::pin(run(asked, (self.running, self.retry), output)).await
    }

    fn asked(&self) -> Result<Asked, Failure> {
        Ok(Asked {
            conninfo: self.connection.resolve(&Environment::of_process())?,
            archive: self.archive.clone(),
            compress: self.compress,
            filters: self.selection.filters()?,
            restore: self.leave_out.restore_options(false),
            jobs: self.jobs.unwrap_or_else(SpeedArgs::cores),
            verify: self.verify.level(),
            keep_snapshot: self.keeper.keep_snapshot(),
            salvage: None,
        })
    }
}

/// Dumps.
pub(super) async fn run(
    asked: Asked,
    (running, retry): (RunningArgs, RetryArgs),
    output: Output,
) -> Result<ExitStatus, Failure> {
    let stop = signals::watch(&output);
    let prepared = tokio::select! {
        prepared = Box::pin(prepare(asked, &output)) => prepared,
        failure = signals::stopped(stop.clone()) => Err(failure),
    };
    let (source, request) = match prepared {
        Ok(prepared) => prepared,
        // A search for damage took its time: a session that goes on begins with what it has found.
        Err(failure) if salvage::has_begun(&output) => {
            return Ok(output.fail(failure.broken_off()).await);
        }
        // Nothing was written, so there is nothing to keep a record of.
        Err(failure) => {
            output.abandon(&failure).await;
            return Err(failure);
        }
    };
    let session = Session {
        output: &output,
        stop,
        running,
        retry,
    };
    let written = Box::pin(write::write(source, &request, &session, None)).await;
    conclude(written, output).await
}

/// Goes on with a dump that was interrupted: in its snapshot with what is finished, or else anew. One of which everything is
/// written is finished.
pub(super) async fn resume(
    (request, given, running, retry): (DumpRequest, Option<Conninfo>, RunningArgs, RetryArgs),
    output: Output,
) -> Result<ExitStatus, Failure> {
    let stop = signals::watch(&output);
    let finished = tokio::select! {
        finished = Box::pin(whole::finish(&request, given.clone(), &output)) => finished,
        failure = signals::stopped(stop.clone()) => Err(failure),
    };
    match finished {
        Ok(false) => {}
        Ok(true) => return conclude(Ok(()), output).await,
        Err(failure) => return Ok(output.fail(failure).await),
    }
    let taken_up = tokio::select! {
        taken_up = Box::pin(request::take_up(&request, given, &output)) => taken_up,
        failure = signals::stopped(stop.clone()) => Err(failure),
    };
    let (source, begun) = match taken_up {
        Ok(taken_up) => taken_up,
        Err(failure) => return Ok(output.fail(failure).await),
    };
    let session = Session {
        output: &output,
        stop,
        running,
        retry,
    };
    let written = Box::pin(write::write(source, &request, &session, Some(begun))).await;
    conclude(written, output).await
}

/// What a session of a dump needs besides what it does.
struct Session<'a> {
    output: &'a Output,
    stop: tokio::sync::watch::Receiver<Stop>,
    running: RunningArgs,
    retry: RetryArgs,
}

async fn conclude(written: Result<(), Failure>, output: Output) -> Result<ExitStatus, Failure> {
    Ok(match written {
        Ok(()) => output.finish(Ending::Complete).await,
        Err(failure) => output.fail(failure.broken_off()).await,
    })
}

/// The look before the leap: everything up to here only reads.
async fn prepare(mut asked: Asked, output: &Output) -> Result<(Source, DumpRequest), Failure> {
    let environment = Environment::of_process();
    let archive = absolute(&asked.archive)?;
    refuse_what_stays(&asked.restore)?;
    let run = output.run_dir().path();
    let run = std::path::absolute(run).unwrap_or_else(|_| run.to_owned());
    // Before anybody waits for anything: a name that is taken, or that nothing written beside it could be given.
    let unfinished = Unfinished::of(&archive, &run)?;
    unfinished.is_free()?;
    unfinished.try_name().map_err(refused_name)?;
    let emitter = output.emitter();
    step(&emitter, "connecting");
    let filters = asked.salvage.map(|_| &asked.filters);
    let (mut server, left_out) = Box::pin(connect(asked.conninfo.clone(), filters)).await?;
    left_out.narrow(&mut asked.filters)?;
    let pg_dump = Search::run("pg_dump", &environment).await;
    let pg_dump = pg_dump.closest_for(server.facts.version)?;
    let places = (run.display().to_string(), archive);
    let command = match asked.salvage {
        Some(_) => RunCommand::Salvage,
        None => RunCommand::Dump,
    };
    let compress = asked.compress;
    let request = DumpRequest::new(&server, places, asked);
    tell_start(command, place_of(&server), &request, output);
    contents::check(&pg_dump, compress)?;
    request.filters.check_database(&server.facts.database)?;
    request.filters.check_pg_dump(pg_dump.version.major())?;
    refuse_blockers(&server, &request, output).await?;
    let damage = damage(&mut server, (&request, left_out), output).await?;
    step(&emitter, "taking the snapshot");
    let snapshot = keeper::snapshot(&server, request.keep_snapshot()).await?;
    tell_snapshot(&snapshot, output);
    output.run_dir().write_request(&request)?;
    let source = Source {
        server,
        pg_dump,
        snapshot,
        damage,
    };
    Ok((source, request))
}

/// The source. One that is damaged may have to be connected to otherwise.
async fn connect(
    conninfo: Conninfo,
    damaged: Option<&Filters>,
) -> Result<(Server, LeftOut), Failure> {
    let connected = match damaged {
        Some(filters) => Box::pin(salvage::connect(conninfo, filters)).await,
        None => Server::connect(conninfo, Side::Source)
            .await
            .map(|server| (server, LeftOut::default())),
    };
    connected.map_err(|failure| failure.while_doing("the source"))
}

/// What of a damaged source can be read; a search that takes as long as reading everything does.
async fn damage(
    server: &mut Server,
    (request, left_out): (&DumpRequest, LeftOut),
    output: &Output,
) -> Result<Option<Arc<DamageMap>>, Failure> {
    let Some(doubtful) = request.salvage else {
        return Ok(None);
    };
    salvage::can_be_searched(server, doubtful).await?;
    // A session that goes on begins where this has come to.
    output.run_dir().write_request(request)?;
    let asked = salvage::Asked {
        jobs: request.jobs,
        doubtful,
        left_out,
        filters: &request.filters,
        schema: None,
    };
    let map = Box::pin(salvage::look_for_damage(output, server, asked)).await?;
    refuse_what_no_archive_has(&map, server)?;
    Ok(Some(map))
}

/// `pg_dump` describes an archive together with the values of sequences. Of a server since 18 it reads them all at once, also those that are to
/// be left out.
fn refuse_what_no_archive_has(map: &DamageMap, server: &Server) -> Result<(), Failure> {
    const READ_AT_ONCE: u32 = 18;
    let sequence = map.sequences.first();
    let Some(one) = sequence.filter(|_| server.facts.version.major() >= READ_AT_ONCE) else {
        return Ok(());
    };
    Err(Failure::usage(
        format!(
            "salvage --archive is not supported if a sequence is damaged and the server is of version {READ_AT_ONCE} or later: {}",
            one.shown()
        ),
        "Salvage into a --target, and dump that.",
    ))
}

/// A name that the archive could not be given in the end.
fn refused_name(error: ArchiveError) -> Failure {
    Failure {
        hint: Some(
            "Nothing was written. The archive is written beside its final name and renamed when it is complete: name a directory that is \
             neither a link nor a mount point, and whose parent you may write to; one within it will do."
                .to_owned(),
        ),
        ..Failure::from(error).with_status(ExitStatus::Usage)
    }
}

/// What `pg_dump` ignores when it writes an archive: it is left out when that is restored.
fn refuse_what_stays(restore: &RestoreOptions) -> Result<(), Failure> {
    let stays = [
        (restore.no_owner, "--no-owner", "owners"),
        (restore.no_tablespaces, "--no-tablespaces", "tablespaces"),
    ];
    match stays.into_iter().find(|(is_asked_for, ..)| *is_asked_for) {
        None => Ok(()),
        Some((_, option, what)) => Err(Failure::usage(
            format!("{option} has no effect on an archive, which always holds the {what}"),
            "Leave it out here, and give it when you restore.",
        )),
    }
}

async fn refuse_blockers(
    server: &Server,
    request: &DumpRequest,
    output: &Output,
) -> Result<(), Failure> {
    let findings = findings(server, request, None).await?;
    if !preflight::is_go(&findings) {
        return Err(Failure::no_go(&findings));
    }
    let emitter = output.emitter();
    findings
        .into_iter()
        .filter(|finding| finding.severity < Severity::Blocker)
        .for_each(|finding| emitter.emit(What::Finding(finding)));
    Ok(())
}

/// `pg_dump` leaves out without a word what a standby does not have, and what no dump says; which of that was to be dumped is known by
/// its list.
async fn refuse_what_is_out_of_reach(
    server: &Server,
    request: &DumpRequest,
    toc: &Toc,
) -> Result<(), Failure> {
    if !server.facts.in_recovery && request.filters.is_empty() {
        return Ok(());
    }
    let findings = findings(server, request, Some(toc)).await?;
    if preflight::is_go(&findings) {
        Ok(())
    } else {
        Err(Failure::no_go(&findings))
    }
}

/// What the look at the source finds. Patterns that match nothing are an error.
async fn findings(
    server: &Server,
    request: &DumpRequest,
    toc: Option<&Toc>,
) -> Result<Vec<Finding>, Failure> {
    let excluded = check_patterns(&[server], &request.filters).await?;
    let large_objects = !request.filters.selects();
    let unreadable = catalog::Unreadable::read(&server.session, large_objects).await?;
    let mut out_of_reach = catalog::out_of_reach(&server.session).await?;
    out_of_reach.retain(|name| !excluded.contains(name));
    let facts = catalog::SourceFacts {
        remade: catalog::remade(&server.session).await?,
        ..catalog::SourceFacts::default()
    };
    let mut findings = preflight::source_findings(&PreflightFacts {
        source: &server.facts,
        target: &server.facts,
        source_facts: &facts,
        target_facts: &catalog::TargetFacts::default(),
        toc,
        restore: &RestoreOptions::default(),
        overwrite: None,
        create: false,
        selective: !request.filters.is_empty(),
        unreadable: &unreadable,
        out_of_reach: &out_of_reach,
        database_settings: &[],
        assumable_roles: &[],
        owners_without_create: &[],
    });
    if request.salvage.is_some() {
        preflight::for_salvage(&mut findings);
    }
    Ok(findings)
}

/// Where a server is, and the database as it calls that itself.
fn place_of(server: &Server) -> (Endpoint, String) {
    (server.endpoint.clone(), server.facts.database.clone())
}

fn tell_start(
    command: RunCommand,
    (source, database): (Endpoint, String),
    request: &DumpRequest,
    output: &Output,
) {
    let path = request.archive.display().to_string();
    output.emitter().emit(What::RunStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command,
        source,
        target: Endpoint::archive(path, database),
        jobs: request.jobs,
        verify: request.verify,
        run_dir: output.run_dir().path().display().to_string(),
        narrowed_by: request.narrowed_by(),
    });
}

fn tell_snapshot(snapshot: &Snapshot, output: &Output) {
    output.emitter().emit(What::SnapshotTaken {
        side: Side::Source,
        snapshot: snapshot.id.clone(),
        lsn: snapshot.lsn.clone(),
    });
}
