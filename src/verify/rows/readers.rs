//! The work of both sides: every read is a task of one side, the largest first, and each side has its own readers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::buckets::{Bucketing, Buckets};
use super::comparand::{Comparand, Subject};
use crate::event::{Emit, Phase, PlannedJob, What};
use crate::model::{Bytes, JobId, MultisetDigest, ServerVersion, SqlText, VerifyLevel};
use crate::pg::wire::{Gauge, Relayed, Wire, read_rows};
use crate::pg::{PgError, Pool};

/// How often the progress of running reads is told.
const TICK: Duration = Duration::from_millis(500);

/// A table may lose its connection so often before it is given up.
const ATTEMPTS: u32 = 3;

/// The words for the sides, in the order in which everything that has one value for each side has them.
pub(in crate::verify) const SIDES: [&str; 2] = ["source", "target"];

/// Sessions of both sides, each in its snapshot.
pub struct Ends {
    /// Of the source, then of the target.
    pub pools: [Pool; 2],
    /// Their versions.
    pub versions: [ServerVersion; 2],
    /// Their block sizes, in bytes.
    pub block_sizes: [u64; 2],
    /// What the queries of materialized views are run with.
    pub settings_of_queries: Vec<(String, String)>,
}

/// What is to be read, and how.
pub struct Reading {
    /// What to compare.
    pub comparands: Vec<Comparand>,
    /// Content, or only the number of rows.
    pub level: VerifyLevel,
    /// Readers of each side.
    pub readers: u32,
    /// Tables that get a verdict without being read, for the plan.
    pub judged_without: u32,
    /// What is read is what was planned; a later look at some of it is no part of the plan.
    pub is_first: bool,
}

/// What one side gave.
#[derive(Debug, Clone)]
pub struct SideRead {
    /// Its rows' digests; with counts only, sums are 0.
    pub buckets: Buckets,
    /// `CopyData` bytes, framing included.
    pub bytes: Bytes,
    /// Milliseconds, over all its chunks.
    pub duration_ms: u64,
}

/// What both sides gave, or why one could not be read.
pub type Sides = [Result<SideRead, String>; 2];

/// One read of one side.
#[derive(Debug, Clone)]
struct Task {
    comparand: usize,
    side: usize,
    condition: String,
    job: JobId,
    label: String,
    bytes: Bytes,
}

struct Shared {
    comparands: Vec<Comparand>,
    bucketing: Vec<Bucketing>,
    ends: Arc<Ends>,
    level: VerifyLevel,
    queues: [Mutex<VecDeque<Task>>; 2],
    /// Who is told of each read.
    emit: Option<Arc<dyn Emit>>,
}

impl Shared {
    fn tell(&self, what: What) {
        if let Some(emit) = &self.emit {
            emit.emit(what);
        }
    }
}

enum Said {
    Started(JobId, Arc<Gauge>),
    Ended(Task, Result<SideRead, String>),
}

/// Reads everything, and calls `judge` for each comparand once both of its sides are there. Gives the comparands back.
pub async fn read(
    reading: Reading,
    ends: &Arc<Ends>,
    emit: &Arc<dyn Emit>,
    judge: &mut (dyn FnMut(&Comparand, &Sides) + Send),
) -> Vec<(Comparand, Sides)> {
    let tasks = plan(&reading.comparands, ends, reading.readers);
    if reading.is_first {
        announce(&reading, &tasks, emit.as_ref());
    }
    let bucketing = bucketing_of_all(&reading, ends).await;
    let mut progress = Progress::new(&bucketing, &tasks);
    let queue = |side: usize| {
        let tasks = tasks.iter().filter(|task| task.side == side);
        Mutex::new(tasks.cloned().collect())
    };
    let shared = Arc::new(Shared {
        comparands: reading.comparands,
        bucketing,
        ends: Arc::clone(ends),
        level: reading.level,
        queues: [queue(0), queue(1)],
        emit: reading.is_first.then(|| Arc::clone(emit)),
    });
    let (sender, mut said) = unbounded_channel();
    let mut workers = JoinSet::new();
    for number in 0..2 * reading.readers.max(1) {
        workers.spawn(work(Arc::clone(&shared), number, sender.clone()));
    }
    drop(sender);
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            next = said.recv() => match next {
                None => break,
                Some(Said::Started(job, gauge)) => progress.gauges.push((job, gauge)),
                Some(Said::Ended(task, ended)) => {
                    if let Some(index) = progress.end(&task, ended) {
                        judge(&shared.comparands[index], &progress.found[index]);
                    }
                }
            },
            _ = tick.tick() => progress.tell(&shared),
        }
    }
    for index in progress.abandon() {
        judge(&shared.comparands[index], &progress.found[index]);
    }
    shared
        .comparands
        .iter()
        .cloned()
        .zip(progress.found)
        .collect()
}

