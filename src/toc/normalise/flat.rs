//! Conditions in a condition of the same kind, which become one when they are read again.
//!
//! `a BETWEEN 1 AND 5 AND b > 0` is kept as `((a >= 1) AND (a <= 5)) AND (b > 0)` and deparsed so. Read again, the first operand of an AND
//! that is an AND itself is taken apart (`makeAndExpr` in `gram.y`, and so with OR), and it is deparsed as
//! `(a >= 1) AND (a <= 5) AND (b > 0)` from then on. Both mean the same, whatever the operands are. A server puts each operand, and each
//! condition, into parentheses.

use super::super::tokens::Kind;
use super::{Word, is_word};

/// `((a AND b) AND c)` → `(a AND b AND c)`.
pub(super) fn flat_conditions<'a>(words: &[Word<'a>]) -> Vec<Word<'a>> {
    let mut left_out = vec![false; words.len()];
    // Parentheses that are open: where, and what joins what is in them.
    let mut open: Vec<(usize, Joins)> = Vec::new();
    for (at, &(kind, text)) in words.iter().enumerate() {
        match (kind, text) {
            (Kind::Symbol, b"(") => open.push((at, Joins::Nothing)),
            (Kind::Symbol, b")") => {
                let Some((begin, joins)) = open.pop() else {
                    continue;
                };
                let is_first = open.last().is_some_and(|&(around, _)| around + 1 == begin);
                if is_first && joins.goes_on_with(words.get(at + 1)) {
                    left_out[begin] = true;
                    left_out[at] = true;
                }
            }
            (Kind::Word, _) => {
                if let Some((_, joins)) = open.last_mut() {
                    joins.add(text);
                }
            }
            _ => {}
        }
    }
    let kept = words.iter().zip(&left_out);
    kept.filter(|(_, left_out)| !**left_out)
        .map(|(word, _)| *word)
        .collect()
}

/// What joins operands in a pair of parentheses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joins {
    Nothing,
    And,
    Or,
    /// Both, or an AND that is none: that of a BETWEEN. Nor is a query a condition.
    Mixed,
}

impl Joins {
    fn add(&mut self, word: &[u8]) {
        *self = match (*self, word) {
            (Self::Nothing | Self::And, b"AND") => Self::And,
            (Self::Nothing | Self::Or, b"OR") => Self::Or,
            (_, b"AND" | b"OR" | b"BETWEEN" | b"SELECT") => Self::Mixed,
            (same, _) => same,
        };
    }

    fn goes_on_with(self, word: Option<&Word>) -> bool {
        match self {
            Self::And => is_word(word, b"AND"),
            Self::Or => is_word(word, b"OR"),
            Self::Nothing | Self::Mixed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Versions, same_definition};

    fn same(source: &str, target: &str) -> bool {
        let sides =
            [source, target].map(|condition| format!("CREATE TABLE t (CHECK ({condition}))"));
        let [source, target] = sides.each_ref().map(String::as_bytes);
        let is_same = same_definition("TABLE", (source, target), Versions::of(18, 18), true);
        let backwards = same_definition("TABLE", (target, source), Versions::of(10, 18), true);
        assert_eq!(is_same, backwards);
        is_same
    }

    #[test]
    fn the_first_of_some_conditions_is_taken_apart() {
        for (made, read) in [
            (
                "(((a >= 1) AND (a <= 5)) AND (b > 0))",
                "((a >= 1) AND (a <= 5) AND (b > 0))",
            ),
            (
                "((((s = a) OR (s = b)) OR (s = c)) OR (s = d))",
                "((s = a) OR (s = b) OR (s = c) OR (s = d))",
            ),
            (
                "(x AND ((((a = 1) OR (a = 2)) OR (a = 3)) AND (b > 0)))",
                "(x AND (((a = 1) OR (a = 2) OR (a = 3)) AND (b > 0)))",
            ),
        ] {
            assert!(same(made, read), "{made}");
        }
    }

    #[test]
    fn other_conditions_are_told_apart() {
        for (one, other) in [
            ("((a AND b) OR c)", "(a AND b OR c)"),
            ("((a OR b) AND c)", "(a OR b AND c)"),
            ("((NOT (a AND b)) AND c)", "((NOT a) AND b AND c)"),
            ("(NOT (a AND b) AND c)", "(NOT a AND b AND c)"),
            ("(a AND (b AND c))", "(a AND b AND c)"),
            ("(f(a AND b) AND c)", "(f a AND b AND c)"),
            ("((a AND b) AND c)", "((a AND c) AND b)"),
            ("((a BETWEEN b AND c) AND d)", "(a BETWEEN b AND c AND d)"),
            (
                "((SELECT a WHERE b AND c) AND d)",
                "(SELECT a WHERE b AND c AND d)",
            ),
        ] {
            assert!(!same(one, other), "{one}");
        }
    }
}
