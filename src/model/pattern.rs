//! Patterns for object names, as `psql` and `pg_dump` understand them.
//!
//! What the manual of psql says under "Patterns", and what `patternToSQLRegex` (`src/fe_utils/string_utils.c`) does:
//! letters outside double quotes are folded to lower case, `*` and `?` are wildcards, a dot separates database, schema
//! and name, `$` is itself, and whatever else a regular expression may hold (`|`, `+`, `[0-9]`, `(…)`) keeps its
//! meaning outside double quotes. A pattern matches a whole name.
//!
//! The server matches with its own regular expressions, we with [`regex`]. Where the two notations differ the pattern is
//! rewritten, or refused if it cannot be; it is never taken to mean something else.

use std::fmt;

use regex::Regex;

use super::QualifiedName;

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// More dots than such a name can have.
    #[error("pattern {pattern:?}: too many parts separated by dots (at most {most})")]
    TooManyParts {
        /// The pattern, as given.
        pattern: String,
        /// How many parts it may have.
        most: usize,
    },
    /// An escape of Postgres's regular expressions that ours do not have.
    #[error("pattern {pattern:?}: the escape \\{escape} is not supported")]
    Escape {
        /// The pattern, as given.
        pattern: String,
        /// The character after the backslash; nothing if the pattern ends there.
        escape: String,
    },
    /// Not a regular expression.
    #[error("pattern {pattern:?} is not a valid regular expression")]
    Syntax {
        /// The pattern, as given.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: regex::Error,
    },
}

/// What kind of name a pattern is for: that decides what a dot means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// `name`, `schema.name` or `database.schema.name`.
    Relation,
    /// `schema`, which `pg_dump` lets nobody qualify.
    Schema,
    /// Something that is in no schema: an extension, a foreign server.
    Global,
}

/// A compiled pattern. Two are equal if they were written alike.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    database: Option<String>,
    schema: Option<Regex>,
    name: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// The pattern as it was given.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// Compiles a pattern.
    pub fn new(text: &str, kind: NameKind) -> Result<Self, PatternError> {
        let most = match kind {
            NameKind::Relation => 3,
            NameKind::Schema | NameKind::Global => 1,
        };
        let mut parts = split(text);
        if parts.len() > most {
            return Err(PatternError::TooManyParts {
                pattern: text.to_owned(),
                most,
            });
        }
        let name = compile(text, &parts.pop().unwrap_or_default())?;
        let schema = match parts.pop() {
            Some(part) => Some(compile(text, &part)?),
            None => None,
        };
        // The database's name is compared as it stands: `*` there means an asterisk.
        let database = parts
            .pop()
            .map(|part| part.iter().copied().map(Char::plain).collect());
        Ok(Self {
            text: text.to_owned(),
            database,
            schema,
            name,
        })
    }

    /// The database that the pattern names, if it does. Only the connected one can be meant.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// Whether it matches this unqualified name: of a schema, an extension, a foreign server.
    pub fn matches_name(&self, name: &str) -> bool {
        self.schema.is_none() && self.name.is_match(name)
    }

    /// Whether it matches this relation. A pattern without a schema only means relations that are visible, that is, those
    /// that the session's default `search_path` finds by their bare name (`pg_table_is_visible`).
    pub fn matches_relation(&self, relation: &QualifiedName, visible: bool) -> bool {
        let in_schema = match &self.schema {
            Some(schema) => schema.is_match(&relation.schema),
            None => visible,
        };
        in_schema && self.name.is_match(&relation.name)
    }
}

/// One character of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Char {
    /// Means itself: quoted, or a dollar sign.
    Literal(char),
    /// `*`
    Many,
    /// `?`
    One,
    /// Passed on to the regular expression.
    Regex(char),
}

impl Char {
    fn plain(self) -> char {
        match self {
            Self::Literal(char) | Self::Regex(char) => char,
            Self::Many => '*',
            Self::One => '?',
        }
    }
}

/// Splits at the dots outside double quotes; folds case and takes the quotes away.
fn split(text: &str) -> Vec<Vec<Char>> {
    let mut parts = vec![Vec::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let meaning = match char {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                Char::Literal('"')
            }
            '"' => {
                quoted = !quoted;
                continue;
            }
            _ if quoted => Char::Literal(char),
            '.' => {
                parts.push(Vec::new());
                continue;
            }
            '*' => Char::Many,
            '?' => Char::One,
            // Names may hold it, and an anchor is of no use in a pattern that is anchored anyway.
            '$' => Char::Literal(char),
            // `[]` is more likely the end of an array type's name than the begin of a set.
            '[' if chars.peek() == Some(&']') => Char::Literal(char),
            _ => Char::Regex(char.to_ascii_lowercase()),
        };
        if let Some(part) = parts.last_mut() {
            part.push(meaning);
        }
    }
    parts
}

