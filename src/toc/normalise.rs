//! Differences in wording that are none in meaning.
//!
//! `pg_dump` prints views, rules, triggers, constraints and defaults as the server deparses them, and servers of different major versions
//! deparse differently. Here is the list of what is known, and only that: each rule says which versions and which kinds of
//! entries it is for, and is as narrow as it can be made, because a rule that is too wide hides a difference.
//! Definitions are compared as sequences of tokens; white space between tokens never means anything in SQL.

mod alias;
mod arrays;
mod bounds;
mod constants;
mod flat;
mod icu;
mod indent;
mod keywords;
mod maintain;
mod order;
mod tag;

use super::tokens::{Kind, Tokens};
use alias::without_names_of_casts;
use arrays::{casts_as_beside, casts_of_elements, casts_of_single_values};
use bounds::with_types;
use constants::{bits_cast_at_once, bits_without_prefix, shortest_floats};
use flat::flat_conditions;
pub(super) use icu::is_same_if_locales_are;
use icu::with_tag_of_locale;
use indent::without_no_indent;
pub(super) use keywords::{with_all_quotes, with_old_quotes};
use keywords::{with_old_constants, without_new_quotes};
use maintain::with_maintain;
use order::{sorted_grants, sorted_options};
pub(super) use tag::{same_access_method, same_tag};

/// The servers' major versions, the older one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    older: u32,
    newer: u32,
    source_is_newer: bool,
}

impl Versions {
    /// Any two.
    pub(super) const ALL: Self = Self {
        older: 1,
        newer: u32::MAX,
        source_is_newer: false,
    };

    pub(super) fn of(source: u32, target: u32) -> Self {
        Self {
            older: source.min(target),
            newer: source.max(target),
            source_is_newer: source > target,
        }
    }

    /// What is the older server's first, and then what is the newer one's.
    fn in_order<T>(self, source: T, target: T) -> (T, T) {
        if self.source_is_newer {
            (target, source)
        } else {
            (source, target)
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
    /// The major version that changed the wording; `None` for what changes when any server reads its own wording.
    since: Option<u32>,
    /// The kinds of entries whose definitions may be affected; empty for all.
    kinds: &'static [&'static str],
    rewrite: Rewrite,
}

enum Rewrite {
    /// Brings either wording to the same form.
    Both(for<'a> fn(&[Word<'a>]) -> Vec<Word<'a>>),
    /// Makes the older server's words (the first argument) those that the newer one would use. It sees the newer one's, in
    /// order to go no further than it must.
    Older(for<'a> fn(&[Word<'a>], &[Word<'a>]) -> Vec<Word<'a>>),
}

