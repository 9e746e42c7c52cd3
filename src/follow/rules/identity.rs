//! How replication finds the rows that were changed, and what keeps it from finding them. Pure.
//!
//! Once a table without any means of finding its rows is published, UPDATE and DELETE fail on the publisher: somebody's
//! application stops (`CheckCmdReplicaIdentity` in execReplication.c). Other tables are published, but the subscriber's worker
//! stops for good at the first change (`logicalrep_rel_mark_updatable` in relation.c, `tuples_equal` in execReplication.c). Of
//! the same table, one version publishes what another does not: so the question is put to the server that will publish.

use std::collections::BTreeMap;

use super::{Facts, MOST};
use crate::follow::{FollowError, IdentityBefore, Key, Table};
use crate::model::{Finding, QualifiedName, ServerVersion, Side, some_of};

/// From this version on, what is published must include every column of the replica identity; generated columns are not
/// published, as a subscriber that generates them as well could not take them.
const MISSES_GENERATED: u32 = 18;

/// What keeps replication from finding a table's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    /// There is no key.
    NoKey,
    /// The key is checked only at the end of a transaction.
    DeferrableKey,
    /// A column of the key is generated, and so is not carried.
    GeneratedKey,
    /// The replica identity is full, and a column is generated.
    GeneratedColumn,
    /// The replica identity is full, there is no key, and a column has a type without equality.
    Unequal,
}

/// Which server publishes the tables, and how to report on it.
pub(super) struct Publisher<'a> {
    /// Name of the rule.
    pub rule: &'a str,
    /// The server's version.
    pub version: ServerVersion,
    /// The side that it is on.
    pub side: Side,
    /// Before a move, the tables that get a full replica identity if they may; before a turn, none do.
    pub named: Option<&'a [String]>,
}

impl Publisher<'_> {
    fn makes_full(&self, table: &Table) -> bool {
        let named = self.named.unwrap_or_default();
        table.identity == "full" || named.iter().any(|text| is_named(&table.name, text))
    }

    fn obstacle(&self, table: &Table) -> Option<Obstacle> {
        if self.makes_full(table) {
            obstacle_of_full(table, self.version)
        } else {
            obstacle_of_key(table)
        }
    }

    /// The consequence, as a clause.
    fn consequence(&self, obstacle: Obstacle) -> String {
        let is_refused = match obstacle {
            Obstacle::NoKey | Obstacle::DeferrableKey | Obstacle::GeneratedColumn => true,
            Obstacle::GeneratedKey => self.version.major() >= MISSES_GENERATED,
            Obstacle::Unequal => false,
        };
        let side = self.side;
        match (is_refused, self.named) {
            (true, Some(_)) => format!(
                "and once they are published, UPDATE and DELETE of them would fail on the {side}"
            ),
            (true, None) => format!(
                "and once the {side} is in service, UPDATE and DELETE of them would fail there"
            ),
            (false, _) => format!(
                "and the first UPDATE or DELETE of them on the {side} would stop replication for good"
            ),
        }
    }

    fn finding(&self, obstacle: Obstacle, tables: &[&Table]) -> Finding {
        let names: Vec<String> = tables.iter().map(|table| shown(obstacle, table)).collect();
        let what = match obstacle {
            Obstacle::NoKey => {
                "tables have nothing by which replication could find their rows".to_owned()
            }
            Obstacle::DeferrableKey => {
                "tables have a primary key that is DEFERRABLE, by which replication finds no rows"
                    .to_owned()
            }
            Obstacle::GeneratedKey => {
                "tables have a generated column in their key, which replication does not carry"
                    .to_owned()
            }
            Obstacle::GeneratedColumn => format!(
                "tables with a full replica identity have generated columns, which PostgreSQL {} does not publish",
                self.version
            ),
            Obstacle::Unequal => {
                "tables with a full replica identity and without a key have columns of types that have no equality"
                    .to_owned()
            }
        };
        let consequence = self.consequence(obstacle);
        Finding::blocker(
            self.rule,
            format!("{what}, {consequence}: {}", some_of(&names, MOST)),
            self.remedy(obstacle, tables),
        )
    }

    /// Offers a full replica identity for the tables that it helps, and for no others.
    fn remedy(&self, obstacle: Obstacle, tables: &[&Table]) -> String {
        let (helped, others): (Vec<&Table>, Vec<&Table>) = tables
            .iter()
            .copied()
            .partition(|table| obstacle_of_full(table, self.version).is_none());
        let place = match self.named {
            Some(_) => format!("On the {}", self.side),
            None => "On both sides".to_owned(),
        };
        let key = key_remedy(obstacle);
        if helped.is_empty() {
            return format!("{place}: {key}.");
        }
        let listed = |tables: &[&Table], before: &str| {
            let names: Vec<String> = tables
                .iter()
                .map(|table| format!("{before}{}", table.name.shown()))
                .collect();
            some_of(&names, MOST)
        };
        let full = match self.named {
            Some(_) => format!(
                "{} (every UPDATE and DELETE then writes the whole old row into the log; pgconvoy unfollow sets it back)",
                listed(&helped, "--replica-identity-full ")
            ),
            None => format!(
                "ALTER TABLE … REPLICA IDENTITY FULL of {}",
                listed(&helped, "")
            ),
        };
        let but = if others.is_empty() {
            String::new()
        } else {
            format!(
                " Of {} a full replica identity would not do.",
                listed(&others, "")
            )
        };
        format!("{place}: {key}; or {full}.{but}")
    }
}

