//! The list of damages, as damages.sql has it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

/// What is built on the source, moved, and then damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fixture {
    /// The zoo on 15.
    Zoo,
    /// Extensions and what uses them, on 15.
    Contrib,
    /// The social network, on 15.
    Mastodon,
    /// The zoo on 18.
    Zoo18,
}

/// One entry of the list.
#[derive(Debug, Clone)]
pub struct Damage {
    /// What is wrong, for a person.
    pub title: String,
    /// Whether it is done by default, and not only when the whole list is asked for.
    pub by_default: bool,
    /// What is damaged.
    pub fixture: Fixture,
    /// How.
    pub sql: String,
    /// Every difference that verify must report, as `Missing index zoo.keyed_a`, sorted.
    pub expected: Vec<String>,
    /// Words of the warnings that it must give.
    pub warnings: Vec<String>,
    /// Which rows differ, of tables that the list says it of.
    pub rows: Vec<Rows>,
    /// A part of the reason why the repair does not cover it.
    pub not_covered: Option<String>,
}

/// Which rows of a table differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// As the differences name it.
    pub table: String,
    /// `1 missing, 0 extra, 2 changed`.
    pub totals: String,
    /// The keys; empty if they are not said.
    pub keys: BTreeSet<String>,
}

impl Damage {
    /// All of them, one after the other, each in a session of its own.
    pub fn together(damages: &[Self]) -> Self {
        let [one] = damages else {
            let titles: Vec<&str> = damages.iter().map(|damage| damage.title.as_str()).collect();
            let sql: Vec<&str> = damages.iter().map(|damage| damage.sql.as_str()).collect();
            let mut expected: Vec<String> = damages
                .iter()
                .flat_map(|damage| damage.expected.clone())
                .collect();
            expected.sort();
            return Self {
                title: titles.join(" + "),
                by_default: true,
                fixture: damages[0].fixture,
                sql: sql.join("\n\\connect\n"),
                expected,
                warnings: damages
                    .iter()
                    .flat_map(|damage| damage.warnings.clone())
                    .collect(),
                rows: damages
                    .iter()
                    .flat_map(|damage| damage.rows.clone())
                    .collect(),
                not_covered: None,
            };
        };
        one.clone()
    }

    /// Whether a repair makes it good, is not there, or is not needed, as with the other.
    pub fn is_repaired_like(&self, other: &Self) -> bool {
        let how = |damage: &Self| (damage.expected.is_empty(), damage.not_covered.is_some());
        how(self) == how(other)
    }

    /// What it is about, as far as its words tell: tables and the like, large objects, and the last word of what is expected.
    pub fn subjects(&self) -> BTreeSet<String> {
        static NAMES: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r#"\b(?:zoo|public|contrib|"[^"]+")\.(?:"[^"]+"|\w+)|\b99\d{4}\b"#)
                .expect("an expression")
        });
        let last_words = self
            .expected
            .iter()
            .filter_map(|one| one.rsplit(' ').next());
        let mut subjects: BTreeSet<String> = last_words.map(str::to_owned).collect();
        let words = std::iter::once(&self.sql).chain(&self.expected);
        for text in words {
            let found = NAMES.find_iter(text);
            subjects.extend(found.map(|name| name.as_str().to_owned()));
        }
        subjects
    }
}

/// The whole list, in its order.
pub fn damages() -> Vec<Damage> {
    let text = include_str!("damages.sql");
    text.split("\n-- damage").skip(1).map(parse).collect()
}

/// Those of the list that are to be done now: `PGCONVOY_MATRIX=whole` asks for all of them.
pub fn wanted() -> Vec<Damage> {
    let mut damages = damages();
    damages.retain(|damage| damage.by_default || whole());
    damages
}

/// Whether the whole list is asked for.
pub fn whole() -> bool {
    std::env::var("PGCONVOY_MATRIX").is_ok_and(|value| value == "whole")
}

fn parse(text: &str) -> Damage {
    let (first, rest) = text.split_once('\n').expect("a title and more");
    let (mark, title) = first.split_once(": ").expect("a title");
    assert!(matches!(mark, "" | "*"), "{title}: {mark}");
    let said = |what: &str| -> Vec<String> {
        let prefix = format!("-- {what}: ");
        let said = rest.lines().filter_map(|line| line.strip_prefix(&prefix));
        said.map(str::to_owned).collect()
    };
    let mut expected = said("expect");
    assert!(!expected.is_empty(), "{title}: nothing is expected");
    expected.retain(|one| one != "nothing");
    expected.sort();
    // A heading of the next section is no statement, and does no harm.
    let is_said = |line: &&str| line.starts_with("-- ") && line.contains(": ");
    let sql = rest.lines().filter(|line| !is_said(line));
    Damage {
        title: title.to_owned(),
        by_default: mark == "*",
        fixture: fixture(said("on").first().map_or("zoo", String::as_str)),
        sql: sql.collect::<Vec<_>>().join("\n"),
        expected,
        warnings: said("warning"),
        rows: said("rows").iter().map(|text| rows(text)).collect(),
        not_covered: said("repair").first().map(|text| {
            let reason = text.strip_prefix("not covered: ");
            reason
                .unwrap_or_else(|| panic!("{title}: {text}"))
                .to_owned()
        }),
    }
}

