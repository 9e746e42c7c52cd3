//! What all workers of a dump share: what is left, what is finished, and what that comes to.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::assembly::Assembly;
use super::large_objects;
use super::{Dump, DumpError, Dumped, Errand};
use crate::archive::{
    ArchiveError, Codec, Content, Journal, LargeObjectFacts, Line, TableFacts, Unfinished,
};
use crate::event::{Emit, What};
use crate::execute::running::{self, Running};
use crate::execute::stop::Cause;
use crate::execute::watchdog::{Servers, Watchdog};
use crate::model::{
    Bytes, CopyFormat, Difference, JobId, Oid, Rows, TableVerdict, Unverified, Verdict, VerifyLevel,
};
use crate::pg::wire::Gauge;
use crate::pg::{PgError, Pool};
use crate::plan::{DumpJob, DumpPlan, DumpUnit, DumpWork, IN_ARCHIVES};
use crate::verify::content::{Evidence, judge};

/// What all workers share.
pub(super) struct Context {
    pub plan: Arc<DumpPlan>,
    pub source: Pool,
    /// Of no sessions: a dump has no target server.
    target: Pool,
    pub watchdog: Watchdog,
    pub archive: Unfinished,
    pub codec: Codec,
    pub verify: VerifyLevel,
    pub emit: Arc<dyn Emit>,
    pub max_retries: u32,
    /// How many there are.
    pub workers: usize,
    pub assemblies: HashMap<usize, Assembly>,
    pub state: Mutex<State>,
}

pub(super) struct State {
    /// Jobs that nobody has begun.
    pub waiting: VecDeque<JobId>,
    /// Jobs that are not done.
    pub left: usize,
    /// Nothing new is to be begun.
    pub is_draining: bool,
    pub running: HashMap<JobId, Running>,
    pub journal: Journal,
    pub tables: BTreeMap<usize, TableFacts>,
    pub large_objects: BTreeMap<Oid, LargeObjectFacts>,
    pub has_doubts: bool,
}

impl State {
    pub fn finished(&mut self, job: JobId) -> Option<Running> {
        self.left -= 1;
        self.running.remove(&job)
    }

    pub fn add_objects(&mut self, facts: Vec<LargeObjectFacts>) {
        let by_oid = facts.into_iter().map(|object| (object.oid, object));
        self.large_objects.extend(by_oid);
    }
}

impl Context {
    pub fn new(dump: Dump) -> Result<Self, DumpError> {
        let Dump {
            plan,
            source,
            snapshot,
            archive,
            codec,
            verify,
            emit,
            max_retries,
            journal,
            finished,
            workers,
            ..
        } = dump;
        let mut context = Self {
            source: Pool::in_snapshot(source.with_encoding(&plan.client_encoding), snapshot),
            target: Pool::of_nothing(),
            watchdog: Watchdog::default(),
            archive,
            codec,
            verify,
            emit,
            max_retries,
            workers: usize::try_from(workers).unwrap_or(1),
            assemblies: HashMap::new(),
            state: Mutex::new(State {
                waiting: (0..).map(JobId).take(plan.jobs.len()).collect(),
                left: plan.jobs.len(),
                is_draining: false,
                running: HashMap::new(),
                journal,
                tables: BTreeMap::new(),
                large_objects: BTreeMap::new(),
                has_doubts: false,
            }),
            plan,
        };
        context.take_up(finished);
        for (index, unit) in context.plan.units.iter().enumerate() {
            if unit.parts.len() > 1 && !context.state().tables.contains_key(&index) {
                let name = context.file_name(index);
                let counts = usize::from(context.verify != VerifyLevel::None);
                let pieces = unit.parts.len() + counts;
                let file = (&*name, unit.copy.bytes);
                let assembly = Assembly::new(&context.archive, file, pieces)?;
                context.assemblies.insert(index, assembly);
            }
        }
        Ok(context)
    }

