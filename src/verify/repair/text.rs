//! Pieces of the statements that `pg_dump` writes: where a word stands that is no part of a name, a string or an expression.

use crate::toc::{Kind, Tokens};

/// A token at some depth of parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub kind: Kind,
    pub text: &'a [u8],
    pub start: usize,
    pub end: usize,
    /// Number of parentheses around it; the parentheses themselves count as outside.
    pub depth: usize,
}

impl Piece<'_> {
    /// Whether it is this word, outside of all parentheses.
    pub fn is_word(&self, word: &str) -> bool {
        self.depth == 0
            && self.kind == Kind::Word
            && self.text.eq_ignore_ascii_case(word.as_bytes())
    }
}

/// The statement's tokens, without comments. Text that ends within a token has none: nobody should act upon it.
pub(super) fn pieces(sql: &[u8]) -> Vec<Piece<'_>> {
    let mut depth = 0_usize;
    let mut pieces = Vec::new();
    for token in Tokens::new(sql, true) {
        let Ok(token) = token else {
            return Vec::new();
        };
        if token.kind == Kind::Comment {
            continue;
        }
        let text = &sql[token.start..token.end];
        let closes = token.kind == Kind::Symbol && matches!(text, b")" | b"]");
        let opens = token.kind == Kind::Symbol && matches!(text, b"(" | b"[");
        if closes {
            depth = depth.saturating_sub(1);
        }
        pieces.push(Piece {
            kind: token.kind,
            text,
            start: token.start,
            end: token.end,
            depth,
        });
        if opens {
            depth += 1;
        }
    }
    pieces
}

/// What stands between two words, both outside of parentheses; the second is looked for behind the first.
pub(super) fn between<'a>(sql: &'a [u8], after: &str, before: &[&str]) -> Option<&'a [u8]> {
    let pieces = pieces(sql);
    let first = pieces.iter().position(|piece| piece.is_word(after))?;
    let rest = &pieces[first + 1..];
    let end = rest
        .iter()
        .find(|piece| before.iter().any(|word| piece.is_word(word)))
        .map_or(sql.len(), |piece| piece.start);
    Some(sql[pieces[first].end..end].trim_ascii())
}

/// What stands before a word.
pub(super) fn before<'a>(sql: &'a [u8], words: &[&str]) -> Option<&'a [u8]> {
    let pieces = pieces(sql);
    let found = pieces
        .iter()
        .find(|piece| words.iter().any(|word| piece.is_word(word)))?;
    Some(sql[..found.start].trim_ascii())
}

/// Splits at the commas outside of parentheses.
pub(super) fn at_commas(sql: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut start = 0;
    for piece in pieces(sql) {
        if piece.depth == 0 && piece.text == b"," {
            parts.push(sql[start..piece.start].trim_ascii());
            start = piece.end;
        }
    }
    parts.push(sql[start..].trim_ascii());
    parts.retain(|part| !part.is_empty());
    parts
}

/// The first parentheses: what stands before, in and behind them.
pub(super) fn around_parentheses(sql: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let pieces = pieces(sql);
    let open = pieces
        .iter()
        .find(|piece| piece.depth == 0 && piece.text == b"(")?;
    let close = pieces
        .iter()
        .find(|piece| piece.start > open.start && piece.depth == 0 && piece.text == b")")?;
    Some((
        sql[..open.start].trim_ascii(),
        sql[open.end..close.start].trim_ascii(),
        sql[close.end..].trim_ascii(),
    ))
}

/// The parts, one after the other.
pub(super) fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// On one line of a comment: what could end the line, or make a terminal show something else than is there, is escaped.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) {
            line.push(c);
        } else {
            line.extend(c.escape_default());
        }
    }
    line
}

/// Control characters, line and paragraph separators, and what reverses the direction of writing are not.
fn is_harmless(c: char) -> bool {
    !(c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{feff}'
        )
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_names_strings_and_parentheses_are_not_found() {
        let grant = br#"GRANT SELECT("on"),UPDATE(b) ON TABLE s."a TO b" TO PUBLIC"#;
        assert_eq!(
            between(grant, "ON", &["TO"]),
            Some(&br#"TABLE s."a TO b""#[..])
        );
        assert_eq!(between(b"COMMENT 'ON' x", "ON", &["IS"]), None);
        assert_eq!(
            before(br#"COMMENT ON TABLE "IS" IS ' IS '"#, &["IS"]),
            Some(&br#"COMMENT ON TABLE "IS""#[..])
        );
    }

    #[test]
    fn lists_come_apart_at_their_own_commas() {
        assert_eq!(
            at_commas(b"a numeric(1,2), b text DEFAULT ',', c int[1,2]"),
            [&b"a numeric(1,2)"[..], b"b text DEFAULT ','", b"c int[1,2]"]
        );
        assert_eq!(
            around_parentheses(b"CREATE TABLE \"(\" (a int, b t(1)) WITH (x=1)"),
            Some((
                &b"CREATE TABLE \"(\""[..],
                &b"a int, b t(1)"[..],
                &b"WITH (x=1)"[..]
            ))
        );
    }

    #[test]
    fn nothing_breaks_out_of_a_comment() {
        assert_eq!(
            one_line("a\ndrop table t;\r\u{2028}\u{202e}ü"),
            "a\\ndrop table t;\\r\\u{2028}\\u{202e}ü"
        );
    }
}
