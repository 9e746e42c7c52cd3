//! The table of faults, as faults.txt has it.

use std::collections::{BTreeSet, HashSet};

use pgconvoy::pg::cluster::StopMode;

use crate::case::Before;
use crate::figures::whole;
use crate::lab::Fixture;
use crate::support::proxy::Around;

/// A server, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where from.
    Source,
    /// Where to.
    Target,
    /// One after the other.
    Both,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of the run; what its backends are doing goes on.
    Kill,
    /// SIGKILL, and the end of all its backends on the target.
    KillWithBackends,
    /// SIGKILL, and the end of all its sessions anywhere: nobody holds the snapshot any more.
    KillWithSnapshot,
    /// SIGKILL, and the last line of the record is torn.
    KillAndTear,
    /// `pg_terminate_backend` of sessions by the beginning of their name.
    Terminate {
        /// What their names begin with, after `pgconvoy:`.
        name: String,
        /// On which server.
        side: Side,
    },
    /// The server is stopped and started again.
    Restart {
        /// Which.
        side: Side,
        /// How it is stopped.
        mode: StopMode,
    },
    /// All connections end.
    Cut(Side),
    /// Nothing passes for a while, and nobody is told.
    Freeze(Side),
    /// Little passes.
    Slow(Side),
    /// All connections to the target end around a COMMIT; the moment is what is sent together with it.
    CutAtCommit(Around),
}

impl Fault {
    /// Whether it needs a road that can be disturbed.
    pub fn is_on_the_road(&self) -> bool {
        matches!(
            self,
            Self::Cut(_) | Self::Freeze(_) | Self::Slow(_) | Self::CutAtCommit(_)
        )
    }
}

/// A fault at a moment, for one database.
#[derive(Debug, Clone)]
pub struct Row {
    /// The phase of the run.
    pub phase: String,
    /// Whether it is done by default, and not only when everything is asked for.
    pub by_default: bool,
    /// What is moved.
    pub fixture: Fixture,
    /// What happens.
    pub fault: Fault,
    /// When: a point's name, perhaps with a subject and a number.
    pub moment: String,
    /// When the resumption is killed as well.
    pub then: Option<String>,
    /// The target, before the move.
    pub before: Before,
    /// The line.
    pub title: String,
}

/// The whole table, in its order; a line for both databases is two.
pub fn rows() -> Vec<Row> {
    let mut phase = String::new();
    let mut rows = Vec::new();
    for line in include_str!("faults.txt").lines() {
        if let Some(name) = line.strip_prefix("== ") {
            name.clone_into(&mut phase);
        } else if !line.starts_with('#') && !line.trim().is_empty() {
            rows.extend(parse(line, &phase));
        }
    }
    rows
}

/// What is to be done now: `PGCONVOY_FAULTS=whole` asks for all; `PGCONVOY_TEST_FAULT="kill | copy-|analyze"` for lines with one of these words.
pub fn wanted() -> Vec<Row> {
    let words = std::env::var("PGCONVOY_TEST_FAULT").ok();
    let mut rows = rows();
    rows.retain(|row| match &words {
        Some(words) => words.split(',').any(|words| row.title.contains(words)),
        None => row.by_default || whole(),
    });
    rows
}

fn parse(line: &str, phase: &str) -> Vec<Row> {
    let (by_default, rest) = match line.strip_prefix("* ") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let columns: Vec<&str> = rest.split('|').map(str::trim).collect();
    let &[databases, what, moment, before] = columns.as_slice() else {
        panic!("not four columns: {line}");
    };
    let fixtures: &[Fixture] = match databases {
        "zoo" => &[Fixture::Zoo],
        "mastodon" => &[Fixture::Mastodon],
        "both" => &[Fixture::Zoo, Fixture::Mastodon],
        _ => panic!("no database: {line}"),
    };
    let (first, then) = match moment.split_once(", then ") {
        Some((first, then)) => (first, Some(then)),
        None => (moment, None),
    };
    let row = |&fixture: &Fixture| Row {
        phase: phase.to_owned(),
        by_default,
        fixture,
        fault: fault(what).unwrap_or_else(|| panic!("no fault: {line}")),
        moment: first.to_owned(),
        then: then.map(str::to_owned),
        before: match before {
            "" => Before::Empty,
            "create" => Before::Missing,
            "overwrite" => Before::Full,
            _ => panic!("no target: {line}"),
        },
        title: format!("{} | {what} | {moment} | {before}", fixture.name()),
    };
    fixtures.iter().map(row).collect()
}

