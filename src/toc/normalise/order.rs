//! What is stored in the order in which it was said, and means the same in any other: options, and grants.
//!
//! Where an option or a grant is taken back and given again, it moves to the end, and no copy made otherwise than by `pg_dump`
//! need have them in the source's order.

use super::super::tokens::Kind;
use super::{Word, is_symbol, is_word};

/// `WITH (fillfactor='70', autovacuum_enabled='false')`, and the same behind `SET`: the options sorted.
pub(super) fn sorted_options<'a>(words: &[Word<'a>]) -> Vec<Word<'a>> {
    let mut sorted = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        sorted.push(words[at]);
        at += 1;
        let before = words.get(at - 1);
        if !(is_word(before, b"WITH") || is_word(before, b"SET")) {
            continue;
        }
        if let Some(mut options) = options(&words[at..]) {
            let length: usize = options.iter().map(|option| option.len() + 1).sum();
            options.sort_unstable_by_key(|option| text(option));
            sorted.push((Kind::Symbol, b"("));
            sorted.extend(options.join(&(Kind::Symbol, &b","[..])));
            sorted.push((Kind::Symbol, b")"));
            at += length + 1;
        }
    }
    sorted
}

/// The options between the parentheses at the beginning of some words; `None` if that is not what they are.
fn options<'w, 'a>(words: &'w [Word<'a>]) -> Option<Vec<&'w [Word<'a>]>> {
    let inside = words.get(1..).filter(|_| is_symbol(words.first(), b"("))?;
    let is = |text: &'static [u8]| move |word: &Word| is_symbol(Some(word), text);
    let inside = inside.get(..inside.iter().position(is(b")"))?)?;
    let options: Vec<_> = inside.split(is(b",")).collect();
    options
        .iter()
        .all(|option| is_option(option))
        .then_some(options)
}

/// `a`, `a=1`, `a='x'`, `toast.a='x'`, `a=-0.5`.
fn is_option(words: &[Word]) -> bool {
    let is_name = |word: Option<&Word>| matches!(word, Some((Kind::Word | Kind::QuotedName, text)) if !text.is_empty());
    let name = if is_symbol(words.get(1), b".") { 3 } else { 1 };
    let Some(value) = words.get(name..) else {
        return false;
    };
    (0..name).step_by(2).all(|at| is_name(words.get(at)))
        && (value.is_empty() || (is_symbol(value.first(), b"=") && value.len() > 1))
}

/// Grants that follow each other, sorted. What is revoked first stays first.
pub(super) fn sorted_grants<'a>(words: &[Word<'a>]) -> Vec<Word<'a>> {
    let mut grants = Vec::new();
    let mut sorted = Vec::with_capacity(words.len());
    let flush = |grants: &mut Vec<&[Word<'a>]>, sorted: &mut Vec<Word<'a>>| {
        grants.sort_unstable_by_key(|grant| text(grant));
        sorted.extend(grants.drain(..).flatten());
    };
    for step in steps(words) {
        if step.iter().any(|word| is_word(Some(word), b"GRANT")) {
            grants.push(step);
        } else {
            flush(&mut grants, &mut sorted);
            sorted.extend(step);
        }
    }
    flush(&mut grants, &mut sorted);
    sorted
}

/// The statements, each with its semicolon; what is said in another role's name is one with the words that say so.
fn steps<'w, 'a>(words: &'w [Word<'a>]) -> Vec<&'w [Word<'a>]> {
    let mut steps = Vec::new();
    let (mut begin, mut end, mut of_another) = (0, 0, false);
    for statement in words.split_inclusive(|word| is_symbol(Some(word), b";")) {
        end += statement.len();
        of_another = is_word(statement.first(), b"SET")
            || (of_another && !is_word(statement.first(), b"RESET"));
        if !of_another {
            steps.push(&words[begin..end]);
            begin = end;
        }
    }
    steps.extend(words.get(begin..).filter(|rest| !rest.is_empty()));
    steps
}

