//! What of a damaged source is lost, in the archive: `losses.json`, and the lists of keys and rows that it names.
//!
//! They are files of the archive like all others, in its manifest, so that whoever has the archive has the account. Their names are flat:
//! `lost/public.t.csv` of the run directory is `lost-public.t.csv` here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::Source;
use crate::archive::{FileFacts, LOSSES, LossFacts, Unfinished};
use crate::cli::output::{Emitter, Output};
use crate::cli::salvage;
use crate::event::{Emit as _, What};
use crate::execute::dump::{DumpError, Dumped};
use crate::failure::Failure;
use crate::model::{Difference, DifferenceKind, QualifiedName};
use crate::plan::DumpPlan;
use crate::salvage::{DamageMap, Losses, constraints};

/// Whether what is in the files of tables is what the search has read of them: together with what is lost, that is all
/// there was. Tells what is not.
pub(super) fn adds_up(
    damage: Option<&DamageMap>,
    (plan, dumped): (&DumpPlan, &Dumped),
    emitter: &Emitter,
) -> bool {
    let Some(map) = damage else { return true };
    let (mut adds_up, mut adding_up) = (true, 0);
    let whole = plan
        .units
        .iter()
        .filter(|unit| unit.copy.condition.is_none());
    let whole: BTreeSet<&QualifiedName> = whole.map(|unit| &unit.copy.table).collect();
    let facts = dumped.tables.iter();
    let facts: BTreeMap<&QualifiedName, _> = facts.map(|facts| (&facts.table, facts)).collect();
    for (table, expected) in map.expected_rows() {
        // What was left out, or a part of it, is not counted.
        if !whole.contains(table) {
            continue;
        }
        let facts = facts.get(table);
        let rows = facts.map_or(0, |facts| facts.content.digest.rows.0);
        if rows == expected {
            adding_up += 1;
            continue;
        }
        adds_up = false;
        emitter.emit(What::Difference(Difference {
            kind: DifferenceKind::Different,
            class: "table data".to_owned(),
            object: table.to_string(),
            detail: salvage::does_not_add_up(expected, (rows, "in the archive")),
        }));
    }
    if adding_up > 0 {
        emitter.emit(What::Checked {
            what: salvage::ACCOUNTED.to_owned(),
            count: adding_up,
        });
    }
    adds_up
}

/// Writes the account into the archive, and tells it; nothing of a source of which nothing is lost.
pub(super) async fn write(
    source: &Source,
    (archive, output): (&Unfinished, &Output),
) -> Result<Option<LossFacts>, Failure> {
    let Some(map) = source.damage.as_deref().filter(|map| map.losses.is_loss()) else {
        return Ok(None);
    };
    salvage::tell_losses(&map.losses, &output.emitter());
    let mut losses = map.losses.clone();
    // Whoever restores it has to know which constraints may not hold, and what they say.
    losses.may_not_hold = constraints(&source.server.session).await?;
    let mut account = Vec::new();
    for file in losses.files_mut() {
        let flat = file.replace('/', "-");
        let facts = copy((archive, &flat), &output.run_dir().path().join(&*file))?;
        account.push((flat.clone(), facts));
        *file = flat;
    }
    let text = serde_json::to_vec_pretty(&losses)
        .map_err(|error| Failure::defect(format!("the account as JSON: {error}")))?;
    let facts = archive.write(LOSSES, &text).map_err(DumpError::from)?;
    account.insert(0, (LOSSES.to_owned(), facts));
    Ok(Some(LossFacts {
        lost: lost(&losses),
        account,
    }))
}

/// What is lost, by object.
fn lost(losses: &Losses) -> Vec<(String, String)> {
    losses
        .said()
        .into_iter()
        .map(|(object, clauses)| (object, clauses.join("; ")))
        .collect()
}

fn copy((archive, name): (&Unfinished, &str), from: &Path) -> Result<FileFacts, Failure> {
    let file = fs::File::open(from).map_err(|error| Failure::file("reading", from, &error))?;
    let copied = archive.file(name).and_then(|mut into| {
        into.append_from(file)?;
        into.end()
    });
    Ok(copied.map_err(DumpError::from)?)
}