/// What is there so far, and what is still to come.
struct Progress {
    found: Vec<Sides>,
    /// Reads of each comparand and side that have not ended.
    open: Vec<[usize; 2]>,
    gauges: Vec<(JobId, Arc<Gauge>)>,
}

impl Progress {
    fn new(bucketing: &[Bucketing], tasks: &[Task]) -> Self {
        let mut open = vec![[0_usize; 2]; bucketing.len()];
        for task in tasks {
            open[task.comparand][task.side] += 1;
        }
        let sides = |by: &Bucketing| [Ok(nothing_read(by)), Ok(nothing_read(by))];
        Self {
            found: bucketing.iter().map(sides).collect(),
            open,
            gauges: Vec::new(),
        }
    }

    /// Takes in what a read came to. Says which comparand is complete with it.
    fn end(&mut self, task: &Task, ended: Result<SideRead, String>) -> Option<usize> {
        self.gauges.retain(|(job, _)| *job != task.job);
        add(&mut self.found[task.comparand][task.side], ended);
        let open = &mut self.open[task.comparand];
        open[task.side] = open[task.side].saturating_sub(1);
        (*open == [0, 0]).then_some(task.comparand)
    }

    /// A reader that died took its task with it: what it was to read is not known. Says whose.
    fn abandon(&mut self) -> Vec<usize> {
        let mut abandoned = Vec::new();
        for (index, (sides, open)) in self.found.iter_mut().zip(&self.open).enumerate() {
            for (side, _) in sides.iter_mut().zip(open).filter(|(_, open)| **open > 0) {
                *side = Err("its reader stopped without an answer".to_owned());
            }
            if *open != [0, 0] {
                abandoned.push(index);
            }
        }
        abandoned
    }

    fn tell(&self, shared: &Shared) {
        for (job, gauge) in &self.gauges {
            let (rows, bytes) = gauge.read();
            shared.tell(What::JobAdvanced {
                job: *job,
                rows,
                bytes,
            });
        }
    }
}

fn nothing_read(by: &Bucketing) -> SideRead {
    SideRead {
        buckets: Buckets::new(by.clone()),
        bytes: Bytes(0),
        duration_ms: 0,
    }
}

/// Adds a chunk; one that could not be read spoils the whole.
fn add(known: &mut Result<SideRead, String>, new: Result<SideRead, String>) {
    match (known.as_mut(), new) {
        (Ok(known), Ok(new)) => {
            known.buckets.add(&new.buckets);
            known.bytes += new.bytes;
            known.duration_ms += new.duration_ms;
        }
        (Ok(_), Err(because)) => *known = Err(because),
        (Err(_), _) => {}
    }
}

fn plan(comparands: &[Comparand], ends: &Ends, readers: u32) -> Vec<Task> {
    let mut tasks = Vec::new();
    for (index, comparand) in comparands.iter().enumerate() {
        for (side, word) in SIDES.into_iter().enumerate() {
            let (version, block_size) = (ends.versions[side], ends.block_sizes[side]);
            let chunks = comparand.chunks(side, version, (block_size, readers));
            let count = chunks.len();
            for (number, condition) in chunks.into_iter().enumerate() {
                let part = if count > 1 {
                    format!(" {}/{count}", number + 1)
                } else {
                    String::new()
                };
                tasks.push(Task {
                    comparand: index,
                    side,
                    condition,
                    job: JobId(0),
                    label: format!("read {}{part} on the {word}", comparand.label()),
                    bytes: Bytes(comparand.sizes[side].0.0 / count as u64),
                });
            }
        }
    }
    // Largest first, so that no reader is left with a large one at the end; both sides in the same order, so that
    // what one side gave is not kept for long.
    let weight = |task: &Task| {
        let sizes = &comparands[task.comparand].sizes;
        sizes[0].0.max(sizes[1].0)
    };
    tasks.sort_by_key(|task| (std::cmp::Reverse(weight(task)), task.comparand));
    for (number, task) in (0..).zip(tasks.iter_mut()) {
        task.job = JobId(number);
    }
    tasks
}

fn announce(reading: &Reading, tasks: &[Task], emit: &dyn Emit) {
    let comparands = &reading.comparands;
    let is_table = |comparand: &&Comparand| comparand.subject == Subject::Table;
    let tables = comparands.iter().filter(is_table).count();
    emit.emit(What::Planned {
        jobs: tasks
            .iter()
            .map(|task| PlannedJob {
                id: task.job,
                phase: Phase::Verify,
                label: task.label.clone(),
                bytes: task.bytes,
                rows: comparands[task.comparand].rows,
            })
            .collect(),
        tables: u32::try_from(tables)
            .unwrap_or(u32::MAX)
            .saturating_add(reading.judged_without),
        bytes: tasks.iter().map(|task| task.bytes).sum(),
    });
}