fn key_remedy(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::NoKey | Obstacle::Unequal => {
            "give them a primary key (not deferrable, and without generated columns)"
        }
        Obstacle::DeferrableKey => {
            "make their primary key anew without DEFERRABLE, or ALTER TABLE … REPLICA IDENTITY USING INDEX …, a unique index (not \
             deferrable) of columns that are NOT NULL"
        }
        Obstacle::GeneratedKey => {
            "ALTER TABLE … REPLICA IDENTITY USING INDEX …, a unique index (not deferrable) of columns that are NOT NULL and not generated"
        }
        Obstacle::GeneratedColumn => {
            "give them a primary key (not deferrable, and without generated columns), and no full replica identity: ALTER TABLE … REPLICA \
             IDENTITY DEFAULT"
        }
    }
}

/// Columns whose types have no equality are named with their table.
fn shown(obstacle: Obstacle, table: &Table) -> String {
    match obstacle {
        Obstacle::Unequal => format!("{} ({})", table.name.shown(), table.keys.unequal.join(", ")),
        _ => table.name.shown(),
    }
}

fn obstacle_of_key(table: &Table) -> Option<Obstacle> {
    match table.keys.identity {
        None => Some(Obstacle::NoKey),
        Some(Key::Deferrable) => Some(Obstacle::DeferrableKey),
        Some(Key::Generated) => Some(Obstacle::GeneratedKey),
        Some(Key::Sound) => None,
    }
}

/// Even given all columns of the old row, a subscriber goes by the primary key, and by all columns only if there is none.
fn obstacle_of_full(table: &Table, publisher: ServerVersion) -> Option<Obstacle> {
    let keys = &table.keys;
    if keys.has_generated && publisher.major() >= MISSES_GENERATED {
        return Some(Obstacle::GeneratedColumn);
    }
    match keys.primary {
        Some(Key::Sound) => None,
        Some(Key::Generated) => Some(Obstacle::GeneratedKey),
        Some(Key::Deferrable) | None => (!keys.unequal.is_empty()).then_some(Obstacle::Unequal),
    }
}

/// A finding for each reason why replication could not find rows, with the tables concerned.
pub(super) fn unfound(tables: &[Table], publisher: &Publisher<'_>) -> Vec<Finding> {
    let mut found: BTreeMap<Obstacle, Vec<&Table>> = BTreeMap::new();
    for table in tables.iter().filter(|table| table.is_logged) {
        if let Some(obstacle) = publisher.obstacle(table) {
            found.entry(obstacle).or_default().push(table);
        }
    }
    found
        .iter()
        .map(|(obstacle, tables)| publisher.finding(*obstacle, tables))
        .collect()
}

/// Tables that the source publishes, but the target could not once it is in service.
pub(super) fn no_way_back(facts: &Facts<'_>) -> Vec<String> {
    let by = |version| Publisher {
        rule: "",
        version,
        side: Side::Source,
        named: Some(&facts.wanted.replica_identity_full),
    };
    let [there, back] = facts.versions.map(by);
    facts
        .tables
        .iter()
        .filter(|table| table.is_logged)
        .filter(|table| there.obstacle(table).is_none() && back.obstacle(table).is_some())
        .map(|table| table.name.shown())
        .collect()
}