    /// What an earlier session has finished is not done again; its jobs are over.
    pub fn take_up(&self, finished: Vec<Line>) {
        for line in finished {
            match line {
                Line::Table { facts, counted, .. } => {
                    let mut units = 0..self.plan.units.len();
                    let Some(index) = units.find(|unit| {
                        is_of(&self.plan.units[*unit], &facts)
                            && self.file_name(*unit) == facts.file
                    }) else {
                        continue;
                    };
                    let evidence = (Some(facts.content), counted.map(Rows));
                    self.tell_verdict(index, &facts, evidence, Duration::ZERO);
                    self.state().tables.insert(index, facts);
                }
                Line::LargeObjects { facts, .. } => self.state().add_objects(facts),
            }
        }
        let over: BTreeSet<JobId> = {
            let state = self.state();
            let is_over = |job: &DumpJob| match &job.work {
                DumpWork::Tables(units) => units.iter().all(|unit| state.tables.contains_key(unit)),
                DumpWork::Part(unit, _) | DumpWork::Count(unit) => state.tables.contains_key(unit),
                // One that could not be read is asked for again, so that it is told again.
                DumpWork::LargeObjects(oids) => {
                    oids.iter().all(|oid| state.large_objects.contains_key(oid))
                }
            };
            let jobs = (0..).map(JobId).zip(&self.plan.jobs);
            jobs.filter(|(_, job)| is_over(job))
                .map(|(id, _)| id)
                .collect()
        };
        {
            let mut state = self.state();
            state.waiting.retain(|id| !over.contains(id));
            state.left = state.waiting.len();
        }
        for job in over {
            if let Some(DumpWork::LargeObjects(oids)) = self.job(job).map(|job| &job.work) {
                self.emit.emit(large_objects::checked(oids.len()));
            }
            self.emit.emit(What::JobStarted { job, worker: 0 });
            self.emit.emit(What::JobFinished {
                job,
                rows: Rows(0),
                bytes: Bytes(0),
                duration_ms: 0,
            });
        }
    }

    pub fn job(&self, id: JobId) -> Option<&DumpJob> {
        self.plan.jobs.get(usize::try_from(id.0).ok()?)
    }

    /// Takes the next job. They are begun in order: whoever waits for his turn at a file waits for those who began before.
    pub fn start_next(&self, slot: u32) -> Option<(JobId, Arc<Gauge>)> {
        let mut state = self.state();
        if state.is_draining {
            return None;
        }
        let id = state.waiting.pop_front()?;
        let running = Running::begin(id, slot, self.emit.as_ref());
        let gauge = Arc::clone(&running.gauge);
        state.running.insert(id, running);
        Some((id, gauge))
    }

    /// Has the source answer a part of a job. One that does not answer any more is not waited for.
    pub async fn watched<T, E: From<PgError>>(
        &self,
        errand: Errand<'_>,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let job = (errand.id, errand.gauge);
        self.watchdog.over(self.servers(), job, asked).await
    }

