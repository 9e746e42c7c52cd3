//! What stands in the system's schemas: what people have made there, and what they have changed about what the server brought.
//!
//! What a server brings depends on its version, and at times on the minor version that made it. Compared is what no version
//! changes by itself: which dictionaries text search uses and how they are set, what was added to operator families, and who may use
//! what. That other majors bring the same for text search is not relied on: between them counts what shows by itself that it was
//! changed. How built-in functions are set, and comments on what is built in, is not compared.

use std::collections::BTreeMap;

use crate::catalog::VersionedQuery;
use crate::model::DifferenceKind;
use crate::pg::{Answer, PgError, Query};

use super::{Key, Outcome, Place, Values, What, value_of};

pub(in crate::verify) const IN_SYSTEM_SCHEMAS: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "in_system_schemas.sql",
        include_str!("../../../sql/verify/in_system_schemas.sql"),
    ),
    older: None,
};

/// What is between the parts of what the server brought, as the query writes it.
const BETWEEN_PARTS: &str = "; ";

pub(super) fn fact(row: &Answer) -> Result<(Key, String), PgError> {
    let what = match row.get::<&str>("what")? {
        "grants" => What::Grants,
        "brought" => What::Brought,
        "altered" => What::Altered,
        "added" => What::Added,
        _ => What::Made,
    };
    Ok(((Place::System, what, row.get("object")?), value_of(row)?))
}

/// Whether it may be otherwise because another version brings it otherwise: neither side shows that somebody has changed it.
pub(super) fn may_be_brought(
    key: &Key,
    ours: &BTreeMap<Key, &str>,
    theirs: &BTreeMap<Key, &str>,
) -> bool {
    let altered = (key.0.clone(), What::Altered, key.2.clone());
    key.1 == What::Brought && !ours.contains_key(&altered) && !theirs.contains_key(&altered)
}

pub(super) fn compare(key: &Key, values: Values<'_>, found: &mut Outcome) {
    let object = ("system object", key.2.clone());
    match (key.1, values) {
        (What::Made, (Some(_), Some(_))) => {
            let detail = "it is defined differently on the source and on the target".to_owned();
            found.differ(DifferenceKind::Different, object, detail);
        }
        (What::Made, (Some(_), None)) => {
            let detail =
                "it is on the source: no dump looks into pg_catalog and information_schema".into();
            found.differ(DifferenceKind::Missing, object, detail);
        }
        (What::Made, (None, _)) => {
            let detail = "it is on the target, and not on the source".to_owned();
            found.differ(DifferenceKind::Extra, object, detail);
        }
        (What::Added, (ours, theirs)) => {
            let parts = (ours.unwrap_or_default(), theirs.unwrap_or_default());
            found.differ(DifferenceKind::Different, object, changed(parts));
        }
        (What::Brought, (Some(ours), Some(theirs))) => {
            found.differ(DifferenceKind::Different, object, changed((ours, theirs)));
        }
        (_, (Some(ours), Some(theirs))) => {
            let detail = format!("{ours} on the source, {theirs} on the target");
            found.differ(DifferenceKind::Different, object, detail);
        }
        // Which there are depends on the version; a table that somebody made is missed itself.
        _ => {}
    }
}

/// The parts that only one side has.
fn changed((ours, theirs): (&str, &str)) -> String {
    let only = |one: &str, other: &str| -> String {
        let there: Vec<&str> = other.split(BETWEEN_PARTS).collect();
        let parts: Vec<&str> = one
            .split(BETWEEN_PARTS)
            .filter(|part| !part.is_empty() && !there.contains(part))
            .collect();
        if parts.is_empty() {
            "nothing of it".to_owned()
        } else {
            parts.join(BETWEEN_PARTS)
        }
    };
    format!(
        "{} on the source, {} on the target: no dump says what was changed about what the server brings",
        only(ours, theirs),
        only(theirs, ours)
    )
}
