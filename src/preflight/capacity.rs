//! Whether there is room for sessions, locks and temporary files. How much there is on disks is another matter (`room`).

use std::collections::BTreeSet;

use super::CheckFacts;
use super::meanwhile::{Change, with_reload, with_restart};
use crate::catalog::{Connections, Index};
use crate::model::{Bytes, Finding, QualifiedName, Rows, Side, not_yet, quote_literal, to_paste};

/// Sessions of a move on each side besides its workers': questions, snapshot or claim, `pg_dump`, the keeper or the ledger.
const BESIDE_WORKERS: u64 = 4;

pub(super) fn findings(facts: &CheckFacts<'_>) -> Vec<Finding> {
    [
        connections(facts, Side::Source),
        connections(facts, Side::Target),
        locks(facts),
        temporary_files(facts),
        log_kept(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a move will make on the target, as far as the source's sizes tell.
pub(super) struct Amounts<'a> {
    pub tables: Bytes,
    pub indexes: Bytes,
    pub large_objects: Bytes,
    /// The largest index that is sorted to be built.
    pub largest: Option<&'a Index>,
}

impl<'a> Amounts<'a> {
    pub fn of(facts: &CheckFacts<'a>) -> Self {
        let tables = &facts.plan.tables;
        let sorted = indexes(facts).filter(|index| index.method == "btree");
        let has_large_objects = !facts.basis.source_facts.large_objects.is_empty();
        Self {
            tables: tables.iter().map(|unit| unit.bytes).sum(),
            indexes: indexes(facts).map(|index| index.bytes).sum(),
            large_objects: if has_large_objects {
                facts.source.state.large_objects
            } else {
                Bytes(0)
            },
            largest: sorted.max_by_key(|index| index.bytes),
        }
    }

    pub fn total(&self) -> Bytes {
        self.tables + self.indexes + self.large_objects
    }
}

/// Indexes that will be built, of tables that will be copied.
pub(super) fn indexes<'a>(facts: &CheckFacts<'a>) -> impl Iterator<Item = &'a Index> + use<'a> {
    let tables = facts.plan.tables.iter();
    let named: BTreeSet<&QualifiedName> = tables.map(|unit| &unit.table).collect();
    let indexes = facts.basis.source_facts.indexes.iter();
    indexes.filter(move |index| named.contains(&index.table) && index.valid)
}

/// How many more sessions a role can have.
fn free(connections: &Connections, superuser: bool) -> u64 {
    let left = |most: u64, open: u64| most.saturating_sub(open);
    if superuser {
        return left(connections.most, connections.open_everywhere);
    }
    let everywhere = left(
        connections.most.saturating_sub(connections.reserved),
        connections.open_everywhere,
    );
    let limits = [
        (connections.database_limit, connections.open_in_database),
        (connections.role_limit, connections.open_of_role),
    ];
    let limited = limits
        .iter()
        .filter_map(|(limit, open)| Some(left((*limit)?, *open)));
    limited.fold(everywhere, u64::min)
}

fn connections(facts: &CheckFacts<'_>, side: Side) -> Option<Finding> {
    let (now, server) = match side {
        Side::Source => (facts.source, facts.basis.source),
        Side::Target => (facts.target, facts.basis.target),
    };
    let connections = &now.connections;
    let free = free(connections, server.superuser);
    let workers = u64::from(facts.plan.workers);
    if connections.most == 0 || free >= workers + BESIDE_WORKERS {
        return None;
    }
    let rule = format!("{side}-connections");
    let what = format!(
        "the {side} has room for {} more sessions; a move with {} workers uses about {}",
        Rows(free),
        workers,
        workers + BESIDE_WORKERS
    );
    let raise = "raise the limit (max_connections needs a restart; ALTER DATABASE … CONNECTION LIMIT, ALTER ROLE … CONNECTION \
                 LIMIT do not)";
    let limit = |name: &str, limit: Option<u64>, open: u64| {
        limit.map(|limit| format!("{name}: {limit}, of which {open} are taken"))
    };
    let evidence = [
        limit(
            "max_connections",
            Some(connections.most),
            connections.open_everywhere,
        ),
        Some(format!("reserved: {}", connections.reserved)),
        limit(
            "limit of the database",
            connections.database_limit,
            connections.open_in_database,
        ),
        limit(
            "limit of the role",
            connections.role_limit,
            connections.open_of_role,
        ),
    ];
    let found = if free > BESIDE_WORKERS {
        let fewer = free - BESIDE_WORKERS;
        Finding::warning(
            &rule,
            what,
            format!("Use fewer workers (-j {fewer}), or {raise}."),
        )
    } else {
        Finding::blocker(&rule, what, format!("End sessions there, or {raise}."))
    };
    Some(found.with_evidence(evidence.into_iter().flatten()))
}

/// The proof describes the target with `pg_dump`, which locks every table in one transaction.
fn locks(facts: &CheckFacts<'_>) -> Option<Finding> {
    let tables = facts.basis.source_facts.tables.len() as u64;
    let target = facts.basis.target;
    let slots = target.lock_slots;
    target.locks_setting_for(tables.saturating_mul(2)).map(|setting| {
        Finding::warning(
            "target-locks",
            format!(
                "the target will have {} tables, and has room for about {} locks: the proof may fail with \"out of shared memory\"",
                Rows(tables),
                Rows(slots)
            ),
            to_paste(
                "On the target (needs a restart):",
                with_restart(&[Change::new(
                    "max_locks_per_transaction",
                    setting.to_string(),
                    Some(target.locks_per_session.to_string()),
                )]),
            ),
        )
    })
}

fn temporary_files(facts: &CheckFacts<'_>) -> Option<Finding> {
    let limit = Bytes(facts.target.amount("temp_file_limit")?);
    let largest = Amounts::of(facts).largest?;
    (largest.bytes > limit).then(|| {
        Finding::warning(
            "target-temp-limit",
            format!(
                "a session on the target may use {limit} of temporary files (temp_file_limit), and sorting the index {} may take \
                 up to {}",
                largest.name.shown(),
                largest.bytes
            ),
            to_paste(
                "On the target, for the time of the move:",
                with_reload(&[Change::new(
                    "temp_file_limit",
                    "-1",
                    facts.target.spelled("temp_file_limit"),
                )]),
            ),
        )
    })
}

/// Whatever a slot keeps stays on the disk beside the data.
fn log_kept(facts: &CheckFacts<'_>) -> Option<Finding> {
    let slots = facts.target.slots.iter();
    let idle: Vec<_> = slots
        .filter(|slot| slot.keeps_log && !slot.active)
        .collect();
    // Whoever reads a slot may only be down for the moment, and needs its place in the log.
    let drop = idle.iter().filter_map(|slot| {
        let name = quote_literal(&slot.name);
        let drop = format!("SELECT pg_drop_replication_slot({name});");
        not_yet("on the target, if its consumer is gone for good", &drop)
    });
    (!idle.is_empty()).then(|| {
        Finding::warning(
            "target-log-kept",
            format!(
                "the target keeps its write-ahead log for inactive replication slots: the move adds about {}, all of which stays on its disk",
                Amounts::of(facts).total()
            ),
            to_paste(
                "Reconnect their consumers; or drop the slots, if they are no longer needed:",
                drop,
            ),
        )
        .with_evidence(
            idle.iter()
                .map(|slot| format!("{} keeps {}", slot.name, slot.kept)),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::*;
    use crate::catalog::Slot;
    use crate::model::Severity;

    #[test]
    fn sessions_are_counted_against_every_limit() {
        let connections = Connections {
            most: 100,
            reserved: 3,
            open_everywhere: 90,
            database_limit: Some(20),
            open_in_database: 15,
            role_limit: None,
            open_of_role: 50,
        };
        assert_eq!(free(&connections, true), 10);
        assert_eq!(free(&connections, false), 5);
        let role = Connections {
            role_limit: Some(51),
            ..connections
        };
        assert_eq!(free(&role, false), 1);
    }

    #[test]
    fn too_few_sessions_are_a_warning_and_hardly_any_a_blocker() {
        for (open, severity) in [
            (0, None),
            (93, Some(Severity::Warning)),
            (96, Some(Severity::Blocker)),
        ] {
            let mut world = World::default();
            world.plan.workers = 4;
            world.target_now.connections = Connections {
                most: 100,
                open_everywhere: open,
                ..Connections::default()
            };
            let found = findings(&world.check_facts());
            let told = found.first().map(|finding| finding.severity);
            assert_eq!(told, severity, "{open}: {found:?}");
        }
    }

    #[test]
    fn an_index_that_may_not_be_sorted_on_disk_is_warned_of() {
        let mut world = World::default();
        world.copied("t", Bytes(5 << 20));
        world.index("i", "t", Bytes(2 << 20));
        world.target_setting("temp_file_limit", "1024", Some(1 << 20));
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["target-temp-limit"]);
        let back = "\n-- after the move, as it was: ALTER SYSTEM SET temp_file_limit = '1024'; SELECT pg_reload_conf();";
        assert!(found[0].remedy.ends_with(back), "{found:?}");
        world.target_setting("temp_file_limit", "-1", Some(-1));
        assert_eq!(findings(&world.check_facts()), []);
    }

    #[test]
    fn a_slot_that_nobody_reads_keeps_what_the_move_writes() {
        let mut world = World::default();
        let slot = Slot {
            name: "old".into(),
            keeps_log: true,
            ..Slot::default()
        };
        world.target_now.slots = vec![
            slot.clone(),
            Slot {
                active: true,
                ..slot
            },
        ];
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["target-log-kept"]);
        assert_eq!(found[0].evidence, ["old keeps 0 B"]);
    }

    #[test]
    fn a_small_lock_table_on_the_target_is_warned_of() {
        let mut world = World::default();
        world.target.lock_slots = 1;
        world.target.locks_per_session = 1;
        world.table("t");
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["target-locks"]);
        let remedy = &found[0].remedy;
        assert!(
            remedy.contains("max_locks_per_transaction = 64;"),
            "{remedy}"
        );
        assert!(
            remedy.ends_with("max_locks_per_transaction = '1';"),
            "{remedy}"
        );
    }
}