const RULES: &[Rule] = &[
    // `v in ('a', 'b')`, v being a varchar, is deparsed with a cast of the whole array. Read again, the cast is of each element,
    // and is deparsed so from then on. No version of Postgres is free of it.
    Rule {
        since: None,
        kinds: &[],
        rewrite: Rewrite::Both(casts_of_elements),
    },
    // The first of some conditions that are joined by AND, being such conditions itself, is one with them when it is read again.
    Rule {
        since: None,
        kinds: &[],
        rewrite: Rewrite::Both(flat_conditions),
    },
    // A column without a name, that is a cast, is read again as one that is named after its type.
    Rule {
        since: None,
        kinds: &[
            "VIEW",
            "MATERIALIZED VIEW",
            "RULE",
            "POLICY",
            "FUNCTION",
            "PROCEDURE",
        ],
        rewrite: Rewrite::Both(without_names_of_casts),
    },
    // Options stand in the order in which they were set.
    Rule {
        since: None,
        kinds: &["TABLE", "INDEX", "CONSTRAINT", "VIEW", "MATERIALIZED VIEW"],
        rewrite: Rewrite::Both(sorted_options),
    },
    // A constant of type bit varying, as 10 prints it, is read again as one of type bit that is cast.
    Rule {
        since: None,
        kinds: &[],
        rewrite: Rewrite::Both(bits_cast_at_once),
    },
    // Bits are cast from a string like any other constant, and not from one of bits.
    Rule {
        since: Some(11),
        kinds: &[],
        rewrite: Rewrite::Both(bits_without_prefix),
    },
    // A trigger executes a function; before, it was called a procedure.
    Rule {
        since: Some(12),
        kinds: &["TRIGGER"],
        rewrite: Rewrite::Older(execute_function),
    },
    // A range type names its multirange type.
    Rule {
        since: Some(14),
        kinds: &["TYPE"],
        rewrite: Rewrite::Older(with_multirange),
    },
    // A procedure's arguments have a mode, also if it is IN.
    Rule {
        since: Some(14),
        kinds: &["PROCEDURE", "ACL", "COMMENT", "SECURITY LABEL"],
        rewrite: Rewrite::Older(with_in_mode),
    },
    // The name of an ICU locale is made a language tag.
    Rule {
        since: Some(16),
        kinds: &["COLLATION"],
        rewrite: Rewrite::Older(with_tag_of_locale),
    },
    // XMLSERIALIZE says that it does not indent; before, it never did.
    Rule {
        since: Some(16),
        kinds: &[],
        rewrite: Rewrite::Both(without_no_indent),
    },
    // A view of only one relation does not qualify its columns.
    Rule {
        since: Some(16),
        kinds: &["VIEW", "MATERIALIZED VIEW", "RULE"],
        rewrite: Rewrite::Older(without_qualification),
    },
    // There is a privilege more, and an owner from whom all others were revoked keeps it.
    Rule {
        since: Some(17),
        kinds: &["ACL", "DEFAULT ACL"],
        rewrite: Rewrite::Older(with_maintain),
    },
    // Not-null constraints have names, which are shown where they are not the obvious ones.
    Rule {
        since: Some(18),
        kinds: &["TABLE", "FOREIGN TABLE"],
        rewrite: Rewrite::Older(with_named_not_null),
    },
    // Floating-point numbers have no more digits than it takes. Behind all that put words in or take them out, because it looks at
    // what stands in the same place.
    Rule {
        since: Some(12),
        kinds: &[],
        rewrite: Rewrite::Older(shortest_floats),
    },
    // Grants stand in the order in which they were given. Last, because the rules above look for words where they were.
    Rule {
        since: None,
        kinds: &["ACL", "DEFAULT ACL"],
        rewrite: Rewrite::Both(sorted_grants),
    },
];

