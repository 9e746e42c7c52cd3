//! Who else is at work, on the source and on the target, and what could end the snapshot.

use std::collections::BTreeSet;

use super::CheckFacts;
use super::damage::takes_part;
use super::meanwhile::{Change, with_restart};
use crate::catalog::{BarringLock, Guest};
use crate::model::{
    Finding, Rows, Severity, count, how_long, or_instead, quote_ident, quote_literal, to_paste,
};

/// A transaction that has been open for so long is not about to end.
const LONG_TRANSACTION_S: u64 = 60;
/// From this age on, a vacuum that the snapshot holds back is overdue (autovacuum has been trying for long by then; servers from 14 on
/// drop its cost limits at 1.6 billion).
const OLD_TRANSACTIONS: u64 = 1_000_000_000;
/// At about 2.1 billion the server refuses writes (wraparound).
const TOO_OLD_TRANSACTIONS: u64 = 1_900_000_000;
/// Entries that `pg_dump` waits for a lock to describe.
const RELATIONS: [&str; 5] = [
    "FOREIGN TABLE",
    "MATERIALIZED VIEW",
    "SEQUENCE",
    "TABLE",
    "VIEW",
];
/// Sessions that are shown one by one.
const SESSIONS_SHOWN: usize = 5;

pub(super) fn findings(facts: &CheckFacts<'_>) -> Vec<Finding> {
    [
        locked(facts),
        written(facts),
        open_transactions(facts),
        hidden_sessions(facts),
        prepared(facts),
        age(facts),
        snapshot_expires(facts),
        target_in_use(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A reader waits for such a lock, and gives up after ten seconds.
fn locked(facts: &CheckFacts<'_>) -> Option<Finding> {
    let locks = facts.source.locks.iter();
    let locks: Vec<&BarringLock> = locks
        .filter(|lock| {
            let relation = &lock.relation;
            takes_part(facts, relation) || facts.basis.describes(&RELATIONS, relation)
        })
        .collect();
    // Nobody ends the process that replays the primary's log.
    let is_replayed = |lock: &BarringLock| lock.holder.kind.as_deref() == Some("startup");
    let replayed = locks.iter().any(|lock| is_replayed(lock));
    let ends = locks.iter().filter(|lock| !is_replayed(lock));
    (!locks.is_empty()).then(|| {
        Finding::blocker(
            "source-locked",
            "tables of the source are locked against all readers".to_owned(),
            to_paste(
                if replayed {
                    "Wait until the locks are released. What the process startup of a standby holds is held by a transaction on the \
                     primary, and ends with that; the session of any other can be ended on the source:"
                } else {
                    "Wait until the lock is released, or end the session that holds it, on the source:"
                },
                end_each(ends.map(|lock| lock.holder.pid)),
            ),
        )
        .with_evidence(locks.iter().map(ToString::to_string))
    })
}

fn written(facts: &CheckFacts<'_>) -> Option<Finding> {
    let (first, last) = facts.pulses;
    let rows = last.rows_written.saturating_sub(first.rows_written);
    let transactions = last.next_transaction.saturating_sub(first.next_transaction);
    let ms = last.at_ms.saturating_sub(first.at_ms);
    let within = format!("within {}.{} s", ms / 1000, ms % 1000 / 100);
    let evidence = if rows > 0 {
        let rows = count(rows, "row", "rows");
        format!("{rows} inserted, updated or deleted {within}")
    } else if facts.basis.source.in_recovery && transactions > 0 {
        format!(
            "{} on its primary, of whichever database, {within}",
            count(transactions, "transaction", "transactions")
        )
    } else {
        return None;
    };
    Some(
        Finding::warning(
            "source-written",
            "the source is being written to: what is written after a move's snapshot is not in the copy".to_owned(),
            "For the last move, stop the application and whatever else writes; until then a move is a rehearsal.",
        )
        .with_evidence([evidence]),
    )
}

fn open_transactions(facts: &CheckFacts<'_>) -> Option<Finding> {
    let is_open = |guest: &&Guest| {
        guest.in_transaction
            && (guest.has_written || guest.transaction_seconds >= LONG_TRANSACTION_S)
    };
    let open: Vec<&Guest> = facts.source.sessions.iter().filter(is_open).collect();
    let shown = open.iter().map(|guest| {
        let wrote = if guest.has_written {
            "has written"
        } else {
            "has only read"
        };
        format!(
            "open for {}, {wrote}: {}",
            how_long(guest.transaction_seconds),
            guest.holder
        )
    });
    (!open.is_empty()).then(|| {
        Finding::warning(
            "source-transactions",
            "transactions are open on the source: what they commit after a move's snapshot is not in the copy, and a lock \
             that one of them takes can keep the move waiting"
                .to_owned(),
            to_paste(
                "Let them end before the move, or end them, on the source:",
                end_each(open.iter().map(|guest| guest.holder.pid)),
            ),
        )
        .with_evidence(some(shown))
    })
}

/// Ends sessions; a prepared transaction has none.
fn end_each(pids: impl Iterator<Item = i32>) -> Option<String> {
    let pids: BTreeSet<i32> = pids.filter(|pid| *pid != 0).collect();
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    match pids.as_slice() {
        [] => None,
        [one] => Some(format!("SELECT pg_terminate_backend({one});")),
        all => Some(format!(
            "SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[{}]) AS pid;",
            all.join(", ")
        )),
    }
}

/// A role that may not see what other sessions do cannot be shown it.
fn hidden_sessions(facts: &CheckFacts<'_>) -> Option<Finding> {
    let sessions = facts.source.sessions.iter();
    let hidden = sessions
        .filter(|guest| guest.holder.state.is_none())
        .count() as u64;
    let role = quote_ident(&facts.basis.source.role);
    (hidden > 0).then(|| {
        Finding::note(
            "sessions-hidden",
            format!(
                "role {role} may not see what {} of the other sessions on the source are doing",
                Rows(hidden)
            ),
            to_paste(
                "To see their open transactions, on the source:",
                [format!("GRANT pg_read_all_stats TO {role};")],
            ),
        )
    })
}

fn prepared(facts: &CheckFacts<'_>) -> Option<Finding> {
    let prepared = &facts.source.prepared;
    let statements = prepared.iter().flat_map(|one| {
        let name = quote_literal(&one.name);
        let commit = format!("COMMIT PREPARED {name};");
        [
            Some(commit),
            or_instead(&format!("ROLLBACK PREPARED {name};")),
        ]
    });
    (!prepared.is_empty()).then(|| {
        Finding::warning(
            "source-prepared",
            "prepared transactions wait on the source: they hold their locks, and what they have written is not in the copy"
                .to_owned(),
            to_paste(
                "Have the transaction manager finish them, or on the source:",
                statements.flatten(),
            ),
        )
        .with_evidence(prepared.iter().map(|one| {
            format!(
                "{} of role {}, prepared {} ago",
                one.name,
                one.role,
                how_long(one.seconds)
            )
        }))
    })
}

fn age(facts: &CheckFacts<'_>) -> Option<Finding> {
    let state = &facts.source.state;
    let oldest = state.transactions.max(state.multixacts);
    let severity = match oldest {
        TOO_OLD_TRANSACTIONS.. => Severity::Blocker,
        OLD_TRANSACTIONS.. => Severity::Warning,
        _ => return None,
    };
    Some(
        Finding::new(
            severity,
            "source-age",
            "the source has not frozen its oldest rows for a long time, and cannot while a move holds its snapshot; at an age of about 2.1 \
             billion it refuses writes (wraparound)"
                .to_owned(),
            to_paste(
                if facts.basis.source.in_recovery {
                    "Find what holds vacuum back (old transactions, replication slots, prepared transactions), and then, in the database on the \
                     primary:"
                } else {
                    "Find what holds vacuum back (old transactions, replication slots, prepared transactions), and then, in the source \
                     database:"
                },
                ["VACUUM (FREEZE);".to_owned()],
            ),
        )
        .with_evidence([format!(
            "age in transactions: {}; in multixacts: {}",
            Rows(state.transactions),
            Rows(state.multixacts)
        )]),
    )
}

/// Servers up to 16 can be told to take old snapshots away.
fn snapshot_expires(facts: &CheckFacts<'_>) -> Option<Finding> {
    let after_ms = facts.source.amount("old_snapshot_threshold")?;
    Some(Finding::warning(
        "source-snapshot-expires",
        format!(
            "the source lets snapshots expire after {} (old_snapshot_threshold): a move that reads for longer may fail with \"snapshot too \
             old\"",
            how_long(after_ms / 1000)
        ),
        to_paste(
            "On the source, for the time of the move (needs a restart):",
            with_restart(&[Change::new(
                "old_snapshot_threshold",
                "-1",
                facts.source.spelled("old_snapshot_threshold"),
            )]),
        ),
    ))
}

fn target_in_use(facts: &CheckFacts<'_>) -> Option<Finding> {
    let sessions = &facts.target.sessions;
    // The database that is yet to be created has no visitors.
    if sessions.is_empty() || facts.basis.create {
        return None;
    }
    let shown = sessions.iter().map(|guest| guest.holder.to_string());
    Some(
        Finding::warning(
            "target-in-use",
            "other sessions are connected to the target database: what they create, write or lock there gets in the way"
                .to_owned(),
            "Keep the application away from the target until the move is proven.",
        )
        .with_evidence(some(shown)),
    )
}

/// The first few, and how many more there are.
fn some(shown: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    let more = shown.len().saturating_sub(SESSIONS_SHOWN);
    let mut some: Vec<String> = shown.take(SESSIONS_SHOWN).collect();
    if more > 0 {
        some.push(format!("and {more} more"));
    }
    some
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::super::{CheckFacts, PreflightFacts};
    use super::findings;
    use crate::catalog::{BarringLock, Guest, Holder, Prepared, Pulse};
    use crate::model::{QualifiedName, Severity};

    fn guest(seconds: u64, has_written: bool) -> Guest {
        Guest {
            holder: Holder {
                pid: 7,
                state: Some("idle in transaction".into()),
                ..Holder::default()
            },
            in_transaction: true,
            transaction_seconds: seconds,
            has_written,
        }
    }

    fn found(change: impl FnOnce(&mut World)) -> Vec<String> {
        let mut world = World::default();
        change(&mut world);
        let found = findings(&world.check_facts());
        rules(&found).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_quiet_source_has_nothing_to_be_told() {
        assert_eq!(found(|_| ()), [""; 0]);
        assert_eq!(
            found(|world| world.source_now.sessions = vec![guest(59, false)]),
            [""; 0]
        );
    }

    #[test]
    fn whoever_writes_or_stays_long_is_named() {
        for (guest, rule) in [
            (guest(0, true), "source-transactions"),
            (guest(60, false), "source-transactions"),
        ] {
            assert_eq!(
                found(|world| world.source_now.sessions = vec![guest]),
                [rule]
            );
        }
        let hidden = Guest::default();
        assert_eq!(
            found(|world| world.source_now.sessions = vec![hidden]),
            ["sessions-hidden"]
        );
        assert_eq!(
            found(|world| world.target_now.sessions = vec![guest(0, false)]),
            ["target-in-use"]
        );
    }

    #[test]
    fn many_sessions_are_summed_up() {
        let mut world = World::default();
        world.source_now.sessions = vec![guest(0, true); 8];
        let found = findings(&world.check_facts());
        assert_eq!(found[0].evidence.len(), 6);
        assert_eq!(found[0].evidence[5], "and 3 more");
    }

    #[test]
    fn rows_that_are_written_in_between_are_counted() {
        let mut world = World::default();
        world.pulses.1 = Pulse {
            at_ms: 1_500,
            next_transaction: 9,
            rows_written: 12,
        };
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["source-written"]);
        assert_eq!(
            found[0].evidence,
            ["12 rows inserted, updated or deleted within 1.5 s"]
        );
        // Maintenance takes transaction ids as well; on a standby nothing else is known.
        world.pulses.1.rows_written = 0;
        assert_eq!(findings(&world.check_facts()), []);
        world.source.in_recovery = true;
        assert_eq!(rules(&findings(&world.check_facts())), ["source-written"]);
    }

    #[test]
    fn locks_forbid_and_prepared_transactions_are_warned_of() {
        let mut world = World::default();
        world.source_now.locks = vec![BarringLock {
            relation: QualifiedName::new("public", "a"),
            granted: true,
            holder: Holder::default(),
        }];
        world.source_now.prepared = vec![Prepared {
            name: "it's".into(),
            role: "bob".into(),
            seconds: 3,
        }];
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["source-locked", "source-prepared"]);
        assert_eq!(found[0].severity, Severity::Blocker);
        // What is left out need not be open.
        let of_a_part = |world: &World| {
            let facts = world.check_facts();
            let basis = PreflightFacts {
                selective: true,
                ..facts.basis
            };
            let found = findings(&CheckFacts { basis, ..facts });
            rules(&found).contains(&"source-locked")
        };
        assert!(!of_a_part(&world));
        world.entry("TABLE", "a", "CREATE TABLE public.a ();");
        assert!(of_a_part(&world));
        let remedy = &found[1].remedy;
        let lines: Vec<&str> = remedy.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "COMMIT PREPARED 'it''s';",
                "-- or, instead: ROLLBACK PREPARED 'it''s';"
            ]
        );
    }

    #[test]
    fn age_is_warned_of_and_then_forbids() {
        for (transactions, severity) in [
            (999_999_999, None),
            (1_000_000_000, Some(Severity::Warning)),
            (1_900_000_000, Some(Severity::Blocker)),
        ] {
            let mut world = World::default();
            world.source_now.state.transactions = transactions;
            let found = findings(&world.check_facts());
            let told = found.first().map(|finding| finding.severity);
            assert_eq!(told, severity, "{transactions}");
        }
    }

    #[test]
    fn snapshots_that_expire_are_warned_of() {
        assert_eq!(
            found(|world| world.source_setting("old_snapshot_threshold", "60", Some(3_600_000))),
            ["source-snapshot-expires"]
        );
        assert_eq!(
            found(|world| world.source_setting("old_snapshot_threshold", "-1", Some(-1))),
            [""; 0]
        );
    }
}
