//! Constants that servers of different versions write differently.
//!
//! Before 12, a floating-point number is printed with as many digits as are always enough (`0.100000000000000006`), and since then with as
//! few as are enough for this one (`0.1`). Two spellings are one constant if they are of the same bits, which is asked only where
//! the type is known. What a user has put together (a composite type, a range) does not say which of its numbers are
//! floating-point numbers, and is compared as it is written.

use super::super::tokens::Kind;
use super::{Word, cast_to, is_symbol, is_word};

/// As what the server keeps a number.
#[derive(Clone, Copy)]
enum Precision {
    Single,
    Double,
}

impl Precision {
    /// Of the constant whose cast some words begin with: `::real`, `::point[]`.
    fn of_cast(words: &[Word]) -> Option<Self> {
        let name = cast_to(words)?;
        let next = name.get(1);
        match name.first()? {
            (Kind::Word, b"real") => Some(Self::Single),
            (Kind::Word, b"double") if is_word(next, b"precision") => Some(Self::Double),
            (
                Kind::Word,
                b"point" | b"line" | b"lseg" | b"box" | b"path" | b"polygon" | b"circle",
            ) if !is_symbol(next, b".") => Some(Self::Double),
            _ => None,
        }
    }

    /// The bits of a number, if it is one, and finite.
    fn bits(self, number: &[u8]) -> Option<u64> {
        let number = std::str::from_utf8(number).ok()?;
        match self {
            Self::Single => {
                let value = number.parse::<f32>().ok().filter(|value| value.is_finite());
                value.map(|value| u64::from(value.to_bits()))
            }
            Self::Double => {
                let value = number.parse::<f64>().ok().filter(|value| value.is_finite());
                value.map(f64::to_bits)
            }
        }
    }

    /// Whether two literals are the same numbers, with the same words and brackets between them.
    fn is_same(self, one: &[u8], other: &[u8]) -> bool {
        pieces(one).count() == pieces(other).count()
            && pieces(one).zip(pieces(other)).all(|(one, other)| {
                let bits = self.bits(one);
                one == other || (bits.is_some() && bits == self.bits(other))
            })
    }
}

/// A literal, cut into numbers and what is between them.
fn pieces(literal: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_of_number = |byte: u8| byte.is_ascii_digit() || b".+-e".contains(&byte);
    literal.chunk_by(move |one, other| is_of_number(*one) == is_of_number(*other))
}

/// `'0.100000000000000006'::double precision` → `'0.1'::double precision`, where the newer one has that, and it is the same number.
pub(super) fn shortest_floats<'a>(older: &[Word<'a>], newer: &[Word<'a>]) -> Vec<Word<'a>> {
    let mut words = older.to_vec();
    for (at, (word, there)) in words.iter_mut().zip(newer).enumerate() {
        let behind = older.get(at + 1..).unwrap_or_default();
        let is_same = |precision: Precision| precision.is_same(word.1, there.1);
        if [*word, *there].iter().all(is_plain_literal)
            && Precision::of_cast(behind).is_some_and(is_same)
        {
            *word = *there;
        }
    }
    words
}

/// `'…'`, without a prefix.
fn is_plain_literal((kind, text): &Word) -> bool {
    *kind == Kind::Literal && text.starts_with(b"'")
}

/// `(B'101'::"bit")::bit varying` → `B'101'::bit varying`, which is what 10 prints until it reads it again.
pub(super) fn bits_cast_at_once<'a>(words: &[Word<'a>]) -> Vec<Word<'a>> {
    cast_at_once(words, b"B")
}

/// `B'101'::"bit"` → `'101'::"bit"`, and the cast of such a constant like `bits_cast_at_once`.
pub(super) fn bits_without_prefix<'a>(words: &[Word<'a>]) -> Vec<Word<'a>> {
    let bare = |(at, &(kind, text)): (usize, &Word<'a>)| {
        let behind = words.get(at + 1..).unwrap_or_default();
        match bits(&(kind, text), b"B") {
            Some(bits) if is_cast_to_bits(behind) => (kind, bits),
            _ => (kind, text),
        }
    };
    let bare: Vec<Word> = words.iter().enumerate().map(bare).collect();
    cast_at_once(&bare, b"")
}

