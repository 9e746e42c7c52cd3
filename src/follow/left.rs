//! What has become of a table that a turn left to be compared later. Pure, except for asking what tables are called.
//!
//! A name may belong to another table by now, so tables are known by their OIDs. One that was renamed alike on both sides is
//! compared under its new name. One whose name alone is gone may have been renamed, on one side or by a role that keeps it to
//! itself: it is not compared, and not forgotten. Only what neither side has any more needs no comparison.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog;
use crate::model::{LeftTable, Oid, QualifiedName};
use crate::pg::{PgError, Query, Session};

pub(super) const NAMED: Query = Query::new(
    "follow/named.sql",
    include_str!("../../sql/follow/named.sql"),
);

/// What the tables of one side are called.
#[derive(Debug, Default)]
pub struct Names {
    /// The tables asked for, if they are still there.
    by_oid: BTreeMap<Oid, QualifiedName>,
    /// All tables that may be read.
    readable: BTreeSet<QualifiedName>,
}

/// What has become of a table that was left.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// It can be compared, under its present name.
    There(LeftTable),
    /// It cannot be compared, and why.
    Astray(String),
    /// Neither side has it any more.
    Dropped,
}

impl Names {
    /// Reads the names of the tables left, and of all that may be read.
    pub async fn read(session: &Session, left: &[LeftTable]) -> Result<Self, PgError> {
        // The other side's OIDs are asked for as well; nobody looks at what they stand for here.
        let oids = left.iter().flat_map(|one| one.oids.iter().flatten());
        let oids: Vec<u32> = oids.map(|oid| oid.0).collect();
        let mut by_oid = BTreeMap::new();
        for row in session.query(&NAMED, &[&oids]).await? {
            by_oid.insert(row.oid("oid")?, row.name("schema", "name")?);
        }
        let readable = catalog::readable_tables(session).await?;
        Ok(Self {
            by_oid,
            readable: readable.into_iter().map(|(_, name)| name).collect(),
        })
    }

    /// The present names of tables, or the old ones where no other is known.
    fn now(&self, tables: &[QualifiedName], oids: &[Oid]) -> Vec<QualifiedName> {
        if oids.len() != tables.len() {
            return tables.to_vec();
        }
        let pairs = tables.iter().zip(oids);
        pairs
            .map(|(table, oid)| self.by_oid.get(oid).unwrap_or(table).clone())
            .collect()
    }

    fn has_any(&self, tables: &[QualifiedName], oids: &[Oid]) -> bool {
        let is_there = oids.iter().any(|oid| self.by_oid.contains_key(oid));
        is_there || tables.iter().any(|table| self.readable.contains(table))
    }
}

/// What has become of a table, according to the side that handed over and the one that took over.
pub fn fate(one: &LeftTable, [from, to]: [&Names; 2]) -> Fate {
    let [of_from, of_to] = &one.oids;
    let (here, there) = (from.now(&one.tables, of_from), to.now(&one.tables, of_to));
    if here != there {
        return Fate::Astray(format!(
            "one of the sides does not have it any more: it is called {} on the one, and {} on the other",
            listed(&here),
            listed(&there)
        ));
    }
    if there.iter().any(|name| to.readable.contains(name)) {
        let is_root = !one.tables.contains(&one.name);
        let name = match there.first() {
            Some(first) if !is_root => first.clone(),
            _ => one.name.clone(),
        };
        return Fate::There(LeftTable {
            name,
            tables: there,
            ..one.clone()
        });
    }
    let is_known = !of_from.is_empty() && !of_to.is_empty();
    if is_known && !from.has_any(&here, of_from) && !to.has_any(&there, of_to) {
        return Fate::Dropped;
    }
    Fate::Astray(
        "one of the sides does not have it any more, or does not let us read it".to_owned(),
    )
}

fn listed(names: &[QualifiedName]) -> String {
    let names: Vec<String> = names.iter().map(QualifiedName::shown).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bytes;

    fn name(name: &str) -> QualifiedName {
        QualifiedName::new("s", name)
    }

    /// Tables by OID and name, all of them readable.
    fn names(tables: &[(u32, &str)]) -> Names {
        let by_oid = tables.iter().map(|(oid, called)| (Oid(*oid), name(called)));
        Names {
            by_oid: by_oid.collect(),
            readable: tables.iter().map(|(_, called)| name(called)).collect(),
        }
    }

    fn left(oids: [Vec<Oid>; 2]) -> LeftTable {
        LeftTable {
            name: name("a"),
            tables: vec![name("a")],
            oids,
            bytes: Bytes(1),
        }
    }

    fn fate_of(here: &[(u32, &str)], there: &[(u32, &str)]) -> Fate {
        let one = left([vec![Oid(1)], vec![Oid(2)]]);
        fate(&one, [&names(here), &names(there)])
    }

    #[test]
    fn what_is_renamed_on_both_sides_is_compared_and_what_is_on_one_is_not_forgotten() {
        assert!(
            matches!(fate_of(&[(1, "a")], &[(2, "a")]), Fate::There(one) if one.name == name("a"))
        );
        // Another table may have the old name by now.
        let renamed = fate_of(&[(1, "b"), (7, "a")], &[(2, "b"), (8, "a")]);
        assert!(
            matches!(&renamed, Fate::There(one) if one.name == name("b") && one.tables == [name("b")]),
            "{renamed:?}"
        );
        for (here, there) in [
            (&[(1, "b")][..], &[(2, "a")][..]),
            (&[(1, "a")][..], &[(2, "b")][..]),
            (&[(1, "b")][..], &[][..]),
            (&[(1, "a")][..], &[][..]),
        ] {
            let astray = fate_of(here, there);
            assert!(matches!(astray, Fate::Astray(_)), "{astray:?}");
        }
        assert_eq!(fate_of(&[], &[]), Fate::Dropped);
    }

    #[test]
    fn of_what_no_oid_is_known_nobody_says_that_it_was_dropped() {
        let one = left([Vec::new(), Vec::new()]);
        let nothing = names(&[]);
        assert!(matches!(fate(&one, [&nothing, &nothing]), Fate::Astray(_)));
        let hidden = Names {
            readable: BTreeSet::new(),
            ..names(&[(2, "a")])
        };
        let one = left([vec![Oid(1)], vec![Oid(2)]]);
        assert!(matches!(fate(&one, [&nothing, &hidden]), Fate::Astray(_)));
    }

    #[test]
    fn partitions_that_are_compared_as_one_keep_the_name_of_their_root() {
        let mut one = left([vec![Oid(1), Oid(2)], vec![Oid(1), Oid(2)]]);
        one.tables = vec![name("p1"), name("p2")];
        let sides = names(&[(1, "p1"), (2, "p9")]);
        let now = fate(&one, [&sides, &sides]);
        assert!(
            matches!(&now, Fate::There(now) if now.name == name("a") && now.tables == [name("p1"), name("p9")]),
            "{now:?}"
        );
    }
}
