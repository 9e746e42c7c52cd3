//! Whether the copy fits on the target's disks, and an archive on its own.
//!
//! What the source's files take is the most that it can come to: the copy has no gaps and no dead rows. The least is what the rows take
//! without any, by the source's statistics. A disk that has not even room for that is surely too small. Where the disks cannot be seen,
//! the most is told, and a person has to look.

use std::collections::BTreeMap;

use super::CheckFacts;
use super::capacity::{Amounts, indexes};
use crate::catalog::{Disk, Disks};
use crate::model::{Bytes, Finding, QualifiedName, Severity, Word, shell_word, to_paste};

/// The rows of an archive that is packed take about a quarter, or less.
const PACKED_TO: u64 = 4;

pub(super) fn findings(facts: &CheckFacts<'_>) -> Vec<Finding> {
    let amounts = Amounts::of(facts);
    if amounts.total() == Bytes(0) {
        return Vec::new();
    }
    match facts.disks.and_then(|disks| rooms(facts, disks, &amounts)) {
        Some(rooms) => rooms.iter().filter_map(Room::finding).collect(),
        None => vec![unknown(facts, &amounts)],
    }
}

/// What comes to one of the target's disks.
#[derive(Debug)]
struct Room<'a> {
    disk: &'a Disk,
    /// What is free there by the time the copy begins.
    free: Bytes,
    most: Bytes,
    least: Bytes,
    /// What it is made of.
    parts: Vec<String>,
}

impl Room<'_> {
    fn takes(&mut self, (most, least): (Bytes, Bytes), part: String) {
        if most > Bytes(0) {
            self.most += most;
            self.least += least;
            self.parts.push(part);
        }
    }

    fn severity(&self) -> Option<Severity> {
        let narrow = self.most + Bytes(self.most.0 / 5);
        if self.least > self.free && !self.disk.packs {
            Some(Severity::Blocker)
        } else {
            (narrow > self.free).then_some(Severity::Warning)
        }
    }

    fn finding(&self) -> Option<Finding> {
        let severity = self.severity()?;
        let (path, free) = (&self.disk.path, self.free);
        let has = format!("the target's disk at {path} has room for {free}");
        let what = if severity == Severity::Blocker {
            let least = self.least;
            format!("{has}, but the rows that go there take at least {least}")
        } else {
            format!(
                "{has}, but what goes there takes up to {} if none of the source's files is bloat",
                self.most
            )
        };
        let remedy = to_paste(
            "Make room there, or give it a larger disk. To see what it has, on the target's machine:",
            [format!("df -h {}", shell_word(path))],
        );
        let told = if severity == Severity::Blocker {
            Finding::blocker("target-disk", what, remedy)
        } else {
            Finding::warning("target-disk", what, remedy)
        };
        Some(told.with_evidence(self.parts.iter().cloned()))
    }
}

/// The target's disks, each with what comes to it. `None` if its default tablespace is on none that is known.
fn rooms<'a>(
    facts: &CheckFacts<'a>,
    disks: &'a Disks,
    amounts: &Amounts<'_>,
) -> Option<Vec<Room<'a>>> {
    let default = default_tablespace(facts);
    let of_default = disks.tablespaces.get(default)?;
    let mut rooms: BTreeMap<u64, Room<'a>> = BTreeMap::new();
    let mut room_on = |disk: &'a Disk, takes, part| {
        let room = rooms.entry(disk.device).or_insert_with(|| Room {
            disk,
            free: disk.free,
            most: Bytes(0),
            least: Bytes(0),
            parts: Vec::new(),
        });
        room.takes(takes, part);
    };
    for (tablespace, load) in loads(facts, default) {
        let disk = disks.tablespaces.get(tablespace).unwrap_or(of_default);
        let (most, least) = (load.rows + load.indexes, load.least);
        let part = format!(
            "tablespace {tablespace}: rows {} (at least {least}), indexes {}",
            load.rows, load.indexes
        );
        room_on(disk, (most, least), part);
    }
    let only_most = |bytes| (bytes, Bytes(0));
    let large_objects = amounts.large_objects;
    let part = format!("large objects: {large_objects}");
    room_on(of_default, only_most(large_objects), part);
    if let Some(index) = amounts.largest.filter(|one| one.bytes > facts.plan.memory) {
        let part = format!(
            "temporary files while the largest index is sorted: up to {} ({})",
            index.bytes,
            index.name.shown()
        );
        room_on(of_default, only_most(index.bytes), part);
    }
    let log = log_grows_by(facts, disks, amounts.total());
    let part = format!("write-ahead log: {log} more than it has now");
    room_on(&disks.log, only_most(log), part);
    if facts.basis.overwrite.is_some()
        && let Some(room) = rooms.get_mut(&of_default.device)
    {
        room.free += disks.database;
        let freed = format!("freed when the database is emptied: {}", disks.database);
        room.parts.push(freed);
    }
    Some(rooms.into_values().collect())
}

