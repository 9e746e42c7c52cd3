//! Before the copy: what speaks against following, and the publication, which must exist before the slot begins.

use std::collections::BTreeSet;

use super::{ends, subscribe};
use crate::cli::arguments::FollowArgs;
use crate::cli::inspect::{Inspection, Road};
use crate::cli::requested::Requested;
use crate::cli::session::{Session, refuse_blockers};
use crate::event::{Emit as _, What};
use crate::failure::Failure;
use crate::fault;
use crate::follow::{self, Facts, FollowError, OursKind, Publishing, SideRecord, Wanted};
use crate::model::{FollowEnd, FollowName, QualifiedName, Severity};
use crate::pg::{self, Connector};

/// What was made on the source, and how to get there if it has to be removed.
pub(in crate::cli) struct Made {
    source: Connector,
    database: String,
    name: FollowName,
}

/// What was asked for, with the names that follow from it.
pub(in crate::cli) fn wanted(
    args: &FollowArgs,
    road: &Road,
    requested: &Requested,
) -> Option<Wanted> {
    let asked = args.wanted()?;
    let source = FollowEnd {
        system_identifier: road.source.facts.system_identifier,
        database: &road.source.facts.database,
    };
    let target = FollowEnd {
        system_identifier: road.target.facts.system_identifier,
        database: &requested.target.database,
    };
    Some(Wanted {
        allow_source_objects: asked.allow_source_objects,
        forward: FollowName::of(source, target),
        backward: FollowName::of(target, source),
        replica_identity_full: asked.replica_identity_full,
        source_from_target: asked.source_from_target,
        max_wal_retained: asked.max_wal_retained,
    })
}

/// Looks at both ends, refuses with named reasons, and makes the publication. What an earlier session made is made anew, but
/// its record of what was there before is kept. Does nothing without `--follow`.
pub(in crate::cli) async fn prepare(
    session: &Session<'_>,
    road: &Road,
    requested: &Requested,
) -> Result<(), Failure> {
    let Some(wanted) = &requested.follow else {
        return Ok(());
    };
    session.step("looking whether the source can be followed");
    let source = ends::writer(&road.source.connector).await?;
    let failed = || FollowError::step("looking whether the source can be followed");
    let tables = follow::tables(&source).await.map_err(failed())?;
    let already = follow::ours(&source).await.map_err(failed())?;
    let of_ours = |kind| {
        already
            .iter()
            .find(|one| one.kind == kind && one.name == wanted.forward)
    };
    let facts = Facts {
        source: &follow::offers(&source).await.map_err(failed())?,
        target: &follow::offers(&road.target.session)
            .await
            .map_err(failed())?,
        versions: [road.source.facts.version, road.target.facts.version],
        tables: &tables,
        firing: &follow::firing(&source).await.map_err(failed())?,
        uncarried: &follow::uncarried(&source).await.map_err(failed())?,
        wanted,
        is_made: of_ours(OursKind::Slot).is_some(),
        keeps_owners: !requested.restore.no_owner,
    };
    let mut findings = follow::findings(&facts);
    refuse_blockers(&findings)?;
    findings.retain(|finding| finding.severity < Severity::Blocker);
    for finding in findings {
        session.emitter().emit(What::Finding(finding));
    }
    // Better to find out now than when everything is copied.
    subscribe::rehearse(&road.source, &road.target, wanted).await?;
    let mut record = of_ours(OursKind::Publication)
        .and_then(|one| SideRecord::parse(one.record.as_deref()?))
        .unwrap_or_else(|| SideRecord::new(road.target_endpoint().to_string()));
    let made_full = follow::identities(&tables, &wanted.replica_identity_full)?;
    let full: Vec<QualifiedName> = made_full.iter().map(|one| one.table.clone()).collect();
    record.identities.extend(made_full);
    session.remember_made(Made {
        source: road.source.connector.clone(),
        database: road.source.facts.database.clone(),
        name: wanted.forward.clone(),
    });
    let carried = follow::carried(&tables);
    let publish = follow::publish(&Publishing {
        name: &wanted.forward,
        tables: &carried,
        full: &full,
        record: &record,
        subscriber: road.target.facts.version,
    });
    ends::run(&source, &publish, "making the publication on the source").await?;
    fault::point("follow-published");
    let text = made(wanted, carried.len(), &record);
    session.emitter().emit(What::Note { text });
    Ok(())
}

/// What was made, for people.
fn made(wanted: &Wanted, tables: usize, record: &SideRecord) -> String {
    format!(
        "made on the source: publication {} of {} tables{}; next, the replication slot of the same name",
        wanted.forward,
        tables,
        if record.identities.is_empty() {
            String::new()
        } else {
            let full = record.identities.iter().map(|one| one.table.shown());
            format!(
                ", replica identity FULL of {}",
                full.collect::<Vec<_>>().join(", ")
            )
        }
    )
}

/// Makes sure that the publication has exactly the snapshot's tables: a table in neither would be missing on the target, a
/// table in only one would be there by halves.
pub(in crate::cli) async fn same_tables(inspection: &Inspection) -> Result<(), Failure> {
    let Some(wanted) = &inspection.requested.follow else {
        return Ok(());
    };
    let session = inspection.view.snapshot.session();
    let doing = "comparing the publication with the snapshot";
    let tables = follow::tables(session)
        .await
        .map_err(FollowError::step(doing))?;
    let published = follow::published(session, &wanted.forward).await;
    let published: BTreeSet<QualifiedName> = published
        .map_err(FollowError::step(doing))?
        .into_iter()
        .collect();
    let carried: BTreeSet<QualifiedName> = follow::carried(&tables).into_iter().collect();
    if published == carried {
        return Ok(());
    }
    let tables = published.symmetric_difference(&carried);
    Err(FollowError::Tables {
        tables: tables.map(QualifiedName::shown).collect(),
    }
    .into())
}

/// Removes what was made on the source for a move that does not begin. Returns the failure that led here, with a note if
/// something stays behind.
pub(in crate::cli) async fn take_back(session: &Session<'_>, mut failure: Failure) -> Failure {
    let Some(made) = session.made() else {
        return failure;
    };
    if let Err(error) = remove(&made).await {
        failure.details.push(format!(
            "what was made on the source (publication and slot {}) could not be removed: {error}\n\
             pgconvoy unfollow removes it.",
            made.name
        ));
    }
    failure
}

async fn remove(made: &Made) -> Result<(), Failure> {
    let source: pg::Session = ends::writer(&made.source).await?;
    ends::clear_publisher(&source, &made.database, &made.name).await
}