fn fault(text: &str) -> Option<Fault> {
    match text {
        "kill" => return Some(Fault::Kill),
        "kill with backends" => return Some(Fault::KillWithBackends),
        "kill with snapshot" => return Some(Fault::KillWithSnapshot),
        "kill and tear" => return Some(Fault::KillAndTear),
        "cut before COMMIT" => return Some(Fault::CutAtCommit(Around::Before)),
        "cut after COMMIT" => return Some(Fault::CutAtCommit(Around::After)),
        _ => {}
    }
    let one = |word: &str, fault: fn(Side) -> Fault| Some(fault(side(text.strip_prefix(word)?)?));
    let on_the_road = one("cut ", Fault::Cut)
        .or_else(|| one("freeze ", Fault::Freeze))
        .or_else(|| one("slow ", Fault::Slow));
    if on_the_road.is_some() {
        return on_the_road;
    }
    if let Some(rest) = text.strip_prefix("terminate ") {
        let (name, at) = rest.rsplit_once(" on ")?;
        return Some(Fault::Terminate {
            name: name.to_owned(),
            side: side(at)?,
        });
    }
    let (which, mode) = text.strip_prefix("restart ")?.split_once(' ')?;
    let mode = match mode {
        "fast" => StopMode::Fast,
        "immediate" => StopMode::Immediate,
        _ => return None,
    };
    Some(Fault::Restart {
        side: side(which)?,
        mode,
    })
}

fn side(text: &str) -> Option<Side> {
    match text {
        "source" => Some(Side::Source),
        "target" => Some(Side::Target),
        "both" => Some(Side::Both),
        _ => None,
    }
}

/// The point of a moment: what is in front of its subject and its number.
pub fn point(moment: &str) -> &str {
    let end = moment.find(['[', ':']).unwrap_or(moment.len());
    &moment[..end]
}

#[test]
fn the_table_is_sound() {
    let rows = rows();
    let titles: BTreeSet<&str> = rows.iter().map(|row| row.title.as_str()).collect();
    assert_eq!(titles.len(), rows.len(), "a line is there twice");
    assert!(rows.iter().all(|row| !row.phase.is_empty()));

    let is_kill = |row: &&Row| row.fault == Fault::Kill;
    let moments = rows.iter().filter(is_kill).map(|row| &row.moment);
    let moments = moments.chain(rows.iter().filter_map(|row| row.then.as_ref()));
    let points: BTreeSet<&str> = moments.map(|moment| point(moment)).collect();
    // A sync has nothing to resume: it is killed at its own points in tests/sync, and a follow in tests/follow. What only a restore does is in tests/archives, and what only a dump does in tests/dump.rs.
    let of_archives = ["target-uncleaned", "source-compared", "whole-noted"];
    let all: BTreeSet<&str> = pgconvoy::fault::POINTS
        .iter()
        .map(|point| point.name)
        .filter(|name| !name.starts_with("sync-") && !name.starts_with("follow-"))
        .filter(|name| !of_archives.contains(name))
        .collect();
    assert_eq!(points, all, "a run is killed at every point");
    assert!(points.len() >= 40, "{}", points.len());

    let chosen = rows.iter().filter(|row| row.by_default);
    let chosen: Vec<&Row> = chosen.collect();
    assert!((20..=40).contains(&chosen.len()), "{}", chosen.len());
    let kinds = |rows: &mut dyn Iterator<Item = &Row>| -> HashSet<_> {
        rows.map(|row| std::mem::discriminant(&row.fault)).collect()
    };
    assert_eq!(
        kinds(&mut rows.iter()),
        kinds(&mut chosen.iter().copied()),
        "every kind of fault is done by default"
    );
    let phases = |rows: &mut dyn Iterator<Item = &Row>| -> BTreeSet<String> {
        rows.map(|row| row.phase.clone()).collect()
    };
    assert_eq!(
        phases(&mut rows.iter()),
        phases(&mut chosen.into_iter()),
        "every phase is done by default"
    );
}
