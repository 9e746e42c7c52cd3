//! One look at both databases, each in a snapshot of its own: everything but rows.

use std::collections::BTreeSet;

use super::Asked;
use crate::catalog::{self, SourceFacts, Table};
use crate::cli::explain::explained;
use crate::cli::inspect::Server;
use crate::cli::patterns::Names;
use crate::cli::prove::readiness;
use crate::cli::schema::read_schema;
use crate::failure::Failure;
use crate::model::{FilterKind, Filters, Finding, QualifiedName, Side, Unverified, VerifyLevel};
use crate::pg::client_tools::ClientTool;
use crate::pg::{Pool, Snapshot};
use crate::toc::{CompareOptions, Toc};
use crate::verify::rows::{self, Ends};
use crate::verify::{self, Hidden, Observed, Outcome, Scope};

/// Both databases, connected.
pub struct Both {
    /// The source.
    pub source: Server,
    /// The target.
    pub target: Server,
    /// The program that describes both.
    pub pg_dump: ClientTool,
    /// Relations whose rows are left out.
    pub exclude_data: BTreeSet<QualifiedName>,
}

/// One database in a snapshot.
pub struct SideView {
    /// Held for as long as the side is read.
    pub snapshot: Snapshot,
    /// Its schema archive.
    pub toc: Toc,
    /// What `pg_dump` warned of when it wrote that.
    warnings: Vec<String>,
    /// What the catalog says.
    pub facts: SourceFacts,
    /// The same, as far as it is compared.
    pub observed: Observed,
    /// Columns that are `GENERATED ALWAYS AS IDENTITY`.
    pub identities: BTreeSet<(QualifiedName, String)>,
    /// By which columns rows are told apart.
    pub keys: Vec<(QualifiedName, Vec<String>)>,
}

/// Both databases, each at one moment.
pub struct Look {
    /// The source.
    pub source: SideView,
    /// The target.
    pub target: SideView,
    /// Which objects take part.
    pub scope: Scope,
    /// Relations of which we may not even read the definition.
    pub unreadable: Vec<Unverified>,
}

impl Look {
    /// Takes both snapshots and reads everything but rows.
    pub async fn take(both: &Both, asked: &Asked) -> Result<Self, Failure> {
        let (source, target) = tokio::try_join!(snapshot(&both.source), snapshot(&both.target))?;
        let unreadable = closed(&source, &target).await?;
        let mut filters = asked.filters.clone();
        for (name, _) in &unreadable {
            filters.add(FilterKind::ExcludeTable, &name.to_string())?;
        }
        let (source, target) = tokio::try_join!(
            view(&both.source, source, (&both.pg_dump, &filters)),
            view(&both.target, target, (&both.pg_dump, &filters))
        )?;
        let scope = scope_of(&source.toc, both, asked);
        let takes_part = |name: &QualifiedName| {
            let matches = asked.filters.is_empty() || !asked.is_part();
            matches || scope.has_relation(name)
        };
        let unreadable = unreadable
            .into_iter()
            .filter(|(name, _)| takes_part(name))
            .map(|(name, because)| Unverified {
                class: "table".to_owned(),
                object: name.shown(),
                because,
            })
            .collect();
        Ok(Self {
            source,
            target,
            scope,
            unreadable,
        })
    }

    /// How the definitions of both are compared.
    pub fn options(&self, both: &Both, asked: &Asked) -> CompareOptions {
        let (source, target) = (&self.source.observed, &self.target.observed);
        CompareOptions {
            restore: asked.restore,
            source_major: both.source.facts.version.major(),
            target_major: both.target.facts.version.major(),
            nested_arrays: verify::nested_arrays(source, target),
            ..CompareOptions::default()
        }
    }