    pub fn servers(&self) -> Servers<'_> {
        Servers {
            source: &self.source,
            target: &self.target,
            emit: self.emit.as_ref(),
        }
    }

    /// Nothing new is begun; what is running may come to its end.
    pub fn begin_to_drain(&self, cause: &Cause, patience: Duration) {
        let jobs = {
            let mut state = self.state();
            state.is_draining = true;
            state.running.len()
        };
        running::begin_to_drain(cause, (jobs, patience), self.emit.as_ref());
    }

    pub fn tell_progress(&self) {
        let emit = self.emit.as_ref();
        let mut state = self.state();
        state.running.values_mut().for_each(|job| job.tell(emit));
    }

    /// The name of a table's file.
    pub fn file_name(&self, unit: usize) -> String {
        format!(
            "{}{}",
            self.plan.units[unit].file,
            self.codec.algorithm.suffix()
        )
    }

    /// A table's file is finished: has it judged, and notes it if nothing speaks against it. A session that goes on takes what is noted
    /// for read again, and may not read it once more. The evidence: what was read again of the file, and what the source counted.
    pub fn finish_table(
        &self,
        unit: usize,
        facts: TableFacts,
        evidence: (Option<Content>, Option<Rows>),
        took: Duration,
    ) -> Result<(), ArchiveError> {
        let is_well = self.tell_verdict(unit, &facts, evidence, took);
        let mut state = self.state();
        if is_well {
            state.journal.note(&Line::Table {
                facts: facts.clone(),
                counted: evidence.1.map(|rows| rows.0),
                tags: self.tags_of([facts.file.as_str()]),
            })?;
        }
        state.tables.insert(unit, facts);
        Ok(())
    }

    /// The tags of files, as far as there are any.
    pub fn tags_of<'a>(
        &self,
        files: impl IntoIterator<Item = &'a str>,
    ) -> BTreeMap<String, String> {
        let tagged = files
            .into_iter()
            .filter_map(|file| Some((file.to_owned(), self.archive.tag_of(file)?)));
        tagged.collect()
    }

    /// Whether nothing speaks against it.
    pub fn tell_verdict(
        &self,
        unit: usize,
        facts: &TableFacts,
        evidence: (Option<Content>, Option<Rows>),
        took: Duration,
    ) -> bool {
        let (told, differences) = verdict_of(facts, (self.verify, evidence));
        let verdict = told.verdict;
        self.emit.emit(What::TableVerified(TableVerdict {
            format: self.plan.units[unit].copy.format.clone(),
            copy_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            ..told
        }));
        let is_unknown = verdict == Verdict::NotVerified && self.verify != VerifyLevel::None;
        let is_well = differences.is_empty() && !is_unknown;
        if is_unknown {
            self.doubt(What::Unverified(Unverified {
                class: "table data".into(),
                object: facts.table.to_string(),
                because: "its file was not read again, or its rows were not counted".to_owned(),
            }));
        }
        for difference in differences {
            self.doubt(What::Difference(difference));
        }
        is_well
    }

    /// Something that keeps the archive from being called whole.
    pub fn doubt(&self, what: What) {
        self.state().has_doubts = true;
        self.emit.emit(what);
    }

    /// Every job is done, and of every table of the plan it is known what its file holds.
    pub fn is_complete(&self) -> bool {
        let state = self.state();
        let tables = state.tables.len();
        state.left == 0 && tables == self.plan.units.len()
    }

    pub fn dumped(&self) -> Dumped {
        let mut state = self.state();
        let tables = std::mem::take(&mut state.tables);
        let large_objects = std::mem::take(&mut state.large_objects);
        Dumped {
            tables: tables.into_values().collect(),
            large_objects: large_objects.into_values().collect(),
            has_doubts: state.has_doubts,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if something did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a table's file, and what speaks against it. The evidence: what was read again of the file, and what the source
/// counted.
pub fn verdict_of(
    facts: &TableFacts,
    (verify, (again, counted)): (VerifyLevel, (Option<Content>, Option<Rows>)),
) -> (TableVerdict, Vec<Difference>) {
    let hashed = verify == VerifyLevel::Content;
    let again = match (verify, again) {
        (VerifyLevel::Content, again) => again.map(|content| content.digest),
        (VerifyLevel::Counts, _) => Some(facts.content.digest),
        _ => None,
    };
    let evidence = Evidence {
        read: Some(facts.content.digest),
        source_count: counted,
        target: again,
        hashed,
    };
    let (verdict, differences) = judge(&facts.table, &evidence);
    let verdict = TableVerdict {
        table: facts.table.clone(),
        format: CopyFormat::Text {
            because: IN_ARCHIVES.to_owned(),
        },
        read: evidence.read,
        source_count: counted,
        target: again,
        bytes: Bytes(facts.content.bytes),
        copy_ms: 0,
        verdict,
        forms: Vec::new(),
    };
    (verdict, differences)
}

/// Whether what is finished is a table of the plan. The number of its entry is not enough: another version of `pg_dump` counts
/// otherwise, and what was finished under a number may be another table's by now.
fn is_of(unit: &DumpUnit, facts: &TableFacts) -> bool {
    unit.dump_id == facts.dump_id
        && unit.copy.table == facts.table
        && unit.copy.columns == facts.columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Algorithm, FileFacts, Header};
    use crate::model::{CopyFormat, DumpId, MultisetDigest, QualifiedName};
    use crate::plan::{CopyUnit, testing};

    /// A table, and what is known of its file.
    fn unit() -> (DumpUnit, TableFacts) {
        let columns = ["id", "note"].map(str::to_owned).to_vec();
        let table = QualifiedName::new("s", "t");
        let unit = DumpUnit {
            dump_id: DumpId(7),
            copy: CopyUnit {
                columns: columns.clone(),
                format: CopyFormat::Text {
                    because: String::new(),
                },
                ..testing::unit(table.clone())
            },
            file: "7.dat".to_owned(),
            parts: vec![None],
        };
        let facts = TableFacts {
            dump_id: DumpId(7),
            table,
            columns,
            file: "7.dat.gz".to_owned(),
            on_disk: FileFacts::default(),
            content: Content::default(),
        };
        (unit, facts)
    }

    struct Deaf;

    impl Emit for Deaf {
        fn emit(&self, _: What) {}
    }

    fn context(archive: &Unfinished) -> Context {
        let (journal, _) = Journal::open(archive).expect("nobody else has it");
        let plan = DumpPlan {
            client_encoding: "UTF8".to_owned(),
            units: vec![unit().0],
            lists: Vec::new(),
            jobs: Vec::new(),
        };
        Context {
            plan: Arc::new(plan),
            source: Pool::of_nothing(),
            target: Pool::of_nothing(),
            watchdog: Watchdog::default(),
            archive: archive.clone(),
            codec: Codec::from(Algorithm::Gzip),
            verify: VerifyLevel::Content,
            emit: Arc::new(Deaf),
            max_retries: 0,
            workers: 1,
            assemblies: HashMap::new(),
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                left: 0,
                is_draining: false,
                running: HashMap::new(),
                journal,
                tables: BTreeMap::new(),
                large_objects: BTreeMap::new(),
                has_doubts: false,
            }),
        }
    }

    /// A session that goes on may not read what is noted again: a store has it by the same tag.
    #[test]
    fn what_did_not_read_as_it_was_written_is_not_noted_as_finished() {
        let dir = tempfile::tempdir().expect("a directory");
        let archive = Unfinished::of(&dir.path().join("archive"), dir.path()).expect("a path");
        let header = Header {
            run: "a run".to_owned(),
            holder: serde_json::Value::Null,
        };
        let (_, facts) = unit();
        let other = MultisetDigest {
            sum: 1,
            ..MultisetDigest::default()
        };
        let other = Content::new(other, 0);
        let (well, count) = (Some(facts.content), Some(Rows(0)));
        for (evidence, is_noted) in [
            ((well, count), true),
            ((Some(other), count), false),
            ((None, count), false),
            ((well, Some(Rows(1))), false),
            ((well, None), false),
        ] {
            let context = context(&archive);
            context.state().journal.begin(&header).expect("written");
            let finished = context.finish_table(0, facts.clone(), evidence, Duration::ZERO);
            finished.expect("written");
            assert_eq!(context.dumped().has_doubts, !is_noted, "{evidence:?}");
            drop(context);
            let (_, noted) = Journal::open(&archive).expect("there");
            let lines = noted.expect("it has a header").lines.len();
            assert_eq!(lines, usize::from(is_noted), "{evidence:?}");
        }
    }

    #[test]
    fn what_was_finished_under_a_number_is_the_same_table_with_the_same_columns() {
        let (unit, facts) = unit();
        assert!(is_of(&unit, &facts));
        let others = [
            TableFacts {
                dump_id: DumpId(8),
                ..facts.clone()
            },
            TableFacts {
                table: QualifiedName::new("s", "other"),
                ..facts.clone()
            },
            TableFacts {
                columns: vec!["id".to_owned()],
                ..facts.clone()
            },
        ];
        assert!(others.iter().all(|other| !is_of(&unit, other)));
    }
}
