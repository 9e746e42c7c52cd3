//! What a dump of definitions does not say of the target: what the database itself is like, and whether foreign keys hold that were
//! set aside while rows were loaded.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use super::look::Wanted;
use super::prove::Proof;
use crate::catalog::{Orphans, SourceFacts};
use crate::failure::Failure;
use crate::model::{
    DATABASE_PROPERTIES, Difference, DifferenceKind, QualifiedName, Unverified, quote_ident,
};
use crate::plan::NewDatabase;
use crate::toc::Toc;
use crate::verify::Outcome;

/// How long foreign keys may be looked at: there is no better limit than that of the statement itself.
const LONGEST: Duration = Duration::from_secs(14 * 24 * 3600);

/// The database itself, where it was made as the archive has it.
pub(super) fn database(new: &NewDatabase, there: &Toc, wanted: &Wanted) -> Outcome {
    let mut outcome = Outcome::default();
    let found = match NewDatabase::of_archive(there, &new.name, &wanted.restore) {
        Ok(found) => found,
        Err(error) => {
            outcome.unverified.push(Unverified {
                class: "database".to_owned(),
                object: quote_ident(&new.name),
                because: error.to_string(),
            });
            return outcome;
        }
    };
    let lines = |database: &NewDatabase| -> BTreeSet<String> {
        let properties = database.early.iter().chain(&database.late);
        let texts = properties.map(|property| property.sql.to_string_lossy());
        let texts = texts.chain([database.create.to_string_lossy()]);
        let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
        lines
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect()
    };
    let (ours, theirs) = (lines(new), lines(&found));
    let only = |sign: char, some: &BTreeSet<String>, others: &BTreeSet<String>| {
        let lines = some.difference(others);
        lines
            .map(|line| format!("{sign} {line}"))
            .collect::<Vec<_>>()
    };
    let details = [only('-', &ours, &theirs), only('+', &theirs, &ours)].concat();
    if details.is_empty() {
        outcome.checked.push((DATABASE_PROPERTIES.to_owned(), 1));
    } else {
        outcome.differences.push(Difference {
            kind: DifferenceKind::Different,
            class: "database".to_owned(),
            object: quote_ident(&new.name),
            detail: details.join("\n"),
        });
    }
    outcome
}

/// Foreign keys of tables that were loaded while nobody looked at them.
pub(super) async fn foreign_keys(
    proof: &Proof<'_>,
    facts: &SourceFacts,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let session = proof.target.connector.session("foreign keys").await?;
    let orphans = Orphans::look(&session, LONGEST).await?;
    let loaded: HashSet<&QualifiedName> = proof
        .plan
        .tables
        .iter()
        .flat_map(|unit| [&unit.table, &unit.into])
        .collect();
    let tables = facts.tables.iter();
    let roots: HashSet<&QualifiedName> = tables
        .filter(|table| loaded.contains(&table.name))
        .filter_map(|table| table.partition_root.as_ref())
        .collect();
    let is_loaded = |table: &QualifiedName| loaded.contains(table) || roots.contains(table);
    for orphan in &orphans.found {
        if is_loaded(&orphan.table) || is_loaded(&orphan.references) {
            outcome.differences.push(Difference {
                kind: DifferenceKind::Invalid,
                class: "fk constraint".to_owned(),
                object: format!(
                    "{}.{}",
                    orphan.table.shown(),
                    quote_ident(&orphan.constraint)
                ),
                detail: format!(
                    "it does not hold: rows point to nothing in {}; this query finds them:\n{}",
                    orphan.references.shown(),
                    orphan.query
                ),
            });
        }
    }
    if orphans.looked_at < orphans.all {
        outcome.unverified.push(Unverified {
            class: "fk constraint".to_owned(),
            object: format!("{} of {}", orphans.all - orphans.looked_at, orphans.all),
            because: "they could not be checked after rows were loaded without them".to_owned(),
        });
    }
    outcome
        .checked
        .push(("foreign keys checked again".to_owned(), orphans.looked_at));
    Ok(outcome)
}
