//! Searches a damaged source: every row of every table is read once, what cannot be read is closed in on, and the indexes are
//! asked what is missing besides.
//!
//! The first pass reads tables side by side. Whoever crashes the server takes the others' sessions along, so what failed then
//! is looked at again one after the other, and only the one that was asked is blamed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::account::{Cause, DamageMap, FORMAT};
use super::beforehand::{Beforehand, Look};
use super::facts::{ColumnFacts, Facts, TableFacts};
use super::one_table::TableSearch;
use super::probe::Probe;
use super::quarantine::{Quarantine, Question};
use super::seen::Seen;
use super::sight::{Places, Sight};
use super::{SalvageError, amcheck, objects};
use crate::catalog::ServerFacts;
use crate::model::{SqlText, quote_ident, quote_literal};
use crate::pg::Connector;
use crate::plan::{Doubtful, Place, at, in_blocks};

/// Blocks of a table that are read at once in the first pass, where the server can.
const BLOCKS_AT_ONCE: u32 = 16_384;
const TID_RANGE_SCANS: u32 = 14;
/// A line pointer that no page has: reading it reads the page, and finds nothing.
const NO_ROW: u16 = 60_000;
/// A block that no table has: reading it opens the table, and finds nothing.
const NO_BLOCK: u32 = u32::MAX - 1;

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
    /// Also what costs another reading of everything is asked, where the source offers it.
    pub thorough: bool,
    /// Where the journal and the lists of lost keys are written.
    pub directory: &'a Path,
    /// Is told what is being done.
    pub tell: &'a (dyn Fn(String) + Sync),
}

/// What is read of a table in the first pass, and what came of it.
#[derive(Debug, Clone, Copy)]
struct Task {
    table: usize,
    from: u32,
    to: u32,
}

/// What the first pass found of a table.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Where rows were read.
    pub seen: Seen,
    /// Runs of blocks that could not be read.
    pub failed: Vec<(u32, u32)>,
    /// Why not.
    pub causes: Vec<Cause>,
    /// Rows that cannot be read, once that is known.
    pub lost: BTreeSet<Place>,
}

/// What all workers share.
pub(super) struct Shared {
    pub facts: Facts,
    pub major: u32,
    pub encoding: String,
    utf8: bool,
    pub journal: Mutex<Quarantine>,
    /// Tables whose TOAST is still to be looked at.
    toasts: Mutex<VecDeque<usize>>,
    tasks: Mutex<VecDeque<Task>>,
    progress: Mutex<BTreeMap<usize, Progress>>,
    /// What pages say of themselves.
    pub beforehand: Beforehand,
}

pub(super) fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it holds one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Searches.
pub async fn survey(survey: &Survey<'_>) -> Result<DamageMap, SalvageError> {
    let session = survey.source.session("survey").await?;
    let facts = Facts::read(&session).await?;
    let path = survey.directory.join("salvage.journal");
    let journal = Quarantine::open(&path).map_err(|source| SalvageError::File {
        doing: "opening",
        path,
        source,
    })?;
    let encoding = &survey.server.encoding;
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
        beforehand: Beforehand::default(),
        facts,
    });
    drop(session);
    look_at_toast(survey, &shared).await?;
    first_pass(survey, &shared).await?;
    let mut progress = std::mem::take(&mut *held(&shared.progress));
    let mut map = DamageMap::default();
    map.losses.format = FORMAT;
    map.losses.cold = shared.facts.quiet.is_cold();
    let mut session = None;
    for number in 0..shared.facts.tables.len() {
        let progress = progress.remove(&number).unwrap_or_default();
        let search = TableSearch {
            survey,
            shared: &shared,
            table: &shared.facts.tables[number],
        };
        search.conclude(progress, (&mut session, &mut map)).await?;
    }
    objects::sequences(survey, &shared, &mut map).await?;
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
        let mut sight = Sight::new(survey.source, survey.timeout);
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

async fn all_of(mut workers: JoinSet<Result<(), SalvageError>>) -> Result<(), SalvageError> {
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(ended) => ended?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    Ok(())
}

/// A question that was written down. Unless an answer is written down as well, it is taken back when whoever waits for the answer goes
/// away: then it was not the question that brought anything down.
struct Asked<'a> {
    journal: &'a Mutex<Quarantine>,
    question: Question,
    is_answered: bool,
}

impl<'a> Asked<'a> {
    /// Written down; it is on disk by now.
    fn new(journal: &'a Mutex<Quarantine>, question: Question) -> Result<Self, SalvageError> {
        held(journal).asks(question).map_err(noted)?;
        Ok(Self {
            journal,
            question,
            is_answered: false,
        })
    }

