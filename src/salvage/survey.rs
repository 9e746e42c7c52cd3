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

use super::account::{Cause, DamageClass, DamageMap, FORMAT};
use super::checksum::refused;
use super::crosscheck::{PAGES, heap_pages};
use super::facts::{ColumnFacts, Facts, TableFacts};
use super::one_table::TableSearch;
use super::page::suspects;
use super::probe::Probe;
use super::quarantine::{Quarantine, Question};
use super::seen::Seen;
use super::sight::{Places, Sight, patient_session};
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
}

/// What all workers share.
pub(super) struct Shared {
    pub facts: Facts,
    pub major: u32,
    pub encoding: String,
    utf8: bool,
    pub journal: Mutex<Quarantine>,
    tasks: Mutex<VecDeque<Task>>,
    progress: Mutex<BTreeMap<usize, Progress>>,
    /// Rows that cannot be what their page says, by table: the server is never asked for them.
    suspects: Mutex<BTreeMap<u32, BTreeSet<Place>>>,
    /// Pages that the server would not take from disk, and why, by table: it may have them in memory all the same, because
    /// somebody has told it to let them pass.
    refused: Mutex<BTreeMap<u32, BTreeMap<u32, &'static str>>>,
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
        tasks: Mutex::new(tasks(&facts, survey.server.version.major())),
        progress: Mutex::default(),
        suspects: Mutex::default(),
        refused: Mutex::default(),
        facts,
    });
    first_pass(survey, &shared).await?;
    let mut progress = std::mem::take(&mut *held(&shared.progress));
    let mut map = DamageMap::default();
    map.losses.format = FORMAT;
    map.losses.cold = shared.facts.quiet.is_cold();
    for number in 0..shared.facts.tables.len() {
        let progress = progress.remove(&number).unwrap_or_default();
        let search = TableSearch {
            survey,
            shared: &shared,
            table: &shared.facts.tables[number],
        };
        search.conclude(progress, &mut map).await?;
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

async fn first_pass(survey: &Survey<'_>, shared: &Arc<Shared>) -> Result<(), SalvageError> {
    let mut workers: JoinSet<Result<(), SalvageError>> = JoinSet::new();
    for _ in 0..survey.jobs.max(1) {
        let shared = Arc::clone(shared);
        let mut sight = Sight::new(survey.source, survey.timeout);
        let source = survey.source.clone();
        workers.spawn(async move {
            loop {
                let task = held(&shared.tasks).pop_front();
                let Some(task) = task else { return Ok(()) };
                shared.look_at_pages(&source, task).await?;
                shared.read(&mut sight, task).await?;
            }
        });
    }
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

    /// Looks at the pages themselves, before the server is asked for what is on them. A server that is brought down meanwhile by
    /// what another worker reads is waited for.
    async fn look_at_pages(&self, source: &Connector, task: Task) -> Result<(), SalvageError> {
        let table = &self.facts.tables[task.table];
        let mut session = patient_session(source).await?;
        let mut first = task.from;
        while first < task.to {
            let count = PAGES.min(task.to - first);
            let pages = match heap_pages(&session, table, first, count).await {
                Err(SalvageError::Pg(error)) if error.is_lost_connection() => {
                    session = patient_session(source).await?;
                    continue;
                }
                pages => pages?,
            };
            for (block, page) in (first..).zip(pages) {
                let Some(page) = page else { continue };
                self.look_at_page(table, (block, &page));
                let found = suspects(&page, &table.attributes);
                if !found.is_empty() {
                    let mut suspects = held(&self.suspects);
                    let of_table = suspects.entry(table.oid.0).or_default();
                    of_table.extend(found.into_iter().map(|offset| (block, offset)));
                }
            }
            first += count;
        }
        Ok(())
    }

    /// Notes a page that the server would not take from disk. Of a server that is in use, what is on disk says little.
    fn look_at_page(&self, table: &TableFacts, (block, page): (u32, &[u8])) {
        let quiet = &self.facts.quiet;
        if !quiet.is_cold() {
            return;
        }
        if let Some(why) = refused(page, block, quiet.checksums) {
            let mut refused = held(&self.refused);
            refused.entry(table.oid.0).or_default().insert(block, why);
        }
    }

    /// Suspicious rows among these places.
    pub fn suspects(&self, table: &TableFacts, from: Place, to: Place) -> Vec<Place> {
        let suspects = held(&self.suspects);
        let of_table = suspects.get(&table.oid.0);
        of_table.map_or_else(Vec::new, |all| all.range(from..to).copied().collect())
    }

    /// What must not be asked for, because there are suspicious rows in it.
    fn forbidden(&self, table: &TableFacts, (probe, doubtful): (Probe, bool)) -> Option<Cause> {
        if !doubtful && let Some(cause) = self.refused(table, probe) {
            return Some(cause);
        }
        let (from, to) = match probe {
            Probe::Blocks { from, to } => ((from, 0), (to, 0)),
            Probe::Plain => ((0, 0), (u32::MAX, 0)),
            Probe::Row { place } | Probe::Column { place, .. } => (place, (place.0, place.1 + 1)),
            Probe::Open | Probe::Page { .. } | Probe::Rows { .. } => return None,
        };
        let (block, offset) = *self.suspects(table, from, to).first()?;
        Some(Cause::silent(format!(
            "row ({block},{offset}) is not within its page, or its values are not within the row"
        )))
    }

    /// What must not be asked for, because a page of it is not what it should be on disk.
    fn refused(&self, table: &TableFacts, probe: Probe) -> Option<Cause> {
        let (from, to) = match probe {
            Probe::Blocks { from, to } => (from, to),
            Probe::Plain => (0, u32::MAX),
            Probe::Page { block } | Probe::Rows { block, .. } => (block, block.saturating_add(1)),
            Probe::Row { place } | Probe::Column { place, .. } => {
                (place.0, place.0.saturating_add(1))
            }
            Probe::Open => return None,
        };
        let refused = held(&self.refused);
        let (block, why) = refused.get(&table.oid.0)?.range(from..to).next()?;
        let message = format!(
            "invalid page in block {block} of relation {}: {why}",
            table.path
        );
        Some(Cause {
            class: DamageClass::Corrupted,
            ..Cause::silent(message)
        })
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
        if let Some(cause) = held(&self.journal).verdict(question) {
            return Ok(Err(cause.clone()));
        }
        if let Some(cause) = self.forbidden(table, (probe, question.doubtful)) {
            return Ok(Err(cause));
        }
        held(&self.journal).asks(question).map_err(noted)?;
        let options = (self.encoding.as_str(), self.utf8);
        let read = if probe == Probe::Plain {
            let sql = format!("copy {} to stdout ({})", plain(table), self.encoding);
            let rows = sight.rows(&SqlText::from(sql), ()).await?;
            rows.map(|(rows, ())| Places::without_places(rows))
        } else {
            let (query, scans) = self.query(table, probe);
            sight.places((&query, scans), options).await?
        };
        match &read {
            Ok(_) => held(&self.journal).read(question).map_err(noted)?,
            Err(cause) => held(&self.journal).failed(question, cause).map_err(noted)?,
        }
        Ok(read)
    }

    /// The query of a probe: the place of each row, and what is to be read of it; and whether that is the whole table.
    fn query(&self, table: &TableFacts, probe: Probe) -> (String, bool) {
        let name = |column: &ColumnFacts| quote_ident(&column.name);
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
                let suspects = self.suspects(table, (block, from), (block, to));
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