/// How the words of one side are read, with those of the other.
type Reading = for<'a> fn(&[Word<'a>], &[Word<'a>]) -> Vec<Word<'a>>;

/// Whether two definitions of one kind of entry, the source's and the target's, mean the same.
pub(super) fn same_definition(
    desc: &str,
    sides: (&[u8], &[u8]),
    versions: Versions,
    std_strings: bool,
) -> bool {
    same_if_read(desc, sides, (versions, std_strings), as_written)
}

/// The same, where no array has arrays in it but those that say so.
pub(super) fn same_definition_of_single_values(
    desc: &str,
    sides: (&[u8], &[u8]),
    versions: Versions,
    std_strings: bool,
) -> bool {
    same_if_read(desc, sides, (versions, std_strings), single_values)
}

/// Whether two definitions that are not the same would be if what does not say whether it is an array were what the other side takes
/// it for.
pub(super) fn is_same_of_some_arrays(
    desc: &str,
    sides: (&[u8], &[u8]),
    versions: Versions,
    std_strings: bool,
) -> bool {
    same_if_read(desc, sides, (versions, std_strings), casts_as_beside)
}

fn same_if_read(
    desc: &str,
    (source, target): (&[u8], &[u8]),
    (versions, std_strings): (Versions, bool),
    read: Reading,
) -> bool {
    let source = with_old_constants(source, versions, std_strings);
    let target = with_old_constants(target, versions, std_strings);
    match (words(&source, std_strings), words(&target, std_strings)) {
        (Some(source), Some(target)) => {
            let read = (read(&source, &target), read(&target, &source));
            same_words(desc, read, versions)
        }
        _ => false,
    }
}

fn as_written<'a>(words: &[Word<'a>], _: &[Word<'a>]) -> Vec<Word<'a>> {
    words.to_vec()
}

fn single_values<'a>(words: &[Word<'a>], _: &[Word<'a>]) -> Vec<Word<'a>> {
    casts_of_single_values(words)
}

/// The same for `TABLE ATTACH`. `key` has the types of the key that the bounds are of, one for each of its parts, `None` where it is not
/// known: constants of such a part must be the same words.
pub(super) fn same_bounds(
    key: &[Option<String>],
    (source, target): (&[u8], &[u8]),
    versions: Versions,
    std_strings: bool,
) -> bool {
    let key: Vec<Vec<Word>> = key
        .iter()
        .map(|name| {
            let name = name.as_deref().unwrap_or_default();
            words(name.as_bytes(), std_strings).unwrap_or_default()
        })
        .collect();
    match (words(source, std_strings), words(target, std_strings)) {
        (Some(source), Some(target)) => {
            let typed = (with_types(&source, &key), with_types(&target, &key));
            same_words("TABLE ATTACH", typed, versions)
        }
        _ => false,
    }
}

fn same_words<'a>(
    desc: &str,
    (source, target): (Vec<Word<'a>>, Vec<Word<'a>>),
    versions: Versions,
) -> bool {
    let rules = RULES.iter().filter(|rule| {
        (rule.kinds.is_empty() || rule.kinds.contains(&desc))
            && rule.since.is_none_or(|major| versions.straddle(major))
    });
    // First, because the rules look at names.
    let (source, target) = (
        without_new_quotes(source, versions),
        without_new_quotes(target, versions),
    );
    let (mut older, mut newer) = versions.in_order(source, target);
    for rule in rules {
        match rule.rewrite {
            Rewrite::Both(rewrite) => (older, newer) = (rewrite(&older), rewrite(&newer)),
            Rewrite::Older(rewrite) => older = rewrite(&older, &newer),
        }
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

fn is_symbol(word: Option<&Word>, text: &[u8]) -> bool {
    word.is_some_and(|&(kind, word)| kind == Kind::Symbol && word == text)
}

/// What is behind the `::` that some words begin with.
fn cast_to<'w, 'a>(words: &'w [Word<'a>]) -> Option<&'w [Word<'a>]> {
    let casts = is_symbol(words.first(), b":") && is_symbol(words.get(1), b":");
    words.get(2..).filter(|_| casts)
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

/// `p("B b" text)` → `p(IN "B b" text)`, where the newer one has that.
fn with_in_mode<'a>(older: &[Word<'a>], newer: &[Word<'a>]) -> Vec<Word<'a>> {
    let mut words: Vec<Word> = Vec::with_capacity(newer.len());
    for &word in older {
        let begins = is_symbol(words.last(), b"(") || is_symbol(words.last(), b",");
        let there = newer.get(words.len());
        if begins && is_word(there, b"IN") && newer.get(words.len() + 1) == Some(&word) {
            words.push((Kind::Word, b"IN"));
        }
        words.push(word);
    }
    words
}

/// `t.a` → `a`, where the newer one has just `a`: in the definition of a view, or the rule that stands in for one, and only
/// for columns of one `t` that the view selects from. What a schema qualifies (relations, functions, types,
/// collations) is left alone.
fn without_qualification<'a>(older: &[Word<'a>], newer: &[Word<'a>]) -> Vec<Word<'a>> {
    let mut relations = selected_from(older);
    let mut words = Vec::with_capacity(older.len());
    let mut at = 0;
    while at < older.len() {
        let here = newer.get(words.len());
        let is_shorter = here.is_some()
            && here == older.get(at + 2)
            && !is_symbol(newer.get(words.len() + 1), b".");
        if is_shorter && is_column(older, at) && relations.contains(&older[at]) {
            relations = vec![older[at]];
            at += 2;
        }
        words.push(older[at]);
        at += 1;
    }
    words
}

/// The names behind a view's own FROM that are not a schema: one of them is what its relation goes by.
fn selected_from<'a>(words: &[Word<'a>]) -> Vec<Word<'a>> {
    let makes_a_view = words
        .iter()
        .take(4)
        .any(|word| is_word(Some(word), b"VIEW"));
    if !makes_a_view {
        return Vec::new();
    }
    let mut depth = 0_usize;
    let mut names = Vec::new();
    let mut behind_from = false;
    for (at, word) in words.iter().enumerate() {
        match word {
            (Kind::Symbol, b"(") => depth += 1,
            (Kind::Symbol, b")") => depth = depth.saturating_sub(1),
            (Kind::Word, b"FROM") if depth == 0 => behind_from = true,
            (Kind::Word | Kind::QuotedName, _)
                if depth == 0 && behind_from && !is_symbol(words.get(at + 1), b".") =>
            {
                names.push(*word);
            }
            _ => {}
        }
    }
    names
}