fn compile(pattern: &str, part: &[Char]) -> Result<Regex, PatternError> {
    // Without (?s) a dot would not match a newline, which a name may well hold.
    let mut expression = String::from("(?s)^(?:");
    let mut rest = part;
    while let Some((&char, after)) = rest.split_first() {
        rest = match char {
            Char::Literal(char) => {
                push_literal(&mut expression, char);
                after
            }
            Char::Many => {
                expression.push_str(".*");
                after
            }
            Char::One => {
                expression.push('.');
                after
            }
            Char::Regex('\\') => push_escape(&mut expression, pattern, after)?,
            Char::Regex('[') => push_set(&mut expression, pattern, after)?,
            // In Postgres a brace that no digit follows is a brace.
            Char::Regex('{') if !begins_with_digit(after) => {
                expression.push_str(r"\{");
                after
            }
            Char::Regex(char) => {
                expression.push(char);
                after
            }
        };
    }
    expression.push_str(")$");
    Regex::new(&expression).map_err(|source| PatternError::Syntax {
        pattern: pattern.to_owned(),
        source,
    })
}

fn begins_with_digit(part: &[Char]) -> bool {
    matches!(part.first(), Some(Char::Regex(char)) if char.is_ascii_digit())
}

fn push_literal(expression: &mut String, char: char) {
    expression.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
}

/// After a backslash: a class that both notations have, or a character that is meant literally.
fn push_escape<'a>(
    expression: &mut String,
    pattern: &str,
    after: &'a [Char],
) -> Result<&'a [Char], PatternError> {
    let refused = |escape: String| PatternError::Escape {
        pattern: pattern.to_owned(),
        escape,
    };
    let (next, rest) = after.split_first().ok_or_else(|| refused(String::new()))?;
    // To psql `\*` is a backslash and then `.*`: nobody who writes it means that.
    let Char::Regex(next) = *next else {
        return Err(refused(next.plain().to_string()));
    };
    match next {
        // Upper-case classes cannot get here: folding has made `\D` into `\d`, as it does in psql.
        class @ ('d' | 'w' | 's' | 'n' | 't' | 'r' | 'f' | 'v') => {
            expression.push('\\');
            expression.push(class);
        }
        other if other.is_ascii_alphanumeric() => return Err(refused(other.to_string())),
        other => push_literal(expression, other),
    }
    Ok(rest)
}

