//! Takes up what earlier sessions of a run have left on the target: in their snapshot, or in a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::follow;
use super::inspect::Inspection;
use super::ledger_row::{LedgerRow, SnapshotRecord};
use super::past::{self, Edited, Failures, Past};
use super::requested::Sizes;
use super::resume::Interrupted;
use super::schema::read_schema;
use super::session::{Ready, Session, announce};
use crate::event::{Emit as _, Standing, StandingState, What};
use crate::execute::rebase::{self, Clearing};
use crate::execute::{Earlier, known_failures};
use crate::failure::Failure;
use crate::fault;
use crate::ledger::{self, FailedBefore, Held, Ledger, Marks, There};
use crate::model::{DumpId, Filters, JobId, QualifiedName};
use crate::pg::wire::Wire;
use crate::pg::{self, Connector, Pool, Snapshot};
use crate::plan::{Left, Plan};
use crate::toc::{CompareOptions, Entry, EntryDifference, Toc, compare, compare_entries};

/// Finds out what is done, clears away what does not hold any more, and says where every job stands.
pub(super) async fn take_up(
    session: &Session<'_>,
    interrupted: Interrupted,
    past: &Past,
    retry_failed: bool,
) -> Result<Ready, Failure> {
    let Interrupted {
        road,
        requested,
        mut ledger,
    } = interrupted;
    session.step("reading the schema of the source");
    let record = SnapshotRecord::of_ledger(&ledger)?;
    let follows = ledger.request.follow.is_some();
    let held = held_snapshot(session, &road.source.connector, &record, follows).await?;
    let same_snapshot = held.is_some();
    let target_facts = road.view_target(&requested).await?;
    if !same_snapshot {
        // A new snapshot, and a new slot with it: the publication must be there before.
        Box::pin(follow::prepare(session, &road, &requested)).await?;
    }
    let mut inspection = Box::pin(road.inspect_in(held, requested, target_facts)).await?;
    follow::same_tables(&inspection).await?;
    inspection.recall(std::mem::take(&mut ledger.memory), same_snapshot);
    inspection.recall_database(ledger.request.create).await?;
    session.tell_snapshot(&inspection);
    refuse_another_schema(&ledger, &inspection)?;
    let connector = session.worker(&inspection.road.target);
    let mut wire = connector.wire("ledger").await?;
    // What the ledger says is what a crash of the target would leave.
    wire.execute(&ledger::flush()).await?;
    let target = &inspection.road.target.session;
    let emptied = rebase::emptied(target, &ledger.plan, &ledger.marks).await?;
    let resumption = if same_snapshot && !record.is_being_cleared && emptied.is_empty() {
        as_planned(target, ledger).await?
    } else {
        let mut rebasing = Rebasing {
            session,
            inspection: &inspection,
            ledger: &ledger,
            wire: &mut wire,
        };
        rebasing.run().await?
    };
    fault::point("taken-up");
    inspection.view.snapshot.keep().await?;
    announce(&resumption.plan, &session.emitter());
    let (plan, earlier) = resumption.earlier(session, past, retry_failed)?;
    Ok(Ready {
        inspection,
        plan,
        earlier,
        ledger: wire,
    })
}

/// The snapshot of the earlier sessions, if somebody still holds it.
async fn held_snapshot(
    session: &Session<'_>,
    source: &Connector,
    record: &SnapshotRecord,
    follows: bool,
) -> Result<Option<Snapshot>, Failure> {
    let mut held = match &record.kept {
        Some(kept) => Snapshot::resume(source, kept).await?,
        None => None,
    };
    if follows && let Some(mut snapshot) = held.take() {
        let stands = match &snapshot.slot {
            Some(slot) => slot.stands(snapshot.session()).await?,
            None => false,
        };
        if stands {
            held = Some(snapshot);
        } else {
            // Changes since the snapshot would be lost: slot and snapshot are made again, together. The old
            // snapshot is no longer needed; if its holder has ended already, that is as good.
            let _ = snapshot.release().await;
        }
    }
    let text = if held.is_some() {
        format!(
            "snapshot {} is still held: the run goes on in it",
            record.id
        )
    } else {
        format!(
            "snapshot {} is no longer held: everything is brought to a new one",
            record.id
        )
    };
    session.emitter().emit(What::Note { text });
    Ok(held)
}