fn is_named(table: &QualifiedName, text: &str) -> bool {
    text == table.shown()
        || text == table.to_string()
        || (table.schema == "public" && text == table.name)
}

/// Which tables get a full replica identity, and what they have now; an error if a named table is not there.
pub fn identities(tables: &[Table], named: &[String]) -> Result<Vec<IdentityBefore>, FollowError> {
    let mut found = Vec::new();
    for text in named {
        let table = tables.iter().find(|table| is_named(&table.name, text));
        let table = table.ok_or_else(|| FollowError::NoTable {
            table: text.clone(),
        })?;
        if table.identity != "full" {
            found.push(IdentityBefore {
                table: table.name.clone(),
                before: table.identity.clone(),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::Keys;

    const OLDER: ServerVersion = ServerVersion(170_005);
    const NEWER: ServerVersion = ServerVersion(180_000);

    fn table(identity: &str, keys: Keys) -> Table {
        Table {
            name: QualifiedName::new("public", "t"),
            is_logged: true,
            identity: identity.to_owned(),
            keys,
            forced_rls: false,
            owner_bypasses_rls: false,
            scattered_below: None,
            columns: String::new(),
        }
    }

    fn keyed(key: Option<Key>, has_generated: bool, unequal: &[&str]) -> Keys {
        Keys {
            identity: key,
            primary: key,
            has_generated,
            unequal: unequal.iter().map(|&name| name.to_owned()).collect(),
            ..Keys::default()
        }
    }

    /// What is in the way by key, and by full replica identity on either version.
    fn obstacles(keys: &Keys) -> [Option<Obstacle>; 3] {
        let full = table("full", keys.clone());
        [
            obstacle_of_key(&table("default", keys.clone())),
            obstacle_of_full(&full, OLDER),
            obstacle_of_full(&full, NEWER),
        ]
    }

    #[test]
    fn what_one_version_publishes_another_does_not() {
        use Obstacle::{DeferrableKey, GeneratedColumn, GeneratedKey, NoKey, Unequal};
        let sound = Some(Key::Sound);
        let of =
            |key, has_generated, unequal: &[&str]| obstacles(&keyed(key, has_generated, unequal));
        assert_eq!(of(sound, false, &["j"]), [None, None, None]);
        assert_eq!(of(sound, true, &["j"]), [None, None, Some(GeneratedColumn)]);
        assert_eq!(of(None, false, &[]), [Some(NoKey), None, None]);
        assert_eq!(
            of(None, false, &["j"]),
            [Some(NoKey), Some(Unequal), Some(Unequal)]
        );
        assert_eq!(
            of(None, true, &[]),
            [Some(NoKey), None, Some(GeneratedColumn)]
        );
        assert_eq!(
            of(Some(Key::Deferrable), false, &[]),
            [Some(DeferrableKey), None, None]
        );
        // Nor does a subscriber find rows by a key that is checked so late.
        assert_eq!(of(Some(Key::Deferrable), false, &["j"])[1], Some(Unequal));
        assert_eq!(
            of(Some(Key::Generated), true, &[]),
            [
                Some(GeneratedKey),
                Some(GeneratedKey),
                Some(GeneratedColumn)
            ]
        );
    }

    #[test]
    fn a_full_replica_identity_is_offered_where_it_does() {
        let bare = |name: &str, has_generated| Table {
            name: QualifiedName::new("public", name),
            ..table("default", keyed(None, has_generated, &[]))
        };
        let remedy = |version, named| {
            let publisher = Publisher {
                rule: "rule",
                version,
                side: Side::Target,
                named,
            };
            let found = unfound(&[bare("a", false), bare("b", true)], &publisher);
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].remedy.clone()
        };
        let both = remedy(OLDER, Some(&[]));
        let flags = "--replica-identity-full public.a, --replica-identity-full public.b";
        assert!(both.contains(flags), "{both}");
        let one = remedy(NEWER, None);
        for said in [
            "On both sides: ",
            "REPLICA IDENTITY FULL of public.a. Of public.b a full replica identity would not do.",
        ] {
            assert!(one.contains(said), "{said}: {one}");
        }
        let unlogged = Table {
            is_logged: false,
            ..bare("c", false)
        };
        let publisher = Publisher {
            rule: "rule",
            version: NEWER,
            side: Side::Source,
            named: None,
        };
        assert_eq!(unfound(&[unlogged], &publisher), []);
    }
}