    /// Writes down what came of it.
    fn answered<T>(mut self, answer: &Result<T, Cause>) -> Result<(), SalvageError> {
        self.is_answered = true;
        let mut journal = held(self.journal);
        match answer {
            Ok(_) => journal.read(self.question),
            Err(cause) => journal.failed(self.question, cause),
        }
        .map_err(noted)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            // If it cannot be, a session that goes on asks once more.
            let _ = held(self.journal).takes_back(self.question);
        }
    }
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

    /// Why something is not asked for, if it is not: it is in quarantine, or its page tells enough.
    pub fn verdict(&self, table: &TableFacts, question: Question) -> Option<Cause> {
        let known = held(&self.journal).verdict(question).cloned();
        let forbidden = || {
            let asked = (question.probe, question.doubtful);
            self.beforehand.forbids(table, asked)
        };
        known.or_else(forbidden)
    }

    /// Asks for one thing, unless it is in quarantine; it is written down before.
    pub async fn ask(
        &self,
        sight: &mut Sight,
        table: &TableFacts,
        probe: Probe,
    ) -> Result<Result<Places, Cause>, SalvageError> {
        let question = Question {
            table: table.oid.0,
            probe,
            doubtful: sight.is_doubtful(),
        };
        if let Some(cause) = self.verdict(table, question) {
            return Ok(Err(cause));
        }
        let asked = Asked::new(&self.journal, question)?;
        let options = (self.encoding.as_str(), self.utf8);
        let read = if probe == Probe::Plain {
            let sql = format!("copy {} to stdout ({})", plain(table), self.encoding);
            let rows = sight.rows(&SqlText::from(sql), ()).await?;
            rows.map(|(rows, ())| Places::without_places(rows))
        } else {
            let (query, scans) = self.query(table, probe);
            sight.places((&query, scans), options).await?
        };
        asked.answered(&read)?;
        Ok(read)
    }

    /// Asks for something else than rows of a table, in the same way.
    pub async fn ask_once<T>(
        &self,
        question: Question,
        asking: impl Future<Output = Result<Result<T, Cause>, SalvageError>>,
    ) -> Result<Result<T, Cause>, SalvageError> {
        let verdict = held(&self.journal).verdict(question).cloned();
        if let Some(cause) = verdict {
            return Ok(Err(cause));
        }
        let asked = Asked::new(&self.journal, question)?;
        let answer = asking.await?;
        asked.answered(&answer)?;
        Ok(answer)
    }

    /// The query of a probe: the place of each row, and what is to be read of it; and whether that is the whole table.
    fn query(&self, table: &TableFacts, probe: Probe) -> (String, bool) {
        let name = |column: &ColumnFacts| {
            let name = quote_ident(&column.name);
            match &column.taken_back {
                Some(of) => format!("({name}::pg_catalog.text)::pg_catalog.{of}"),
                None => name,
            }
        };
        let all = || table.columns.iter().map(name).collect::<Vec<_>>();
        let (columns, conditions) = match probe {
            Probe::Blocks { from, to } => {
                let blocks = table.shape.reached;
                let conditions = if from == 0 && to >= blocks {
                    vec!["true".to_owned()]
                } else {
                    let open = self.major >= TID_RANGE_SCANS && to >= blocks;
                    in_blocks(self.major, from, (!open).then_some(to))
                };
                (all(), conditions)
            }
            Probe::Rows { block, from, to } => {
                let suspects = self.beforehand.suspects(table, (block, from), (block, to));
                let places: Vec<Place> = (from..to)
                    .map(|offset| (block, offset))
                    .filter(|place| !suspects.contains(place))
                    .collect();
                (all(), vec![at(&places)])
            }
            Probe::Open | Probe::Plain => (Vec::new(), vec![at(&[(NO_BLOCK, 1)])]),
            Probe::Page { block } => (Vec::new(), vec![at(&[(block, NO_ROW)])]),
            Probe::Row { place } => (Vec::new(), vec![at(&[place])]),
            Probe::Column { place, column } => {
                let column = table.columns.get(usize::from(column)).map(name);
                (column.into_iter().collect(), vec![at(&[place])])
            }
        };
        let columns: Vec<String> = ["ctid".to_owned()].into_iter().chain(columns).collect();
        let branch = |condition: &String| {
            format!(
                "select {} from only {} where {condition}",
                columns.join(", "),
                table.name
            )
        };
        let branches: Vec<String> = conditions.iter().map(branch).collect();
        let is_whole = conditions.iter().any(|condition| condition == "true");
        (branches.join(" union all "), is_whole)
    }
}

/// The journal cannot be written.
pub(super) fn noted(source: io::Error) -> SalvageError {
    SalvageError::File {
        doing: "writing",
        path: PathBuf::from("salvage.journal"),
        source,
    }
}

/// The table and its columns, for COPY without a query.
fn plain(table: &TableFacts) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| quote_ident(&column.name))
        .collect();
    match columns.as_slice() {
        [] => table.name.to_string(),
        columns => format!("{} ({})", table.name, columns.join(", ")),
    }
}
