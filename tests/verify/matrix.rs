//! The damage matrix: every damage of the list, each done to a fresh copy of what was moved, must be found by name, and
//! nothing else with it; then the repair that was offered is run, and nothing may be left to be found.
//!
//! By default many damages to different objects are done to one copy, and all of them must be found; if that does not come out, each half of
//! them is done without the other, down to each alone. The whole matrix (`make test-matrix`) does all of the list, each alone from the first.
//! Either begins with a copy that nothing was done to, of which nothing must be found.
//!
//! A copy is made by `create database … template …`, which takes a tenth of a second. What belongs to a database and is not
//! in it (its settings, its subscriptions) does not come with it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::list::{Damage, Fixture, wanted, whole};
use crate::support::moving::{self, assert_proven, move_with};
use crate::support::server::Server;
use crate::support::template::Holding;
use crate::verified::{Verified, verify};

/// The fixture's subscription, which connects to nothing. A copy of a database has none.
const SUBSCRIPTION: &str = r#"set client_min_messages = error;
    create subscription "zoo Sub" connection 'host=nowhere.invalid user=me dbname=x' publication "zoo All", zoo_some
        with (connect = false, slot_name = none, enabled = false, synchronous_commit = off);
    comment on subscription "zoo Sub" is 'a subscription''s comment';"#;
const NO_SUBSCRIPTION: &str = r"select format('drop subscription %I', subname) from pg_catalog.pg_subscription
    where subdbid = (select oid from pg_catalog.pg_database where datname = current_database())
    \gexec";

/// Settings of the database, which a copy of it has not either.
const SETTINGS: &str = r#"alter database :"DBNAME" set work_mem = '7MB';
    alter role zoo_owner in database :"DBNAME" set statement_timeout = '3min';"#;

/// No row without a replica identity can be changed while it is published.
const HUSH: &str = "update pg_catalog.pg_publication set pubupdate = false, pubdelete = false
    where pubname in ('zoo All', 'zoo of schema')";
const UNHUSH: &str = "reset session_replication_role;
    update pg_catalog.pg_publication set pubupdate = pubname = 'zoo of schema', pubdelete = true
    where pubname in ('zoo All', 'zoo of schema');";

/// A server with a source, and a database that it was moved to.
struct Moved {
    server: Server,
    fixture: Fixture,
}

impl Moved {
    fn start(fixture: Fixture) -> Option<Self> {
        let (major, zoo) = match fixture {
            Fixture::Zoo => (15, Some(Holding::zoo("pg_dump=18"))),
            Fixture::Zoo18 => (18, Some(Holding::zoo("subscription=off"))),
            Fixture::Contrib | Fixture::Mastodon => (15, None),
        };
        let server = Server::start_holding(major, zoo.as_ref(), |options| options)?;
        let moved = Self { server, fixture };
        moved.build();
        let run = move_with(&moved.of("source"), &moved.of("moved"), &[]);
        assert_proven(&run);
        if moved.is_zoo() {
            moved.server.psql("moved", HUSH);
        }
        Some(moved)
    }

    fn build(&self) {
        let server = &self.server;
        server.database("moved");
        if self.is_zoo() {
            server.psql("postgres", "alter database zoo rename to source");
            server.psql("source", include_str!("unruly.sql"));
        } else {
            server.database("source");
        }
        match self.fixture {
            Fixture::Zoo => drop(server.psql("source", SETTINGS)),
            Fixture::Zoo18 => drop(server.psql("source", SUBSCRIPTION)),
            Fixture::Contrib => moving::build(server, "source", "zoo-contrib.sql", ""),
            Fixture::Mastodon => moving::build(server, "source", "mastodon.sql", "scale=0.001"),
        }
    }

    fn is_zoo(&self) -> bool {
        matches!(self.fixture, Fixture::Zoo | Fixture::Zoo18)
    }