/// What comes to a tablespace.
#[derive(Debug, Default)]
struct Load {
    rows: Bytes,
    least: Bytes,
    indexes: Bytes,
}

/// By tablespace, as the schema has it.
fn loads<'a>(facts: &CheckFacts<'a>, default: &'a str) -> BTreeMap<&'a str, Load> {
    let named = named_tablespaces(facts);
    let of = |name: &QualifiedName| named.get(name).copied().unwrap_or(default);
    let mut loads: BTreeMap<&str, Load> = BTreeMap::new();
    for unit in &facts.plan.tables {
        let load = loads.entry(of(&unit.table)).or_default();
        load.rows += unit.bytes;
        // Of a table that is copied in part, nobody knows in which.
        let least = facts.packed.get(&unit.table);
        if let (Some(least), None) = (least, &unit.condition) {
            load.least += unit.bytes.min(*least);
        }
    }
    for index in indexes(facts) {
        // The entry of an index that serves a constraint is that constraint's, and says so.
        let tag = index.constraint.as_ref().map_or_else(
            || index.name.name.clone(),
            |constraint| Word::from(format!("{} {constraint}", index.table.name)),
        );
        let entry = QualifiedName::new(index.name.schema.clone(), tag);
        loads.entry(of(&entry)).or_default().indexes += index.bytes;
    }
    loads
}

/// What is to be made in another tablespace than the database's own, by schema and tag of its entry.
fn named_tablespaces<'a>(facts: &CheckFacts<'a>) -> BTreeMap<QualifiedName, &'a str> {
    if facts.basis.restore.no_tablespaces {
        return BTreeMap::new();
    }
    let stored = facts.basis.entries().filter(|entry| {
        let kinds = ["TABLE", "INDEX", "CONSTRAINT"];
        kinds.iter().any(|kind| entry.is(kind))
    });
    let named = stored.filter_map(|entry| {
        let tablespace = entry.tablespace.as_ref()?.to_str()?;
        (!tablespace.is_empty()).then_some((entry.qualified_name()?, tablespace))
    });
    named.collect()
}

/// The tablespace of what names none.
fn default_tablespace<'a>(facts: &CheckFacts<'a>) -> &'a str {
    match facts.target_database {
        Some(database) => &database.tablespace,
        None if facts.basis.restore.no_tablespaces => "pg_default",
        None => &facts.source_database.tablespace,
    }
}

/// Everything that is written is logged. Between checkpoints the log stays below a size, unless somebody has it kept.
fn log_grows_by(facts: &CheckFacts<'_>, disks: &Disks, written: Bytes) -> Bytes {
    let target = facts.target;
    let mut slots = target.slots.iter();
    let is_kept = slots.any(|slot| slot.keeps_log && !slot.active);
    if is_kept || target.log_consumers.archiver_fails {
        return written;
    }
    let most = target.amount("max_wal_size").map_or(written, Bytes);
    Bytes(most.min(written).0.saturating_sub(disks.log_bytes.0))
}

