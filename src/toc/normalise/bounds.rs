//! The bounds of a partition: constants that stand without their types, which are those of the table's key.

use super::super::tokens::Kind;
use super::{Word, is_word};

/// `FROM ('0.1', 3)` → `FROM ('0.1'::double precision, 3)`: what is in quotes, with the type of its part of the key, if that is
/// known.
pub(super) fn with_types<'a>(words: &[Word<'a>], key: &[Vec<Word<'a>>]) -> Vec<Word<'a>> {
    let mut typed: Vec<Word> = Vec::with_capacity(words.len());
    let mut part = 0_usize;
    let mut is_list = false;
    for &word in words {
        match word {
            (Kind::Symbol, b"(") => {
                part = 0;
                // The key of a list has only one part, and each value is one of it.
                is_list = is_word(typed.last(), b"IN");
            }
            (Kind::Symbol, b",") if !is_list => part += 1,
            _ => {}
        }
        typed.push(word);
        let known = key.get(part).filter(|name| !name.is_empty());
        if let (Kind::Literal, Some(name)) = (word.0, known) {
            typed.extend([(Kind::Symbol, &b":"[..]); 2]);
            typed.extend_from_slice(name);
        }
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::super::{Versions, same_bounds};

    fn same(key: &[&str], sides: (&str, &str), majors: (u32, u32)) -> bool {
        let key: Vec<Option<String>> = key
            .iter()
            .map(|name| (!name.is_empty()).then(|| (*name).to_owned()))
            .collect();
        let attach = |values: &str| {
            format!("ALTER TABLE ONLY s.t ATTACH PARTITION s.\"t 1\" FOR VALUES {values};\n")
        };
        let (source, target) = (attach(sides.0), attach(sides.1));
        let sides = (source.as_bytes(), target.as_bytes());
        same_bounds(&key, sides, Versions::of(majors.0, majors.1), true)
    }

    #[test]
    fn the_key_says_what_is_a_float() {
        let range = (
            "FROM ('0.100000000000000006', 3, MINVALUE) TO ('0.299999999999999989', 4, '0.7')",
            "FROM ('0.1', 3, MINVALUE) TO ('0.3', 4, '0.7')",
        );
        assert!(same(
            &["double precision", "integer", "text"],
            range,
            (11, 18)
        ));
        assert!(same(&["double precision"], (range.1, range.0), (18, 10)));
        assert!(!same(&["double precision"], range, (12, 18)));
        let others: [&[&str]; 5] = [
            &["numeric", "double precision"],
            &["text", "double precision", "double precision"],
            &["", "double precision"],
            &["s.\"double precision\""],
            &[],
        ];
        for key in others {
            assert!(!same(key, range, (11, 18)), "{key:?}");
        }
        let other = range.1.replace("0.3", "0.30000000000000004");
        assert!(!same(&["double precision"], (range.0, &other), (11, 18)));

        let list = (
            "IN ('0.100000001', '0.699999988', 'NaN', NULL)",
            "IN ('0.1', '0.7', 'NaN', NULL)",
        );
        assert!(same(&["real"], list, (11, 18)));
        assert!(!same(&["text"], list, (11, 18)));
        assert!(!same(
            &["real"],
            (list.0, "IN ('0.7', '0.1', 'NaN', NULL)"),
            (11, 18)
        ));
        let second = (
            "FROM ('0.100000000000000006', '0.100000000000000006') TO ('b', '1')",
            "FROM ('0.100000000000000006', '0.1') TO ('b', '1')",
        );
        assert!(same(&["text", "double precision"], second, (11, 18)));
        assert!(!same(&["double precision", "text"], second, (11, 18)));
    }

    #[test]
    fn the_key_says_what_are_bits() {
        let list = ("IN (B'101', B'111')", "IN ('101', '111')");
        for key in ["bit", "\"bit\"", "bit varying"] {
            assert!(same(&[key], list, (10, 18)), "{key}");
            assert!(!same(&[key], list, (11, 18)), "{key}");
            let other = (list.0, "IN ('101', '110')");
            assert!(!same(&[key], other, (10, 18)), "{key}");
        }
        assert!(!same(&["text"], list, (10, 18)));
    }
}