    /// Compares everything but rows.
    pub fn compare(&self, both: &Both, asked: &Asked) -> Outcome {
        let options = self.options(both, asked);
        let mut outcome = verify::compare_schemas(&self.source.toc, &self.target.toc, &options);
        outcome.extend(verify::compare_catalogs(
            &self.source.observed,
            &self.target.observed,
            &self.scope,
            &asked.restore,
        ));
        outcome.unverified.extend(self.unreadable.iter().cloned());
        for (side, view) in [(Side::Source, &self.source), (Side::Target, &self.target)] {
            let warnings = view.warnings.iter();
            let told = warnings.map(|warning| format!("pg_dump warned, of the {side}: {warning}"));
            outcome.notes.extend(told);
        }
        if asked.level != VerifyLevel::Schema {
            outcome.notes.extend(self.rows_elsewhere());
        }
        outcome
    }

    /// Of trees that are read as a whole, which are read from other servers as well.
    fn rows_elsewhere(&self) -> Vec<String> {
        let sides = [&self.source.facts, &self.target.facts];
        let tables = sides.into_iter().flat_map(|facts| &facts.tables);
        let is_meant = |table: &&Table| {
            table.load_via_root && table.reaches_foreign && self.scope.has_relation(&table.name)
        };
        let roots: BTreeSet<&QualifiedName> = tables
            .filter(is_meant)
            .filter_map(|table| table.partition_root.as_ref())
            .collect();
        let told = roots.into_iter().map(|root| {
            format!(
                "partitions of {} are foreign tables: what other servers hold of it is read through them, and counts as its rows",
                root.shown()
            )
        });
        told.collect()
    }

    /// What would make the target slow or wrong after cut-over, although it holds the same.
    pub async fn findings(&self) -> Result<Vec<Finding>, Failure> {
        let (source, target) = (&self.source.snapshot, &self.target.snapshot);
        readiness(source.session(), target.session(), &self.scope).await
    }

    /// Sessions that see the two snapshots, for reading rows.
    pub fn ends(&self, both: &Both) -> Ends {
        let encoding = common_encoding(&both.source.facts.encoding, &both.target.facts.encoding);
        let pool = |server: &Server, view: &SideView| {
            Pool::in_snapshot(
                server.connector.with_encoding(encoding),
                view.snapshot.id.clone(),
            )
        };
        Ends {
            pools: [
                pool(&both.source, &self.source),
                pool(&both.target, &self.target),
            ],
            versions: [both.source.facts.version, both.target.facts.version],
            block_sizes: [both.source.facts.block_size, both.target.facts.block_size],
            settings_of_queries: both.source.facts.settings_of_queries(&both.target.facts),
        }
    }

    /// Gives both snapshots back. A session that ended before took its locks along: a table that was emptied after that has
    /// read as empty, so nothing that was found is certain.
    pub async fn release(mut self) -> Vec<Unverified> {
        let (source, target) = tokio::join!(
            self.source.snapshot.release(),
            self.target.snapshot.release()
        );
        let sides = [(Side::Source, source), (Side::Target, target)];
        let lost = sides.into_iter().filter_map(|(side, released)| {
            let error = released.err()?;
            Some(Unverified {
                class: "snapshot".into(),
                object: side.to_string(),
                because: format!(
                    "the session that held it, and the locks on all tables, has ended too early: {error}"
                ),
            })
        });
        lost.collect()
    }
}

/// Which objects take part.
pub fn scope_of(source: &Toc, both: &Both, asked: &Asked) -> Scope {
    let mut scope = Scope::of(source);
    scope.large_objects = !asked.is_part();
    scope.without_value.clone_from(&both.exclude_data);
    scope
}

/// The client encoding in which text is the same bytes on both sides: UTF-8, to which every encoding can be converted, and in
/// which our statements are; without any conversion if one of the databases has no encoding.
pub(in crate::cli) fn common_encoding(source: &str, target: &str) -> &'static str {
    match (source, target) {
        ("SQL_ASCII", _) | (_, "SQL_ASCII") => "SQL_ASCII",
        _ => "UTF8",
    }
}

