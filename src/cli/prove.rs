//! The last steps of a move: what the jobs did not compare is compared, and writes since the snapshot are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::inspect::Server;
use super::join::at_once;
use super::output::Emitter;
use super::salvage::Settled;
use super::schema::read_schema_beside;
use crate::catalog::{self, Activity, Extension, Sequence, TargetFacts};
use crate::event::{Emit, What};
use crate::execute::prepare::apply_properties;
use crate::execute::{self, rebase};
use crate::failure::Failure;
use crate::fault;
use crate::ledger::{self, Marks};
use crate::model::{Difference, Finding, Oid, QualifiedName, TableVerdict, Waiver, how_long, rule};
use crate::pg::client_tools::ClientTool;
use crate::pg::wire::Wire;
use crate::pg::{Connector, PgError, Session, current_transactions};
use crate::plan::{NewDatabase, Plan};
use crate::salvage::DamageMap;
use crate::toc::{CompareOptions, Entry, RestoreOptions, Toc, object_name};
use crate::verify::{self, Observed, Outcome, Readiness, Scope};

/// What the source was, and both ends as they are now.
pub struct Proof {
    pub(super) source: Server,
    pub(super) target: Server,
    pub(super) pg_dump: ClientTool,
    pub(super) plan: Arc<Plan>,
    pub(super) source_toc: Toc,
    /// Where the source's sequences stood.
    pub(super) sequences: Vec<Sequence>,
    pub(super) restore: RestoreOptions,
    /// What the target held and offered before.
    pub(super) target_facts: TargetFacts,
    /// Whether large objects are part of the move.
    pub(super) large_objects: bool,
    /// Tables whose rows, and sequences whose values, were left out.
    pub(super) exclude_data: BTreeSet<QualifiedName>,
    /// The target database, if the run created it.
    pub(super) new_database: Option<NewDatabase>,
    /// Rows written to each table of the source before the snapshot.
    pub(super) activity: Vec<Activity>,
    /// The transactions that the snapshot sees.
    pub(super) transactions: String,
    /// What of a damaged source could be read.
    pub(super) salvage: Option<Arc<DamageMap>>,
}

impl Proof {
    /// The source as it was in the snapshot.
    pub fn before(&self) -> Before {
        Before {
            connector: self.source.connector.clone(),
            sequences: self.sequences.clone(),
            activity: self.activity.clone(),
            transactions: self.transactions.clone(),
            unreadable: self
                .salvage
                .as_ref()
                .map(|map| map.sequences.clone())
                .unwrap_or_default(),
        }
    }

    /// Makes room for what is compared next, which is large where the plan is.
    pub fn forget_statements(&mut self, marks: &Marks) {
        let edited = marks.edited().map(|(job, ..)| job).collect();
        // The jobs, who had it as well, have ended.
        if let Some(plan) = Arc::get_mut(&mut self.plan) {
            plan.forget_statements(&edited);
        }
    }

    /// What is part of it, and is compared.
    fn scope(&self) -> Scope {
        let mut scope = Scope::of(&self.source_toc);
        scope.large_objects = self.large_objects;
        scope.without_value.clone_from(&self.exclude_data);
        scope
    }

    /// Opens sessions of the source.
    pub fn source_connector(&self) -> Connector {
        self.source.connector.clone()
    }

    /// Whether we are superuser on the target.
    pub fn target_superuser(&self) -> bool {
        self.target.facts.superuser
    }

    /// What is done to the target last of all, because it would get in the way of the move itself: settings and
    /// privileges of a database that was created.
    pub async fn finish_target(&self) -> Result<(), Failure> {
        if let Some(new) = &self.new_database {
            apply_properties(&self.target.session, new).await?;
        }
        Ok(())
    }
}

/// Both ends as they are when all jobs are done, but for the rows.
pub struct Found {
    /// The target's table of contents.
    toc: Toc,
    /// Of what a dump does not say.
    catalogs: Outcome,
    /// Whether expressions of either end have arrays of arrays in them.
    nested_arrays: Option<bool>,
    /// Of the tables whose rows were left out.
    excluded: Outcome,
    /// What the ledger says is done.
    marks: Marks,
    /// What makes a copy slow or wrong although it is the same.
    readiness: Vec<Finding>,
    /// A session of the source, outside of the snapshot.
    pub(super) source: Session,
}

/// Looks at both ends. `pg_dump` takes longest: all the rest is asked while it runs. `source` is what the source's catalogs said.
pub async fn look(proof: &Proof, source: Observed) -> Result<Found, Failure> {
    let (done, room) = oneshot::channel();
    let toc = Box::pin(target_toc(proof, room));
    let target = Box::pin(look_at_target(proof, (source, done)));
    let readiness = Box::pin(look_for_readiness(proof));
    let (toc, (target, readiness)) = at_once(toc, at_once(target, readiness)).await?;
    let (catalogs, nested_arrays, excluded, marks) = target;
    let (readiness, source) = readiness;
    Ok(Found {
        toc,
        catalogs,
        nested_arrays,
        excluded,
        marks,
        readiness,
        source,
    })
}

