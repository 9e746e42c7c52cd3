//! SQL, cut into tokens as Postgres's lexer cuts it (`src/backend/parser/scan.l`), over bytes.
//!
//! As much of the lexer as is needed to know where a string, a quoted name or a comment ends. The encodings in which
//! an ASCII byte can be the second half of a character (SJIS, BIG5, GBK, UHC, GB18030, JOHAB) are no server encodings;
//! a dump is in one of them only if `pg_dump -E` was told so, and then a backslash in such a character is
//! taken for a backslash.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword, an identifier without quotes, or a number.
    Word,
    /// `"…"`, with a `U&` prefix if it has one.
    QuotedName,
    /// `'…'` with its prefix (`E`, `B`, `X`, `N`, `U&`), or `$tag$…$tag$`.
    Literal,
    /// Any other single byte.
    Symbol,
    /// `-- …` or `/* … */`.
    Comment,
}

/// A token: `sql[start..end]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// A string, name or comment that does not end; it begins at `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unterminated {
    pub start: usize,
}

/// An iterator over the tokens of `sql`; white space between them is left out.
pub(crate) struct Tokens<'a> {
    sql: &'a [u8],
    at: usize,
    std_strings: bool,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(sql: &'a [u8], std_strings: bool) -> Self {
        Self {
            sql,
            at: 0,
            std_strings,
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.sql.get(at).copied()
    }

    fn past(&self, at: usize, accepts: impl Fn(u8) -> bool) -> usize {
        let rest = self.sql.get(at..).unwrap_or_default();
        let length = rest.iter().take_while(|&&byte| accepts(byte)).count();
        at + length
    }

    /// Where the token that begins at `start` ends.
    fn kind_and_end(&self, start: usize, first: u8) -> Result<(Kind, usize), Unterminated> {
        let unterminated = Unterminated { start };
        match (first, self.byte(start + 1)) {
            (b'-', Some(b'-')) => {
                let end = self.past(start, |byte| byte != b'\n' && byte != b'\r');
                Ok((Kind::Comment, end))
            }
            (b'/', Some(b'*')) => self
                .block_comment(start)
                .map(|end| (Kind::Comment, end))
                .ok_or(unterminated),
            (b'\'', _) => self.literal(start, !self.std_strings).ok_or(unterminated),
            (b'"', _) => self.quoted_name(start).ok_or(unterminated),
            (b'$', _) => self.dollar(start).ok_or(unterminated),
            _ if is_word_start(first) || first.is_ascii_digit() => {
                self.word(start).ok_or(unterminated)
            }
            _ => Ok((Kind::Symbol, start + 1)),
        }
    }

    /// Comments nest in SQL.
    fn block_comment(&self, start: usize) -> Option<usize> {
        let mut depth = 0_usize;
        let mut at = start;
        loop {
            match (self.byte(at)?, self.byte(at + 1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    at += 2;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                _ => at += 1,
            }
        }
    }

    /// A literal whose opening quote is at `quote`, with all of its continuations on further lines. A doubled quote looks
    /// like an end and a beginning, and is taken so.
    fn literal(&self, quote: usize, escapes: bool) -> Option<(Kind, usize)> {
        let mut at = quote + 1;
        loop {
            match self.byte(at)? {
                b'\\' if escapes => at += 2,
                b'\'' => match self.continuation(at + 1) {
                    Some(next_quote) => at = next_quote + 1,
                    None => return Some((Kind::Literal, at + 1)),
                },
                _ => at += 1,
            }
        }
    }

    /// The opening quote of a literal's next part: directly behind, or after white space with a line break, and comments.
    fn continuation(&self, at: usize) -> Option<usize> {
        if self.byte(at) == Some(b'\'') {
            return Some(at);
        }
        let mut at = at;
        let mut line_break = false;
        loop {
            match self.byte(at)? {
                b'\n' | b'\r' => {
                    line_break = true;
                    at += 1;
                }
                byte if is_space(byte) => at += 1,
                b'-' if self.byte(at + 1) == Some(b'-') => {
                    at = self.past(at, |byte| byte != b'\n' && byte != b'\r');
                }
                b'\'' if line_break => return Some(at),
                _ => return None,
            }
        }
    }

    fn quoted_name(&self, quote: usize) -> Option<(Kind, usize)> {
        let mut at = quote + 1;
        loop {
            match (self.byte(at)?, self.byte(at + 1)) {
                (b'"', Some(b'"')) => at += 2,
                (b'"', _) => return Some((Kind::QuotedName, at + 1)),
                _ => at += 1,
            }
        }
    }

    /// `$tag$ … $tag$`, or just a `$` as in `$1`.
    fn dollar(&self, start: usize) -> Option<(Kind, usize)> {
        let tag_end = match self.byte(start + 1) {
            Some(byte) if is_word_start(byte) => {
                self.past(start + 1, |byte| byte != b'$' && is_word_part(byte))
            }
            _ => start + 1,
        };
        if self.byte(tag_end) != Some(b'$') {
            return Some((Kind::Symbol, start + 1));
        }
        let delimiter = self.sql.get(start..=tag_end)?;
        let body = tag_end + 1;
        let length = find(self.sql.get(body..)?, delimiter)?;
        Some((Kind::Literal, body + length + delimiter.len()))
    }

    /// A word, or the literal or name that it is the prefix of.
    fn word(&self, start: usize) -> Option<(Kind, usize)> {
        let end = self.past(start, is_word_part);
        let word = self.sql.get(start..end).unwrap_or_default();
        let quote = self.byte(end);
        if quote == Some(b'\'') && word.len() == 1 {
            return match word[0].to_ascii_lowercase() {
                b'e' => self.literal(end, true),
                b'b' | b'x' => self.literal(end, false),
                b'n' => self.literal(end, !self.std_strings),
                _ => Some((Kind::Word, end)),
            };
        }
        if quote == Some(b'&') && word.eq_ignore_ascii_case(b"u") {
            match self.byte(end + 1) {
                Some(b'\'') => return self.literal(end + 1, false),
                Some(b'"') => return self.quoted_name(end + 1),
                _ => {}
            }
        }
        Some((Kind::Word, end))
    }
}

impl Iterator for Tokens<'_> {
    type Item = Result<Token, Unterminated>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.past(self.at, is_space);
        let first = self.byte(start)?;
        Some(match self.kind_and_end(start, first) {
            Ok((kind, end)) => {
                self.at = end;
                Ok(Token { kind, start, end })
            }
            Err(unterminated) => {
                // There is nothing behind it.
                self.at = self.sql.len();
                Err(unterminated)
            }
        })
    }
}

