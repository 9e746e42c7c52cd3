//! The roles that a statement of the table of contents names.
//!
//! As much of SQL as `pg_dump` writes in grants, default privileges, policies and user mappings: roles stand behind `TO`,
//! `FROM`, `FOR ROLE`, `SESSION AUTHORIZATION` and `MAPPING FOR`. All of these are reserved words or follow one, so an
//! object can have such a name only in quotes.

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Not quoted, folded to lower case.
    Word(String),
    /// Was in double quotes.
    Quoted(String),
    /// Any other character; a string literal is one `'`.
    Sign(char),
}

impl Piece {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found == word)
    }
}

/// All roles named, as the server knows them; `PUBLIC` and the like are none.
pub(super) fn roles_in(sql: &str) -> Vec<String> {
    let pieces = pieces(sql);
    let mut roles = Vec::new();
    // Inside of parentheses are columns, signatures and a policy's expressions, which may have a FROM of their own.
    let (mut depth, mut revokes) = (0_u32, false);
    let mut at = 0;
    while at < pieces.len() {
        match &pieces[at] {
            Piece::Sign('(') => depth += 1,
            Piece::Sign(')') => depth = depth.saturating_sub(1),
            Piece::Sign(';') => revokes = false,
            piece if depth == 0 => revokes |= piece.is("revoke"),
            _ => {}
        }
        let before = at.checked_sub(1).and_then(|before| pieces.get(before));
        let introduces = match &pieces[at] {
            Piece::Word(word) if depth == 0 => match word.as_str() {
                "to" => true,
                "from" => revokes,
                "role" => before.is_some_and(|piece| piece.is("for")),
                "authorization" => before.is_some_and(|piece| piece.is("session")),
                "for" => before.is_some_and(|piece| piece.is("mapping")),
                _ => false,
            },
            _ => false,
        };
        at += 1;
        if introduces {
            at = list(&pieces, at, &mut roles);
        }
    }
    roles.sort();
    roles.dedup();
    roles
}

/// A list of roles, separated by commas; returns where it ends.
fn list(pieces: &[Piece], mut at: usize, roles: &mut Vec<String>) -> usize {
    const NOBODY: [&str; 5] = [
        "public",
        "default",
        "current_user",
        "session_user",
        "current_role",
    ];
    loop {
        let next_is_name = matches!(pieces.get(at + 1), Some(Piece::Word(_) | Piece::Quoted(_)));
        // `TO GROUP x`, as servers before 11 wrote it; `TO group` cannot be, the word is reserved.
        if next_is_name && pieces.get(at).is_some_and(|piece| piece.is("group")) {
            at += 1;
        }
        match pieces.get(at) {
            Some(Piece::Quoted(name)) => roles.push(name.clone()),
            Some(Piece::Word(name)) if !NOBODY.contains(&name.as_str()) => roles.push(name.clone()),
            Some(Piece::Word(_)) => {}
            _ => return at,
        }
        at += 1;
        if pieces.get(at) != Some(&Piece::Sign(',')) {
            return at;
        }
        at += 1;
    }
}

fn pieces(sql: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => {
                let mut name = String::new();
                while let Some(inner) = chars.next() {
                    if inner != c {
                        name.push(inner);
                    } else if chars.next_if_eq(&c).is_some() {
                        name.push(c);
                    } else {
                        break;
                    }
                }
                pieces.push(if c == '"' {
                    Piece::Quoted(name)
                } else {
                    Piece::Sign(c)
                });
            }
            _ if c.is_whitespace() => {}
            _ if is_part_of_word(c) => {
                let mut word = String::from(c.to_ascii_lowercase());
                while let Some(next) = chars.next_if(|next| is_part_of_word(*next)) {
                    word.push(next.to_ascii_lowercase());
                }
                pieces.push(Piece::Word(word));
            }
            _ => pieces.push(Piece::Sign(c)),
        }
    }
    pieces
}

fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_found_where_pg_dump_writes_them() {
        for (sql, roles) in [
            ("GRANT SELECT ON TABLE public.t TO bob;", &["bob"][..]),
            (
                "REVOKE ALL ON SCHEMA s FROM PUBLIC;\nGRANT USAGE ON SCHEMA s TO \"A, b \"\" c\" WITH GRANT OPTION;",
                &["A, b \" c"],
            ),
            (
                "GRANT SELECT(\"to\") ON TABLE \"from\".\"to\" TO \"to\";",
                &["to"],
            ),
            (
                "SET SESSION AUTHORIZATION alice;\nGRANT ALL ON TABLE t TO bob;\nRESET SESSION AUTHORIZATION;",
                &["alice", "bob"],
            ),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA s GRANT SELECT ON TABLES TO reader;",
                &["owner", "reader"],
            ),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;",
                &["owner"],
            ),
            ("GRANT ALL ON FUNCTION f(text) TO GROUP staff;", &["staff"]),
            (
                "CREATE POLICY p ON t FOR SELECT TO a, \"B\" USING ((x = 'sold to c'::text));",
                &["B", "a"],
            ),
            (
                "CREATE POLICY p ON t TO a USING ((EXISTS ( SELECT 1 FROM zoo.keepers)));",
                &["a"],
            ),
            (
                "CREATE USER MAPPING FOR dave SERVER s OPTIONS (\"user\" 'x');",
                &["dave"],
            ),
            ("CREATE USER MAPPING FOR PUBLIC SERVER s;", &[]),
        ] {
            assert_eq!(roles_in(sql), roles, "{sql}");
        }
    }
}
