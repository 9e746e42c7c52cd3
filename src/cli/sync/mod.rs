//! `pgconvoy sync`: brings the target of an earlier move up to date with the source.
//!
//! ```text
//!   connect ─► lock the target, both snapshots ─► same schema? ─► what differs ─► change it, commit ─► prove ─► conclusion
//!                                                     └─ no: named, nothing touched        └─ --dry-run ends here
//! ```
//!
//! | file | |
//! |---|---|
//! | `carry_out` | the steps |
//! | `overrule` | in a turn, what differs although replication carries it |
//! | `budget` | in a turn, what is compared by content while nobody can write |
//! | `prove` | the last of them: everything is compared again, except what cannot have changed |
//!
//! There is nothing to resume: before the commit the target is as it was, after it as it is to be; only sequences may stand
//! further on. To go on is to run the same again.

mod budget;
mod carry_out;
mod overrule;
mod prove;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;

pub(super) use carry_out::gather_statistics;
pub(super) use overrule::Overruling;

use budget::Counting;
use carry_out::{Course, Extent};

use super::arguments::{
    LeaveOutArgs, OutputArgs, SelectionArgs, SourceArgs, SpeedArgs, resolve_target,
};
use super::inspect::{Road, Server};
use super::output::Output;
use super::patterns::check_patterns;
use super::requested::Requested;
use super::verify::{Asked, Both};
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::model::{ExitStatus, Filters, LeftTable, QualifiedName, RunCommand, VerifyLevel};
use crate::pg::Pool;
use crate::pg::claim::Claim;
use crate::pg::client_tools::Search;
use crate::pg::conninfo::Environment;
use crate::report::Ending;
use crate::sync::Writer;
use crate::toc::RestoreOptions;
use crate::verify::rows::Ends;

/// At most this many rows of a table are changed one by one; if more differ, all are copied anew. They are all in memory at once.
const MOST_ROWS: usize = 200_000;

/// Bring the target of an earlier move up to date with the source, copying only what differs
///
/// Reads both databases, each in one snapshot, finds the rows, sequences, large objects and materialized views that differ, and
/// changes those on the target, all in one transaction, which locks its tables against other writers but not against readers.
/// Then it proves the whole, as a move does. It needs no replication, and the source is only read. If the schema has changed
/// since the move, it says where, and does nothing. If it is killed, the target is either unchanged or fully changed (sequences
/// may have advanced): run the same command again.
#[derive(Debug, Clone, Args)]
#[command(after_help = super::AFTER_HELP)]
pub struct SyncArgs {
    /// Say how much would be changed, and change nothing; exit status 3 if anything would be
    ///
    /// Nothing is locked either: anything written to the target meanwhile counts as a difference.
    #[arg(long)]
    dry_run: bool,

    /// Source.
    #[command(flatten)]
    source: SourceArgs,

    /// The database that it was moved to, likewise: what differs is changed there
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_TARGET",
        hide_env_values = true,
        help_heading = "Connections"
    )]
    target: String,

    /// Which objects.
    #[command(flatten)]
    selection: SelectionArgs,

    /// What to leave out of them.
    #[command(flatten)]
    leave_out: LeaveOutArgs,

    /// Number of sessions that read each server at the same time [default: number of cores]
    #[arg(short = 'j', long, value_name = "N", help_heading = "Speed", value_parser = SpeedArgs::parse_jobs)]
    jobs: Option<u32>,

    /// How to tell.
    #[command(flatten)]
    output: OutputArgs,
}

/// The sessions at work, for a cancel request.
#[derive(Default)]
struct AtWork {
    readers: Mutex<Option<Arc<Ends>>>,
    writer: Mutex<Option<Arc<Pool>>>,
}

