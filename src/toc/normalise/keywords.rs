//! Names that stand in quotes on the newer server alone.
//!
//! What a server prints (expressions, queries, bodies of functions, names of types) has a name in quotes where it needs them, and where
//! it is a keyword of that server that is reserved in any way (`quote_identifier` in `ruleutils.c`). A column `json` is printed
//! as it is up to version 16, and as `"json"` from 17 on. It is the same name: one in lower case means the same with and
//! without quotes.
//!
//! What has become of a name otherwise is not passed over: where a column `system_user` was meant, and the newer server took it
//! for the function, it prints that in capitals. So does it with all that is a keyword in what it prints, and the case of letters
//! counts here.
//!
//! Strings are not looked into, but for constants of the types that stand for something with a name (`'s."json"'::regclass`): these the
//! server prints with quotes of its own. Constants that are arrays of them, it quotes once more; they stay as they are.

use std::borrow::Cow;

use super::super::tokens::{Kind, Tokens};
use super::{Versions, Word};

/// The words that are quoted from a major version on, by `pg_get_keywords()` of each: those whose `catcode` is not `U`, and that the
/// version before had not, or as unreserved ones. No other version from 11 to 18 has any, and none was given up.
const QUOTED_SINCE: [(u32, &[&[u8]]); 3] = [
    (13, &[b"normalize"]),
    (
        16,
        &[
            b"json_array",
            b"json_arrayagg",
            b"json_object",
            b"json_objectagg",
            b"system_user",
        ],
    ),
    (
        17,
        &[
            b"json",
            b"json_exists",
            b"json_query",
            b"json_scalar",
            b"json_serialize",
            b"json_table",
            b"json_value",
            b"merge_action",
        ],
    ),
];

/// The types whose constants are printed as names.
const NAMING_TYPES: [&[u8]; 11] = [
    b"regclass",
    b"regcollation",
    b"regconfig",
    b"regdictionary",
    b"regnamespace",
    b"regoper",
    b"regoperator",
    b"regproc",
    b"regprocedure",
    b"regrole",
    b"regtype",
];

/// `"json"` → `json`, where only the newer one quotes that.
pub(super) fn without_new_quotes(mut words: Vec<Word<'_>>, versions: Versions) -> Vec<Word<'_>> {
    for word in &mut words {
        if let (Kind::QuotedName, text) = *word
            && let Some(name) = newly_quoted(text, versions)
        {
            *word = (Kind::Word, name);
        }
    }
    words
}

/// The same in a text of which only the names are of interest: a signature, say.
pub(in super::super) fn with_old_quotes(text: &[u8], versions: Versions) -> Cow<'_, [u8]> {
    rewritten(text, true, |kind, word, _| {
        let name = newly_quoted(word, versions).filter(|_| kind == Kind::QuotedName);
        name.map(Cow::Borrowed)
    })
}

/// `'s."json"'::regclass` → `'s.json'::regclass`, in a definition.
pub(super) fn with_old_constants(
    sql: &[u8],
    versions: Versions,
    std_strings: bool,
) -> Cow<'_, [u8]> {
    let quotes_more = |(since, _): &(u32, _)| versions.straddle(*since);
    if !QUOTED_SINCE.iter().any(quotes_more) {
        return Cow::Borrowed(sql);
    }
    rewritten(sql, std_strings, |kind, literal, behind| {
        if kind != Kind::Literal || !is_cast_to_name(behind) {
            return None;
        }
        let Cow::Owned(names) = with_old_quotes(between_quotes(literal)?, versions) else {
            return None;
        };
        // A backslash is in another name, and is on both sides.
        let opening: &[u8] = if literal.starts_with(b"E") {
            b"E'"
        } else {
            b"'"
        };
        Some(Cow::Owned([opening, &names, b"'"].concat()))
    })
}

/// What is in a `'…'` or `E'…'`, as it is written.
fn between_quotes(literal: &[u8]) -> Option<&[u8]> {
    let quoted = literal.strip_prefix(b"E").unwrap_or(literal);
    quoted.strip_prefix(b"'")?.strip_suffix(b"'")
}

