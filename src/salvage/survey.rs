//! Searches a damaged source: every page of every table is looked at once, what its bytes do not prove is read, what cannot be read is
//! closed in on, and the indexes are asked what is missing besides.
//!
//! The first pass reads tables side by side. Whoever crashes the server takes the others' sessions along, so what failed then
//! is looked at again one after the other, and only the one that was asked is blamed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::account::{Cause, DamageMap, FORMAT};
use super::beforehand::{Beforehand, Look};
use super::crosscheck::{CrossCheck, Known, patient_cross_check};
use super::facts::{Facts, Kind, TableFacts};
use super::one_table::TableSearch;
use super::probe::Probe;
use super::quarantine::Quarantine;
use super::record::Record;
use super::seen::Seen;
use super::sight::{Sight, patient_session};
use super::spill::Scratch;
use super::{SalvageError, amcheck, objects};
use crate::catalog::ServerFacts;
use crate::model::{QualifiedName, quote_literal};
use crate::pg::Connector;
use crate::plan::Doubtful;

/// Blocks of a table that are read at once in the first pass, where the server can.
const BLOCKS_AT_ONCE: u32 = 16_384;
pub(super) const TID_RANGE_SCANS: u32 = 14;

/// A search to be made.
pub struct Survey<'a> {
    /// Opens sessions of the source.
    pub source: &'a Connector,
    /// Who it is.
    pub server: &'a ServerFacts,
    /// How many sessions read side by side.
    pub jobs: u32,
    /// How long one thing may take.
    pub timeout: Duration,
    /// What is read although it may be wrong, and then marked as suspect.
    pub doubtful: Doubtful,
    /// Only this is searched, if not everything is asked for.
    pub part: Option<&'a Part>,
    /// Also what costs another reading of everything is asked, where the source offers it.
    pub thorough: bool,
    /// Where the journal and the lists of lost keys are written.
    pub directory: &'a Path,
    /// Is told what is being done.
    pub tell: &'a (dyn Fn(String) + Sync),
}

/// A part of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Its relations that have rows, or values.
    pub relations: BTreeSet<QualifiedName>,
    /// Large objects belong to it.
    pub large_objects: bool,
}

impl Part {
    /// Whether a relation belongs to it.
    pub fn has(&self, relation: &QualifiedName) -> bool {
        self.relations.contains(relation)
    }

    /// Whether a table is to be searched. The catalog is, whatever is asked for: what it has lost of that is missing from it without a word.
    fn is_searched(&self, table: &TableFacts) -> bool {
        match table.kind {
            Kind::Catalog => true,
            Kind::LargeObjects => self.large_objects,
            Kind::Table | Kind::Matview => self.has(&table.name),
        }
    }
}

/// What is read of a table in the first pass, and what came of it.
#[derive(Debug, Clone, Copy)]
struct Task {
    table: usize,
    from: u32,
    to: u32,
}

/// What the first pass found of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// Where rows were read.
    pub seen: Seen,
    /// Runs of blocks that could not be read.
    pub failed: Vec<(u32, u32)>,
    /// Why not.
    pub causes: Vec<Cause>,
    /// Rows that cannot be read, once that is known.
    pub lost: Seen,
}

impl Progress {
    /// As the indexes are held against it.
    pub fn known<'a>(&'a self, beforehand: &'a Beforehand) -> Known<'a> {
        Known {
            seen: &self.seen,
            lost: &self.lost,
            beforehand,
        }
    }
}

/// Pages come by the megabyte, and go again. glibc's allocator keeps as much as it has once been given back (mallopt(3): its threshold
/// follows the largest block); otherwise the system would have to find it zeroed memory each time, which takes a sixth of a search.
fn keep_memory() {
    const AT_ONCE: usize = 16 << 20;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(AT_ONCE)));
}