/// What was planned for one schema cannot be finished with another.
fn refuse_another_schema(ledger: &Ledger, inspection: &Inspection) -> Result<(), Failure> {
    let then = ledger.archive.open().map_err(|error| {
        Failure::defect(format!("the ledger's schema cannot be unpacked: {error}"))
    })?;
    let then = Toc::of_server(then)?;
    let major = inspection.road.source.facts.version.major();
    let options = CompareOptions {
        source_major: major,
        target_major: major,
        ..CompareOptions::default()
    };
    let differences = compare(&then, inspection.view.toc(), &options);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::schema_changed(&differences))
}

/// Failures of earlier sessions.
enum Known {
    /// They stand: what failed is not tried again.
    Stand(Failures),
    /// It is, and some of it as the operator has edited it.
    Again(BTreeMap<(JobId, u32), Edited>),
}

/// A plan, what of it is done, and where its jobs stand.
pub(super) struct Resumption {
    plan: Plan,
    marks: Marks,
    failed: Vec<FailedBefore>,
    known: BTreeMap<QualifiedName, Held>,
    /// Jobs that an earlier session did, and why they are done again.
    again: BTreeMap<JobId, String>,
}

impl Resumption {
    /// The plan that goes on.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Tells where the jobs stand, and puts together what is known of them.
    pub fn earlier(
        self,
        session: &Session<'_>,
        past: &Past,
        retry_failed: bool,
    ) -> Result<(Arc<Plan>, Earlier), Failure> {
        let Self {
            plan,
            marks,
            failed,
            known,
            again,
        } = self;
        let failures = past.enrich(known_failures(&plan, &failed));
        let failures = if retry_failed {
            Known::Again(past::edited(&session.output.run_dir().look(), &failures)?)
        } else {
            Known::Stand(failures)
        };
        let (failed, edited) = match failures {
            Known::Stand(failed) => (failed, BTreeMap::new()),
            Known::Again(edited) => (BTreeMap::new(), edited),
        };
        let in_ledger = |edited: Edited| (edited.sql, format!("{}{}", ledger::EDITED, edited.file));
        let edited = edited.into_iter();
        let edited = edited.map(|(part, edited)| (part, in_ledger(edited)));
        let standing = standing(&plan, &marks, &failed, &again);
        session.emitter().emit(What::Resumed { standing });
        let earlier = Earlier {
            marks,
            failed,
            edited: edited.collect(),
            known,
        };
        Ok((Arc::new(plan), earlier))
    }
}

fn standing(
    plan: &Plan,
    marks: &Marks,
    failed: &Failures,
    again: &BTreeMap<JobId, String>,
) -> Vec<Standing> {
    let failed: BTreeSet<JobId> = failed.keys().copied().collect();
    let mut standing = ledger::standing(plan, marks, &failed);
    for one in &mut standing {
        if let Some(why) = again.get(&one.job)
            && one.state == StandingState::Left
        {
            one.state = StandingState::Redo;
            one.why.clone_from(why);
        }
    }
    standing
}

/// The old plan goes on, but for what may be done twice and could have been lost: where sequences stand.
pub(super) async fn as_planned(
    target: &pg::Session,
    ledger: Ledger,
) -> Result<Resumption, Failure> {
    let Ledger {
        plan,
        mut marks,
        failed,
        ..
    } = ledger;
    let mut again = BTreeMap::new();
    let positions = plan.jobs.iter().filter(|job| job.work.sets_sequences());
    let done: Vec<JobId> = positions
        .map(|job| job.id)
        .filter(|job| marks.whole(*job))
        .collect();
    for job in done {
        target
            .execute(&ledger::unmark(&[(job, ledger::WHOLE)]).to_string_lossy())
            .await
            .map_err(Failure::from)?;
        marks.take_back(job, ledger::WHOLE);
        let why =
            "sequence values may have been lost in a crash, and can be set twice without harm";
        again.insert(job, why.to_owned());
    }
    Ok(Resumption {
        plan,
        marks,
        failed,
        known: BTreeMap::new(),
        again,
    })
}