async fn look_at_target(
    proof: &Proof,
    (source, done): (Observed, oneshot::Sender<()>),
) -> Result<(Outcome, Option<bool>, Outcome, Marks), Failure> {
    let session = &proof.target.session;
    let target = Observed::read(session).await?;
    fault::point("target-observed");
    let catalogs = verify::compare_catalogs(&source, &target, &proof.scope(), &proof.restore);
    let nested_arrays = verify::nested_arrays(&source, &target);
    // They are as large as a table of contents, which can have their room now.
    drop((source, target, done));
    let excluded = verify::excluded_are_empty(session, &proof.plan.excluded).await;
    let marks = ledger::read_marks(session, None).await?;
    Ok((catalogs, nested_arrays, excluded, marks))
}

async fn look_for_readiness(proof: &Proof) -> Result<(Vec<Finding>, Session), Failure> {
    let source = proof.source.connector.session("settings").await;
    let source = source.map_err(|error| Failure::from(error).while_doing("the source"))?;
    let scope = Scope::of(&proof.source_toc);
    let findings = readiness(&source, &proof.target.session, &scope).await?;
    Ok((findings, source))
}

/// Compares everything but rows, and tells what is found.
pub fn compare(proof: &Proof, found: &Found, settled: &Settled, emitter: &Emitter) {
    let mut outcome = compare_schemas(proof, found);
    outcome.extend(found.catalogs.clone());
    outcome.extend(found.excluded.clone());
    let planned = (&*proof.plan, &proof.source_toc);
    waive_edited(&mut outcome, planned, &found.marks, emitter);
    settled.waive(&mut outcome, emitter);
    tell(outcome, emitter);
    for table in &proof.plan.excluded {
        emitter.emit(What::TableVerified(TableVerdict::excluded(table)));
    }
}

/// An object whose statement the operator has edited, after it failed, is not as it is on the source: that is passed over,
/// and said by name.
pub(super) fn waive_edited(
    outcome: &mut Outcome,
    (plan, toc): (&Plan, &Toc),
    marks: &Marks,
    emitter: &dyn Emit,
) {
    for (job, part, file) in marks.edited() {
        let entry = execute::entry_of(plan, job, part);
        let entries = &toc.entries;
        let entry = entry.and_then(|entry| entries.iter().find(|one| one.dump_id == entry.dump_id));
        let is_its = |difference: &Difference| {
            entry.is_some_and(|entry| object_name(entry) == difference.object)
        };
        let (waived, rest) = std::mem::take(&mut outcome.differences)
            .into_iter()
            .partition(is_its);
        outcome.differences = rest;
        emitter.emit(What::Waived(Waiver {
            rule: format!("edited:{file}"),
            not_compared: Vec::new(),
            differences: waived,
        }));
    }
}

async fn target_toc(proof: &Proof, room: oneshot::Receiver<()>) -> Result<Toc, Failure> {
    let source = &proof.source_toc;
    let mut toc = read_schema_beside(&proof.target, &proof.pg_dump, (source, room)).await?;
    fault::point("target-schema-dumped");
    forget_what_was_there(&mut toc, (source, &proof.target_facts.installed));
    Ok(toc)
}

fn compare_schemas(proof: &Proof, found: &Found) -> Outcome {
    let options = CompareOptions {
        restore: proof.restore,
        source_major: proof.source.facts.version.major(),
        target_major: proof.target.facts.version.major(),
        nested_arrays: found.nested_arrays,
        ..CompareOptions::default()
    };
    verify::compare_schemas(&proof.source_toc, &found.toc, &options)
}

/// Extensions that the target had before, and the source has not, are none of our business.
pub(super) fn forget_what_was_there(target: &mut Toc, (source, had): (&Toc, &[Extension])) {
    let ours = |tag: &[u8]| {
        let same = |entry: &&Entry| entry.is("EXTENSION") && &*entry.tag == tag;
        source.entries.iter().find(same).is_some()
    };
    let had = |tag: &[u8]| had.iter().any(|extension| extension.name.as_bytes() == tag);
    target.entries.retain(|entry| {
        let tag: &[u8] = match entry.desc.as_str() {
            "EXTENSION" => &entry.tag,
            "COMMENT" => entry.tag.strip_prefix(b"EXTENSION ").unwrap_or_default(),
            _ => return true,
        };
        let bare = tag
            .strip_prefix(b"\"")
            .and_then(|tag| tag.strip_suffix(b"\""))
            .unwrap_or(tag);
        ours(bare) || !had(bare)
    });
}