impl AtWork {
    fn read_by(&self, ends: &Arc<Ends>) {
        *self.readers.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(ends));
    }

    fn written_by(&self, pool: &Arc<Pool>) {
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(pool));
    }

    /// Ends them. What the writer did is rolled back.
    async fn end(&self) {
        let readers = self
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let pools = readers.iter().flat_map(|ends| ends.pools.iter());
        for pool in pools.chain(writer.as_deref()) {
            pool.see_off(&pool.cancel().await).await;
        }
    }
}

impl SyncArgs {
    /// From the command line.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        let output = Output::start(&self.output.options())?;
        Box::pin(run(self, output)).await
    }

    fn asked(&self) -> Result<Asked, Failure> {
        let restore = self.leave_out.restore_options(false);
        let jobs = self.jobs.unwrap_or_else(SpeedArgs::cores);
        Ok(Asked {
            filters: self.selection.filters()?,
            ..everything((restore, jobs, VerifyLevel::Content))
        })
    }
}

/// What is asked of a comparison: everything, with as many rows as may be brought over one by one.
pub(super) fn everything((restore, jobs, level): (RestoreOptions, u32, VerifyLevel)) -> Asked {
    Asked {
        filters: Filters::default(),
        restore,
        level,
        jobs,
        ignore: Vec::new(),
        max_rows: 0,
        show_values: false,
        recheck: 0,
        pause: Duration::ZERO,
        repair: None,
        after: None,
        remembered: MOST_ROWS,
    }
}

async fn run(args: SyncArgs, output: Output) -> Result<ExitStatus, Failure> {
    let stop = super::signals::watch(&output);
    let connected = tokio::select! {
        connected = Box::pin(connect(&args, &output)) => connected,
        failure = super::signals::stopped(stop.clone()) => Err(failure),
    };
    let (both, asked, claim) = match connected {
        Ok(connected) => connected,
        // Nothing was looked at, so there is nothing to record.
        Err(failure) => {
            output.abandon(&failure).await;
            return Err(failure);
        }
    };
    let emit: Arc<dyn Emit> = Arc::new(output.emitter());
    let at_work = AtWork::default();
    let extent = if args.dry_run {
        Extent::DryRun
    } else {
        Extent::Whole
    };
    let course = Course {
        both: &both,
        asked: &asked,
        at_work: &at_work,
        emit: &emit,
        carried: None,
        overruling: None,
    };
    let ended = tokio::select! {
        ended = Box::pin(carry_out::carry_out(course, extent)) => ended,
        failure = super::signals::stopped(stop.clone()) => Err(failure),
    };
    match ended {
        Ok(_) => {
            // The claim is released before anybody is told.
            drop(claim);
            Ok(output.finish(Ending::Complete).await)
        }
        Err(failure) => {
            at_work.end().await;
            drop(claim);
            Ok(output.fail(failure.once_begun()).await)
        }
    }
}

/// Both ends, and what was asked for, in their terms. A target that is to be changed is ours alone from here on.
async fn connect(
    args: &SyncArgs,
    output: &Output,
) -> Result<(Both, Asked, Option<Claim>), Failure> {
    let asked = args.asked()?;
    let emitter = output.emitter();
    emitter.emit(What::StepStarted {
        step: "connecting".to_owned(),
    });
    let environment = Environment::of_process();
    let ends = (
        args.source.resolve(&environment)?,
        resolve_target(&args.target, &environment)?,
    );
    let mut requested = Requested::new(environment, ends, &args.selection, &args.leave_out)?;
    requested.only_reads = args.dry_run;
    requested.jobs = asked.jobs;
    requested.verify = asked.level;
    let road = Road::connect(&requested).await?;
    emitter.emit(super::session::started(
        RunCommand::Sync,
        &road,
        &requested,
        output,
    ));
    let Road {
        source,
        mut target,
        pg_dump,
        ..
    } = road;
    asked.filters.check_database(&source.facts.database)?;
    asked.filters.check_pg_dump(pg_dump.version.major())?;
    let exclude_data = check_patterns(&[&source, &target], &asked.filters).await?;
    let mut claim = None;
    if !args.dry_run {
        let taken = Claim::take(&target.connector).await?;
        for ended in taken.end_leftovers().await? {
            let text = format!("ended a session that an earlier run left on the target: {ended}");
            emitter.emit(What::Note { text });
        }
        taken.cover(&target.session).await?;
        target.connector = taken.worker(&target.connector);
        claim = Some(taken);
    }
    let both = Both {
        source,
        target,
        pg_dump,
        exclude_data,
    };
    Ok((both, asked, claim))
}