    fn of(&self, database: &str) -> String {
        self.server.conninfo(database)
    }

    /// Makes a fresh copy and does the damage to it.
    fn damaged(&self, sql: &str) -> Result<(), String> {
        // Copying the files takes a third of the time of copying them by way of the log.
        let copy = "create database damaged template moved strategy file_copy";
        self.server.psql("postgres", copy);
        let mut script = String::new();
        if self.fixture == Fixture::Zoo18 {
            script.push_str(SUBSCRIPTION);
        }
        if self.fixture == Fixture::Zoo {
            script.push_str(SETTINGS);
        }
        script.push_str(sql);
        script.push('\n');
        if self.is_zoo() {
            script.push_str(UNHUSH);
        }
        self.server.try_psql("damaged", &script).map(drop)
    }

    fn drop_copy(&self) {
        if self.fixture == Fixture::Zoo18 {
            self.server.psql("damaged", NO_SUBSCRIPTION);
        }
        let sql = "drop database damaged with (force)";
        self.server.psql("postgres", sql);
    }

    fn verify(&self) -> Verified {
        verify(&self.of("source"), &self.of("damaged"), &[])
    }

    /// Everything that is wrong with what is said of damages that are there together.
    fn look(&self, damages: &[Damage]) -> Result<(), String> {
        let all = Damage::together(damages);
        self.damaged(&all.sql)
            .map_err(|said| format!("the damage can't be done: {said}"))?;
        let found = self.verify();
        found.is_just(&all)?;
        if all.expected.is_empty() {
            return Ok(());
        }
        let repair = found.repair();
        let not_covered: Vec<&String> = damages
            .iter()
            .filter_map(|damage| damage.not_covered.as_ref())
            .collect();
        for reason in &not_covered {
            found.repair_says(reason)?;
        }
        // What a file does not cover, it must not touch: either way it runs through to its end.
        self.server
            .try_psql("damaged", &repair)
            .map_err(|said| format!("the repair fails: {said}\n{}", beginning(&repair)))?;
        if !not_covered.is_empty() {
            return Ok(());
        }
        let after = self.verify();
        after
            .is_clean()
            .map_err(|said| format!("after the repair: {said}\n{}", beginning(&repair)))
    }

    /// Of a copy that nothing was done to, nothing is said.
    fn look_at_undamaged(&self) {
        self.damaged("").expect("no damage can be done");
        let found = self.verify();
        found
            .is_clean()
            .unwrap_or_else(|said| panic!("undamaged, but: {said}"));
        self.drop_copy();
    }

    /// What is wrong with some damages; each half without the other, if together they do not come out.
    fn look_closer(&self, damages: &[Damage]) -> Vec<String> {
        let began = Instant::now();
        let looked = self.look(damages);
        self.drop_copy();
        let title = Damage::together(damages).title;
        if began.elapsed() > SLOW {
            println!("slow: {title} took {:?}", began.elapsed());
        }
        match (looked, damages) {
            (Ok(()), _) => Vec::new(),
            (Err(said), [_]) => vec![format!("# {title}\n{said}")],
            (Err(said), _) => {
                println!("not together: {title}\n{said}");
                let halves = damages.chunks(damages.len().div_ceil(2));
                halves.flat_map(|half| self.look_closer(half)).collect()
            }
        }
    }
}

/// So many damages at once.
const AT_ONCE: usize = 12;
/// Damages that take longer are told.
const SLOW: Duration = Duration::from_secs(15);

/// Damages to different objects, as many as are done together; each group is repaired in the same way.
fn groups(damages: Vec<Damage>) -> Vec<Vec<Damage>> {
    // Each with what all of its damages are about.
    let mut groups: Vec<(Vec<Damage>, BTreeSet<String>)> = Vec::new();
    for damage in damages {
        let subjects = damage.subjects();
        let fits = |(group, taken): &(Vec<Damage>, BTreeSet<String>)| {
            group.len() < AT_ONCE
                && group[0].is_repaired_like(&damage)
                && taken.is_disjoint(&subjects)
        };
        match groups.iter_mut().find(|group| fits(group)) {
            Some((group, taken)) => {
                group.push(damage);
                taken.extend(subjects);
            }
            None => groups.push((vec![damage], subjects)),
        }
    }
    groups.into_iter().map(|(group, _)| group).collect()
}

