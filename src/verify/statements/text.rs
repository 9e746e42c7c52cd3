//! Which statements a planner can be asked about, and how a file of them is taken apart.
//!
//! Only statements that read or write rows have a plan. In a file, anything else is refused with its line, and not passed
//! over: whoever wrote it there believes that it is looked at.

use crate::toc::{Kind, Tokens};

use super::Sampled;

/// What a statement with a plan begins with.
const PLANNED: [&str; 6] = ["select", "insert", "update", "delete", "merge", "with"];

/// Most statements in a file: each is two questions, and a report that nobody reads helps nobody.
const MOST: usize = 1000;

/// Why a file of statements is no good.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementsError {
    /// Something in it does not end.
    #[error("line {line}: a string, a quoted name or a comment that begins there does not end")]
    Unterminated {
        /// Where it begins.
        line: usize,
    },
    /// A statement that has no plan.
    #[error("line {line}: a statement that begins with \"{begins}\" has no plan to be compared")]
    NoPlan {
        /// Where it begins.
        line: usize,
        /// Its first word.
        begins: String,
    },
    /// There are too many.
    #[error("there are more than {MOST} statements")]
    TooMany,
    /// There is none.
    #[error("there is no statement in it")]
    Empty,
}

/// The statements of a file, separated by semicolons.
pub fn parse(text: &str) -> Result<Vec<Sampled>, StatementsError> {
    let mut statements = Vec::new();
    let piece = |start: usize, end: usize| text.get(start..end).unwrap_or_default();
    let line_of = |at: usize| 1 + piece(0, at).matches('\n').count();
    // Where the statement begins, where its last token ends, and its first word.
    let mut open: Option<(usize, usize, Option<&str>)> = None;
    let mut close = |open: Option<(usize, usize, Option<&str>)>| {
        let Some((start, end, first)) = open else {
            return Ok(());
        };
        if !first.is_some_and(is_planned) {
            let begins = first.unwrap_or_else(|| piece(start, end)).to_owned();
            let line = line_of(start);
            return Err(StatementsError::NoPlan { line, begins });
        }
        if statements.len() >= MOST {
            return Err(StatementsError::TooMany);
        }
        statements.push(Sampled {
            text: piece(start, end).to_owned(),
            spent: None,
        });
        Ok(())
    };
    for token in Tokens::new(text.as_bytes(), true) {
        let token = token.map_err(|at| StatementsError::Unterminated {
            line: line_of(at.start),
        })?;
        let words = piece(token.start, token.end);
        match token.kind {
            Kind::Comment => {}
            Kind::Symbol if words == ";" => close(open.take())?,
            kind => {
                let (start, _, first) = open.unwrap_or((token.start, token.end, None));
                let word = (kind == Kind::Word).then_some(words);
                open = Some((start, token.end, first.or(word)));
            }
        }
    }
    close(open)?;
    if statements.is_empty() {
        return Err(StatementsError::Empty);
    }
    Ok(statements)
}

/// Whether a statement that somebody ran has a plan, and reads something else than the catalogs.
pub(super) fn is_of_interest(text: &str) -> bool {
    let mut tokens = Tokens::new(text.as_bytes(), true).map_while(Result::ok);
    let first = tokens.find(|token| token.kind == Kind::Word);
    let first = first.and_then(|token| text.get(token.start..token.end));
    first.is_some_and(is_planned) && !text.contains("pg_catalog.")
}

fn is_planned(word: &str) -> bool {
    PLANNED
        .iter()
        .any(|planned| planned.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Vec<String> {
        let statements = parse(file).expect("statements");
        statements.into_iter().map(|one| one.text).collect()
    }

    #[test]
    fn a_file_is_cut_at_semicolons_that_are_no_part_of_anything() {
        let file = "-- by the application; mostly\n\
                    SELECT ';' from a where b = $1; ;\n\
                    (select 1) union (select $tag$;$tag$)\n;\n\
                    with x as (select \"a;b\" from t) /* ; */ delete from t using x";
        assert_eq!(
            texts(file),
            [
                "SELECT ';' from a where b = $1",
                "(select 1) union (select $tag$;$tag$)",
                "with x as (select \"a;b\" from t) /* ; */ delete from t using x",
            ]
        );
    }

    #[test]
    fn what_has_no_plan_is_refused_with_its_line() {
        for (file, line, begins) in [
            ("select 1;\n\nvacuum t;", 3, "vacuum"),
            ("/* a\n b */ create table x()", 2, "create"),
            ("\n'text'", 2, "'text'"),
        ] {
            let begins = begins.to_owned();
            assert_eq!(
                parse(file),
                Err(StatementsError::NoPlan { line, begins }),
                "{file}"
            );
        }
        assert_eq!(
            parse("select 1;\nselect 'x"),
            Err(StatementsError::Unterminated { line: 2 })
        );
        assert_eq!(parse(" -- nothing\n;"), Err(StatementsError::Empty));
        assert_eq!(
            parse(&"select 1;".repeat(MOST + 1)),
            Err(StatementsError::TooMany)
        );
    }

    #[test]
    fn what_the_server_counted_is_looked_at_if_it_has_a_plan() {
        for (text, expected) in [
            ("select * from t where a = $1", true),
            ("/* controller:home */ SELECT 1", true),
            ("( select 1 )", true),
            (
                "Merge into t using u on true when matched then delete",
                true,
            ),
            ("begin", false),
            ("set search_path to x", false),
            ("copy t to stdout", false),
            ("<insufficient privilege>", false),
            ("select relname from pg_catalog.pg_class", false),
            ("", false),
        ] {
            assert_eq!(is_of_interest(text), expected, "{text}");
        }
    }
}
