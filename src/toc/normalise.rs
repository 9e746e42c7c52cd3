//! Differences in wording that are none in meaning.
//!
//! `pg_dump` prints views, rules, triggers, constraints and defaults as the server deparses them, and servers of different major versions
//! deparse differently. Here is the list of what is known, and only that: each rule says which versions and which kinds of
//! entries it is for, and is as narrow as it can be made, because a rule that is too wide hides a difference.
//! Definitions are compared as sequences of tokens; white space between tokens never means anything in SQL.

use super::tokens::{Kind, Tokens};

/// The servers' major versions, the older one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    older: u32,
    newer: u32,
    source_is_newer: bool,
}

impl Versions {
    pub(super) fn of(source: u32, target: u32) -> Self {
        Self {
            older: source.min(target),
            newer: source.max(target),
            source_is_newer: source > target,
        }
    }

    /// Whether something that changed in `major` lies between them.
    fn straddle(self, major: u32) -> bool {
        self.older != 0 && self.older < major && major <= self.newer
    }
}

/// A token: its kind and its text.
type Word<'a> = (Kind, &'a [u8]);

struct Rule {
    /// What it is about; the tests name the rule by it.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "names the rule for readers and tests")
    )]
    name: &'static str,
    /// The major version that changed the wording; `None` for what changes when any server reads its own wording.
    since: Option<u32>,
    /// The kinds of entries whose definitions may be affected.
    kinds: &'static [&'static str],
    /// Makes the older server's words those that the newer one would use. It sees the newer one's, in order to go no further
    /// than it must.
    rewrite: for<'a> fn(older: &[Word<'a>], newer: &[Word<'a>]) -> Vec<Word<'a>>,
}

const VIEWS: &[&str] = &["VIEW", "MATERIALIZED VIEW", "RULE"];

const RULES: &[Rule] = &[
    Rule {
        name: "a trigger executes a function, once called a procedure",
        since: Some(11),
        kinds: &["TRIGGER"],
        rewrite: execute_function,
    },
    Rule {
        name: "a view of one relation does not qualify its columns",
        since: Some(16),
        kinds: VIEWS,
        rewrite: without_qualification,
    },
    Rule {
        name: "not-null constraints have names",
        since: Some(18),
        kinds: &["TABLE", "FOREIGN TABLE"],
        rewrite: with_named_not_null,
    },
];

/// Whether two definitions of one kind of entry, the source's and the target's, mean the same.
pub(super) fn same_definition(
    desc: &str,
    (source, target): (&[u8], &[u8]),
    versions: Versions,
    std_strings: bool,
) -> bool {
    let rules = RULES.iter().filter(|rule| {
        rule.kinds.contains(&desc) && rule.since.is_none_or(|major| versions.straddle(major))
    });
    let (older, newer) = if versions.source_is_newer {
        (target, source)
    } else {
        (source, target)
    };
    let (Some(mut older), Some(newer)) = (words(older, std_strings), words(newer, std_strings))
    else {
        return false;
    };
    for rule in rules {
        older = (rule.rewrite)(&older, &newer);
    }
    older == newer
}

fn words(sql: &[u8], std_strings: bool) -> Option<Vec<Word<'_>>> {
    Tokens::new(sql, std_strings)
        .map(|token| {
            let token = token.ok()?;
            Some((token.kind, sql.get(token.start..token.end)?))
        })
        .collect()
}

fn is_word(word: Option<&Word>, text: &[u8]) -> bool {
    word.is_some_and(|&(kind, word)| kind == Kind::Word && word == text)
}

/// `EXECUTE PROCEDURE` → `EXECUTE FUNCTION`, where the newer one has just that.
fn execute_function<'a>(older: &[Word<'a>], newer: &[Word<'a>]) -> Vec<Word<'a>> {
    let mut words = older.to_vec();
    for at in 1..words.len() {
        if is_word(words.get(at), b"PROCEDURE")
            && is_word(words.get(at - 1), b"EXECUTE")
            && is_word(newer.get(at), b"FUNCTION")
        {
            words[at] = (Kind::Word, b"FUNCTION");
        }
    }
    words
}

/// `t.a` → `a`, where the newer one has just `a`.
fn without_qualification<'a>(older: &[Word<'a>], newer: &[Word<'a>]) -> Vec<Word<'a>> {
    let mut words = Vec::with_capacity(older.len());
    let mut at = 0;
    while at < older.len() {
        let here = newer.get(words.len());
        let is_name = matches!(older[at].0, Kind::Word | Kind::QuotedName);
        let qualifies = is_name
            && older.get(at + 1) == Some(&(Kind::Symbol, b"."))
            && here != Some(&older[at])
            && here.is_some()
            && here == older.get(at + 2);
        if qualifies {
            at += 2;
        }
        words.push(older[at]);
        at += 1;
    }
    words
}

/// `a integer NOT NULL` → `a integer CONSTRAINT x NOT NULL`, where the newer one has that.
fn with_named_not_null<'a>(older: &[Word<'a>], newer: &[Word<'a>]) -> Vec<Word<'a>> {
    let mut words: Vec<Word> = Vec::with_capacity(older.len());
    for (at, &word) in older.iter().enumerate() {
        let there = newer.get(words.len()..).unwrap_or_default();
        let not_null = is_word(Some(&word), b"NOT") && is_word(older.get(at + 1), b"NULL");
        let named = is_word(there.first(), b"CONSTRAINT")
            && is_word(there.get(2), b"NOT")
            && is_word(there.get(3), b"NULL");
        if not_null && named {
            words.extend_from_slice(&there[..2]);
        }
        words.push(word);
    }
    words
}