/// Tells what a comparison has found.
pub(super) fn tell(outcome: Outcome, emitter: &dyn Emit) {
    for (what, count) in outcome.checked {
        emitter.emit(What::Checked { what, count });
    }
    for text in outcome.notes {
        emitter.emit(What::Note { text });
    }
    outcome
        .differences
        .into_iter()
        .for_each(|difference| emitter.emit(What::Difference(difference)));
    outcome
        .unverified
        .into_iter()
        .for_each(|unverified| emitter.emit(What::Unverified(unverified)));
}

/// What makes a copy slow or wrong after cut-over although it is the same.
pub async fn readiness(
    source: &Session,
    target: &Session,
    scope: &Scope,
) -> Result<Vec<Finding>, Failure> {
    let (source, target) = tokio::try_join!(Readiness::read(source), Readiness::read(target))?;
    Ok(verify::readiness_findings(&source, &target, scope))
}

/// Rules of readiness that a move has among those that it looks at before.
pub(super) const SAID_BEFORE: [&str; 2] = [rule::DATABASE_SETTINGS, rule::ENCODING_DIFFERS];

/// Tells it of a move. What was said before the move is not said again.
pub fn tell_readiness(found: &Found, emitter: &Emitter) {
    let findings = found.readiness.iter();
    findings
        .filter(|finding| !SAID_BEFORE.contains(&finding.rule.as_str()))
        .for_each(|finding| emitter.emit(What::Finding(finding.clone())));
}

/// Until here commits were not waited for: what is called proven is on disk, and with the target's synchronous standbys, which may keep
/// everybody waiting.
pub async fn make_last(ledger: &mut Wire, emitter: &Emitter) -> Result<(), PgError> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let statement = ledger::settle();
    let mut settled = Box::pin(ledger.execute(&statement));
    if let Ok(settled) = tokio::time::timeout(PATIENCE, &mut settled).await {
        return settled;
    }
    let text = format!(
        "the target has not confirmed the last commit for {}: its disk is slow, or a standby that its synchronous_standby_names wait for is \
         away; the run ends when it is confirmed",
        how_long(PATIENCE.as_secs())
    );
    emitter.emit(What::Note { text });
    settled.await
}

/// Commits were not waited for. If the target has crashed in the meantime, it may have lost some, and has emptied its unlogged
/// tables: then what was compared is not what is there now. What the ledger says after a commit that was waited for is on
/// disk.
pub async fn nothing_was_lost(
    session: &Session,
    plan: &Plan,
    expected: &Marks,
) -> Result<(), Failure> {
    let found = ledger::read_marks(session, None).await?;
    let lost: Vec<String> = expected
        .missing_from(&found)
        .map(|(_, _, what)| what.to_owned())
        .collect();
    let emptied = rebase::emptied(session, plan, &found).await?;
    let emptied = emptied.iter().map(|(table, _)| table.shown());
    let lost: Vec<String> = lost.into_iter().chain(emptied).collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(PgError::WorkLost { lost }.into())
}

/// What the source was like in the snapshot, as far as it tells whether it has been written to since.
pub struct Before {
    /// Opens a session of it.
    pub connector: Connector,
    /// Where its sequences stood.
    pub sequences: Vec<Sequence>,
    /// Rows written to each table until then.
    pub activity: Vec<Activity>,
    /// The transactions that the snapshot sees.
    pub transactions: String,
    /// Sequences that are damaged.
    pub unreadable: BTreeSet<QualifiedName>,
}

/// A copy is of the snapshot, not of now: says whether the source has been written to since, and which tables.
pub async fn tell_writes_since(before: &Before, emitter: &dyn Emit) -> Result<(), Failure> {
    let session = before
        .connector
        .session("writes since the snapshot")
        .await?;
    emitter.emit(writes_since(&session, before).await?);
    Ok(())
}

/// The same on a session of the source, outside of the snapshot.
pub async fn writes_since(session: &Session, before: &Before) -> Result<What, Failure> {
    // nextval() begins a transaction only now and then, but it moves the sequence every time.
    let sequences = catalog::sequences_but(session, &before.unreadable).await?;
    let same_sequences = sequences == before.sequences;
    if same_sequences && current_transactions(session).await? == before.transactions {
        return Ok(What::SourceUnchanged);
    }
    let written_before: BTreeMap<Oid, u64> = before
        .activity
        .iter()
        .map(|table| (table.oid, table.written))
        .collect();
    let now = catalog::activity(session).await?;
    let mut tables: Vec<(String, u64)> = now
        .iter()
        .filter_map(|table| {
            let before = written_before.get(&table.oid).copied().unwrap_or(0);
            let written = table.written.saturating_sub(before);
            (written > 0).then(|| (table.table.to_string(), written))
        })
        .collect();
    tables.sort_by_key(|(_, written)| std::cmp::Reverse(*written));
    Ok(What::SourceMovedOn { tables })
}