/// Whether the words at `at` are `t.a`, and may be a column by where they stand.
fn is_column(words: &[Word], at: usize) -> bool {
    let is_name = |word: Option<&Word>| {
        word.is_some_and(|(kind, _)| matches!(kind, Kind::Word | Kind::QuotedName))
    };
    let before = at.checked_sub(1).and_then(|before| words.get(before));
    is_name(words.get(at))
        && is_symbol(words.get(at + 1), b".")
        && is_name(words.get(at + 2))
        && !is_symbol(words.get(at + 3), b"(")
        && !is_word(before, b"COLLATE")
        && !is_symbol(before, b":")
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

/// `multirange_type_name = s.name,` is put in where the newer one has it; the older server cannot say it.
fn with_multirange<'a>(older: &[Word<'a>], newer: &[Word<'a>]) -> Vec<Word<'a>> {
    let begin = newer
        .iter()
        .position(|word| is_word(Some(word), b"multirange_type_name"));
    let Some(begin) = begin.filter(|&begin| begin <= older.len()) else {
        return older.to_vec();
    };
    let option = &newer[begin..];
    let comma = option.iter().position(|word| is_symbol(Some(word), b","));
    if let Some(comma) = comma {
        return [&older[..begin], &option[..=comma], &older[begin..]].concat();
    }
    // The last option has its comma in front, and the parenthesis that ends all of them behind it.
    let end = option.iter().position(|word| is_symbol(Some(word), b")"));
    match (begin.checked_sub(1), end) {
        (Some(comma), Some(end)) => {
            let option = &newer[comma..begin + end];
            [&older[..comma], option, &older[comma..]].concat()
        }
        _ => older.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Text;
    use super::*;

    fn same(desc: &str, source: &str, target: &str, majors: (u32, u32)) -> bool {
        let versions = Versions::of(majors.0, majors.1);
        same_definition(desc, (source.as_bytes(), target.as_bytes()), versions, true)
    }

    #[test]
    fn a_cast_need_not_be_named_after_its_type() {
        let union = |second: &str| {
            format!(
                "CREATE VIEW v AS\n SELECT u.a\n FROM ( SELECT 1 AS a UNION SELECT {second} FROM t) u;"
            )
        };
        for (cast, name) in [
            ("'x'::text", "text"),
            ("(1)::bigint", "int8"),
            ("(1)::numeric(10,2)", "\"numeric\""),
            ("NULL::character varying(5)", "\"varchar\""),
            ("'x'::s.\"My type\"", "\"My type\""),
            ("'{}'::text[]", "text"),
            ("'x'::timestamp(3) with time zone", "timestamptz"),
        ] {
            let (bare, named) = (union(cast), union(&format!("{cast} AS {name}")));
            assert!(same("VIEW", &bare, &named, (15, 15)), "{named}");
            assert!(same("VIEW", &named, &bare, (10, 18)), "{named}");
            let other = union(&format!("{cast} AS other"));
            assert!(!same("VIEW", &bare, &other, (15, 15)), "{other}");
            assert!(!same("VIEW", &named, &other, (15, 15)), "{other}");
            assert!(!same("TABLE", &bare, &named, (15, 15)), "no query");
        }
        let of_a_column = |name: &str| union(&format!("t.c AS {name}"));
        assert!(!same("VIEW", &of_a_column("text"), &union("t.c"), (15, 15)));
    }

    #[test]
    fn an_owner_from_whom_all_was_revoked_keeps_maintain() {
        let before =
            "REVOKE SELECT,INSERT,REFERENCES,DELETE,TRIGGER,TRUNCATE,UPDATE ON TABLE s.t FROM o;";
        let since = "REVOKE ALL ON TABLE s.t FROM o;\nGRANT MAINTAIN ON TABLE s.t TO o;";
        assert!(same("ACL", before, since, (15, 18)));
        assert!(same("ACL", since, before, (17, 16)));
        assert!(!same("ACL", before, since, (15, 16)));
        assert!(!same(
            "ACL",
            before,
            "REVOKE ALL ON TABLE s.t FROM p;",
            (15, 18)
        ));
        let grants = |first: &str, own: &str, others: &str| {
            format!("{first}\n{own}\nGRANT {others} ON TABLE s.t TO x;")
        };
        let revoke_all = "REVOKE ALL ON TABLE s.t FROM o;";
        let older = grants(before, "GRANT SELECT,UPDATE ON TABLE s.t TO o;", "SELECT");
        let newer = |own: &str, others: &str| grants(revoke_all, own, others);
        let own = "GRANT SELECT,MAINTAIN,UPDATE ON TABLE s.t TO o;";
        assert!(same("ACL", &older, &newer(own, "SELECT"), (15, 18)));
        for (own, others) in [
            (own, "INSERT"),
            (own, "SELECT,MAINTAIN"),
            ("GRANT SELECT,MAINTAIN ON TABLE s.t TO o;", "SELECT"),
            ("GRANT MAINTAIN ON TABLE s.t TO o;", "SELECT"),
            ("GRANT SELECT,MAINTAIN,UPDATE ON TABLE s.t TO y;", "SELECT"),
            ("GRANT SELECT,DELETE,UPDATE ON TABLE s.t TO o;", "SELECT"),
        ] {
            let other = newer(own, others);
            assert!(!same("ACL", &older, &other, (15, 18)), "{other}");
        }
        let default = |what: &str| format!("ALTER DEFAULT PRIVILEGES FOR ROLE o {what}");
        let older = default(
            "REVOKE SELECT,INSERT,REFERENCES,DELETE,TRIGGER,TRUNCATE,UPDATE ON TABLES FROM o;",
        );
        let newer =
            default("REVOKE ALL ON TABLES FROM o;") + &default("GRANT MAINTAIN ON TABLES TO o;");
        assert!(same("DEFAULT ACL", &older, &newer, (16, 17)));
    }

    #[test]
    fn a_procedure_s_arguments_are_in_anyhow() {
        let older = "CREATE PROCEDURE s.p(INOUT a integer, \"B b\" text) LANGUAGE sql AS $$x$$;";
        let newer = "CREATE PROCEDURE s.p(INOUT a integer, IN \"B b\" text) LANGUAGE sql AS $$x$$;";
        assert!(same("PROCEDURE", older, newer, (13, 14)));
        assert!(same("PROCEDURE", newer, older, (18, 11)));
        assert!(!same("PROCEDURE", older, newer, (14, 18)));
        let other = newer.replace("IN \"B", "OUT \"B");
        assert!(!same("PROCEDURE", older, &other, (13, 14)));
        let tag = |tag: &'static str, majors: (u32, u32)| {
            let versions = Versions::of(majors.0, majors.1);
            String::from_utf8(same_tag("COMMENT", tag.as_bytes(), versions).into_owned())
                .expect("UTF-8")
        };
        assert_eq!(
            tag("PROCEDURE p(IN a integer, INOUT b text, IN c x)", (13, 14)),
            "PROCEDURE p(a integer, INOUT b text, c x)"
        );
        assert_eq!(tag("PROCEDURE p(IN a x)", (14, 18)), "PROCEDURE p(IN a x)");
        assert_eq!(tag("FUNCTION p(IN a x)", (13, 18)), "FUNCTION p(IN a x)");
    }

    #[test]
    fn a_trigger_s_procedure_is_a_function() {
        let ten = "CREATE TRIGGER t BEFORE INSERT ON a.b FOR EACH ROW EXECUTE PROCEDURE s.f('x');";
        let later = "CREATE TRIGGER t BEFORE INSERT ON a.b FOR EACH ROW EXECUTE FUNCTION s.f('x');";
        assert!(same("TRIGGER", ten, later, (10, 18)));
        assert!(same("TRIGGER", later, ten, (18, 10)));
        assert!(same("TRIGGER", ten, later, (11, 12)));
        assert!(!same("TRIGGER", ten, later, (15, 18)), "both say FUNCTION");
        assert!(!same("TRIGGER", ten, later, (10, 11)), "both say PROCEDURE");
        assert!(!same(
            "TRIGGER",
            ten,
            &later.replace("s.f", "s.g"),
            (10, 18)
        ));
        assert!(!same("RULE", ten, later, (10, 18)));
    }

    #[test]
    fn a_view_of_one_relation_needs_no_qualification() {
        let view = |a: &str, b: &str, rest: &str| {
            format!("CREATE VIEW s.v AS\n SELECT {a},\n    {b}\n   FROM {rest};")
        };
        let older = view(
            "n.n",
            "EXTRACT(year FROM n.\"B b\")::s.t",
            "s.n\n  WHERE s.f(n.c)",
        );
        let newer = view(
            "n",
            "EXTRACT(year FROM \"B b\")::s.t",
            "s.n\n  WHERE s.f(c)",
        );
        assert!(same("VIEW", &older, &newer, (15, 16)));
        assert!(same("VIEW", &newer, &older, (18, 10)));
        assert!(!same("VIEW", &older, &newer, (16, 18)));
        assert!(!same("VIEW", &newer, &older, (15, 16)), "not the other way");
        assert!(!same("FUNCTION", &older, &newer, (15, 16)));
        for (from, to) in [
            ("B b", "b"),
            ("s.f", "f"),
            ("s.f", "r.f"),
            ("::s.t", "::t"),
            ("FROM s.n", "FROM n"),
            ("FROM s.n", "FROM r.n"),
            ("f(c)", "f(d)"),
        ] {
            let other = newer.replace(from, to);
            assert_ne!(newer, other);
            assert!(!same("VIEW", &older, &other, (15, 16)), "{other}");
        }
        let joined = view("a.x", "b.y", "s.a");
        assert!(
            !same("VIEW", &joined, &view("x", "y", "s.a"), (15, 16)),
            "two relations"
        );
        let rule = "CREATE RULE r AS ON INSERT TO v DO SELECT t.a";
        assert!(!same("RULE", rule, &rule.replace("t.a", "a"), (15, 16)));
    }

    #[test]
    fn not_null_constraints_have_names() {
        let older = "CREATE TABLE s.t (\n    a integer NOT NULL,\n    b integer NOT NULL\n);";
        let newer =
            "CREATE TABLE s.t (\n    a integer CONSTRAINT x NOT NULL,\n    b integer NOT NULL\n);";
        assert!(same("TABLE", older, newer, (15, 18)));
        assert!(!same("TABLE", older, newer, (18, 18)));
        assert!(!same("TABLE", newer, older, (15, 18)));
        let other = newer.replace("CONSTRAINT x NOT NULL", "CONSTRAINT x UNIQUE");
        assert!(!same("TABLE", older, &other, (15, 18)));
    }

    #[test]
    fn range_types_name_their_multirange() {
        let older = "CREATE TYPE s.r AS RANGE (\n    subtype = integer,\n    subtype_diff = f\n);";
        let newer = older.replace("integer,", "integer,\n    multirange_type_name = s.m,");
        assert!(same("TYPE", older, &newer, (13, 14)));
        assert!(!same("TYPE", older, &newer, (14, 18)));
        assert!(!same("TYPE", older, &newer.replace("= f", "= g"), (13, 14)));
        let older = "CREATE TYPE s.r AS RANGE (\n    subtype = integer\n);";
        let newer = older.replace("integer", "integer,\n    multirange_type_name = s.m");
        assert!(same("TYPE", older, &newer, (13, 14)));
        assert!(!same("TYPE", older, &newer, (14, 18)));
        assert!(!same(
            "TYPE",
            older,
            &newer.replace("= integer", "= bigint"),
            (13, 14)
        ));
    }

    #[test]
    fn heap_is_what_there_was_before_access_methods() {
        let heap = Text::from("heap");
        let versions = Versions::of(10, 18);
        assert!(same_access_method(None, Some(&heap), versions));
        assert!(!same_access_method(None, Some(&"other".into()), versions));
        assert!(!same_access_method(None, Some(&heap), Versions::of(15, 18)));
    }
}