/// Position of `delimiter`, which begins with `$` and holds only one more, at its end: what has been compared at one `$` is
/// never compared again at the next, so this is linear.
fn find(haystack: &[u8], delimiter: &[u8]) -> Option<usize> {
    haystack
        .iter()
        .enumerate()
        .filter(|&(_, &byte)| byte == b'$')
        .map(|(at, _)| at)
        .find(|&at| haystack[at..].starts_with(delimiter))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word_part(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(sql: &str, std_strings: bool) -> Vec<String> {
        Tokens::new(sql.as_bytes(), std_strings)
            .map(|token| {
                let token = token.expect("terminated");
                sql[token.start..token.end].to_owned()
            })
            .collect()
    }

    #[test]
    fn strings_end_where_postgres_ends_them() {
        assert_eq!(tokens(r"'a\' 'b'", true), [r"'a\'", "'b'"]);
        assert_eq!(tokens(r"'a\' b'", false), [r"'a\' b'"]);
        assert_eq!(tokens(r"E'a\' b' c", true), [r"E'a\' b'", "c"]);
        assert_eq!(tokens("'it''s' x", true), ["'it''s'", "x"]);
        let continued = "E'a' -- a comment\n -- another\n 'b\\''";
        assert_eq!(tokens(&format!("{continued} c"), true), [continued, "c"]);
        assert_eq!(tokens("E'a' 'b\\' c", true), ["E'a'", "'b\\'", "c"]);
        assert_eq!(tokens("U&'\\' x", true), ["U&'\\'", "x"]);
        assert_eq!(tokens("x'00' like'a'", true), ["x'00'", "like", "'a'"]);
    }

    #[test]
    fn dollars_names_and_comments() {
        assert_eq!(
            tokens("$$;'$$ $a$ $$ $a$ $1 a$b$c", true),
            ["$$;'$$", "$a$ $$ $a$", "$", "1", "a$b$c"]
        );
        assert_eq!(tokens(r#""a""; b".c"#, true), [r#""a""; b""#, ".", "c"]);
        assert_eq!(
            tokens("/* a /* ; */ b */ c -- d ' e\nf", true),
            ["/* a /* ; */ b */", "c", "-- d ' e", "f"]
        );
    }

    #[test]
    fn what_does_not_end_is_said_to_begin_somewhere() {
        for (sql, start) in [
            ("a 'b", 2),
            ("\"", 0),
            ("a /* /* */", 2),
            ("$a$ $b$", 0),
            ("E'\\'", 0),
        ] {
            let error = Tokens::new(sql.as_bytes(), true).find_map(Result::err);
            assert_eq!(error, Some(Unterminated { start }), "{sql}");
        }
    }
}