/// The encoding of both databases, if they have the same one, and not all that it has need be text in UTF-8.
pub(in crate::cli) fn own_encoding(both: &Both) -> Option<&str> {
    let (source, target) = (&both.source.facts.encoding, &both.target.facts.encoding);
    let is_another = !matches!(source.as_str(), "UTF8" | "SQL_ASCII");
    (source == target && is_another).then_some(source.as_str())
}

/// A snapshot of one side, with its tables locked against being changed. Whoever keeps them locked is named.
pub async fn snapshot(server: &Server) -> Result<Snapshot, Failure> {
    match Snapshot::take(&server.connector, catalog::readable_tables).await {
        Ok(snapshot) => Ok(snapshot),
        Err(error) => Err(explained(error.into(), server).await),
    }
}

/// Relations that one side does not let us read at all: not even their definition can be dumped.
async fn closed(
    source: &Snapshot,
    target: &Snapshot,
) -> Result<Vec<(QualifiedName, String)>, Failure> {
    let mut closed: Vec<(QualifiedName, String)> = Vec::new();
    for (snapshot, side) in [(source, "source"), (target, "target")] {
        let readable: BTreeSet<QualifiedName> = catalog::readable_tables(snapshot.session())
            .await?
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        for name in catalog::unreadable(snapshot.session()).await? {
            if !readable.contains(&name) && !closed.iter().any(|(known, _)| *known == name) {
                closed.push((name, format!("on the {side}: permission denied")));
            }
        }
    }
    Ok(closed)
}

/// Everything but rows of one side.
pub async fn view(
    server: &Server,
    snapshot: Snapshot,
    (pg_dump, filters): (&ClientTool, &Filters),
) -> Result<SideView, Failure> {
    let session = snapshot.session();
    let ask = async {
        let facts = catalog::source_facts(session).await?;
        let hidden = Hidden::read(session).await?;
        let hidden = hidden.with_reach(session, &facts.sequences).await?;
        let identities = rows::identities(session).await?;
        Ok::<_, Failure>((facts, hidden, identities, rows::keys(session).await?))
    };
    let ((toc, warnings), (facts, hidden, identities, keys)) =
        tokio::try_join!(dump(server, pg_dump, (&snapshot, filters)), ask)?;
    Ok(SideView {
        observed: Observed::in_snapshot(facts.clone(), hidden),
        facts,
        identities,
        keys,
        toc,
        warnings,
        snapshot,
    })
}

/// Its definitions, and what `pg_dump` warned of. One side may lack what was selected, which `pg_dump` takes for a mistake; that the
/// other has it is known by now.
async fn dump(
    server: &Server,
    pg_dump: &ClientTool,
    (snapshot, filters): (&Snapshot, &Filters),
) -> Result<(Toc, Vec<String>), Failure> {
    let found = if filters.iter().any(|filter| filter.kind.selects()) {
        let mut names = Names::default();
        names.add(&server.session).await?;
        filters.found_in(&names.objects())
    } else {
        Some(filters.clone())
    };
    let snapshot = Some(snapshot.id.as_str());
    if let Some(filters) = found {
        return read_schema(server, pg_dump, (snapshot, &filters)).await;
    }
    let everything = Filters::default();
    let (mut toc, _) = read_schema(server, pg_dump, (snapshot, &everything)).await?;
    // Of what was selected there is nothing; what describes the archive itself stays.
    let is_of_the_archive = |desc: &str| matches!(desc, "ENCODING" | "STDSTRINGS" | "SEARCHPATH");
    toc.entries
        .retain(|entry| is_of_the_archive(entry.desc.as_str()));
    // What it warned of is about what was not selected.
    Ok((toc, Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::common_encoding;

    #[test]
    fn text_is_converted_only_where_it_must_be() {
        assert_eq!(common_encoding("LATIN1", "LATIN1"), "UTF8");
        assert_eq!(common_encoding("SQL_ASCII", "UTF8"), "SQL_ASCII");
        assert_eq!(common_encoding("LATIN1", "SQL_ASCII"), "SQL_ASCII");
        assert_eq!(common_encoding("LATIN1", "UTF8"), "UTF8");
    }
}
