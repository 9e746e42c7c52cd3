//! What one of several databases has of a selection.

use super::{FilterKind, Filters, Objects};

impl FilterKind {
    /// Whether it selects a part of the database.
    pub fn selects(self) -> bool {
        self.selection().is_some()
    }

    /// How finely it selects, the finest first: who names tables does not mean the rest of a schema.
    fn selection(self) -> Option<u8> {
        match self {
            Self::Table | Self::TableAndChildren => Some(0),
            Self::Schema => Some(1),
            Self::Extension => Some(2),
            _ => None,
        }
    }
}

impl Filters {
    /// Whether any of them selects a part of the database: then nobody means what is in no schema, large objects among it.
    pub fn selects(&self) -> bool {
        self.0.iter().any(|filter| filter.kind.selects())
    }

    /// Without the selecting patterns that match nothing in one of several databases, which `pg_dump` would take for a mistake.
    /// `None` if that one has nothing of what is selected: tables if any are named, otherwise schemas, otherwise extensions.
    pub fn found_in(&self, objects: &Objects<'_>) -> Option<Self> {
        let idle = self.unmatched(objects);
        let mut found = self.clone();
        found
            .0
            .retain(|filter| !filter.kind.selects() || !idle.contains(&filter));
        let finest = |filters: &Self| {
            let kinds = filters.0.iter().map(|filter| filter.kind);
            kinds.filter_map(FilterKind::selection).min()
        };
        (finest(self) == finest(&found)).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{QualifiedName, Relation};

    #[test]
    fn what_one_database_has_of_a_selection() {
        let relations = [Relation {
            name: QualifiedName::new("s", "t"),
            visible: false,
            parents: Vec::new(),
        }];
        let objects = Objects {
            relations: &relations,
            schemas: &["s".to_owned()],
            extensions: &[],
            foreign_servers: &[],
        };
        let found = |patterns: &[(FilterKind, &str)]| {
            let mut filters = Filters::default();
            for (kind, pattern) in patterns {
                filters.add(*kind, pattern).expect("a pattern");
            }
            let found = filters.found_in(&objects);
            found.map(|filters| filters.pg_dump_args())
        };
        let (table, schema) = (FilterKind::Table, FilterKind::Schema);
        let args = |args: &[&str]| Some(args.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            found(&[(table, "s.t"), (table, "s.u")]),
            args(&["--table=s.t"])
        );
        assert_eq!(found(&[(table, "s.u")]), None);
        // The schema alone would be more than what was asked for.
        assert_eq!(found(&[(table, "s.u"), (schema, "s")]), None);
        assert_eq!(
            found(&[(schema, "s"), (schema, "x")]),
            args(&["--schema=s"])
        );
        let exclude = [(FilterKind::ExcludeTable, "s.u")];
        assert_eq!(found(&exclude), args(&["--exclude-table=s.u"]));
    }
}
