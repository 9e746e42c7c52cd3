//! What was found, told: after the rules that pass something over, and with a repair, if one is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::compare_rows::{RowsLook, TableDiffers};
use super::look::{Both, Look};
use super::repair::{Catalogs, FoundToRepair};
use super::verdict::Found;
use super::{Asked, repair};
use crate::event::{Emit, What};
use crate::model::{Difference, QualifiedName, TableVerdict, Waiver};
use crate::verify::{self, Ignore, Outcome};

/// What is left once the rules have been applied.
struct Telling {
    outcome: Outcome,
    tables: Vec<TableDiffers>,
    waivers: Vec<Waiver>,
    /// Rules that cover nothing that differs.
    unneeded: Vec<String>,
    /// Tables of which everything was compared, and is the same.
    same: BTreeSet<QualifiedName>,
}

/// Tells everything.
pub(in crate::cli) async fn tell(
    found: Found,
    in_flux: Vec<Difference>,
    (look, both, asked): (&Look, &Both, &Asked),
    emit: &Arc<dyn Emit>,
) {
    let telling = Telling::of(found, look, asked);
    write_repair(&telling, (look, both, asked), emit).await;
    for table in &both.exclude_data {
        emit.emit(What::TableVerified(TableVerdict::excluded(table)));
    }
    telling.emit(in_flux, emit.as_ref());
}

impl Telling {
    fn of(found: Found, look: &Look, asked: &Asked) -> Self {
        let Found { mut outcome, rows } = found;
        let RowsLook {
            mut tables,
            others,
            unverified,
            same,
            notes,
            not_compared,
            same_tables,
        } = rows;
        let of_tables = tables.iter().map(|table| &table.difference);
        outcome.extend(Outcome {
            differences: others.iter().chain(of_tables).cloned().collect(),
            unverified,
            notes,
            checked: same
                .into_iter()
                .map(|(what, count)| (what.to_owned(), count))
                .collect(),
        });
        let (waivers, unneeded) = verify::waive(
            &asked.ignore,
            &mut outcome.differences,
            (&look.source.observed, &look.target.observed),
            &not_compared,
        );
        // A table whose rows are passed over is told by its waiver alone.
        let passed_over = waivers.iter().flat_map(|waiver| &waiver.differences);
        tables.retain(|table| !passed_over.clone().any(|one| *one == table.difference));
        let mut same = same_tables.by_content;
        for (table, _) in asked.ignore.iter().filter_map(Ignore::column) {
            same.remove(&table);
        }
        Self {
            outcome,
            tables,
            waivers,
            unneeded,
            same,
        }
    }

    fn emit(self, in_flux: Vec<Difference>, emit: &dyn Emit) {
        let mut drilled = Vec::new();
        for table in self.tables {
            emit.emit(What::TableVerified(table.verdict));
            drilled.extend(table.found.map(|(_, described)| described));
        }
        for (what, count) in self.outcome.checked {
            emit.emit(What::Checked { what, count });
        }
        let unneeded = self.unneeded.into_iter();
        let unneeded = unneeded
            .map(|rule| format!("--ignore {rule} was not needed: it covers nothing that differs"));
        for text in self.outcome.notes.into_iter().chain(unneeded) {
            emit.emit(What::Note { text });
        }
        for waiver in self.waivers {
            emit.emit(What::Waived(waiver));
        }
        if !in_flux.is_empty() {
            emit.emit(What::InFlux {
                differences: in_flux,
            });
        }
        for difference in self.outcome.differences {
            emit.emit(What::Difference(difference));
        }
        for rows in drilled {
            emit.emit(What::RowsDiffer(Box::new(rows)));
        }
        for unverified in self.outcome.unverified {
            emit.emit(What::Unverified(unverified));
        }
    }
}

/// If it cannot be written, what was found is told all the same.
async fn write_repair(
    telling: &Telling,
    (look, both, asked): (&Look, &Both, &Asked),
    emit: &Arc<dyn Emit>,
) {
    let Some(path) = &asked.repair else { return };
    emit.emit(What::StepStarted {
        step: "writing the repair".to_owned(),
    });
    let catalogs = Catalogs {
        source: &look.source.facts,
        target: &look.target.facts,
        identities: &look.source.identities,
    };
    let (mut tables, mut no_rows) = (Vec::new(), BTreeMap::new());
    for table in &telling.tables {
        match repair::of_table(table, &catalogs, asked.level) {
            Ok(table) => tables.push(table),
            Err(why) => {
                no_rows.insert(table.comparand.name.clone(), why);
            }
        }
    }
    let ends = Arc::new(look.ends(both));
    let found = FoundToRepair {
        differences: &telling.outcome.differences,
        tables: &tables,
        no_rows: &no_rows,
        same: &telling.same,
    };
    let options = look.options(both, asked);
    let written = repair::write(path, &found, (look, both, &options), (&ends, emit)).await;
    if let Err(failure) = written {
        emit.emit(What::Note {
            text: format!("error: there is no repair in {}: {failure}", path.display()),
        });
    }
    for pool in &ends.pools {
        pool.drain().await;
    }
}