/// What a turn asks of a sync.
pub(super) struct Bringing<'a> {
    /// What the move left out, and no comparison reports as missing.
    pub restore: RestoreOptions,
    /// Number of readers on each side.
    pub jobs: u32,
    /// What is compared of the rows that replication carried.
    pub level: VerifyLevel,
    /// For how long they are compared by content; `None`: until all are.
    pub budget: Option<Duration>,
    /// The tables whose rows replication has carried.
    pub carried: BTreeSet<QualifiedName>,
    /// Knows which of them were overruled before, and writes down which are about to be.
    pub overruling: &'a dyn Overruling,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Brought {
    /// Tables whose rows were only counted, for lack of time.
    pub left: Vec<LeftTable>,
    /// What the planner has no statistics on yet: they cannot be gathered while others are kept out.
    pub stale: Vec<QualifiedName>,
    /// Has kept others from writing to the target's tables since these were compared, and still does.
    pub guard: Option<Writer>,
}

/// Two sides, in the form that comparisons take.
pub(super) async fn paired(source: Server, target: Server) -> Result<Both, Failure> {
    let needed = source.facts.version.max(target.facts.version);
    let search = Search::run("pg_dump", &Environment::of_process()).await;
    Ok(Both {
        source,
        target,
        pg_dump: search.closest_for(needed)?,
        exclude_data: BTreeSet::new(),
    })
}

/// A sync of two sides that nobody writes to: brings the one to what the other holds, and proves it; or, at the level of
/// counts, only counts the rows of tables that replication carried. What is proven stays so for as long as the guard is kept.
pub(super) async fn bring_over(
    (source, mut target): (Server, Server),
    claim: Option<&Claim>,
    bringing: &Bringing<'_>,
    emit: &Arc<dyn Emit>,
) -> Result<Brought, Failure> {
    if let Some(claim) = claim {
        target.connector = claim.worker(&target.connector);
    }
    let both = paired(source, target).await?;
    let asked = |level| everything((bringing.restore, bringing.jobs, level));
    let (content, counts) = (asked(VerifyLevel::Content), asked(VerifyLevel::Counts));
    let counting = Counting {
        asked: &counts,
        carried: &bringing.carried,
    };
    let extent = match (bringing.level, bringing.budget) {
        (VerifyLevel::Content, None) => Extent::Whole,
        (VerifyLevel::Content, Some(time)) => Extent::Within(counting, time),
        _ => Extent::Counted(counting),
    };
    let at_work = AtWork::default();
    let course = Course {
        both: &both,
        asked: &content,
        at_work: &at_work,
        emit,
        carried: Some(&bringing.carried),
        overruling: Some(bringing.overruling),
    };
    let done = carry_out::carry_out(course, extent);
    let done = Box::pin(done).await;
    if done.is_err() {
        at_work.end().await;
    }
    done
}

/// Whether a sync will find the same schema on both sides: refuses what differs, by name. Nothing is changed, and nobody is kept out.
pub(super) async fn foresee(
    both: &Both,
    (restore, jobs): (RestoreOptions, u32),
    emit: &Arc<dyn Emit>,
) -> Result<(), Failure> {
    let course = Course {
        both,
        asked: &everything((restore, jobs, VerifyLevel::Counts)),
        at_work: &AtWork::default(),
        emit,
        carried: None,
        overruling: None,
    };
    carry_out::foresee(course).await
}