/// Without the cast to `bit` of constants with a prefix that are cast to `bit varying` then: the bits are the same, and their number.
fn cast_at_once<'a>(words: &[Word<'a>], prefix: &[u8]) -> Vec<Word<'a>> {
    let mut kept = Vec::with_capacity(words.len());
    let mut rest = words;
    while let Some((&word, behind)) = rest.split_first() {
        match rest {
            [
                (Kind::Symbol, b"("),
                constant,
                (Kind::Symbol, b":"),
                (Kind::Symbol, b":"),
                (Kind::QuotedName, b"\"bit\""),
                (Kind::Symbol, b")"),
                behind @ ..,
            ] if bits(constant, prefix).is_some() && is_cast_to_varying(behind) => {
                kept.push(*constant);
                rest = behind;
            }
            _ => {
                kept.push(word);
                rest = behind;
            }
        }
    }
    kept
}

/// `'101'` of a constant of bits with just this prefix.
fn bits<'a>((kind, text): &Word<'a>, prefix: &[u8]) -> Option<&'a [u8]> {
    let quoted = text.strip_prefix(prefix)?;
    let is_bits = *kind == Kind::Literal
        && quoted.starts_with(b"'")
        && quoted.iter().all(|byte| b"'01".contains(byte));
    is_bits.then_some(quoted)
}

fn is_cast_to_varying(words: &[Word]) -> bool {
    let name = cast_to(words).unwrap_or_default();
    is_word(name.first(), b"bit") && is_word(name.get(1), b"varying")
}