/// Asked side by side: over a long road each answer takes as long as many rows.
async fn bucketing_of_all(reading: &Reading, ends: &Ends) -> Vec<Bucketing> {
    let comparands = &reading.comparands;
    if reading.level != VerifyLevel::Content {
        return vec![Bucketing::One; comparands.len()];
    }
    let asked: Vec<_> = comparands
        .iter()
        .map(|comparand| bucketing_of(comparand, ends))
        .collect();
    let at_once = usize::try_from(reading.readers.max(1)).unwrap_or(1);
    stream::iter(asked).buffered(at_once).collect().await
}

/// The same on both sides. If the key's ends cannot be read, neither can the table: its own reads will say so.
async fn bucketing_of(comparand: &Comparand, ends: &Ends) -> Bucketing {
    let mut range = None;
    if let Some((column, _)) = comparand.scale_column() {
        let [source, target] = &ends.pools;
        let found = tokio::join!(
            key_range(source, comparand, &column, ""),
            key_range(target, comparand, &column, "")
        );
        if let (Ok(source), Ok(target)) = found {
            let known: Vec<(i128, i128)> = [source, target].into_iter().flatten().collect();
            let low = known.iter().map(|(low, _)| *low).min();
            range = low.zip(known.iter().map(|(_, high)| *high).max());
        }
    }
    comparand.bucketing(range)
}

/// Smallest and largest number of a key among the rows for which a condition holds, as the index has them.
pub(in crate::verify) async fn key_range(
    pool: &Pool,
    comparand: &Comparand,
    column: &str,
    condition: &str,
) -> Result<Option<(i128, i128)>, PgError> {
    let end = |direction: &str| {
        format!(
            "(select {column} from {}{} order by {column} {direction} limit 1)",
            comparand.from,
            comparand.filter(condition)
        )
    };
    let sql = SqlText::from(format!("select {}, {}", end("asc"), end("desc")));
    let mut wire = pool.lend().await?;
    let rows = wire.query(&sql).await?;
    wire.give_back();
    let end = |column: usize| number(rows.first()?.get(column)?.as_deref()?);
    Ok(end(0).zip(end(1)))
}

/// The number behind the text of an integer or a `uuid`.
fn number(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    if text.len() == 36 {
        let bits = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
        return i128::try_from(bits >> 1).ok();
    }
    text.parse().ok()
}

async fn work(shared: Arc<Shared>, number: u32, said: UnboundedSender<Said>) {
    let side = usize::from(number % 2 == 1);
    loop {
        // Nothing panics while it holds the lock.
        let next = shared.queues[side]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let Some(task) = next else { return };
        let gauge = Arc::new(Gauge::default());
        let started = Instant::now();
        shared.tell(What::JobStarted {
            job: task.job,
            worker: number,
        });
        // If nobody listens any more, the run is over.
        let _ = said.send(Said::Started(task.job, Arc::clone(&gauge)));
        let ended = perform(&shared, &task, &gauge).await;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (rows, bytes) = gauge.read();
        shared.tell(What::JobFinished {
            job: task.job,
            rows,
            bytes,
            duration_ms,
        });
        let ended = ended.map(|side| SideRead {
            duration_ms,
            ..side
        });
        if said.send(Said::Ended(task, ended)).is_err() {
            return;
        }
    }
}

/// Reads; after a lost connection once more, in the same snapshot, as long as somebody holds it.
async fn perform(shared: &Shared, task: &Task, gauge: &Gauge) -> Result<SideRead, String> {
    let pool = &shared.ends.pools[task.side];
    let mut attempt = 0;
    loop {
        attempt += 1;
        let read = async {
            let mut wire = pool.take().await?;
            let read = read_one(shared, task, &mut wire, gauge).await;
            match &read {
                Ok(_) => pool.give_back(wire),
                // The transaction is spoilt; the session with it.
                Err(_) => pool.give_up(wire),
            }
            read
        };
        match read.await {
            Ok(side) => return Ok(side),
            Err(error) if error.is_lost_connection() && attempt < ATTEMPTS => {}
            Err(error) => return Err(format!("on the {}: {error}", SIDES[task.side])),
        }
    }
}

async fn read_one(
    shared: &Shared,
    task: &Task,
    wire: &mut Wire,
    gauge: &Gauge,
) -> Result<SideRead, PgError> {
    let comparand = &shared.comparands[task.comparand];
    let mut buckets = Buckets::new(shared.bucketing[task.comparand].clone());
    let Relayed { bytes, .. } = if shared.level == VerifyLevel::Content {
        let copy_out = comparand.copy_out(&[], &task.condition);
        let (relayed, filled) =
            read_rows(wire, &copy_out.sql, copy_out.layout(), (gauge, buckets)).await?;
        buckets = filled;
        relayed
    } else {
        let rows = wire.count(&comparand.count(&task.condition)).await?;
        gauge.advance(rows, Bytes(0));
        buckets.add_rows(rows);
        Relayed::default()
    };
    Ok(SideRead {
        buckets,
        bytes,
        duration_ms: 0,
    })
}

impl SideRead {
    /// All rows of the side.
    pub fn digest(&self) -> MultisetDigest {
        self.buckets.total()
    }
}
