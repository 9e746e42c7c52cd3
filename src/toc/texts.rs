//! What two tables of contents say alike is held once: a copy mostly says what its original does.

use std::collections::HashSet;

use super::{Entry, Text, Toc};
use crate::model::SqlText;

/// Texts that are held already. Of those of the archive that is being read, schemas, owners, tablespaces and access methods are added: a few
/// for all entries.
#[derive(Debug, Default)]
pub struct Texts {
    pub(super) names: HashSet<Text>,
    pub(super) statements: HashSet<SqlText>,
}

impl Texts {
    /// Those of a table of contents.
    pub fn of(toc: &Toc) -> Self {
        let entries = toc.entries.iter();
        Self {
            names: entries.clone().flat_map(Entry::names).cloned().collect(),
            statements: entries.flat_map(Entry::statements).cloned().collect(),
        }
    }
}

impl Entry {
    fn names(&self) -> impl Iterator<Item = &Text> {
        let others = [
            &self.namespace,
            &self.tablespace,
            &self.table_am,
            &self.owner,
        ];
        std::iter::once(&self.tag).chain(others.into_iter().flatten())
    }

    fn statements(&self) -> impl Iterator<Item = &SqlText> {
        let statements = [&self.defn, &self.drop_stmt, &self.copy_stmt];
        statements.into_iter().flatten()
    }
}