/// What all workers share.
pub(super) struct Shared {
    pub facts: Facts,
    pub major: u32,
    pub encoding: String,
    pub utf8: bool,
    pub journal: Mutex<Quarantine>,
    /// Tables whose TOAST is still to be looked at.
    toasts: Mutex<VecDeque<usize>>,
    tasks: Mutex<VecDeque<Task>>,
    progress: Mutex<BTreeMap<usize, Progress>>,
    /// What pages say of themselves.
    pub beforehand: Beforehand,
    /// Where rows that are missing are kept, until the account is written.
    pub scratch: Arc<Scratch>,
}

pub(super) fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it holds one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Searches.
pub async fn survey(survey: &Survey<'_>) -> Result<DamageMap, SalvageError> {
    keep_memory();
    let session = survey.source.session("survey").await?;
    let mut facts = Facts::read(&session).await?;
    if let Some(part) = survey.part {
        facts.tables.retain(|table| part.is_searched(table));
    }
    // Before any row is read: what is read may be cleared away.
    facts.record = Record::read(&session, &facts.quiet).await?;
    let path = survey.directory.join("salvage.journal");
    let journal = Quarantine::open(&path).map_err(|source| SalvageError::File {
        doing: "opening",
        path,
        source,
    })?;
    let encoding = &survey.server.encoding;
    let scratch = Arc::new(Scratch::new(survey.directory)?);
    let shared = Arc::new(Shared {
        major: survey.server.version.major(),
        encoding: match encoding.as_str() {
            "UTF8" | "SQL_ASCII" => "format text".to_owned(),
            other => format!("format text, encoding {}", quote_literal(other)),
        },
        utf8: encoding == "UTF8",
        journal: Mutex::new(journal),
        toasts: Mutex::new((0..facts.tables.len()).collect()),
        tasks: Mutex::new(tasks(&facts, survey.server.version.major())),
        progress: Mutex::default(),
        beforehand: Beforehand::of(
            survey.server.version.major(),
            survey.server.encoding == "UTF8",
            &scratch,
        ),
        scratch,
        facts,
    });
    drop(session);
    look_at_toast(survey, &shared).await?;
    first_pass(survey, &shared).await?;
    let progress = std::mem::take(&mut *held(&shared.progress));
    let (mut progress, mut checks) = check_whole_tables(survey, &shared, progress).await?;
    let mut map = DamageMap::default();
    map.losses.format = FORMAT;
    map.losses.cold = shared.facts.quiet.is_cold();
    map.losses.objects.extend(shared.facts.record.loss());
    let mut session = None;
    for number in 0..shared.facts.tables.len() {
        let progress = progress.remove(&number).unwrap_or_default();
        let search = TableSearch {
            survey,
            shared: &shared,
            table: &shared.facts.tables[number],
        };
        let check = checks.remove(&number);
        search
            .conclude((progress, check), (&mut session, &mut map))
            .await?;
    }
    objects::sequences(survey, &shared, &mut map).await?;
    objects::prepared(survey, &mut map).await?;
    amcheck::look(survey, &shared, &mut map).await?;
    Ok(map)
}

/// What the first pass reads, the largest tables first.
fn tasks(facts: &Facts, major: u32) -> VecDeque<Task> {
    let mut order: Vec<usize> = (0..facts.tables.len()).collect();
    order.sort_by_key(|&table| std::cmp::Reverse(facts.tables[table].shape.reached));
    let mut tasks = VecDeque::new();
    for table in order {
        let blocks = facts.tables[table].shape.reached;
        let step = if major >= TID_RANGE_SCANS {
            BLOCKS_AT_ONCE
        } else {
            u32::MAX
        };
        let mut from: u32 = 0;
        loop {
            let to = blocks.min(from.saturating_add(step));
            tasks.push_back(Task { table, from, to });
            from = to;
            if from >= blocks {
                break;
            }
        }
    }
    tasks
}

