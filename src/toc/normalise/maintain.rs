//! The privilege `MAINTAIN`, which version 17 brought.
//!
//! An owner has it by default. Before 17, who revoked everything from an owner could not revoke that, so a dump of such a table takes
//! away the seven privileges there were, and once it is restored, `MAINTAIN` is what the owner is left with. Nobody can
//! restore it otherwise, and nothing that was forbidden before is allowed by it but upkeep.

use super::super::tokens::Kind;
use super::{Word, is_symbol, is_word};

const ALL_BEFORE_17: &[&[u8]] = &[
    b"SELECT",
    b"INSERT",
    b"REFERENCES",
    b"DELETE",
    b"TRIGGER",
    b"TRUNCATE",
    b"UPDATE",
];

/// A grant or a revocation, cut up: `ALTER DEFAULT PRIVILEGES …` `REVOKE` `SELECT, INSERT` `ON TABLE t FROM` `role`.
struct Statement<'w, 'a> {
    /// What stands before the verb.
    before: &'w [Word<'a>],
    revokes: bool,
    privileges: Vec<&'a [u8]>,
    /// From `ON` to before `FROM` or `TO`.
    object: &'w [Word<'a>],
    /// From behind `FROM` or `TO` to the end, with the semicolon.
    role: &'w [Word<'a>],
}

impl<'w, 'a> Statement<'w, 'a> {
    fn parse(words: &'w [Word<'a>]) -> Option<Self> {
        let is = |word: &Word, text: &[u8]| is_word(Some(word), text);
        let verb = words
            .iter()
            .position(|word| is(word, b"REVOKE") || is(word, b"GRANT"))?;
        let revokes = is(&words[verb], b"REVOKE");
        let on = verb + words[verb..].iter().position(|word| is(word, b"ON"))?;
        let preposition: &[u8] = if revokes { b"FROM" } else { b"TO" };
        let to = on + words[on..].iter().rposition(|word| is(word, preposition))?;
        let listed = &words[verb + 1..on];
        let plain = listed
            .iter()
            .all(|(kind, text)| *kind == Kind::Word || *text == b",");
        plain.then(|| Self {
            before: &words[..verb],
            revokes,
            privileges: listed
                .iter()
                .filter(|(kind, _)| *kind == Kind::Word)
                .map(|(_, text)| *text)
                .collect(),
            object: &words[on..to],
            role: &words[to + 1..],
        })
    }

    fn is_about(&self, other: &Self) -> bool {
        (self.before, self.object, self.role) == (other.before, other.object, other.role)
    }

    fn revokes_all_before_17(&self) -> bool {
        self.revokes && self.privileges == ALL_BEFORE_17
    }
}

/// The older side's grants, in the words of the newer one, where that has `MAINTAIN` because it could not be revoked.
pub(super) fn with_maintain<'a>(older: &[Word<'a>], newer: &[Word<'a>]) -> Vec<Word<'a>> {
    let parsed: Vec<Option<Statement>> = statements(older).map(Statement::parse).collect();
    let revoked: Vec<&Statement> = parsed
        .iter()
        .flatten()
        .filter(|statement| statement.revokes_all_before_17())
        .collect();
    if revoked.is_empty() {
        return older.to_vec();
    }
    let mut words = Vec::with_capacity(newer.len());
    let mut rest = statements(older).zip(&parsed).peekable();
    for there in statements(newer) {
        let grants_it = Statement::parse(there).filter(|grant| {
            let of_owner = || revoked.iter().any(|revoked| revoked.is_about(grant));
            !grant.revokes && grant.privileges.contains(&&b"MAINTAIN"[..]) && of_owner()
        });
        match grants_it {
            Some(grant) if grant.privileges.len() == 1 => words.extend_from_slice(there),
            Some(grant) => {
                let is_rest = |statement: &Statement| {
                    let others = grant.privileges.iter().filter(|name| **name != b"MAINTAIN");
                    statement.is_about(&grant) && statement.privileges.iter().eq(others)
                };
                match rest.next() {
                    Some((_, Some(statement))) if is_rest(statement) => {
                        words.extend_from_slice(there);
                    }
                    Some((here, _)) => words.extend_from_slice(here),
                    None => {}
                }
            }
            None => push_as_all(&mut words, rest.next()),
        }
    }
    for statement in rest {
        push_as_all(&mut words, Some(statement));
    }
    words
}

/// Adds a statement; one that revokes all that there was says `ALL`.
fn push_as_all<'w, 'a>(
    words: &mut Vec<Word<'a>>,
    statement: Option<(&'w [Word<'a>], &Option<Statement<'w, 'a>>)>,
) {
    match statement {
        Some((_, Some(parsed))) if parsed.revokes_all_before_17() => {
            words.extend_from_slice(parsed.before);
            words.extend([(Kind::Word, &b"REVOKE"[..]), (Kind::Word, &b"ALL"[..])]);
            words.extend_from_slice(parsed.object);
            words.push((Kind::Word, b"FROM"));
            words.extend_from_slice(parsed.role);
        }
        Some((here, _)) => words.extend_from_slice(here),
        None => {}
    }
}

fn statements<'w, 'a>(words: &'w [Word<'a>]) -> impl Iterator<Item = &'w [Word<'a>]> {
    words.split_inclusive(|word| is_symbol(Some(word), b";"))
}