/// Enough of a repair for a person: what is its own, and not megabytes of values.
fn beginning(repair: &str) -> String {
    let cut = |line: &str| line.chars().take(300).collect::<String>();
    let own = repair
        .lines()
        .skip_while(|line| !line.starts_with("-- Of "))
        .filter(|line| !line.starts_with("set ") && !line.is_empty());
    own.take(40).map(cut).collect::<Vec<_>>().join("\n")
}

/// Every `of`th damage of a fixture, beginning with `number`. Some alone: `PGCONVOY_TEST_DAMAGE="one byte|too many"`.
fn every(of: usize, number: usize, fixture: Fixture) {
    // To begin takes as long as many damages do: the selection is done in an eighth of the parts.
    let of = if whole() { of } else { of.div_ceil(8) };
    if number >= of {
        return;
    }
    let title = std::env::var("PGCONVOY_TEST_DAMAGE").unwrap_or_default();
    let mine: Vec<Damage> = wanted()
        .into_iter()
        .filter(|damage| damage.fixture == fixture)
        .skip(number)
        .step_by(of)
        .filter(|damage| title.split('|').any(|words| damage.title.contains(words)))
        .collect();
    if mine.is_empty() {
        return;
    }
    let started = Instant::now();
    let Some(moved) = Moved::start(fixture) else {
        return;
    };
    let started = started.elapsed();
    if number == 0 {
        moved.look_at_undamaged();
    }
    let count = mine.len();
    let groups = if whole() {
        mine.into_iter().map(|damage| vec![damage]).collect()
    } else {
        groups(mine)
    };
    let looked = groups.iter().flat_map(|group| moved.look_closer(group));
    let failures: Vec<String> = looked.collect();
    println!(
        "{count} damages, {} not as they should be, after {started:?} to begin",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

macro_rules! shards {
    ($($test:ident: $number:literal of $of:literal, $fixture:ident;)*) => {
        $(#[test]
        fn $test() {
            every($of, $number, Fixture::$fixture);
        })*
    };
}

// As many parts as keep a small machine busy to the end: each starts a server, builds, and moves.
shards! {
    damages_of_the_zoo_0: 0 of 16, Zoo;
    damages_of_the_zoo_1: 1 of 16, Zoo;
    damages_of_the_zoo_2: 2 of 16, Zoo;
    damages_of_the_zoo_3: 3 of 16, Zoo;
    damages_of_the_zoo_4: 4 of 16, Zoo;
    damages_of_the_zoo_5: 5 of 16, Zoo;
    damages_of_the_zoo_6: 6 of 16, Zoo;
    damages_of_the_zoo_7: 7 of 16, Zoo;
    damages_of_the_zoo_8: 8 of 16, Zoo;
    damages_of_the_zoo_9: 9 of 16, Zoo;
    damages_of_the_zoo_10: 10 of 16, Zoo;
    damages_of_the_zoo_11: 11 of 16, Zoo;
    damages_of_the_zoo_12: 12 of 16, Zoo;
    damages_of_the_zoo_13: 13 of 16, Zoo;
    damages_of_the_zoo_14: 14 of 16, Zoo;
    damages_of_the_zoo_15: 15 of 16, Zoo;
    damages_of_the_zoo_on_18_0: 0 of 2, Zoo18;
    damages_of_the_zoo_on_18_1: 1 of 2, Zoo18;
    damages_of_contrib: 0 of 1, Contrib;
    damages_of_mastodon: 0 of 1, Mastodon;
}
