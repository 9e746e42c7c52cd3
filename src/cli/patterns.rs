//! Patterns against the names that there are: one that matches nothing is an error, found before anything is done.

use std::collections::BTreeSet;

use super::inspect::Server;
use crate::catalog;
use crate::failure::Failure;
use crate::model::{Filters, Objects, QualifiedName, Relation};
use crate::pg::Session;

/// Patterns that match nothing on any of the servers are an error, found before anything is done. Returns the tables whose rows are left out.
pub async fn check_patterns(
    servers: &[&Server],
    filters: &Filters,
) -> Result<BTreeSet<QualifiedName>, Failure> {
    if filters.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut names = Names::default();
    for server in servers {
        names.add(&server.session).await?;
    }
    let unmatched = filters.unmatched(&names.objects());
    if !unmatched.is_empty() {
        let databases: BTreeSet<&str> = servers
            .iter()
            .map(|server| server.facts.database.as_str())
            .collect();
        let databases: Vec<&str> = databases.into_iter().collect();
        return Err(Failure::unmatched(&unmatched, &databases.join("\" and \"")));
    }
    Ok(filters
        .data_excluded(&names.relations)
        .into_iter()
        .cloned()
        .collect())
}

/// What patterns are matched against.
#[derive(Default)]
pub struct Names {
    relations: Vec<Relation>,
    schemas: Vec<String>,
    extensions: Vec<String>,
}

impl Names {
    /// Adds those of a database.
    pub async fn add(&mut self, session: &Session) -> Result<(), Failure> {
        self.relations.extend(catalog::relations(session).await?);
        self.schemas.extend(catalog::schemas(session).await?);
        let installed = catalog::installed_extensions(session).await?;
        let names = installed.into_iter().map(|extension| extension.name);
        self.extensions.extend(names);
        Ok(())
    }

    /// For the filters.
    pub fn objects(&self) -> Objects<'_> {
        Objects {
            relations: &self.relations,
            schemas: &self.schemas,
            extensions: &self.extensions,
            foreign_servers: &[],
        }
    }
}
