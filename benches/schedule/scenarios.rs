//! The databases whose schedules are looked at.

use super::database::{Database, Made};
use super::dice::Dice;

const MB: u64 = 1 << 20;

/// Table sizes, index sizes and foreign keys of `fixtures/schemas/mastodon.sql` at scale 1, as a server reported them.
const MASTODON: &str = include_str!("../../fixtures/schedule/mastodon.txt");

/// A named database.
pub struct Scenario {
    /// What it is called in the table.
    pub name: &'static str,
    /// What it holds.
    pub database: Database,
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    let scenario = |name, database| Scenario { name, database };
    vec![
        scenario("mastodon", mastodon(1)),
        scenario("mastodon x 100", mastodon(100)),
        scenario("many", many(3000)),
        scenario("many, tangled", tangled(3000)),
        scenario("many, crowded", crowded(3000)),
        scenario("giant", giant(0)),
        scenario("giant, four keys", giant(4)),
        scenario("star", star()),
    ]
}

/// A social network's database, its sizes multiplied.
pub fn mastodon(factor: u64) -> Database {
    let mut database = Database::default();
    for line in MASTODON.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let bytes = |word: &str| word.parse::<u64>().expect("a number of bytes") * factor;
        match words[..] {
            ["table", name, size] => database.table(name, bytes(size)),
            ["index", table, name, method, size] => {
                database.index(table, name, method, bytes(size), Made::Plain);
            }
            ["key", table, name, size] => {
                database.index(table, name, "btree", bytes(size), Made::Key);
            }
            ["foreign-key", table, name, references] => {
                database.foreign_key(table, name, references);
            }
            _ => panic!("not a line of this file: {line}"),
        }
    }
    database
}

/// Small tables with a primary key and an index each.
pub fn many(count: usize) -> Database {
    let mut database = Database::default();
    for number in 0..count {
        let table = format!("t_{number}");
        database.table(&table, 16 << 10);
        database.index(
            &table,
            &format!("{table}_pkey"),
            "btree",
            16 << 10,
            Made::Key,
        );
        database.index(
            &table,
            &format!("{table}_b_idx"),
            "btree",
            16 << 10,
            Made::Plain,
        );
    }
    database
}

/// The same, each with a foreign key to any other.
pub fn tangled(count: usize) -> Database {
    let mut database = many(count);
    let mut dice = Dice::new(7);
    for number in 0..count {
        let references = format!("t_{}", dice.below(count as u64));
        database.foreign_key(&format!("t_{number}"), &format!("fk_{number}"), &references);
    }
    database
}

/// The same once more, each with a comment besides: everything that small tables make long.
pub fn crowded(count: usize) -> Database {
    let mut database = tangled(count);
    for number in 0..count {
        database.comment(&format!("t_{number}"));
    }
    database
}

/// One table that is nearly everything, with six indexes, one of them GIN, and some foreign keys to small tables.
pub fn giant(foreign_keys: usize) -> Database {
    let mut database = Database::default();
    let size = 100_000 * MB;
    database.table("giant", size);
    database.index("giant", "giant_pkey", "btree", size / 12, Made::Key);
    for number in 0..4 {
        let name = format!("giant_{number}_idx");
        database.index("giant", &name, "btree", size / 16, Made::Plain);
    }
    database.index("giant", "giant_gin_idx", "gin", size / 20, Made::Plain);
    for number in 0..12 {
        let table = format!("small_{number}");
        database.table(&table, 10 * MB);
        database.index(&table, &format!("{table}_pkey"), "btree", MB, Made::Key);
        if number < foreign_keys {
            database.foreign_key("giant", &format!("fk_{number}"), &table);
        }
    }
    database
}

/// A table of facts with twelve dimensions around it, all of them indexed and pointed to.
pub fn star() -> Database {
    let mut database = Database::default();
    let size = 20_000 * MB;
    database.table("facts", size);
    database.index("facts", "facts_pkey", "btree", size / 12, Made::Key);
    for number in 0..12_u64 {
        let table = format!("dimension_{number}");
        database.table(&table, (number + 1) * 200 * MB);
        database.index(
            &table,
            &format!("{table}_pkey"),
            "btree",
            (number + 1) * 20 * MB,
            Made::Key,
        );
        database.index(
            "facts",
            &format!("facts_{number}_idx"),
            "btree",
            size / 20,
            Made::Plain,
        );
        database.foreign_key("facts", &format!("fk_{number}"), &table);
    }
    database
}
