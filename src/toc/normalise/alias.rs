//! Names that a query does not need: those that Postgres makes up for a cast.
//!
//! In a subquery, or in a branch of a `UNION` behind the first, a column that has no name is deparsed without one: `'x'::text`. Read
//! again, it is a cast, which is named after its type, and it is deparsed as `'x'::text AS text` from then on. Where the
//! name of a column can be seen, it is always written (`get_target_list` in `ruleutils.c`), so nothing is hidden by passing
//! over a name that the cast before it would have anyway.

use super::super::tokens::Kind;
use super::{Word, is_symbol, is_word};

/// Types whose name in SQL is not that of the catalog, which is the one a cast is named after (`FigureColname`).
const NAMES: [(&[&[u8]], &[u8]); 14] = [
    (&[b"smallint"], b"int2"),
    (&[b"integer"], b"int4"),
    (&[b"bigint"], b"int8"),
    (&[b"real"], b"float4"),
    (&[b"double", b"precision"], b"float8"),
    (&[b"boolean"], b"bool"),
    (&[b"character", b"varying"], b"varchar"),
    (&[b"bit", b"varying"], b"varbit"),
    (&[b"character"], b"bpchar"),
    (&[b"timestamp", b"with", b"time", b"zone"], b"timestamptz"),
    (&[b"timestamp", b"without", b"time", b"zone"], b"timestamp"),
    (&[b"time", b"with", b"time", b"zone"], b"timetz"),
    (&[b"time", b"without", b"time", b"zone"], b"time"),
    (&[b"\"char\""], b"char"),
];

/// `'x'::text AS text` → `'x'::text`.
pub(super) fn without_names_of_casts<'a>(words: &[Word<'a>]) -> Vec<Word<'a>> {
    let mut kept = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let name = words.get(at + 1).filter(|_| is_word(words.get(at), b"AS"));
        match name {
            Some(name) if cast_is_named(&kept, name) => at += 2,
            _ => {
                kept.push(words[at]);
                at += 1;
            }
        }
    }
    kept
}

/// Whether some words end in a cast, and Postgres would call it so.
fn cast_is_named(before: &[Word], (kind, name): &Word) -> bool {
    let name = match kind {
        Kind::Word => name,
        Kind::QuotedName => unquoted(name),
        _ => return false,
    };
    let Some(cast) = (1..before.len())
        .rev()
        .take(16)
        .find(|&at| is_symbol(before.get(at), b":") && is_symbol(before.get(at - 1), b":"))
    else {
        return false;
    };
    let spelled = type_words(&before[cast + 1..]);
    let in_catalog = NAMES.iter().find(|(words, _)| *words == spelled.as_slice());
    match (in_catalog, spelled.as_slice()) {
        (Some((_, called)), _) => *called == name,
        (None, [plain]) => unquoted(plain) == name,
        _ => false,
    }
}

fn unquoted(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"\"")
        .and_then(|name| name.strip_suffix(b"\""))
        .unwrap_or(name)
}

/// The words of a type's name, without schema, modifiers and brackets. Empty if it is anything but a type.
fn type_words<'a>(words: &[Word<'a>]) -> Vec<&'a [u8]> {
    let mut spelled: Vec<&[u8]> = Vec::new();
    let mut in_modifier = false;
    for (kind, text) in words {
        match (kind, *text) {
            (Kind::Symbol, b"(") if !in_modifier => in_modifier = true,
            (Kind::Symbol, b")") if in_modifier => in_modifier = false,
            (Kind::Symbol | Kind::Word, _) if in_modifier => {}
            (Kind::Symbol, b".") => spelled.clear(),
            (Kind::Symbol, b"[" | b"]") => {}
            (Kind::Word | Kind::QuotedName, text) => spelled.push(text),
            _ => return Vec::new(),
        }
    }
    spelled
}
