//! `NO INDENT`, which is what `XMLSERIALIZE` does without being told, and all that servers before 16 can do.

use super::super::tokens::Kind;
use super::{Word, is_symbol, is_word};

/// `XMLSERIALIZE(CONTENT x AS text NO INDENT)` → `XMLSERIALIZE(CONTENT x AS text)`.
pub(super) fn without_no_indent<'a>(words: &[Word<'a>]) -> Vec<Word<'a>> {
    const NO_INDENT: [Word<'static>; 2] = [(Kind::Word, b"NO"), (Kind::Word, b"INDENT")];
    let mut kept: Vec<Word> = Vec::with_capacity(words.len());
    // Of each parenthesis that is open, whether it is one of XMLSERIALIZE.
    let mut open = Vec::new();
    for &word in words {
        if is_symbol(Some(&word), b"(") {
            open.push(is_word(kept.last(), b"XMLSERIALIZE"));
        } else if is_symbol(Some(&word), b")")
            && open.pop() == Some(true)
            && kept.ends_with(&NO_INDENT)
        {
            kept.truncate(kept.len() - NO_INDENT.len());
        }
        kept.push(word);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::{Versions, same_definition};

    fn same(desc: &str, source: &str, target: &str, majors: (u32, u32)) -> bool {
        let sides = (source.as_bytes(), target.as_bytes());
        same_definition(desc, sides, Versions::of(majors.0, majors.1), true)
    }

    #[test]
    fn serialized_xml_is_not_indented() {
        let view = |table: &str, indent: [&str; 2]| {
            let column = |name: &str| format!("{table}{name}");
            format!(
                "CREATE VIEW s.v AS\n SELECT {0},\n    XMLSERIALIZE(CONTENT (XMLSERIALIZE(DOCUMENT {0} AS text{1}))::xml AS character varying(20){2}) AS y,\n    {0} AS z\n   FROM s.x;",
                column("a"),
                indent[0],
                indent[1]
            )
        };
        let older = view("x.", ["", ""]);
        let newer = view("", [" NO INDENT", " NO INDENT"]);
        assert!(same("VIEW", &older, &newer, (15, 18)));
        assert!(same("VIEW", &newer, &older, (16, 10)));
        assert!(!same("VIEW", &older, &newer, (16, 18)));
        for indent in [[" INDENT", " NO INDENT"], [" NO INDENT", " INDENT"]] {
            let other = view("", indent);
            assert!(!same("VIEW", &older, &other, (15, 18)), "{other}");
        }
        let check =
            |call: &str| format!("CREATE TABLE s.t (CONSTRAINT c CHECK (({call} <> ''::text)));");
        let older = check("XMLSERIALIZE(CONTENT x AS text)");
        let newer = check("XMLSERIALIZE(CONTENT x AS text NO INDENT)");
        assert!(same("TABLE", &older, &newer, (15, 18)));
        let (older, newer) = (check("f(x AS text)"), check("f(x AS text NO INDENT)"));
        assert!(!same("TABLE", &older, &newer, (15, 18)));
    }
}
