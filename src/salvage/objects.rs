//! What is read besides tables: sequences, large objects, materialized views, the catalog, and prepared transactions.
//!
//! A large object is rows of `pg_largeobject`, which is searched like a table; what is missing from it is told by object. A
//! materialized view is searched like a table, too, and never lost: its query fills it again. The tables of the catalog are searched as well:
//! what a row of them described is not asked for by anybody if that row is missing. A sequence is one row in a file of its own.

use std::collections::BTreeMap;

use super::SalvageError;
use super::account::{Cause, DamageMap, LostObject, TableLosses};
use super::crosscheck::CrossCheck;
use super::facts::{SequenceFile, TableFacts};
use super::one_table::TableSearch;
use super::probe::Probe;
use super::quarantine::Question;
use super::sight::{Sight, patient_session};
use super::survey::{Shared, Survey};
use crate::catalog;
use crate::model::{Oid, SqlText, quote_literal};
use crate::pg::{Query, Session};

pub(super) const PREPARED: Query = Query::new(
    "salvage/prepared.sql",
    include_str!("../../sql/salvage/prepared.sql"),
);

/// Sequences that are read at once, as long as nothing is wrong with any of them.
const SEQUENCES_AT_ONCE: usize = 100;
/// What the account calls a relation of the catalog.
pub const CATALOG: &str = "catalog";

/// A damaged materialized view is noted, and not compared.
pub(super) fn matview(table: &TableFacts, losses: &TableLosses, map: &mut DamageMap) {
    if !losses.is_loss() && losses.causes.is_empty() {
        return;
    }
    let why = losses.causes.first();
    let why = why.map_or("rows are missing", |cause| cause.message.as_str());
    map.losses.notes.push(format!(
        "the materialized view {} ({why}): its query fills it again",
        table.name.shown()
    ));
    map.matviews.insert(table.name.clone());
}

/// What is missing from the catalog: what it described is missing from everything that was read of it, and no error tells. Of a server
/// that is in use, rows come and go while they are looked at, and only a page that cannot be read counts.
pub(super) fn of_catalog(table: &TableFacts, losses: &TableLosses, map: &mut DamageMap) {
    let is_lost = if map.losses.cold {
        losses.is_loss()
    } else {
        !losses.lost_blocks.is_empty()
    };
    if !is_lost {
        return;
    }
    let mut what = format!(
        "lost: {}; what it described may be missing, and nothing else tells of it",
        losses.shown()
    );
    if let Some(file) = &losses.keys_file {
        what = format!("{what}; keys of what is lost: {file}");
    }
    let cause = losses.causes.first().cloned();
    map.losses.objects.push(LostObject {
        class: CATALOG.to_owned(),
        object: table.name.shown(),
        what,
        cause: cause.unwrap_or_else(|| Cause::silent("rows of it are missing")),
    });
}

/// Large objects of which something is missing, by what the index knows of their parts.
pub(super) async fn large_objects(
    session: &Session,
    (search, check): (&TableSearch<'_>, &CrossCheck),
    (mut losses, map): (TableLosses, &mut DamageMap),
) -> Result<(), SalvageError> {
    search.account(check, &mut losses)?;
    if !losses.is_loss() {
        return Ok(());
    }
    let mut parts: BTreeMap<Oid, u64> = BTreeMap::new();
    let mut all_are_known = check.index.is_some();
    let mut miss_part_of = |oid: Option<String>| match oid.and_then(|oid| oid.parse().ok()) {
        Some(oid) => *parts.entry(Oid(oid)).or_default() += 1,
        None => all_are_known = false,
    };
    for entry in check.missing.entries() {
        let key = check.key_of(&entry?);
        miss_part_of(key.and_then(|key| key.into_iter().next().flatten()));
    }
    for column in &losses.lost_columns {
        miss_part_of(column.key.get("loid").cloned().flatten());
    }
    // Rows that no entry leads to are nobody's.
    if losses.lost_rows.unknown || !all_are_known && !parts.is_empty() {
        for object in catalog::large_objects(session).await? {
            parts.entry(object.oid).or_default();
        }
    }
    let why = losses.causes.first().cloned();
    let why = why.unwrap_or_else(|| Cause::silent("parts that the index points to are missing"));
    for (oid, missing) in parts {
        let what = match missing {
            0 => "it is left out, because nothing shows which large objects are damaged".to_owned(),
            1 => "one of its parts cannot be read: it is left out".to_owned(),
            parts => format!("{parts} of its parts cannot be read: it is left out"),
        };
        map.large_objects.insert(oid);
        map.losses.objects.push(LostObject {
            class: "large object".to_owned(),
            object: oid.to_string(),
            what,
            cause: why.clone(),
        });
    }
    Ok(())
}

/// Transactions that wait for somebody to finish them: nothing of what they did is in a copy.
pub(super) async fn prepared(survey: &Survey<'_>, map: &mut DamageMap) -> Result<(), SalvageError> {
    let session = patient_session(survey.source).await?;
    for row in session.query(&PREPARED, &[]).await? {
        let (name, since): (String, String) = (row.get("name")?, row.get("since")?);
        let what = format!(
            "what it did is left out: to have that carried, run COMMIT PREPARED {} on the source first",
            quote_literal(&name)
        );
        map.losses.objects.push(LostObject {
            class: "prepared transaction".to_owned(),
            object: name,
            what,
            cause: Cause::silent(format!(
                "it has waited since {since}, and nobody has finished it"
            )),
        });
    }
    Ok(())
}

/// Reads where all sequences stand; of those that cannot be read, the value is lost. All of them are read also where only a part of the
/// database is asked for: whoever asks for their values has them all.
pub(super) async fn sequences(
    survey: &Survey<'_>,
    shared: &Shared,
    map: &mut DamageMap,
) -> Result<(), SalvageError> {
    let mut sight = Sight::new(survey.source, survey.timeout);
    for some in shared.facts.sequences.chunks(SEQUENCES_AT_ONCE) {
        if some.len() > 1 && read(&mut sight, shared, some).await?.is_ok() {
            continue;
        }
        for one in some {
            let Err(cause) = read(&mut sight, shared, std::slice::from_ref(one)).await? else {
                continue;
            };
            map.sequences.insert(one.name.clone());
            if survey.part.is_some_and(|part| !part.has(&one.name)) {
                continue;
            }
            map.losses.objects.push(LostObject {
                class: "sequence".to_owned(),
                object: one.name.shown(),
                what: "its current value is lost: set it (setval) before anything is inserted"
                    .to_owned(),
                cause,
            });
        }
    }
    Ok(())
}

async fn read(
    sight: &mut Sight,
    shared: &Shared,
    sequences: &[SequenceFile],
) -> Result<Result<(), Cause>, SalvageError> {
    let values = |one: &SequenceFile| format!("select last_value, is_called from {}", one.name);
    let query: Vec<String> = sequences.iter().map(values).collect();
    let sql = SqlText::from(format!("copy ({}) to stdout", query.join(" union all ")));
    let unexplained = sight.unexplained();
    let asking = async {
        Ok(match sight.rows(&sql).await? {
            Ok(rows) if rows == sequences.len() as u64 => Ok(()),
            Ok(_) => Err(Cause::silent("its row is missing")),
            Err(cause) => Err(cause),
        })
    };
    // One alone is known again by a session that goes on after a crash.
    let [one] = sequences else {
        return asking.await;
    };
    let question = Question {
        table: one.oid.0,
        probe: Probe::Open,
        doubtful: false,
    };
    shared.ask_once((question, unexplained), asking).await
}
