//! Settings of the target that make the move itself slow, or keep it from ending, each with what it costs there by what was measured; and
//! commits that wait long, which slow down the application after the move.
//!
//! Not here: `maintenance_work_mem`, `synchronous_commit`, `vacuum_cost_delay` and the like, which a move sets for its own sessions; and
//! settings that make the new server slow for the application, which are compared between both servers afterwards and before.

use super::CheckFacts;
use super::capacity::Amounts;
use super::meanwhile::{Change, RELOAD, with_reload, with_restart};
use crate::model::{Bytes, Finding, Rows, Severity, how_long, to_paste};

/// So many forced checkpoints are worth a warning.
const MANY_CHECKPOINTS: u64 = 4;
/// A `checkpoint_timeout` that is worth setting for the time of a move: `30min`.
const LONG_TIMEOUT_MS: u64 = 30 * 60 * 1000;

/// More room for write-ahead log than this is never advised.
const MOST_ADVISED: u64 = 64 << 30;

/// A spinning disk writes within some ten milliseconds: one that takes twice as long is hindered by something, or far away.
const SLOW_COMMIT_US: u64 = 20_000;

pub(super) fn findings(facts: &CheckFacts<'_>) -> Vec<Finding> {
    [
        synchronous_standbys(facts),
        archiver(facts),
        checkpoints(facts),
        logged(facts),
        commits(facts),
        memory_for_the_largest(facts),
        without_checksums(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Commits do not wait for standbys during a move, but the last one does: what is called proven is to last.
fn synchronous_standbys(facts: &CheckFacts<'_>) -> Option<Finding> {
    let names = facts.target.setting("synchronous_standby_names");
    if names.is_empty() {
        return None;
    }
    let consumers = facts.target.log_consumers;
    let needed = standbys_needed(names);
    let remedy = to_paste(
        "On the target, for the time of the move (with synchronous_standby_names empty, a commit returns before any standby has it):",
        with_reload(&[Change::new(
            "synchronous_standby_names",
            "''",
            Some(names.to_owned()),
        )]),
    );
    let found = if consumers.synchronous < needed && consumers.hidden == 0 {
        let (wanted, there) = (Rows(needed), Rows(consumers.synchronous));
        Finding::blocker(
            "target-synchronous-standbys",
            format!(
                "commits on the target wait for synchronous standbys: they need {wanted}, and {there} are connected, so that the \
                 move's last commit would wait for ever"
            ),
            remedy,
        )
    } else {
        Finding::warning(
            "target-synchronous-standbys",
            "commits on the target wait for a synchronous standby: the move's last commit waits until it has all of the copy"
                .to_owned(),
            remedy,
        )
    };
    Some(found.with_evidence([format!("synchronous_standby_names = '{names}'")]))
}

/// How many must confirm a commit: `a, b` is one, `2 (a, b, c)`, `FIRST 2 (…)` and `ANY 2 (…)` are two.
fn standbys_needed(names: &str) -> u64 {
    let number = names.split_once('(').map(|(before, _)| before);
    let number = number.and_then(|before| before.split_whitespace().last());
    number.and_then(|number| number.parse().ok()).unwrap_or(1)
}

fn archiver(facts: &CheckFacts<'_>) -> Option<Finding> {
    if !matches!(facts.target.setting("archive_mode"), "on" | "always") {
        return None;
    }
    let consumers = facts.target.log_consumers;
    let (severity, what) = if consumers.archiver_fails {
        (
            Severity::Warning,
            "the target's archiver is failing: all of the write-ahead log of the move would stay on its disk",
        )
    } else {
        (
            Severity::Note,
            "the target archives its write-ahead log: everything that the move writes is archived as well",
        )
    };
    let found = Finding::new(
        severity,
        "target-archiver",
        what.to_owned(),
        to_paste(
            "Make sure that the archive has the room and the command works (pg_stat_archiver). Or switch archiving off on the target until the \
             first backup after the move (needs a restart, now and when it is switched on again):",
            with_restart(&[Change::new(
                "archive_mode",
                "off",
                facts.target.spelled("archive_mode"),
            )]),
        ),
    );
    let total = Amounts::of(facts).total();
    let amount = format!(
        "the move writes about {total}; the archiver has failed {} times",
        Rows(consumers.archiver_failures)
    );
    let logging = facts.measured.and_then(|road| road.logging(total));
    Some(found.with_evidence(std::iter::once(amount).chain(logging)))
}

/// How often a load of that size fills half of `max_wal_size`, at which the server begins the next checkpoint.
fn forced_checkpoints(total: Bytes, max_wal_size: u64) -> u64 {
    total.0 / (max_wal_size / 2).max(1)
}

fn checkpoints(facts: &CheckFacts<'_>) -> Option<Finding> {
    let max_wal_size = facts.target.amount("max_wal_size")?;
    let total = Amounts::of(facts).total();
    let forced = forced_checkpoints(total, max_wal_size);
    // With more than half of the load there are fewer than four: what is advised here is not complained of afterwards.
    let enough = (total.0 / 2).saturating_add(1).next_power_of_two();
    let advised = enough.clamp(1 << 30, MOST_ADVISED);
    let mut changes = vec![Change::new(
        "max_wal_size",
        format!("'{}MB'", advised >> 20),
        facts.target.spelled("max_wal_size"),
    )];
    let timeout = facts.target.amount("checkpoint_timeout");
    if timeout.is_none_or(|ms| ms < LONG_TIMEOUT_MS) {
        let now = facts.target.spelled("checkpoint_timeout");
        changes.push(Change::new("checkpoint_timeout", "'30min'", now));
    }
    (forced >= MANY_CHECKPOINTS && max_wal_size < MOST_ADVISED).then(|| {
        Finding::warning(
            "target-checkpoints",
            format!(
                "max_wal_size on the target is {}: writing about {total} forces about {} checkpoints, each of which writes out all \
                 that was changed",
                Bytes(max_wal_size),
                Rows(forced)
            ),
            to_paste(
                "On the target, if its disk has the room (the comment undoes it after the move):",
                with_reload(&changes),
            ),
        )
        .with_evidence(how_soon(facts, Bytes(max_wal_size / 2)))
    })
}

/// When one checkpoint follows another.
fn how_soon(facts: &CheckFacts<'_>, half: Bytes) -> Vec<String> {
    let timeout = facts.target.amount("checkpoint_timeout");
    let timeout = timeout.map_or_else(String::new, |ms| {
        format!(", and every {} in any case", how_long(ms / 1000))
    });
    let begins = format!("one begins whenever {half} have been written{timeout}");
    let copying = facts.measured.and_then(|road| road.copying(half));
    std::iter::once(begins).chain(copying).collect()
}

/// Rows that are copied into a table in the transaction that emptied it need not be logged; only with `wal_level = minimal` are
/// they not.
fn logged(facts: &CheckFacts<'_>) -> Option<Finding> {
    let target = facts.target;
    let max_wal_size = target.amount("max_wal_size")?;
    let total = Amounts::of(facts).total();
    let is_alone = target.log_consumers.connected == 0
        && target.slots.is_empty()
        && target.setting("archive_mode") == "off"
        // Incremental backups; from 17 on a server that sums its log up for them does not start with wal_level = minimal.
        && target.setting("summarize_wal") != "on";
    let level = target.setting("wal_level");
    let much = forced_checkpoints(total, max_wal_size) >= MANY_CHECKPOINTS;
    (much && is_alone && !matches!(level, "" | "minimal")).then(|| {
        Finding::note(
            "target-logs-all",
            format!(
                "the target logs every row that is copied (wal_level = {level}), about {total}, and nothing reads that log"
            ),
            to_paste(
                "To avoid that, on the target, for the time of the move (needs a restart; set both back, and restart it again, before the \
                 first standby or base backup):",
                with_restart(&[
                    Change::new("wal_level", "minimal", Some(level.to_owned())),
                    Change::new("max_wal_senders", "0", target.spelled("max_wal_senders")),
                ]),
            ),
        )
        .with_evidence(facts.measured.and_then(|road| road.logging(total)))
    })
}

/// A move hardly commits; an application does.
fn commits(facts: &CheckFacts<'_>) -> Option<Finding> {
    let commit_us = facts.measured?.log?.commit_us;
    let delay_us = facts.target.amount("commit_delay").unwrap_or(0);
    let remedy = if delay_us > 0 {
        to_paste(
            "The setting commit_delay makes them wait; on the target:",
            [
                "ALTER SYSTEM SET commit_delay = 0;".to_owned(),
                RELOAD.to_owned(),
            ],
        )
    } else {
        "Give the target's write-ahead log (pg_wal) a disk that confirms writes sooner, before the application goes there. On the target's \
         machine, pg_test_fsync says how long the disk itself takes."
            .to_owned()
    };
    (commit_us >= SLOW_COMMIT_US).then(|| {
        Finding::warning(
            "target-commits",
            format!(
                "a commit on the target waits {} ms until it is on disk: a session there cannot commit more than {} times a second",
                commit_us / 1000,
                1_000_000 / commit_us
            ),
            remedy,
        )
        .with_evidence([format!(
            "measured just now: the shortest of some commits; commit_delay = {delay_us} µs, wal_sync_method = {}",
            facts.target.setting("wal_sync_method")
        )])
    })
}

fn memory_for_the_largest(facts: &CheckFacts<'_>) -> Option<Finding> {
    let memory = facts.plan.memory;
    let largest = Amounts::of(facts).largest?;
    (largest.bytes > memory).then(|| {
        Finding::note(
            "index-memory",
            format!(
                "all index builds together have {memory} of memory, and the index {} alone is {}: it is sorted on disk",
                largest.name.shown(),
                largest.bytes
            ),
            "If the target's machine has more to spare, give the move more: --memory SIZE.",
        )
        // The latter is from benches/README.md.
        .with_evidence(facts.measured.map(|road| road.indexing(largest.bytes)).into_iter().chain([
            "in one measurement, all indexes and keys of a 2 GB database took 21.8 s with 64 MB, and 12 to 13 s with 512 MB or more"
                .to_owned(),
        ]))
    })
}

fn without_checksums(facts: &CheckFacts<'_>) -> Option<Finding> {
    (facts.target.setting("data_checksums") == "off").then(|| {
        Finding::note(
            "target-checksums",
            "the target has no data checksums: a disk that returns something other than what was written would go unnoticed".to_owned(),
            "With the server stopped and the database still empty this takes seconds: pg_checksums --enable (12 and later), or make the \
             cluster with initdb --data-checksums.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::*;

    fn found(change: impl FnOnce(&mut World)) -> Vec<(Severity, String)> {
        let mut world = World::default();
        change(&mut world);
        let found = findings(&world.check_facts()).into_iter();
        found.map(|one| (one.severity, one.rule)).collect()
    }

    fn one(severity: Severity, rule: &str) -> Vec<(Severity, String)> {
        vec![(severity, rule.to_owned())]
    }

    #[test]
    fn a_synchronous_standby_that_is_not_there_forbids() {
        let rule = "target-synchronous-standbys";
        let named = |world: &mut World| {
            world.target_setting("synchronous_standby_names", "a", None);
        };
        assert_eq!(found(named), one(Severity::Blocker, rule));
        let there = |world: &mut World| {
            named(world);
            world.target_now.log_consumers.synchronous = 1;
        };
        assert_eq!(found(there), one(Severity::Warning, rule));
        let two = |world: &mut World| {
            there(world);
            world.target_setting("synchronous_standby_names", "ANY 2 (a, b, c)", None);
        };
        assert_eq!(
            found(two),
            one(Severity::Blocker, rule),
            "one waits for ever"
        );
        let both = |world: &mut World| {
            two(world);
            world.target_now.log_consumers.synchronous = 2;
        };
        assert_eq!(found(both), one(Severity::Warning, rule));
        let mut world = World::default();
        two(&mut world);
        let told = findings(&world.check_facts());
        let back = "ALTER SYSTEM SET synchronous_standby_names = 'ANY 2 (a, b, c)'; SELECT pg_reload_conf();";
        assert!(told[0].remedy.ends_with(back), "{told:?}");
        let empty = |world: &mut World| world.target_setting("synchronous_standby_names", "", None);
        assert_eq!(found(empty), []);
    }

    #[test]
    fn an_archiver_is_told_of_and_a_failing_one_is_warned_of() {
        let on = |world: &mut World| world.target_setting("archive_mode", "on", None);
        assert_eq!(found(on), one(Severity::Note, "target-archiver"));
        let fails = |world: &mut World| {
            on(world);
            world.target_now.log_consumers.archiver_fails = true;
        };
        assert_eq!(found(fails), one(Severity::Warning, "target-archiver"));
    }

    #[test]
    fn many_forced_checkpoints_are_counted() {
        let mut world = World::default();
        world.copied("t", Bytes(10 << 30));
        world.target_setting("max_wal_size", "1024", Some(1 << 30));
        world.target_setting("wal_level", "replica", None);
        world.target_setting("max_wal_senders", "10", None);
        world.target_setting("archive_mode", "off", None);
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["target-checkpoints", "target-logs-all"]);
        assert!(found[0].what.contains("about 20 checkpoints"), "{found:?}");
        assert!(
            found[0].remedy.contains("max_wal_size = '8192MB'"),
            "{found:?}"
        );
        let back = "\n-- after the move, as it was: ALTER SYSTEM SET max_wal_size = '1024'; ALTER SYSTEM RESET checkpoint_timeout; \
                    SELECT pg_reload_conf();";
        assert!(found[0].remedy.ends_with(back), "{found:?}");
        let back = "\n-- after the move, as it was: ALTER SYSTEM SET wal_level = 'replica'; ALTER SYSTEM SET max_wal_senders = '10';";
        assert!(found[1].remedy.ends_with(back), "{found:?}");
        world.target_setting("max_wal_size", "8192", Some(8 << 30));
        assert_eq!(findings(&world.check_facts()), []);
    }

    /// What is advised is more than there is, and is enough.
    #[test]
    fn checkpoints_are_not_complained_of_twice() {
        for (gigabytes, max) in [(10, 5), (6, 3), (2, 1), (300, 60), (1024, 1), (1 << 20, 63)] {
            let mut world = World::default();
            world.copied("t", Bytes(gigabytes << 30));
            world.target_setting("max_wal_size", "", Some(max << 30));
            let found = findings(&world.check_facts());
            assert_eq!(rules(&found), ["target-checkpoints"], "{gigabytes}");
            let advised = found[0].remedy.split_once("max_wal_size = '");
            let advised = advised.and_then(|(_, rest)| rest.split_once("MB'"));
            let advised: i64 = advised.and_then(|(mb, _)| mb.parse().ok()).expect("a size");
            assert!(advised > max << 10, "{gigabytes}: {}", found[0].remedy);
            world.target_setting("max_wal_size", "", Some(advised << 20));
            assert_eq!(findings(&world.check_facts()), [], "{gigabytes}");
        }
    }

    #[test]
    fn an_index_that_does_not_fit_into_memory_is_told() {
        let mut world = World::default();
        world.copied("t", Bytes(1));
        world.index("i", "t", Bytes(2 << 30));
        world.plan.memory = Bytes(1 << 30);
        assert_eq!(rules(&findings(&world.check_facts())), ["index-memory"]);
        world.plan.memory = Bytes(2 << 30);
        assert_eq!(findings(&world.check_facts()), []);
    }

    #[test]
    fn what_was_measured_says_what_a_setting_costs() {
        let mut world = World::default();
        world.copied("t", Bytes(10 << 30));
        world.index("i", "t", Bytes(1 << 30));
        world.target_setting("max_wal_size", "1024", Some(1 << 30));
        world.target_setting("checkpoint_timeout", "300", Some(300_000));
        world.target_setting("wal_level", "replica", None);
        world.target_setting("archive_mode", "off", None);
        world.plan.memory = Bytes(512 << 20);
        let evidence = |world: &World, rule: &str| {
            let mut found = findings(&world.check_facts()).into_iter();
            let found = found.find(|one| one.rule == rule);
            found.unwrap_or_else(|| panic!("no {rule}")).evidence
        };
        assert!(evidence(&world, "target-logs-all").is_empty());
        assert_eq!(
            evidence(&world, "target-checkpoints"),
            ["one begins whenever 512.0 MB have been written, and every 5 min in any case"]
        );
        assert_eq!(evidence(&world, "index-memory").len(), 1);
        world.measure(100);
        for (rule, ends) in [
            ("target-logs-all", "11.0 GB take 2 min"),
            ("target-checkpoints", "512.0 MB take 4 min"),
        ] {
            let evidence = evidence(&world, rule);
            let last = evidence.last().expect("measured");
            assert!(last.ends_with(ends), "{last}");
        }
        let of_memory = evidence(&world, "index-memory");
        assert!(
            of_memory[0].ends_with("this one takes 17 min"),
            "{of_memory:?}"
        );
        assert_eq!(of_memory.len(), 2);
        world.target_setting("archive_mode", "on", None);
        let archiver = evidence(&world, "target-archiver");
        assert!(archiver[1].ends_with("11.0 GB take 2 min"), "{archiver:?}");
    }

    #[test]
    fn commits_that_wait_long_are_warned_of() {
        let mut world = World::default();
        world.measure(19_999);
        assert_eq!(findings(&world.check_facts()), []);
        world.measure(52_500);
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["target-commits"]);
        let Finding { what, remedy, .. } = &found[0];
        assert!(
            what.contains("waits 52 ms") && what.contains("than 19 times"),
            "{what}"
        );
        assert!(remedy.contains("pg_test_fsync"), "{remedy}");
        world.target_setting("commit_delay", "50000", Some(50_000));
        let found = findings(&world.check_facts());
        assert!(
            found[0]
                .remedy
                .ends_with("commit_delay = 0;\nSELECT pg_reload_conf();"),
            "{found:?}"
        );
    }

    #[test]
    fn missing_checksums_are_told() {
        let off = |world: &mut World| world.target_setting("data_checksums", "off", None);
        assert_eq!(found(off), one(Severity::Note, "target-checksums"));
    }
}