/// Bringing everything to a new snapshot.
struct Rebasing<'a, 'b> {
    session: &'a Session<'b>,
    inspection: &'a Inspection,
    ledger: &'a Ledger,
    wire: &'a mut Wire,
}

impl Rebasing<'_, '_> {
    async fn run(&mut self) -> Result<Resumption, Failure> {
        let Self {
            session,
            inspection,
            ledger,
            ..
        } = *self;
        let request = &ledger.request;
        let draft = inspection.plan(Sizes::of(request), Left::default())?;
        session.step("finding out which tables have changed on the source");
        let source = self.source_pool(&draft);
        let unchanged = rebase::unchanged(&source, (&ledger.plan, &ledger.marks), &draft).await;
        source.drain().await;
        let mut unchanged = unchanged?;
        self.forget_emptied(&draft, &mut unchanged).await?;
        fault::point("changes-known");
        session.touch();
        session.step("clearing the target of what no longer holds");
        let begin = SnapshotRecord::of_ledger(ledger)?.begin_clearing()?;
        self.wire.execute(&begin).await?;
        self.clear(&draft, &unchanged).await?;
        fault::point("cleared");
        let there = self.there(unchanged).await?;
        let left = self.left(&draft, &there).await?;
        let plan = inspection.plan(Sizes::of(request), left)?;
        let marks = ledger::adopt(&plan, &there);
        session.write_down(&inspection.view.archive, &plan)?;
        fault::point("plan-replaced");
        let failed = ledger::failed_in(&ledger.plan, &ledger.failed, &plan);
        self.write_ledger(&plan, &marks, &failed).await?;
        fault::point("ledger-rebased");
        let again = again(&plan, ledger);
        Ok(Resumption {
            plan,
            marks,
            failed,
            known: there.rows,
            again,
        })
    }

    /// Rows that the ledger knows of and a crash of the target took are not there, however little the source has changed.
    async fn forget_emptied(
        &self,
        draft: &Plan,
        unchanged: &mut BTreeMap<QualifiedName, Held>,
    ) -> Result<(), Failure> {
        let Ledger { plan, marks, .. } = self.ledger;
        let target = &self.inspection.road.target.session;
        for (table, _) in rebase::emptied(target, plan, marks).await? {
            for unit in draft.tables.iter().filter(|unit| unit.into == table) {
                unchanged.remove(&unit.table);
            }
        }
        Ok(())
    }

    fn source_pool(&self, draft: &Plan) -> Pool {
        let source = &self.inspection.road.source.connector;
        let snapshot = self.inspection.view.snapshot.id.clone();
        Pool::in_snapshot(source.with_encoding(&draft.client_encoding), snapshot)
    }

    async fn clear(
        &self,
        draft: &Plan,
        unchanged: &BTreeMap<QualifiedName, Held>,
    ) -> Result<(), Failure> {
        let half_made = self.half_made().await?;
        let clearing = Clearing {
            target: &self.inspection.road.target.session,
            superuser: self.inspection.road.target.facts.superuser,
            old: &self.ledger.plan,
            marks: &self.ledger.marks,
            draft,
            unchanged,
            half_made: &half_made,
        };
        for text in clearing.clear().await? {
            self.session.emitter().emit(What::Note { text });
        }
        Ok(())
    }

    async fn target_toc(&self) -> Result<Toc, Failure> {
        let road = &self.inspection.road;
        let everything = Filters::default();
        let (toc, _) = read_schema(&road.target, &road.pg_dump, (None, &everything)).await?;
        Ok(toc)
    }

    fn compare_options(&self) -> CompareOptions {
        let road = &self.inspection.road;
        CompareOptions {
            restore: self.ledger.request.restore,
            source_major: road.source.facts.version.major(),
            target_major: road.target.facts.version.major(),
            ..CompareOptions::default()
        }
    }