/// What to sort by.
fn text<'a>(words: &[Word<'a>]) -> Vec<&'a [u8]> {
    words.iter().map(|&(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Versions, same_definition};

    fn same(desc: &str, source: &str, target: &str) -> bool {
        let sides = (source.as_bytes(), target.as_bytes());
        same_definition(desc, sides, Versions::of(15, 15), true)
    }

    #[test]
    fn options_are_a_set() {
        let table = |options: &str| {
            format!(
                "CREATE TABLE s.t (\n    a integer\n)\nWITH ({options});\nALTER TABLE s.t CLUSTER ON x;"
            )
        };
        let one = table(
            "fillfactor='80', toast.autovacuum_enabled='false', \"my opt\"='', user_catalog_table",
        );
        let other = table(
            "user_catalog_table, \"my opt\"='', toast.autovacuum_enabled='false', fillfactor='80'",
        );
        assert!(same("TABLE", &one, &other));
        for desc in ["FUNCTION", "PUBLICATION", "RULE"] {
            assert!(!same(desc, &one, &other), "{desc}");
        }
        for (from, to) in [
            ("'80'", "'79'"),
            ("fillfactor='80', ", ""),
            ("fillfactor='80'", "fillfactor='80', fillfactor='80'"),
            ("toast.", ""),
            (
                "fillfactor='80', toast.autovacuum_enabled='false'",
                "fillfactor='false', toast.autovacuum_enabled='80'",
            ),
        ] {
            assert!(one.contains(from), "{from}");
            assert!(!same("TABLE", &one.replace(from, to), &other), "{to}");
        }
        for (desc, before, behind) in [
            (
                "INDEX",
                "CREATE INDEX i ON s.t USING gin (a, b) WITH",
                " WHERE (a > 0);",
            ),
            (
                "CONSTRAINT",
                "ALTER TABLE ONLY s.t ADD CONSTRAINT k PRIMARY KEY (a) WITH",
                ";",
            ),
            (
                "VIEW",
                "CREATE VIEW s.v WITH",
                " AS\n SELECT a, b FROM s.t;",
            ),
            (
                "MATERIALIZED VIEW",
                "CREATE MATERIALIZED VIEW s.v\nWITH",
                " AS\n SELECT a FROM s.t WITH NO DATA;",
            ),
            ("TABLE", "ALTER TABLE ONLY s.t ALTER COLUMN a SET", ";"),
        ] {
            let with = |options: &str| format!("{before} ({options}){behind}");
            let (one, other) = (
                with("n_distinct=-0.5, b='1'"),
                with("b='1', n_distinct=-0.5"),
            );
            assert!(same(desc, &one, &other), "{one}");
            assert!(!same(desc, &one, &other.replace("0.5", "0.6")), "{one}");
        }
    }

    #[test]
    fn what_is_no_option_keeps_its_order() {
        for (desc, one, other) in [
            (
                "INDEX",
                "CREATE INDEX i ON t USING btree (a, b);",
                "CREATE INDEX i ON t USING btree (b, a);",
            ),
            (
                "TABLE",
                "CREATE TABLE t (a integer, b integer);",
                "CREATE TABLE t (b integer, a integer);",
            ),
            (
                "VIEW",
                "CREATE VIEW v AS WITH (f(a), b)",
                "CREATE VIEW v AS WITH (b, f(a))",
            ),
            (
                "VIEW",
                "CREATE VIEW v AS SELECT (a), b",
                "CREATE VIEW v AS SELECT b, (a)",
            ),
        ] {
            assert!(!same(desc, one, other), "{one}");
        }
    }

    #[test]
    fn grants_are_a_set() {
        let first = "REVOKE ALL ON TABLE s.t FROM o;\nGRANT SELECT ON TABLE s.t TO o;\n";
        let plain = "GRANT INSERT ON TABLE s.t TO x;\n";
        let option = "GRANT SELECT ON TABLE s.t TO x WITH GRANT OPTION;\n";
        let by_another = "SET SESSION AUTHORIZATION y;\nGRANT DELETE ON TABLE s.t TO z;\nRESET SESSION AUTHORIZATION;\n";
        let one = [first, plain, option, by_another].concat();
        assert!(same(
            "ACL",
            &one,
            &[first, by_another, option, plain].concat()
        ));
        assert!(!same(
            "TABLE",
            &one,
            &[first, by_another, option, plain].concat()
        ));
        for other in [
            [first, plain, by_another].concat(),
            [first, plain, plain, by_another].concat(),
            one.replace("AUTHORIZATION y", "AUTHORIZATION x"),
            one.replace(by_another, "GRANT DELETE ON TABLE s.t TO z;\nSET SESSION AUTHORIZATION y;\nRESET SESSION AUTHORIZATION;\n"),
            one.replace("INSERT", "UPDATE"),
            [plain, option, by_another, first].concat(),
        ] {
            assert!(!same("ACL", &one, &other), "{other}");
        }
    }
}
