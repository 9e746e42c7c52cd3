//! The source of a run, seen in one snapshot: its schema archive, and what the catalog says.
//!
//! Of a damaged source, what cannot be read is left out here, so that nobody behind asks for it: sequences whose values are lost, and large
//! objects. Its definitions may come from elsewhere.

use std::collections::BTreeSet;

use super::inspect::Road;
use super::join::at_once;
use super::keeper;
use super::patterns::check_patterns;
use super::requested::Requested;
use super::schema::{Described, describe_and_keep};
use crate::catalog::{self, Activity, SourceFacts};
use crate::failure::Failure;
use crate::fault;
use crate::ledger::Packed;
use crate::model::QualifiedName;
use crate::pg::Snapshot;
use crate::plan::Plan;
use crate::toc::Toc;
use crate::verify;

/// The source in one snapshot.
pub struct SourceView {
    /// Held until nothing reads the source any more.
    pub snapshot: Snapshot,
    /// The schema archive, as `pg_dump` wrote it.
    pub archive: Packed,
    /// What `pg_dump` warned of.
    pub(super) warnings: Vec<String>,
    pub(super) toc: Toc,
    pub(super) facts: SourceFacts,
    pub(super) hidden: verify::Hidden,
    /// Rows written to each table until then.
    pub(super) activity: Vec<Activity>,
    pub(super) exclude_data: BTreeSet<QualifiedName>,
}

impl SourceView {
    /// Takes the snapshot, unless one is held already, and reads everything in it.
    pub(super) async fn take(
        road: &Road,
        requested: &Requested,
        held: Option<Snapshot>,
    ) -> Result<Self, Failure> {
        let filters = &requested.filters;
        let (source, pg_dump) = (&road.source, &road.pg_dump);
        filters.check_database(&source.facts.database)?;
        filters.check_pg_dump(pg_dump.version.major())?;
        let mut exclude_data = check_patterns(&[source], filters).await?;
        let damage = requested.salvage.as_deref();
        // Where they stand is lost.
        exclude_data.extend(damage.iter().flat_map(|map| map.sequences.clone()));
        let activity = catalog::activity(&source.session).await?;
        let snapshot = match held {
            Some(snapshot) => snapshot,
            None => keeper::snapshot_for(source, requested.snapshot()).await?,
        };
        fault::point("snapshot-taken");
        let described = described(road, requested, &snapshot);
        let facts = async {
            let unreadable = damage.map(|map| map.sequences.clone()).unwrap_or_default();
            let facts = catalog::source_facts_but(snapshot.session(), &unreadable);
            let mut facts = facts.await?;
            let worth_taking = Plan::worth_sampling(&facts, &road.target.facts);
            if damage.is_some() {
                // One after the other: what a damaged server refuses is rolled back to before it was asked.
                let session = snapshot.session();
                facts.sampled = catalog::sampled(session, &worth_taking).await?;
                let hidden = verify::Hidden::read_of_damaged(session).await?;
                return Ok((facts, hidden));
            }
            let (sampled, hidden) = tokio::try_join!(
                catalog::sampled(snapshot.session(), &worth_taking),
                verify::Hidden::read(snapshot.session()),
            )?;
            facts.sampled = sampled;
            Ok((facts, hidden))
        };
        let (described, (mut facts, hidden)) =
            at_once(Box::pin(described), Box::pin(facts)).await?;
        let Described {
            toc,
            archive,
            warnings,
        } = described;
        // As pg_dump has it: who selects schemas or tables does not mean large objects.
        if filters.iter().any(|filter| filter.kind.selects()) {
            facts.large_objects.clear();
        }
        if let Some(map) = damage {
            let objects = &mut facts.large_objects;
            objects.retain(|object| !map.large_objects.contains(&object.oid));
        }
        Ok(Self {
            snapshot,
            archive,
            warnings,
            toc,
            facts,
            hidden,
            activity,
            exclude_data,
        })
    }

    /// Its table of contents.
    pub fn toc(&self) -> &Toc {
        &self.toc
    }
}

/// Its schema archive, in the snapshot, unless its definitions come from elsewhere.
async fn described(
    road: &Road,
    requested: &Requested,
    snapshot: &Snapshot,
) -> Result<Described, Failure> {
    let described = if let Some(elsewhere) = &requested.schema {
        Described::by(elsewhere)?
    } else {
        let in_it = (Some(snapshot.id.as_str()), &requested.filters);
        describe_and_keep(&road.source, &road.pg_dump, in_it).await?
    };
    fault::point("schema-dumped");
    Ok(described)
}