/// Whether a constant that this is behind is one of [`NAMING_TYPES`]: not of an array, and not of something in a schema of that name.
fn is_cast_to_name(behind: &[u8]) -> bool {
    let Some(cast) = behind.strip_prefix(b"::") else {
        return false;
    };
    let Some(Ok(name)) = Tokens::new(cast, true).next() else {
        return false;
    };
    let of_names = |name| NAMING_TYPES.contains(&name);
    let goes_on = |byte| b".[".contains(byte);
    cast.get(name.start..name.end).is_some_and(of_names) && !cast.get(name.end).is_some_and(goes_on)
}

/// The other way round, whatever the versions are: each of these names has quotes. Only for a text whose other words are none of them.
pub(in super::super) fn with_all_quotes(text: &[u8]) -> Cow<'_, [u8]> {
    rewritten(text, true, |kind, word, _| {
        let mut lists = QUOTED_SINCE.iter();
        let is_listed = kind == Kind::Word && lists.any(|(_, names)| names.contains(&word));
        is_listed.then(|| Cow::Owned([b"\"".as_slice(), word, b"\""].concat()))
    })
}

/// A text with other tokens in place of some, told by kind, token and what is behind it; all else is as it was.
fn rewritten<'a>(
    text: &'a [u8],
    std_strings: bool,
    instead: impl Fn(Kind, &'a [u8], &'a [u8]) -> Option<Cow<'a, [u8]>>,
) -> Cow<'a, [u8]> {
    let mut changed = Vec::new();
    let mut copied = 0;
    for token in Tokens::new(text, std_strings).map_while(Result::ok) {
        let word = text.get(token.start..token.end).unwrap_or_default();
        let behind = text.get(token.end..).unwrap_or_default();
        if let Some(other) = instead(token.kind, word, behind) {
            changed.extend_from_slice(text.get(copied..token.start).unwrap_or_default());
            changed.extend_from_slice(&other);
            copied = token.end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    changed.extend_from_slice(text.get(copied..).unwrap_or_default());
    Cow::Owned(changed)
}

/// What is in the quotes, if only the newer one needs them.
fn newly_quoted(quoted: &[u8], versions: Versions) -> Option<&[u8]> {
    let name = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    QUOTED_SINCE
        .iter()
        .any(|(since, names)| versions.straddle(*since) && names.contains(&name))
        .then_some(name)
}

#[cfg(test)]
mod tests {
    use super::super::{same_definition, same_tag};
    use super::*;

    fn same(desc: &str, older: &str, newer: &str, (from, to): (u32, u32)) -> bool {
        let of = |source: &str, target: &str, majors: (u32, u32)| {
            let versions = Versions::of(majors.0, majors.1);
            same_definition(desc, (source.as_bytes(), target.as_bytes()), versions, true)
        };
        let forth = of(older, newer, (from, to));
        assert_eq!(forth, of(newer, older, (to, from)), "{older}");
        forth
    }

    #[test]
    fn a_name_is_the_same_where_the_newer_one_must_quote_it() {
        for (desc, older, newer) in [
            (
                "INDEX",
                "CREATE INDEX i ON s.t USING btree (((json ->> 'a'::text)));",
                "CREATE INDEX i ON s.t USING btree (((\"json\" ->> 'a'::text)));",
            ),
            (
                "TABLE",
                "CREATE TABLE s.t (\"json\" jsonb, CONSTRAINT c CHECK ((f(json) = 1)));",
                "CREATE TABLE s.t (\"json\" jsonb, CONSTRAINT c CHECK ((f(\"json\") = 1)));",
            ),
            (
                "VIEW",
                "CREATE VIEW s.v AS\n SELECT t.id,\n    t.json\n   FROM s.t;",
                "CREATE VIEW s.v AS\n SELECT id,\n    \"json\"\n   FROM s.t;",
            ),
            (
                "VIEW",
                "CREATE VIEW s.v AS SELECT (ROW('a'::text)::s.c).json AS json;",
                "CREATE VIEW s.v AS SELECT (ROW('a'::text)::s.c).\"json\" AS \"json\";",
            ),
            (
                "FK CONSTRAINT",
                "ALTER TABLE ONLY s.t ADD CONSTRAINT f FOREIGN KEY (json) REFERENCES s.r(json);",
                "ALTER TABLE ONLY s.t ADD CONSTRAINT f FOREIGN KEY (\"json\") REFERENCES s.r(\"json\");",
            ),
            (
                "FUNCTION",
                "CREATE FUNCTION s.f() RETURNS s.json_value LANGUAGE sql RETURN json_object('{}'::text[]);",
                "CREATE FUNCTION s.f() RETURNS s.\"json_value\" LANGUAGE sql RETURN \"json_object\"('{}'::text[]);",
            ),
        ] {
            assert!(same(desc, older, newer, (12, 18)), "{newer}");
            // Both quote it, or neither does.
            assert!(!same(desc, older, newer, (17, 18)), "{newer}");
            assert!(!same(desc, older, newer, (12, 15)), "{newer}");
            assert!(!same(desc, older, newer, (0, 18)), "{newer}");
        }
    }

    #[test]
    fn a_constant_that_is_a_name_is_the_same_where_the_newer_one_must_quote_it() {
        let default = |what: &str| format!("CREATE TABLE s.t (a integer DEFAULT f({what}));");
        let the_same = |older: &str, newer: &str, majors| {
            same("TABLE", &default(older), &default(newer), majors)
        };
        for name in NAMING_TYPES.map(String::from_utf8_lossy) {
            let (older, newer) = (format!("'s.json'::{name}"), format!("'s.\"json\"'::{name}"));
            assert!(the_same(&older, &newer, (12, 18)), "{name}");
            assert!(!the_same(&older, &newer, (17, 18)), "{name}");
            assert!(!the_same(&older, &newer, (0, 18)), "{name}");
        }
        for (older, newer) in [
            (
                "('json.normalize'::regclass)::oid",
                "('\"json\".\"normalize\"'::regclass)::oid",
            ),
            (
                "'f(json.json_value,integer)'::regprocedure",
                "'f(\"json\".\"json_value\",integer)'::regprocedure",
            ),
            ("'json.+'::regoper", "'\"json\".+'::regoper"),
            ("'json_value[]'::regtype", "'\"json_value\"[]'::regtype"),
            (
                "'\"it''s\".json'::regclass",
                "'\"it''s\".\"json\"'::regclass",
            ),
            (
                r#"E'"a\\b".json'::regclass"#,
                r#"E'"a\\b"."json"'::regclass"#,
            ),
            (
                r#"'"a ""json"" b".json'::regclass"#,
                r#"'"a ""json"" b"."json"'::regclass"#,
            ),
        ] {
            assert!(the_same(older, newer, (12, 18)), "{newer}");
        }
        for (older, newer) in [
            ("'s.json'::regclass", "'s.\"Json\"'::regclass"),
            ("'s.json'::regclass", "'s.\"jsonb\"'::regclass"),
            ("'s.json'::regclass", "'json.s'::regclass"),
            (r#"'"a ""json"" b"'::regclass"#, r#"'"a json b"'::regclass"#),
            ("'s.json'::text", "'s.\"json\"'::text"),
            ("'s.json'::s.regclass", "'s.\"json\"'::s.regclass"),
            ("'s.json'::regclass.t", "'s.\"json\"'::regclass.t"),
            ("'s.json'::regclass_t", "'s.\"json\"'::regclass_t"),
            ("'s.json'::regclass[]", "'s.\"json\"'::regclass[]"),
            ("'s.json', 's.t'::regclass", "'s.\"json\"', 's.t'::regclass"),
            (
                "('s.json'::text)::regclass",
                "('s.\"json\"'::text)::regclass",
            ),
            ("$$s.json$$::regclass", "$$s.\"json\"$$::regclass"),
        ] {
            assert!(!the_same(older, newer, (12, 18)), "{newer}");
        }
    }

    #[test]
    fn each_word_counts_from_the_version_that_quotes_it() {
        let check = |name: &str| format!("CREATE TABLE t (CONSTRAINT c CHECK (({name} > 0)));");
        for (since, names) in QUOTED_SINCE {
            for name in names {
                let name = String::from_utf8_lossy(name);
                let (older, newer) = (check(&name), check(&format!("\"{name}\"")));
                assert!(same("TABLE", &older, &newer, (since - 1, since)), "{name}");
                assert!(
                    !same("TABLE", &older, &newer, (since - 1, since - 1)),
                    "{name}"
                );
                assert!(!same("TABLE", &older, &newer, (since, since)), "{name}");
            }
        }
    }

    #[test]
    fn what_means_something_else_stays_a_difference() {
        for (older, newer) in [
            // The column has become the function.
            ("(system_user <> 'x'::text)", "(SYSTEM_USER <> 'x'::text)"),
            (
                "(\"system_user\" <> 'x'::text)",
                "(SYSTEM_USER <> 'x'::text)",
            ),
            ("(json > 0)", "(JSON > 0)"),
            ("(json > 0)", "(\"JSON\" > 0)"),
            ("(\"Json\" > 0)", "(\"json\" > 0)"),
            ("(json > 0)", "(\"jsonb\" > 0)"),
            ("(a = 'json'::text)", "(a = '\"json\"'::text)"),
            ("(a = '\"json\"'::text)", "(a = 'json'::text)"),
            // No keyword on any side.
            ("(id > 0)", "(\"id\" > 0)"),
            // A keyword on both.
            ("(user > 'x'::name)", "(\"user\" > 'x'::name)"),
        ] {
            let check = |what: &str| format!("CREATE TABLE t (CONSTRAINT c CHECK ({what}));");
            let (older, newer) = (check(older), check(newer));
            assert!(!same("TABLE", &older, &newer, (12, 18)), "{newer}");
        }
        let function = |body: &str| format!("CREATE FUNCTION f() LANGUAGE sql AS $$ {body} $$;");
        let (older, newer) = (function("select json"), function("select \"json\""));
        assert!(!same("FUNCTION", &older, &newer, (12, 18)));
    }

    #[test]
    fn an_entry_is_recognised_by_its_signature_in_either_spelling() {
        let versions = Versions::of(12, 18);
        for (desc, older, newer) in [
            ("FUNCTION", "f(s.json_value)", "f(s.\"json_value\")"),
            (
                "COMMENT",
                "FUNCTION f(json text)",
                "FUNCTION f(\"json\" text)",
            ),
            (
                "ACL",
                "PROCEDURE p(json text, b s.json_value)",
                "PROCEDURE p(IN \"json\" text, IN b s.\"json_value\")",
            ),
            (
                "CAST",
                "CAST (text AS s.json_value)",
                "CAST (text AS s.\"json_value\")",
            ),
        ] {
            let tag = |tag| same_tag(desc, tag, versions);
            assert_eq!(tag(older.as_bytes()), tag(newer.as_bytes()), "{newer}");
        }
        // That is its name, with the quotes.
        let tag = b"\"json\"";
        assert_eq!(&*same_tag("TABLE", tag, versions), tag);
        let other = b"f(\"Json\", \"json it";
        assert_eq!(&*with_old_quotes(other, versions), other);
    }
    #[test]
    fn a_statement_has_quotes_that_every_server_understands() {
        for (said, quoted) in [
            ("storage of column json", "storage of column \"json\""),
            ("storage of column \"json\"", "storage of column \"json\""),
            (
                "storage of column \"My json\"",
                "storage of column \"My json\"",
            ),
            (
                "using index system_user, json",
                "using index \"system_user\", \"json\"",
            ),
        ] {
            assert_eq!(&*with_all_quotes(said.as_bytes()), quoted.as_bytes());
        }
    }
}