/// A bracket expression up to its closing bracket. Ours know nested sets and operators between sets; Postgres's do not.
fn push_set<'a>(
    expression: &mut String,
    pattern: &str,
    after: &'a [Char],
) -> Result<&'a [Char], PatternError> {
    expression.push('[');
    let mut rest = after;
    if let Some((Char::Regex('^'), after_caret)) = rest.split_first() {
        expression.push('^');
        rest = after_caret;
    }
    while let Some((&char, after)) = rest.split_first() {
        rest = after;
        match (char, after.first()) {
            (Char::Regex(']'), _) => {
                expression.push(']');
                return Ok(rest);
            }
            (Char::Regex('['), Some(Char::Regex(':'))) => {
                let class: String = rest.iter().copied().map(Char::plain).collect();
                let Some(length) = class.find(":]").map(|at| class[..at + 2].chars().count())
                else {
                    continue;
                };
                expression.push('[');
                expression.extend(class.chars().take(length));
                rest = &rest[length..];
            }
            (Char::Regex('\\'), _) => rest = push_escape(expression, pattern, rest)?,
            (Char::Regex('-'), _) => expression.push('-'),
            // A wildcard in brackets is rewritten there too, odd as it is: `[*]` is `[.*]`, a dot or an asterisk.
            (Char::Many, _) => expression.push_str(r"\.\*"),
            (Char::One, _) => expression.push_str(r"\."),
            (Char::Literal(char) | Char::Regex(char), _) => push_literal(expression, char),
        }
    }
    // Never closed: the compiler says so.
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, schema: &str, name: &str) -> bool {
        Pattern::new(pattern, NameKind::Relation)
            .expect("is a pattern")
            .matches_relation(&QualifiedName::new(schema, name), schema == "public")
    }

    /// The examples that the manuals of psql ("Patterns") and `pg_dump` ("Examples") give.
    #[test]
    fn the_manuals_examples_mean_what_the_manuals_say() {
        // "\dt FOO will display the table named foo"
        assert!(matches("FOO", "public", "foo"));
        assert!(!matches("FOO", "public", "FOO"));
        // "\dt "FOO""BAR" will display the table named FOO"BAR (not foo"bar)"
        assert!(matches(r#""FOO""BAR""#, "public", r#"FOO"BAR"#));
        assert!(!matches(r#""FOO""BAR""#, "public", r#"foo"bar"#));
        // "\dt FOO"FOO"BAR will display the table named fooFOObar"
        assert!(matches(r#"FOO"FOO"BAR"#, "public", "fooFOObar"));
        // "\dt int*" ... "\dt foo*.*bar*": tables whose name includes bar in schemas whose name starts with foo
        assert!(matches("int*", "public", "integers"));
        assert!(matches("foo*.*bar*", "foo1", "a_bar_b"));
        assert!(!matches("foo*.*bar*", "a_foo", "a_bar_b"));
        // "regular expression special characters work as in regular expressions, [0-9] for any digit"
        assert!(matches("log_[0-9]", "public", "log_7"));
        assert!(!matches("log_[0-9]", "public", "log_x"));
        // "? is translated to ., R+ as (R+|)... $ is matched literally"
        assert!(matches("a?c", "public", "abc") && !matches("a?c", "public", "ac"));
        assert!(matches("a$", "public", "a$") && !matches("a$", "public", "a"));
        assert!(matches("ab+", "public", "abbb"));
        // pg_dump: "all schemas whose names start with east or west and end in gsm"
        let pattern = Pattern::new("(east|west)*gsm", NameKind::Schema).expect("is a pattern");
        assert!(pattern.matches_name("east_gsm") && pattern.matches_name("west-1-gsm"));
        assert!(!pattern.matches_name("north_gsm") && !pattern.matches_name("east_gsm2"));
        // pg_dump: -t 'detroit.emp*', -t '"MixedCaseName"'
        assert!(matches("detroit.emp*", "detroit", "employees"));
        assert!(matches(r#""MixedCaseName""#, "public", "MixedCaseName"));
    }

    #[test]
    fn an_unqualified_pattern_means_visible_relations_only() {
        assert!(matches("statuses", "public", "statuses"));
        assert!(!matches("statuses", "archive", "statuses"));
        assert!(!matches("*", "archive", "statuses"));
        assert!(matches("*.statuses", "archive", "statuses"));
    }

    #[test]
    fn quotes_take_the_meaning_from_everything_and_may_hold_anything() {
        assert!(matches(r#""a.b"."c*|""#, "a.b", "c*|"));
        assert!(!matches(r#"x."c*""#, "x", "cc"));
        assert!(matches("\"two\nlines\"", "public", "two\nlines"));
        assert!(matches("two*lines", "public", "two\nlines"));
        assert!(matches("tw?.üÄ", "two", "üÄ"), "only ASCII is folded");
        assert!(!matches("a|b", "public", "ax"), "alternatives are whole");
        assert!(matches("_text[]", "public", "_text[]"));
    }

    #[test]
    fn what_only_one_of_the_two_notations_knows_is_rewritten_or_refused() {
        // A set operator of ours, plain characters to Postgres.
        assert!(matches("[a&&b]", "public", "&"));
        assert!(matches("[[x]", "public", "["));
        assert!(matches("[[:digit:]]x", "public", "5x"));
        assert!(matches("[^[:digit:]]", "public", "x"));
        assert!(matches("a{2}", "public", "aa"));
        assert!(matches("a{b}", "public", "a{b}"));
        assert!(matches(r"a\d", "public", "a5"));
        assert!(matches(r"a\+b", "public", "a+b"));
        let refused = |pattern| {
            Pattern::new(pattern, NameKind::Relation)
                .expect_err("is no pattern")
                .to_string()
        };
        assert_eq!(
            refused(r"\mfoo"),
            r#"pattern "\\mfoo": the escape \m is not supported"#
        );
        assert_eq!(
            refused(r"a\*"),
            r#"pattern "a\\*": the escape \* is not supported"#
        );
        assert_eq!(
            refused("a("),
            r#"pattern "a(" is not a valid regular expression"#
        );
        assert_eq!(
            refused("[a"),
            r#"pattern "[a" is not a valid regular expression"#
        );
        assert_eq!(
            refused("+"),
            r#"pattern "+" is not a valid regular expression"#
        );
        assert_eq!(
            refused("a.b.c.d"),
            r#"pattern "a.b.c.d": too many parts separated by dots (at most 3)"#
        );
        assert!(Pattern::new("db.public", NameKind::Schema).is_err());
    }

    #[test]
    fn a_database_is_taken_as_it_stands() {
        let pattern = Pattern::new("Db*.s.t", NameKind::Relation).expect("is a pattern");
        assert_eq!(pattern.database(), Some("db*"));
        assert!(pattern.matches_relation(&QualifiedName::new("s", "t"), false));
    }

    proptest! {
        #[test]
        fn a_quoted_name_matches_itself_and_nothing_else(schema in any::<String>(), name in any::<String>(), other in any::<String>()) {
            let quoted = QualifiedName::new(&schema, &name).to_string();
            let pattern = Pattern::new(&quoted, NameKind::Relation).expect("quoting makes any name a pattern");
            prop_assert!(pattern.matches_relation(&QualifiedName::new(&schema, &name), false));
            prop_assert_eq!(pattern.matches_relation(&QualifiedName::new(&schema, &other), false), other == name);
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), dense in r#"[]\[\\{}()*+?|^$."a0:\-]{0,12}"#) {
            let _ = Pattern::new(&text, NameKind::Relation);
            let _ = Pattern::new(&dense, NameKind::Relation);
        }
    }
}
