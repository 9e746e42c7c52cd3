//! Takes a definition with several statements apart.
//!
//! A definition in a table of contents may hold more than one statement: `ALTER TABLE … ADD CONSTRAINT …; ALTER TABLE … CLUSTER
//! ON …;`. A semicolon ends a statement as it does in psql: not inside quotes, comments or parentheses, and not
//! inside the `BEGIN ATOMIC … END` body of a SQL function (`src/fe_utils/psqlscan.l`).

use super::tokens::{Kind, Tokens};

/// A definition that ends in the middle of a string, a quoted name or a comment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the SQL text ends inside of what begins at byte {start}: {begins}")]
pub struct SplitError {
    /// Offset of the opening quote or comment.
    pub start: usize,
    /// The text from there, at most a line of it, for people.
    pub begins: String,
}

/// The statements of `sql`, without their semicolons and without white space and comments around them. Text that is
/// nothing but comments has none.
///
/// `std_strings` is the archive's `standard_conforming_strings`: whether a backslash in `'…'` is just a backslash.
pub fn split_statements(sql: &[u8], std_strings: bool) -> Result<Vec<&[u8]>, SplitError> {
    let mut statements = Vec::new();
    let mut extent: Option<(usize, usize)> = None;
    let mut nesting = Nesting::default();
    for token in Tokens::new(sql, std_strings) {
        let token = token.map_err(|unterminated| SplitError {
            start: unterminated.start,
            begins: first_line(sql.get(unterminated.start..).unwrap_or_default()),
        })?;
        if token.kind == Kind::Comment {
            continue;
        }
        let text = sql.get(token.start..token.end).unwrap_or_default();
        if text == b";" && nesting.at_top() {
            statements.extend(extent.take().and_then(|(start, end)| sql.get(start..end)));
            nesting = Nesting::default();
            continue;
        }
        nesting.see(token.kind, text);
        let start = extent.map_or(token.start, |(start, _)| start);
        extent = Some((start, token.end));
    }
    statements.extend(extent.and_then(|(start, end)| sql.get(start..end)));
    Ok(statements)
}

fn first_line(sql: &[u8]) -> String {
    let line = sql.split(|&byte| byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

/// How deep inside of parentheses and of a SQL function's body we are.
#[derive(Default)]
struct Nesting {
    parentheses: usize,
    blocks: usize,
    /// The statement's first words in upper case; four are enough for `CREATE OR REPLACE FUNCTION`.
    first_words: Vec<Vec<u8>>,
}

impl Nesting {
    fn at_top(&self) -> bool {
        self.parentheses == 0 && self.blocks == 0
    }

    fn see(&mut self, kind: Kind, text: &[u8]) {
        match (kind, text) {
            (Kind::Symbol, b"(") => self.parentheses += 1,
            (Kind::Symbol, b")") => self.parentheses = self.parentheses.saturating_sub(1),
            (Kind::Word, _) => self.see_word(text.to_ascii_uppercase()),
            _ => {}
        }
    }

    fn see_word(&mut self, word: Vec<u8>) {
        if self.parentheses == 0 && self.makes_a_routine() {
            // A CASE expression in the body has an END of its own.
            match word.as_slice() {
                b"BEGIN" => self.blocks += 1,
                b"CASE" if self.blocks > 0 => self.blocks += 1,
                b"END" => self.blocks = self.blocks.saturating_sub(1),
                _ => {}
            }
        }
        if self.first_words.len() < 4 {
            self.first_words.push(word);
        }
    }

    fn makes_a_routine(&self) -> bool {
        let words: Vec<&[u8]> = self.first_words.iter().map(Vec::as_slice).collect();
        let is_routine = |word: &[u8]| matches!(word, b"FUNCTION" | b"PROCEDURE");
        match words.as_slice() {
            [b"CREATE", b"OR", b"REPLACE", kind, ..] | [b"CREATE", kind, ..] => is_routine(kind),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(sql: &str) -> Vec<String> {
        split_statements(sql.as_bytes(), true)
            .expect("splits")
            .into_iter()
            .map(|statement| String::from_utf8_lossy(statement).into_owned())
            .collect()
    }

    #[test]
    fn a_constraint_comes_apart() {
        assert_eq!(
            split(
                "ALTER TABLE ONLY a.t\n    ADD CONSTRAINT \"x;y\" PRIMARY KEY (id);\n\nALTER TABLE a.t CLUSTER ON \"x;y\";\n"
            ),
            [
                "ALTER TABLE ONLY a.t\n    ADD CONSTRAINT \"x;y\" PRIMARY KEY (id)",
                "ALTER TABLE a.t CLUSTER ON \"x;y\""
            ]
        );
    }

    #[test]
    fn bodies_stay_whole() {
        let rule = "CREATE RULE r AS ON INSERT TO t DO (INSERT INTO a VALUES (1); DELETE FROM b;)";
        assert_eq!(split(&format!("{rule};")), [rule]);
        for body in [
            "CREATE FUNCTION f() RETURNS int\n LANGUAGE sql\n BEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 ELSE 2 END;\n SELECT 2;\nEND",
            "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $_$ begin; ' $$ ; end; $_$",
        ] {
            assert_eq!(split(&format!("{body};\n\nSELECT 1;")), [body, "SELECT 1"]);
        }
    }

    #[test]
    fn only_functions_have_bodies() {
        assert_eq!(split("BEGIN; SELECT 1; END"), ["BEGIN", "SELECT 1", "END"]);
        assert_eq!(
            split("CREATE TABLE begin (a int); SELECT 1"),
            ["CREATE TABLE begin (a int)", "SELECT 1"]
        );
    }

    #[test]
    fn comments_are_no_statements() {
        assert!(split("-- *not* creating schema, since initdb creates it\n\n").is_empty());
        assert!(split(";;/* ; */;").is_empty());
        assert_eq!(split("-- a\nSELECT 1 -- b\n;-- c"), ["SELECT 1"]);
    }

    #[test]
    fn backslashes_count_when_they_do() {
        let sql = br"SELECT 'a\'; b'; SELECT 2";
        assert_eq!(split_statements(sql, false).expect("splits").len(), 2);
        assert!(split_statements(sql, true).is_err());
    }
}