/// Looks at the pages of TOAST before those of tables: they tell which rows have values there.
async fn look_at_toast(survey: &Survey<'_>, shared: &Arc<Shared>) -> Result<(), SalvageError> {
    if !shared.facts.toast_tells() {
        return Ok(());
    }
    let mut workers: JoinSet<Result<(), SalvageError>> = JoinSet::new();
    for _ in 0..survey.jobs.max(1) {
        let shared = Arc::clone(shared);
        let source = survey.source.clone();
        workers.spawn(async move {
            let mut look = Look::new(&shared.beforehand, &shared.facts, &source).await?;
            loop {
                let next = held(&shared.toasts).pop_front();
                let Some(table) = next else { return Ok(()) };
                look.at_toast(&shared.facts.tables[table]).await?;
            }
        });
    }
    all_of(workers).await
}

async fn first_pass(survey: &Survey<'_>, shared: &Arc<Shared>) -> Result<(), SalvageError> {
    let mut workers: JoinSet<Result<(), SalvageError>> = JoinSet::new();
    for _ in 0..survey.jobs.max(1) {
        let shared = Arc::clone(shared);
        let mut sight = Sight::new(survey.source, survey.timeout).beside_others();
        let source = survey.source.clone();
        workers.spawn(async move {
            let mut look = Look::new(&shared.beforehand, &shared.facts, &source).await?;
            loop {
                let task = held(&shared.tasks).pop_front();
                let Some(task) = task else { return Ok(()) };
                // Before the server is asked for what is on them.
                let table = &shared.facts.tables[task.table];
                look.at(table, (task.from, task.to)).await?;
                shared.read(&mut sight, task).await?;
            }
        });
    }
    all_of(workers).await
}

/// Holds every table that could be read as a whole against its indexes.
async fn check_whole_tables(
    survey: &Survey<'_>,
    shared: &Arc<Shared>,
    progress: BTreeMap<usize, Progress>,
) -> Result<(BTreeMap<usize, Progress>, BTreeMap<usize, CrossCheck>), SalvageError> {
    let whole = progress.iter().filter(|(_, one)| one.failed.is_empty());
    let tables: VecDeque<usize> = whole.map(|(table, _)| *table).collect();
    let tables = Arc::new(Mutex::new(tables));
    let checks = Arc::new(Mutex::new(BTreeMap::new()));
    let progress = Arc::new(progress);
    let mut workers: JoinSet<Result<(), SalvageError>> = JoinSet::new();
    for _ in 0..survey.jobs.max(1) {
        let (shared, source) = (Arc::clone(shared), survey.source.clone());
        let (tables, checks) = (Arc::clone(&tables), Arc::clone(&checks));
        let progress = Arc::clone(&progress);
        workers.spawn(async move {
            let mut session = patient_session(&source).await?;
            loop {
                let next = held(&tables).pop_front();
                let Some(number) = next else { return Ok(()) };
                let (table, known) = (&shared.facts.tables[number], &progress[&number]);
                let known = (Some(known.known(&shared.beforehand)), &shared.scratch);
                let what = (&shared.facts, table);
                let check = patient_cross_check(&source, &mut session, what, known).await?;
                held(&checks).insert(number, check);
            }
        });
    }
    all_of(workers).await?;
    let progress = Arc::try_unwrap(progress).unwrap_or_else(|shared| (*shared).clone());
    let checks = std::mem::take(&mut *held(&checks));
    Ok((progress, checks))
}

async fn all_of(mut workers: JoinSet<Result<(), SalvageError>>) -> Result<(), SalvageError> {
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(ended) => ended?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    Ok(())
}

impl Shared {
    async fn read(&self, sight: &mut Sight, task: Task) -> Result<(), SalvageError> {
        let table = &self.facts.tables[task.table];
        let probe = Probe::Blocks {
            from: task.from,
            to: task.to,
        };
        let read = self.ask(sight, table, probe).await?;
        let mut progress = held(&self.progress);
        let progress = progress.entry(task.table).or_default();
        match read {
            Ok(places) => progress.seen.extend(places.seen),
            Err(cause) => {
                progress.failed.push((task.from, task.to));
                progress.causes.push(cause);
            }
        }
        Ok(())
    }
}