fn fixture(name: &str) -> Fixture {
    match name {
        "zoo" => Fixture::Zoo,
        "contrib" => Fixture::Contrib,
        "mastodon" => Fixture::Mastodon,
        "zoo on 18" => Fixture::Zoo18,
        other => panic!("no fixture: {other}"),
    }
}

fn rows(text: &str) -> Rows {
    let at = text.find(" missing, ").expect("totals");
    let at = text[..at].rfind(' ').expect("a table and totals");
    let (table, rest) = (&text[..at], &text[at + 1..]);
    let (totals, keys) = rest.split_once(": ").unwrap_or((rest, ""));
    let keys = keys.split(", ").filter(|key| !key.is_empty());
    Rows {
        table: table.to_owned(),
        totals: totals.to_owned(),
        keys: keys.map(str::to_owned).collect(),
    }
}

#[test]
fn the_list_is_sound() {
    let damages = damages();
    assert!(damages.len() > 100);
    let titles: BTreeSet<_> = damages.iter().map(|one| &one.title).collect();
    assert_eq!(titles.len(), damages.len(), "a title is there twice");
    for damage in &damages {
        let title = &damage.title;
        assert!(damage.sql.contains(';'), "{title}: no statement");
        for one in &damage.expected {
            let kinds = ["Missing ", "Extra ", "Different ", "Invalid "];
            assert!(
                kinds.iter().any(|kind| one.starts_with(kind)),
                "{title}: {one}"
            );
        }
        for rows in &damage.rows {
            let object = format!(" table data {}", rows.table);
            assert!(
                damage.expected.iter().any(|one| one.ends_with(&object)),
                "{title}: {object}"
            );
        }
    }
}

/// What no selection may leave out: titles, or words of them.
const INDISPENSABLE: &[&str] = &[
    "a row is gone",
    "a row is there twice",
    "a row too many",
    "one byte of a text",
    "one byte of a bytea",
    "stored out of line",
    "one byte of a large object",
    "NULL becomes the empty string",
    "the empty string becomes NULL",
    "a numeric of another scale",
    "minus zero becomes zero",
    "zero becomes minus zero",
    "two rows' values are exchanged",
    "a row in the wrong partition",
    "a pair of changes that compensate each other",
    "an index is not valid",
    "a foreign key is not validated",
    "a check constraint is not validated",
    "a trigger is disabled",
    "a sequence is behind",
    "a materialized view is not populated",
    "another owner of a table",
    "a grant is gone",
    "a grant on a column is gone",
    "other default privileges",
    "a policy that lets more rows through",
    "row security is off",
    "another comment",
    "an extension of an older version",
    "an enum in another order",
    "an identity of another kind",
    "a column is generated by another expression",
    "another statistics target",
    "no replica identity",
    "a table is no longer published",
    "a table is published",
];

#[test]
fn what_is_done_by_default_misses_no_kind_of_damage() {
    let damages = damages();
    let (chosen, others): (Vec<_>, Vec<_>) = damages.iter().partition(|one| one.by_default);
    assert!(chosen.len() >= 120, "{} are done", chosen.len());
    for words in INDISPENSABLE {
        let found = chosen.iter().any(|one| one.title.contains(words));
        assert!(found, "{words} is not done by default");
    }
    for fixture in damages.iter().map(|one| one.fixture) {
        assert!(chosen.iter().any(|one| one.fixture == fixture));
    }
    let kinds = |damages: &[&Damage]| -> BTreeSet<String> {
        let expected = damages.iter().flat_map(|one| &one.expected);
        expected.map(|one| kind_and_class(one)).collect()
    };
    let (done, missed) = (kinds(&chosen), kinds(&others));
    let missed: Vec<_> = missed.difference(&done).collect();
    assert!(missed.is_empty(), "found in no default run: {missed:?}");
}

/// `Missing foreign table zoo.far` → `Missing foreign table`. The last word is always one of the object.
fn kind_and_class(expected: &str) -> String {
    let is_of_class = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
    let (kind, rest) = expected.split_once(' ').expect("a kind and more");
    let (words, _) = rest.rsplit_once(' ').expect("a class and an object");
    let class: Vec<&str> = words.split(' ').take_while(is_of_class).collect();
    format!("{kind} {}", class.join(" "))
}
