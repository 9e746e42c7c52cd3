//! Several looks, and what they come to: what differs every time counts, and the rest is in flux.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use super::alike::Alike;
use super::compare_rows::{self, RowsLook, TableDiffers};
use super::look::{Both, Look};
use super::tell::tell;
use super::{Asked, Reading, after};
use crate::catalog;
use crate::cli::prove::{Before, tell_writes_since};
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::model::{Difference, Rows, Side, VerifyLevel};
use crate::verify::Outcome;

/// Everything that was found in one look.
pub(in crate::cli) struct Found {
    pub outcome: Outcome,
    pub rows: RowsLook,
}

/// Looks, looks again if that was asked for, and tells what has been found.
pub(super) async fn reach(
    both: &Both,
    asked: &Asked,
    reading: &Reading,
    emit: &Arc<dyn Emit>,
) -> Result<(), Failure> {
    let before = Before {
        connector: both.source.connector.clone(),
        activity: catalog::activity(&both.source.session).await?,
        sequences: catalog::sequences(&both.source.session).await?,
        transactions: String::new(),
        unreadable: BTreeSet::new(),
    };
    let (look, mut found) = Box::pin(take_look(both, asked, (reading, emit), None)).await?;
    if let Some(asked) = &asked.after {
        Box::pin(after::tell((both, &look), asked, emit)).await;
    }
    let before = Before {
        transactions: look.source.snapshot.transactions.clone(),
        sequences: look.source.facts.sequences.clone(),
        ..before
    };
    let mut look = look;
    let mut in_flux = Vec::new();
    for number in 1..=asked.recheck {
        if !found.differs() {
            break;
        }
        // What is looked at again is looked at in snapshots of its own.
        for unverified in look.release().await {
            emit.emit(What::Unverified(unverified));
        }
        step(
            emit,
            format!(
                "waiting {} s, then looking again at what differs ({number} of {})",
                asked.pause.as_secs(),
                asked.recheck
            ),
        );
        tokio::time::sleep(asked.pause).await;
        let only = found.objects();
        let (again, seen) = Box::pin(take_look(both, asked, (reading, emit), Some(&only))).await?;
        look = again;
        found = found.lasting(seen, &mut in_flux);
    }
    Box::pin(tell(found, in_flux, (&look, both, asked), emit)).await;
    tell_writes_since(&before, emit.as_ref()).await?;
    for unverified in look.release().await {
        emit.emit(What::Unverified(unverified));
    }
    Ok(())
}

async fn take_look(
    both: &Both,
    asked: &Asked,
    (reading, emit): (&Reading, &Arc<dyn Emit>),
    only: Option<&BTreeSet<String>>,
) -> Result<(Look, Found), Failure> {
    if only.is_none() {
        step(
            emit,
            "reading and comparing the schemas of both sides".to_owned(),
        );
    }
    let look = Box::pin(Look::take(both, asked)).await?;
    if only.is_none() {
        for (side, snapshot) in [
            (Side::Source, &look.source.snapshot),
            (Side::Target, &look.target.snapshot),
        ] {
            emit.emit(What::SnapshotTaken {
                side,
                snapshot: snapshot.id.clone(),
                lsn: snapshot.lsn.clone(),
            });
        }
        let classes: BTreeSet<String> = [&look.source.toc, &look.target.toc]
            .into_iter()
            .flat_map(|toc| &toc.entries)
            .map(|entry| entry.desc.to_lowercase())
            .collect();
        for rule in &asked.ignore {
            rule.check((&look.source.facts, &look.target.facts), &classes)?;
        }
    }
    let outcome = look.compare(both, asked);
    if only.is_none() && asked.level != VerifyLevel::Schema {
        step(emit, "reading the rows of both sides".to_owned());
    }
    let ends = Arc::new(look.ends(both));
    *reading.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&ends));
    let findings = async {
        // The snapshots' own sessions have nothing else to do meanwhile.
        match only {
            None => look.findings().await,
            Some(_) => Ok(Vec::new()),
        }
    };
    let nothing = Alike::default();
    let (rows, findings) = tokio::join!(
        compare_rows::compare((both, &look, &ends), asked, (only, &nothing), emit),
        findings
    );
    *reading.lock().unwrap_or_else(PoisonError::into_inner) = None;
    for pool in &ends.pools {
        pool.drain().await;
    }
    match findings {
        Ok(findings) => findings
            .into_iter()
            .for_each(|finding| emit.emit(What::Finding(finding))),
        // No difference hides there.
        Err(failure) => emit.emit(What::Note {
            text: format!(
                "settings and planner statistics could not be looked at: {}",
                failure.message
            ),
        }),
    }
    Ok((look, Found { outcome, rows }))
}

impl Found {
    fn differs(&self) -> bool {
        !self.outcome.differences.is_empty()
            || !self.rows.tables.is_empty()
            || !self.rows.others.is_empty()
    }

    /// What is to be looked at again.
    fn objects(&self) -> BTreeSet<String> {
        let tables = self.rows.tables.iter().map(|table| &table.difference);
        let others = tables.chain(&self.rows.others);
        others.map(|difference| difference.object.clone()).collect()
    }

    /// What another look has found as well. What it has not goes to `in_flux`.
    fn lasting(self, again: Self, in_flux: &mut Vec<Difference>) -> Self {
        let Self {
            mut outcome,
            mut rows,
        } = self;
        let has = |differences: &[Difference], one: &Difference| {
            let same =
                |other: &Difference| (&other.class, &other.object) == (&one.class, &one.object);
            differences.iter().any(same)
        };
        let seen = &again.outcome.differences;
        in_flux.extend(outcome.differences.extract_if(.., |one| !has(seen, one)));
        let seen = &again.rows.others;
        in_flux.extend(rows.others.extract_if(.., |one| !has(seen, one)));
        let mut lasting = Vec::new();
        let mut later = again.rows.tables;
        for table in rows.tables {
            let place = later
                .iter()
                .position(|other| other.difference.object == table.difference.object);
            match place.map(|place| later.swap_remove(place)) {
                None => {
                    in_flux.push(table.difference);
                    // Equal in the later look: what that has read was told then.
                }
                Some(other) => lasting.extend(rows_that_last(table, other, in_flux)),
            }
        }
        rows.tables = lasting;
        rows.unverified.extend(again.rows.unverified);
        for (what, count) in again.rows.same {
            *rows.same.entry(what).or_default() += count;
        }
        rows.notes.extend(again.rows.notes);
        Self { outcome, rows }
    }
}

/// The rows of a table that differ in both looks; `None` if there are none.
fn rows_that_last(
    first: TableDiffers,
    mut again: TableDiffers,
    in_flux: &mut Vec<Difference>,
) -> Option<TableDiffers> {
    let (Some((before, _)), Some((now, described))) = (&first.found, &mut again.found) else {
        // Only the number of rows is known: it differs, and did so before.
        return Some(again);
    };
    let (lasting, gone) = before.lasting(now);
    if lasting.total() == 0 {
        in_flux.push(first.difference);
        return None;
    }
    let names: BTreeSet<&Vec<String>> = lasting.rows.iter().map(|row| &row.key).collect();
    described.examples.retain(|row| names.contains(&row.key));
    described.missing = Rows(lasting.missing);
    described.extra = Rows(lasting.extra);
    described.changed = Rows(lasting.changed);
    described.in_flux += Rows(gone);
    again.difference.detail = compare_rows::detail(&lasting, described);
    *now = lasting;
    Some(again)
}

fn step(emit: &Arc<dyn Emit>, step: String) {
    emit.emit(What::StepStarted { step });
}