/// A server does not say how much room there is on its disks.
fn unknown(facts: &CheckFacts<'_>, amounts: &Amounts<'_>) -> Finding {
    let mut evidence = vec![format!(
        "tables {}, indexes {}, large objects {}",
        amounts.tables, amounts.indexes, amounts.large_objects
    )];
    if let Some(log) = facts.target.amount("max_wal_size") {
        evidence.push(format!(
            "write-ahead log between checkpoints: {} or more (max_wal_size)",
            Bytes(log)
        ));
    }
    if let Some(largest) = amounts.largest {
        evidence.push(format!(
            "temporary files while the largest index is sorted: up to {} ({})",
            largest.bytes,
            largest.name.shown()
        ));
    }
    Finding::note(
        "disk-needed",
        format!(
            "the copy will take at most about {} on the target: what the source takes, which may be bloated",
            amounts.total()
        ),
        to_paste(
            "No server says how much room its disks have. Over its Unix socket, as root or as the server's own user, this check looks \
             itself; otherwise look on the target's machine:",
            ["df -h \"$(psql -Atc 'SHOW data_directory')\"".to_owned()],
        ),
    )
    .with_evidence(evidence)
}

/// Whether an archive in a directory may be too large for its disk. How well the rows can be packed is not known before.
pub fn archive_disk(disk: &Disk, rows: Bytes, is_packed: bool) -> Option<Finding> {
    let (expected, packed) = if is_packed {
        (
            Bytes(rows.0 / PACKED_TO),
            ", perhaps a quarter of that when compressed",
        )
    } else {
        (rows, "")
    };
    let remedy = to_paste(
        "Make room there, or give --archive a place on a larger disk, or compress better (-Z zstd:9). To see what the disk has:",
        [format!("df -h {}", shell_word(&disk.path))],
    );
    (expected > disk.free).then(|| {
        Finding::warning(
            "archive-disk",
            format!(
                "the archive's disk at {} has room for {}, and the rows take up to {rows} on the source{packed}",
                disk.path, disk.free
            ),
            remedy,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, rules};
    use super::*;
    use crate::catalog::Slot;

    const MB: u64 = 1 << 20;

    fn disk(path: &str, device: u64, free_mb: u64) -> Disk {
        Disk {
            path: path.into(),
            device,
            free: Bytes(free_mb * MB),
            packs: false,
        }
    }

    /// Five megabytes of rows, of which four are no bloat, and two of an index, for a target with this much room for its data.
    fn world(free_mb: u64) -> World {
        let mut world = World::default();
        world.copied("t", Bytes(5 * MB));
        world.index("i", "t", Bytes(2 * MB));
        let packed = (QualifiedName::new("public", "t"), Bytes(4 * MB));
        world.packed = BTreeMap::from([packed]);
        world.disks = Some(Disks {
            tablespaces: BTreeMap::from([
                ("pg_default".to_owned(), disk("/data", 1, free_mb)),
                ("fast".to_owned(), disk("/fast disk", 2, 1000)),
            ]),
            log: disk("/data/pg_wal", 3, 1000),
            log_bytes: Bytes(0),
            database: Bytes(3 * MB),
        });
        world
    }

    #[track_caller]
    fn told(world: &World) -> Option<Severity> {
        let found = findings(&world.check_facts());
        assert!(found.len() < 2, "{found:?}");
        found.first().map(|one| {
            assert_eq!(one.rule, "target-disk");
            one.severity
        })
    }

    #[test]
    fn what_is_needed_is_told_with_its_parts_where_the_disks_are_not_known() {
        let mut world = world(1000);
        assert_eq!(told(&world), None);
        world.disks = None;
        let found = findings(&world.check_facts());
        assert_eq!(rules(&found), ["disk-needed"]);
        assert!(found[0].what.contains("7.0 MB"), "{}", found[0].what);
        assert!(findings(&World::default().check_facts()).is_empty());
    }

    #[test]
    fn too_little_forbids_and_what_is_narrow_is_warned_of() {
        for (free_mb, severity) in [
            (3, Some(Severity::Blocker)),
            (4, Some(Severity::Warning)),
            (8, Some(Severity::Warning)),
            (9, None),
        ] {
            assert_eq!(told(&world(free_mb)), severity, "{free_mb}");
        }
        let mut packing = world(3);
        for disk in packing
            .disks
            .iter_mut()
            .flat_map(|disks| disks.tablespaces.values_mut())
        {
            disk.packs = true;
        }
        assert_eq!(told(&packing), Some(Severity::Warning), "who knows how far");
        let mut unanalyzed = world(1);
        unanalyzed.packed.clear();
        assert_eq!(told(&unanalyzed), Some(Severity::Warning), "who knows");
        let found = findings(&world(3).check_facts());
        let Finding { what, remedy, .. } = &found[0];
        assert!(what.contains("/data has room for 3.0 MB"), "{what}");
        assert!(what.contains("at least 4.0 MB"), "{what}");
        assert!(remedy.ends_with("\ndf -h /data"), "{remedy}");
    }

    #[test]
    fn what_is_elsewhere_takes_no_room_here() {
        let mut world = world(3);
        world.entry("TABLE", "t", "").tablespace("fast");
        assert_eq!(told(&world), None, "an index of 2 MB remains");
        world.restore.no_tablespaces = true;
        assert_eq!(told(&world), Some(Severity::Blocker));
        world.target_database.tablespace = "fast".into();
        assert_eq!(told(&world), None);
    }

    #[test]
    fn a_key_is_where_its_constraint_is_to_be() {
        let mut world = world(6);
        world.index("i2", "t", Bytes(MB)).constraint = Some("k".into());
        assert_eq!(told(&world), Some(Severity::Warning));
        world.entry("CONSTRAINT", "t k", "").tablespace("fast");
        world.entry("INDEX", "i", "").tablespace("fast");
        assert_eq!(told(&world), None);
    }

    #[test]
    fn the_log_counts_where_it_is_as_far_as_it_grows() {
        let mut world = world(1000);
        world.target_setting("max_wal_size", "", Some(4 << 20));
        let on = |world: &mut World, free_mb| {
            let disks = world.disks.as_mut().expect("known");
            disks.log.free = Bytes(free_mb * MB);
        };
        for (free_mb, severity) in [(4, Some(Severity::Warning)), (5, None)] {
            on(&mut world, free_mb);
            assert_eq!(told(&world), severity, "{free_mb}");
        }
        on(&mut world, 0);
        world.disks.as_mut().expect("known").log_bytes = Bytes(4 * MB);
        assert_eq!(told(&world), None, "its files are used again");
        on(&mut world, 5);
        world.target_now.slots = vec![Slot {
            keeps_log: true,
            ..Slot::default()
        }];
        assert_eq!(told(&world), Some(Severity::Warning), "all 7 MB stay");
    }

    #[test]
    fn what_shares_a_disk_shares_its_room() {
        let mut world = world(13);
        assert_eq!(told(&world), None);
        world.disks.as_mut().expect("known").log.device = 1;
        assert_eq!(told(&world), Some(Severity::Warning), "7 MB of log as well");
    }

    #[test]
    fn what_is_dropped_first_makes_room() {
        let world = world(6);
        assert_eq!(told(&world), Some(Severity::Warning));
        let mut facts = world.check_facts();
        facts.basis.overwrite = Some("shop");
        assert_eq!(findings(&facts), [], "3 MB more");
    }

    #[test]
    fn an_archive_is_warned_of_when_it_hardly_fits() {
        let told = |free_mb, is_packed| {
            let found = archive_disk(&disk("/my backup", 1, free_mb), Bytes(8 * MB), is_packed);
            found.map(|one| (one.severity, one.remedy.ends_with("df -h '/my backup'")))
        };
        assert_eq!(told(7, false), Some((Severity::Warning, true)));
        assert_eq!(told(8, false), None);
        assert_eq!(told(1, true), Some((Severity::Warning, true)));
        assert_eq!(told(2, true), None);
    }
}