    /// Indexes on the target that bear the name of a key of the source that is not there.
    async fn half_made(&self) -> Result<Vec<QualifiedName>, Failure> {
        let target = self.target_toc().await?;
        let options = self.compare_options();
        let found = compare_entries(self.inspection.view.toc(), &target, &options);
        let missing: Vec<&Entry> = found
            .iter()
            .filter(|one| one.target.is_none())
            .filter_map(|one| one.source.filter(|entry| entry.is("CONSTRAINT")))
            .collect();
        let extra = found.iter().filter(|one| one.source.is_none());
        let indexes = extra.filter_map(|one| one.target.filter(|entry| entry.is("INDEX")));
        let of_missing_key = |index: &&Entry| {
            let ends = [b" ".as_slice(), &index.tag].concat();
            let is_it = |key: &&Entry| key.namespace == index.namespace && key.tag.ends_with(&ends);
            missing.iter().any(is_it)
        };
        let half_made = indexes.filter(of_missing_key);
        Ok(half_made.filter_map(Entry::qualified_name).collect())
    }

    /// What need not be made again, once everything is cleared.
    async fn there(&self, rows: BTreeMap<QualifiedName, Held>) -> Result<There, Failure> {
        let target = self.target_toc().await?;
        let source = self.inspection.view.toc();
        let options = self.compare_options();
        let found = compare_entries(source, &target, &options);
        let mut there = There {
            entries: source.entries.iter().map(|entry| entry.dump_id).collect(),
            statements: ledger::statements_run(&self.ledger.plan, &self.ledger.marks),
            rows,
            ..There::default()
        };
        let mut absent: BTreeSet<DumpId> = BTreeSet::new();
        for EntryDifference {
            source,
            target,
            of_definition,
            doubt,
            ..
        } in &found
        {
            // What may be as it was made is not made again.
            let Some(entry) = source.filter(|_| doubt.is_none()) else {
                continue;
            };
            there.entries.remove(&entry.dump_id);
            if target.is_none() {
                absent.insert(entry.dump_id);
            } else if !of_definition {
                there.without_owner.insert(entry.dump_id);
            }
        }
        // What was run as edited is there in its own way; what has been dropped since is to be made again.
        there.edited = ledger::edited(&self.ledger.plan, &self.ledger.marks)
            .into_iter()
            .filter(|edited| edited.entry.is_none_or(|entry| !absent.contains(&entry)))
            .map(|edited| (edited.sql, edited.what))
            .collect();
        Ok(there)
    }

    async fn left(&self, draft: &Plan, there: &There) -> Result<Left, Failure> {
        let anew = draft.tables.iter().map(|unit| (&unit.table, &unit.into));
        let anew: Vec<&QualifiedName> = anew
            .filter(|(table, _)| !there.rows.contains_key(*table))
            .map(|(_, into)| into)
            .collect();
        Ok(Left {
            copied: there.rows.keys().cloned().collect(),
            shields: rebase::shields(&self.inspection.road.target.session, &anew).await?,
            existing: None,
        })
    }

    /// From here on the ledger is of the new plan, in the new snapshot.
    async fn write_ledger(
        &mut self,
        plan: &Plan,
        marks: &Marks,
        failed: &[FailedBefore],
    ) -> Result<(), Failure> {
        let request = &self.ledger.request;
        let row = LedgerRow::of_move(self.inspection, plan, request)?;
        let statement = ledger::rebase(&row.row(request), marks, failed);
        self.wire.execute(&statement).await?;
        Ok(())
    }
}

/// What of the new plan an earlier session had done: tables that were copied, and have changed.
fn again(plan: &Plan, ledger: &Ledger) -> BTreeMap<JobId, String> {
    let before = ledger::held(&ledger.plan, &ledger.marks);
    let changed = |job: &crate::plan::Job| {
        let crate::plan::Work::Copy { tables } = &job.work else {
            return None;
        };
        let mut names = tables.iter().map(|&table| &plan.tables[table].table);
        let table = names.find(|table| before.contains_key(*table))?;
        let why = format!("{} has changed on the source since", table.shown());
        Some((job.id, why))
    };
    plan.jobs.iter().filter_map(changed).collect()
}