fn is_cast_to_bits(words: &[Word]) -> bool {
    let name = cast_to(words).and_then(<[Word]>::first);
    matches!(
        name,
        Some((Kind::Word, b"bit") | (Kind::QuotedName, b"\"bit\""))
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Versions, same_definition};

    fn same(desc: &str, source: &str, target: &str, majors: (u32, u32)) -> bool {
        let sides = (source.as_bytes(), target.as_bytes());
        same_definition(desc, sides, Versions::of(majors.0, majors.1), true)
    }

    fn default(constant: &str) -> String {
        format!("CREATE TABLE s.t (\n    a s.x DEFAULT {constant} NOT NULL\n);")
    }

    /// As 11 prints it, and as 18 does.
    const FLOATS: [(&str, &str); 20] = [
        (
            "'0.100000000000000006'::double precision",
            "'0.1'::double precision",
        ),
        (
            "'-0.100000000000000006'::double precision",
            "'-0.1'::double precision",
        ),
        (
            "'1.00000000000000005e+300'::double precision",
            "'1e+300'::double precision",
        ),
        (
            "'1.79769313486231571e+308'::double precision",
            "'1.7976931348623157e+308'::double precision",
        ),
        (
            "'4.94065645841246544e-324'::double precision",
            "'5e-324'::double precision",
        ),
        (
            "'1000000000000000'::double precision",
            "'1e+15'::double precision",
        ),
        (
            "'123456789012345680'::double precision",
            "'1.2345678901234568e+17'::double precision",
        ),
        (
            "'9.99999999999999955e-08'::double precision",
            "'1e-07'::double precision",
        ),
        ("'0.100000001'::real", "'0.1'::real"),
        ("'123456792'::real", "'1.2345679e+08'::real"),
        ("'1.17549435e-38'::real", "'1.1754944e-38'::real"),
        (
            "'[0:1]={0.100000000000000006,NULL}'::double precision[]",
            "'[0:1]={0.1,NULL}'::double precision[]",
        ),
        (
            "'{{0.100000001,NaN},{-Infinity,1.00000002e+20}}'::real[]",
            "'{{0.1,NaN},{-Infinity,1e+20}}'::real[]",
        ),
        (
            "'(0.100000000000000006,0.200000000000000011)'::point",
            "'(0.1,0.2)'::point",
        ),
        (
            "'{\"(0.100000000000000006,0.200000000000000011)\",\"(1,2)\"}'::point[]",
            "'{\"(0.1,0.2)\",\"(1,2)\"}'::point[]",
        ),
        (
            "'{(0.299999999999999989,4),(0.100000000000000006,0);(3,4),(1,2)}'::box[]",
            "'{(0.3,4),(0.1,0);(3,4),(1,2)}'::box[]",
        ),
        (
            "'{0.100000000000000006,0.200000000000000011,0.299999999999999989}'::line",
            "'{0.1,0.2,0.3}'::line",
        ),
        (
            "'[(0.100000000000000006,0),(0.299999999999999989,0)]'::path",
            "'[(0.1,0),(0.3,0)]'::path",
        ),
        (
            "'((0.100000000000000006,0),(0.299999999999999989,0))'::polygon",
            "'((0.1,0),(0.3,0))'::polygon",
        ),
        (
            "'<(0.100000000000000006,0),0.299999999999999989>'::circle",
            "'<(0.1,0),0.3>'::circle",
        ),
    ];

    #[test]
    fn a_float_is_the_same_number_in_fewer_digits() {
        for (long, short) in FLOATS {
            let (long, short) = (default(long), default(short));
            assert!(same("TABLE", &long, &short, (11, 12)), "{long}");
            assert!(same("TABLE", &short, &long, (18, 10)), "{long}");
            for majors in [(0, 0), (10, 11), (12, 18), (18, 18)] {
                assert!(!same("TABLE", &long, &short, majors), "{long} {majors:?}");
            }
        }
        let view = |a: &str, constant: &str| {
            format!(
                "CREATE VIEW s.v AS\n SELECT ({a} * '{constant}'::double precision) AS x\n   FROM s.t;"
            )
        };
        let older = view("t.a", "0.100000000000000006");
        assert!(same("VIEW", &older, &view("a", "0.1"), (11, 18)));
        assert!(!same("VIEW", &older, &view("a", "0.2"), (11, 18)));
        let procedure = |mode: &str, constant: &str| {
            format!(
                "CREATE PROCEDURE s.p({mode}a double precision DEFAULT '{constant}'::double precision) LANGUAGE sql AS $$x$$;"
            )
        };
        let older = procedure("", "0.100000000000000006");
        assert!(same(
            "PROCEDURE",
            &older,
            &procedure("IN ", "0.1"),
            (11, 18)
        ));
    }

    #[test]
    fn another_number_is_another_constant() {
        for (one, other) in [
            // The next number, either way.
            (
                "'0.100000000000000006'::double precision",
                "'0.10000000000000002'::double precision",
            ),
            (
                "'0.100000000000000006'::double precision",
                "'0.09999999999999999'::double precision",
            ),
            ("'0.100000001'::real", "'0.10000001'::real"),
            ("'0'::double precision", "'-0'::double precision"),
            // The same as a single, and not as a double.
            (
                "'0.100000001490116119'::double precision",
                "'0.1'::double precision",
            ),
            // Another type, or one whose numbers are none of these.
            ("'0.100000000000000006'::double precision", "'0.1'::real"),
            ("'0.100000001'::real", "'0.1'::double precision"),
            ("'0.100000000000000006'::numeric", "'0.1'::numeric"),
            ("'0.100000000000000006'::text", "'0.1'::text"),
            (
                "('0.100000000000000006'::text)::double precision",
                "('0.1'::text)::double precision",
            ),
            ("'(0.100000000000000006)'::s.point", "'(0.1)'::s.point"),
            (
                "'(0.100000000000000006)'::point.pair",
                "'(0.1)'::point.pair",
            ),
            ("'(0.100000000000000006)'::\"point\"", "'(0.1)'::\"point\""),
            ("'0.100000000000000006'", "'0.1'"),
            ("0.100000000000000006", "0.1"),
            ("$$0.100000000000000006$$::real", "$$0.1$$::real"),
            // Other brackets, or another number of them.
            (
                "'[(0.100000000000000006,0),(1,1)]'::path",
                "'((0.1,0),(1,1))'::path",
            ),
            (
                "'{0.100000000000000006,0}'::real[]",
                "'{{0.1},{0}}'::real[]",
            ),
            ("'{0.100000001,NULL}'::real[]", "'{0.1,NaN}'::real[]"),
            ("'{0.100000001}'::real[]", "'{0.1,0}'::real[]"),
            ("'{0.100000001,0}'::real[]", "'{0,0.1}'::real[]"),
            // Words that are numbers elsewhere.
            ("'Infinity'::double precision", "'inf'::double precision"),
            ("'1e400'::double precision", "'2e400'::double precision"),
        ] {
            let (one, other) = (default(one), default(other));
            assert!(!same("TABLE", &one, &other, (11, 18)), "{one} {other}");
            assert!(!same("TABLE", &other, &one, (18, 10)), "{one} {other}");
        }
    }

    #[test]
    fn bits_are_the_same_without_their_prefix() {
        for (ten, later) in [
            ("B'101'::\"bit\"", "'101'::\"bit\""),
            ("B'1'::bit(1)", "'1'::bit(1)"),
            ("B''::bit varying", "''::bit varying"),
            (
                "(B'11'::\"bit\")::bit varying(3)",
                "('11'::\"bit\")::bit varying(3)",
            ),
            (
                "ARRAY[B'101'::\"bit\", B'110'::\"bit\"]",
                "ARRAY['101'::\"bit\", '110'::\"bit\"]",
            ),
        ] {
            let (ten, later) = (default(ten), default(later));
            assert!(same("TABLE", &ten, &later, (10, 18)), "{ten}");
            assert!(same("TABLE", &later, &ten, (11, 10)), "{ten}");
            assert!(!same("TABLE", &ten, &later, (11, 18)), "{ten}");
            assert!(!same("TABLE", &ten, &later, (10, 10)), "{ten}");
            let other = later.replacen("1'", "0'", 1);
            assert!(other == later || !same("TABLE", &ten, &other, (10, 18)));
        }
        for (ten, later) in [
            ("B'101'", "'101'"),
            ("B'101'::integer", "'101'::integer"),
            ("(B'101'::\"bit\")::integer", "('101'::text)::integer"),
            ("X'101'::\"bit\"", "'101'::\"bit\""),
            ("B'101'::\"bit\"", "'1010'::\"bit\""),
            ("'B101'::text", "'101'::text"),
        ] {
            let (ten, later) = (default(ten), default(later));
            assert!(!same("TABLE", &ten, &later, (10, 18)), "{ten}");
        }
    }
    /// As 10 prints it, as 10 does when it has read that, and as 18 does.
    #[test]
    fn varying_bits_are_the_same_when_they_have_been_read_again() {
        for (ten, again, later) in [
            (
                "B'0'::bit varying",
                "(B'0'::\"bit\")::bit varying",
                "('0'::\"bit\")::bit varying",
            ),
            (
                "B'1'::bit varying(3)",
                "(B'1'::\"bit\")::bit varying(3)",
                "('1'::\"bit\")::bit varying(3)",
            ),
            (
                "ARRAY[B''::bit varying, (B'10'::\"bit\")::bit varying]",
                "ARRAY[(B''::\"bit\")::bit varying, (B'10'::\"bit\")::bit varying]",
                "ARRAY[(''::\"bit\")::bit varying, ('10'::\"bit\")::bit varying]",
            ),
        ] {
            let (ten, again, later) = (default(ten), default(again), default(later));
            assert!(same("TABLE", &ten, &again, (10, 10)), "{ten}");
            assert!(same("TABLE", &ten, &later, (10, 18)), "{ten}");
            assert!(same("TABLE", &later, &again, (11, 10)), "{ten}");
            assert!(!same("TABLE", &ten, &later, (10, 10)), "{ten}");
            assert!(!same("TABLE", &ten, &later, (11, 18)), "{ten}");
            for (from, to) in [("0'", "00'"), ("1'", "0'"), ("bit varying", "bit")] {
                let other = later.replace(from, to);
                assert!(other == later || !same("TABLE", &ten, &other, (10, 18)));
            }
        }
        for (ten, later) in [
            // One bit only, which is what `bit` means without quotes.
            ("B'11'::bit varying", "('11'::bit)::bit varying"),
            ("B'11'::bit varying", "('11'::bit(1))::bit varying"),
            ("B'11'::bit varying", "('11'::text)::bit varying"),
            ("B'11'::bit varying", "('11'::\"bit\")::bit varying(1)"),
            ("B'11'::bit varying", "('11'::\"bit\")::text"),
            ("B'11'::bit varying", "('11'::bit varying)::\"bit\""),
        ] {
            let (ten, later) = (default(ten), default(later));
            assert!(!same("TABLE", &ten, &later, (10, 18)), "{later}");
        }
        // Since 11 no server prints the one for the other.
        let (whole, cast) = ("'11'::bit varying", "('11'::\"bit\")::bit varying");
        assert!(!same("TABLE", &default(whole), &default(cast), (11, 18)));
        // The words behind stay where they are, for the rules that look at them.
        let view = |column: &str, bits: &str| {
            format!("CREATE VIEW s.v AS\n SELECT {bits} AS x,\n    {column}\n   FROM s.t;")
        };
        let ten = view("t.a", "B'1'::bit varying");
        let later = |column: &str| view(column, "('1'::\"bit\")::bit varying");
        assert!(same("VIEW", &ten, &later("a"), (10, 18)));
        assert!(!same("VIEW", &ten, &later("b"), (10, 18)));
    }
}
