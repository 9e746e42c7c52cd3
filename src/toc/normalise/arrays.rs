//! The cast of a whole array, which becomes one of each of its elements when it is read again.
//!
//! An element that is an array itself stays one: `(ARRAY[ARRAY[a, b]])::t[]` is read as `ARRAY[ARRAY[(a)::t, (b)::t]]`, and
//! `(ARRAY[c])::t[]`, c being an array, as `ARRAY[(c)::t[]]` (`transformArrayExpr` in `parse_expr.c`). `ARRAY[(c)::t]` would be an array of
//! texts of arrays, and not the same. All elements of an array are of one type, so one that tells by its spelling whether it is
//! an array tells it of all of them. Many tell nothing (`ARRAY[c, f(d)]`), and there is no guessing: a name is another thing in each query.
//! What such elements are is told by somebody else, who has asked the servers; where nobody has, the cast is left where it is, and compared
//! as it is written.

use super::super::tokens::Kind;
use super::{Word, cast_to, is_symbol, is_word};

/// Casts within casts, and arrays within arrays, that are looked into. A server gives an array six dimensions at most.
const MOST_LEVELS: usize = 8;

/// Words of a type's name: there are four in the longest one that Postgres has, `timestamp without time zone`.
const MOST_WORDS_OF_A_TYPE: usize = 8;

/// `(ARRAY[a, b])::t[]` → `ARRAY[(a)::t, (b)::t]`.
pub(super) fn casts_of_elements<'a>(words: &[Word<'a>]) -> Vec<Word<'a>> {
    rewritten(words, (MOST_LEVELS, 0), Untold::Unknown)
}

/// The same, where elements that do not tell are no arrays.
pub(super) fn casts_of_single_values<'a>(words: &[Word<'a>]) -> Vec<Word<'a>> {
    rewritten(words, (MOST_LEVELS, 0), Untold::Single)
}

/// The same, where elements that do not tell are what the other side takes them for: arrays, where it casts those of the array in the same
/// place to an array.
pub(super) fn casts_as_beside<'a>(words: &[Word<'a>], other: &[Word<'a>]) -> Vec<Word<'a>> {
    let of_arrays = casts_to_arrays(other);
    rewritten(words, (MOST_LEVELS, 0), Untold::As(&of_arrays))
}

/// What the elements of an array are taken for that do not tell what they are.
#[derive(Clone, Copy)]
enum Untold<'o> {
    /// For nothing.
    Unknown,
    /// For single values.
    Single,
    /// In each array that is spelled out, in the order in which these are: for arrays, or for single values.
    As(&'o [bool]),
}

impl Untold<'_> {
    /// Those of the array that so many come before.
    fn of(self, place: usize) -> Option<Shape> {
        match self {
            Self::Unknown => None,
            Self::As(arrays) if arrays.get(place).copied().unwrap_or_default() => {
                Some(Shape::Array)
            }
            Self::Single | Self::As(_) => Some(Shape::Single),
        }
    }
}

/// Of each array that is spelled out, in order: whether its last element ends like a cast to an array.
fn casts_to_arrays(words: &[Word]) -> Vec<bool> {
    let mut found = Vec::new();
    // For each bracket that is open, which array it opens.
    let mut open: Vec<Option<usize>> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let before = words.get(..at).unwrap_or_default();
        if is_symbol(Some(word), b"[") {
            let is_array = is_word(before.last(), b"ARRAY");
            open.push(is_array.then_some(found.len()));
            if is_array {
                found.push(false);
            }
        } else if is_symbol(Some(word), b"]")
            && let Some(Some(array)) = open.pop()
            && let Some(is_cast) = found.get_mut(array)
        {
            *is_cast = matches!(before, [.., (Kind::Symbol, b"["), (Kind::Symbol, b"]")]);
        }
    }
    found
}

/// How many arrays are spelled out in some words.
fn arrays_in(words: &[Word]) -> usize {
    words.windows(2).filter(|two| opens_array(two)).count()
}

/// Whether some words begin with `ARRAY[`.
fn opens_array(words: &[Word]) -> bool {
    is_word(words.first(), b"ARRAY") && is_symbol(words.get(1), b"[")
}

/// The innermost ones first: what they become may be in an array that is cast in its turn. `place`: how many arrays come before.
fn rewritten<'a>(
    words: &[Word<'a>],
    (levels, mut place): (usize, usize),
    untold: Untold<'_>,
) -> Vec<Word<'a>> {
    let Some(levels) = levels.checked_sub(1) else {
        return words.to_vec();
    };
    let mut kept = Vec::with_capacity(words.len());
    let mut rest = words;
    while let Some((&word, behind)) = rest.split_first() {
        let Some(cast) = cast_array(rest) else {
            place += usize::from(opens_array(rest));
            kept.push(word);
            rest = behind;
            continue;
        };
        let elements = rewritten(cast.elements, (levels, place + 1), untold);
        let cast_to = (cast.element_type, untold);
        if let Some(array) = cast_elements(&elements, cast_to, (MOST_LEVELS, place)) {
            kept.extend(array);
        } else {
            kept.extend_from_slice(cast.opening);
            kept.extend(elements);
            kept.extend_from_slice(cast.closing);
        }
        place += 1 + arrays_in(cast.elements);
        rest = cast.behind;
    }
    kept
}

/// `(ARRAY[…])::t[]` at the beginning of some words.
struct CastArray<'w, 'a> {
    /// `(ARRAY[`
    opening: &'w [Word<'a>],
    elements: &'w [Word<'a>],
    /// `])::t[]`
    closing: &'w [Word<'a>],
    /// `t`
    element_type: &'w [Word<'a>],
    behind: &'w [Word<'a>],
}

fn cast_array<'w, 'a>(words: &'w [Word<'a>]) -> Option<CastArray<'w, 'a>> {
    let (opening, rest) = words.split_at_checked(3)?;
    if !is_symbol(opening.first(), b"(") || !opens_array(opening.get(1..)?) {
        return None;
    }
    let (elements, rest) = rest.split_at_checked(closing_bracket(rest)?)?;
    let closes = is_symbol(rest.first(), b"]") && is_symbol(rest.get(1), b")");
    let name = cast_to(rest.get(2..)?)?;
    let length = name
        .iter()
        .take_while(|(kind, text)| matches!(kind, Kind::Word | Kind::QuotedName) || *text == b".")
        .count();
    let is_array = is_symbol(name.get(length), b"[") && is_symbol(name.get(length + 1), b"]");
    let is_name = (1..=MOST_WORDS_OF_A_TYPE).contains(&length);
    let (closing, behind) = rest.split_at_checked(4 + length + 2)?;
    (closes && is_array && is_name).then_some(CastArray {
        opening,
        elements,
        closing,
        element_type: name.get(..length)?,
        behind,
    })
}

/// `ARRAY[…]` of some elements, each with the cast. None if nothing tells whether they are arrays.
fn cast_elements<'a>(
    elements: &[Word<'a>],
    (element_type, untold): (&[Word<'a>], Untold<'_>),
    (levels, place): (usize, usize),
) -> Option<Vec<Word<'a>>> {
    let levels = levels.checked_sub(1)?;
    let symbol = |text: &'static [u8]| (Kind::Symbol, text);
    let elements = split(elements);
    let shape = Shape::of_all(&elements, untold.of(place))?;
    let mut words: Vec<Word> = vec![(Kind::Word, &b"ARRAY"[..]), symbol(b"[")];
    let mut next = place + 1;
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            words.push(symbol(b","));
        }
        let here = next;
        next += arrays_in(element);
        if let Some(inner) = constructed(element) {
            words.extend(cast_elements(
                inner,
                (element_type, untold),
                (levels, here),
            )?);
            continue;
        }
        words.push(symbol(b"("));
        words.extend_from_slice(element);
        words.extend([symbol(b")"), symbol(b":"), symbol(b":")]);
        words.extend_from_slice(element_type);
        if shape == Shape::Array {
            words.extend([symbol(b"["), symbol(b"]")]);
        }
    }
    words.push(symbol(b"]"));
    Some(words)
}

/// What an element of an array is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Anything but an array. A domain over one counts as this, as it does for Postgres.
    Single,
    Array,
}

impl Shape {
    /// Of the elements of one array, which are what is said of those that do not tell if none of them tells. None if they contradict each
    /// other.
    fn of_all(elements: &[&[Word]], untold: Option<Self>) -> Option<Self> {
        let mut told = elements.iter().filter_map(|element| Self::of(element));
        let Some(first) = told.next() else {
            return untold;
        };
        told.all(|shape| shape == first).then_some(first)
    }

    /// Of one, by how it is spelled: an array in brackets, a cast, a number, or a keyword. A server puts all that it casts into
    /// parentheses, but constants and the array of nothing.
    fn of(element: &[Word]) -> Option<Self> {
        if constructed(element).is_some() {
            return Some(Self::Array);
        }
        match element {
            [(Kind::Word, word)] if is_number(word) || is_keyword(word) => Some(Self::Single),
            [(Kind::Word, word), (Kind::Symbol, b"."), (Kind::Word, _)] if is_number(word) => {
                Some(Self::Single)
            }
            [(Kind::Literal, _) | (Kind::Word, b"NULL"), rest @ ..]
            | [
                (Kind::Word, b"ARRAY"),
                (Kind::Symbol, b"["),
                (Kind::Symbol, b"]"),
                rest @ ..,
            ] => Self::of_type(cast_to(rest)?),
            [(Kind::Symbol, b"("), rest @ ..] => {
                let behind = rest.get(closing_bracket(rest)? + 1..)?;
                Self::of_type(cast_to(behind)?)
            }
            _ => None,
        }
    }

    /// Of what is cast to a type, which must be all that there is.
    fn of_type(name: &[Word]) -> Option<Self> {
        let (name, shape) = match name {
            [name @ .., (Kind::Symbol, b"["), (Kind::Symbol, b"]")] => (name, Self::Array),
            _ => (name, Self::Single),
        };
        let is_name = name.iter().all(|(kind, text)| match kind {
            Kind::Word | Kind::QuotedName => true,
            Kind::Symbol => matches!(*text, b"." | b"(" | b"," | b")"),
            Kind::Literal | Kind::Comment => false,
        });
        // These two are arrays to some versions, and not to others.
        let is_vector = matches!(
            name.last(),
            Some((
                _,
                b"int2vector" | b"oidvector" | b"\"int2vector\"" | b"\"oidvector\""
            ))
        );
        (is_name && !is_vector && !name.is_empty()).then_some(shape)
    }
}

fn is_number(word: &[u8]) -> bool {
    word.first().is_some_and(u8::is_ascii_digit)
}

/// `true`, or what only a keyword is without quotes: `CURRENT_USER`. A `NULL` is of any type.
fn is_keyword(word: &[u8]) -> bool {
    matches!(word, b"true" | b"false")
        || (word.first().is_some_and(u8::is_ascii_uppercase) && word != b"NULL")
}

/// The elements of an array that is spelled out, `ARRAY[…]`, and nothing behind it.
fn constructed<'w, 'a>(element: &'w [Word<'a>]) -> Option<&'w [Word<'a>]> {
    match element {
        [(Kind::Word, b"ARRAY"), (Kind::Symbol, b"["), rest @ ..] => {
            let end = closing_bracket(rest)?;
            let is_all = end + 1 == rest.len() && is_symbol(rest.get(end), b"]");
            rest.get(..end).filter(|_| is_all)
        }
        _ => None,
    }
}

/// How many words there are before the bracket that closes what was opened before the first of them.
fn closing_bracket(words: &[Word]) -> Option<usize> {
    let mut depth = 0_usize;
    words.iter().position(|word| match word {
        (Kind::Symbol, b"[" | b"(") => {
            depth += 1;
            false
        }
        (Kind::Symbol, b"]" | b")") if depth == 0 => true,
        (Kind::Symbol, b"]" | b")") => {
            depth -= 1;
            false
        }
        _ => false,
    })
}

/// What is between the commas that are in no brackets.
fn split<'w, 'a>(elements: &'w [Word<'a>]) -> Vec<&'w [Word<'a>]> {
    let mut depth = 0_usize;
    let parts = elements.split(|word| {
        match word {
            (Kind::Symbol, b"[" | b"(") => depth += 1,
            (Kind::Symbol, b"]" | b")") => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && is_symbol(Some(word), b",")
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::super::{
        Versions, is_same_of_some_arrays, same_definition, same_definition_of_single_values,
    };

    fn same(desc: &str, source: &str, target: &str, majors: (u32, u32)) -> bool {
        let sides = (source.as_bytes(), target.as_bytes());
        same_definition(desc, sides, Versions::of(majors.0, majors.1), true)
    }

    fn check(array: &str) -> String {
        format!("CREATE TABLE t (CONSTRAINT c CHECK (((v)::text = ANY ({array}))))")
    }

    fn same_arrays(source: &str, target: &str) -> bool {
        let is_same = same("TABLE", &check(source), &check(target), (15, 15));
        let backwards = same("TABLE", &check(target), &check(source), (10, 18));
        assert_eq!(is_same, backwards, "{source} {target}");
        is_same
    }

    /// Whether they are the same if all that does not tell is a single value, and whether they may be if it may be either.
    fn known_or_possible(source: &str, target: &str) -> (bool, bool) {
        let (source, target) = (check(source), check(target));
        let compared = |source: &str, target: &str| {
            let sides = (source.as_bytes(), target.as_bytes());
            let versions = Versions::of(15, 18);
            (
                same_definition_of_single_values("TABLE", sides, versions, true),
                is_same_of_some_arrays("TABLE", sides, versions, true),
            )
        };
        let forth = compared(&source, &target);
        assert_eq!(forth, compared(&target, &source), "{source} {target}");
        forth
    }

    /// Elements that do not tell whether they are arrays.
    const UNTOLD: [&str; 12] = [
        "a",
        "t.a",
        "\"A\"",
        "a.c[1]",
        "f('x'::text, 1)",
        "(a || b)",
        "(a)[1:2]",
        "COALESCE(a, b)",
        "CASE WHEN (a > b) THEN a ELSE b END",
        "( SELECT x.y FROM x LIMIT 1)",
        "ARRAY(SELECT x.y FROM x)",
        "(a)::oidvector",
    ];

    #[test]
    fn what_does_not_tell_is_a_single_value_where_no_array_has_arrays() {
        for element in UNTOLD {
            let whole = format!("(ARRAY[{element}, b])::text[]");
            let each = format!("ARRAY[({element})::text, (b)::text]");
            assert_eq!(known_or_possible(&whole, &each), (true, true), "{element}");
            assert_eq!(known_or_possible(&whole, &whole), (true, true), "{element}");
            let arrays = format!("ARRAY[({element})::text[], (b)::text[]]");
            assert_eq!(
                known_or_possible(&whole, &arrays),
                (false, true),
                "{element}"
            );
            for other in [
                format!("ARRAY[({element})::text, (c)::text]"),
                format!("ARRAY[({element})::text]"),
                format!("ARRAY[({element})::name, (b)::name]"),
                format!("ARRAY[({element})::text, (b)::text[]]"),
                format!("ARRAY[ARRAY[({element})::text, (b)::text]]"),
                format!("(ARRAY[{element}, b])::name[]"),
            ] {
                assert_eq!(known_or_possible(&whole, &other), (false, false), "{other}");
            }
        }
        // What tells is not asked about.
        let (whole, each) = ("(ARRAY[ARRAY[a]])::text[]", "ARRAY[(ARRAY[a])::text]");
        assert_eq!(known_or_possible(whole, each), (false, false));
    }

    /// As in a query where `s` and `t` are texts, and `a` and `b` are arrays of them.
    #[test]
    fn each_array_may_have_something_else_in_it() {
        let list = |parts: [&str; 4]| parts.join(" || ");
        let whole = list([
            "(ARRAY[s, f(s)])::text[]",
            "(ARRAY[a, b])::text[]",
            "(ARRAY[ARRAY[s, t], b])::text[]",
            "(ARRAY[(ARRAY[s])::name[], a])::text[]",
        ]);
        let each = [
            "ARRAY[(s)::text, (f(s))::text]",
            "ARRAY[(a)::text[], (b)::text[]]",
            "ARRAY[ARRAY[(s)::text, (t)::text], (b)::text[]]",
            "ARRAY[ARRAY[((s)::name)::text], (a)::text[]]",
        ];
        assert_eq!(known_or_possible(&whole, &list(each)), (false, true));
        for (place, other) in [
            (0, "ARRAY[(s)::text, (f(t))::text]"),
            (1, "ARRAY[(a)::text[], (b)::text]"),
            (2, "ARRAY[ARRAY[(s)::text, (t)::text], (b)::text]"),
            (3, "ARRAY[((s)::name)::text, (a)::text]"),
        ] {
            let mut others = each;
            others[place] = other;
            let found = known_or_possible(&whole, &list(others));
            assert_eq!(found, (false, false), "{other}");
        }
    }

    #[test]
    fn a_cast_of_an_array_is_one_of_its_elements() {
        let before = check("(ARRAY['a'::character varying, 'b,]'::character varying])::text[]");
        let after =
            check("ARRAY[('a'::character varying)::text, ('b,]'::character varying)::text]");
        for majors in [(0, 0), (15, 15), (10, 18), (18, 15)] {
            assert!(same("TABLE", &before, &after, majors));
            assert!(same("TABLE", &after, &before, majors));
        }
        for other in [
            "ARRAY[('a'::character varying)::text, ('c,]'::character varying)::text]",
            "ARRAY[('a'::character varying)::text]",
            "ARRAY[('b,]'::character varying)::text, ('a'::character varying)::text]",
            "(ARRAY['a'::character varying, 'b,]'::character varying])::name[]",
            "ARRAY['a'::text, 'b,]'::text]",
        ] {
            assert!(!same("TABLE", &before, &check(other), (15, 18)), "{other}");
        }
        for (whole, each) in [
            (
                "(ARRAY['x'::s.e, f(a, b), (c[1] || 'd')])::s.\"my type\"[]",
                "ARRAY[('x'::s.e)::s.\"my type\", (f(a, b))::s.\"my type\", ((c[1] || 'd'))::s.\"my type\"]",
            ),
            (
                "(ARRAY[1, 2.5, x])::bigint[]",
                "ARRAY[(1)::bigint, (2.5)::bigint, (x)::bigint]",
            ),
            (
                "(ARRAY[CURRENT_USER, SESSION_USER])::text[]",
                "ARRAY[(CURRENT_USER)::text, (SESSION_USER)::text]",
            ),
            (
                "(ARRAY[(now())::timestamp(3) with time zone, b])::date[]",
                "ARRAY[((now())::timestamp(3) with time zone)::date, (b)::date]",
            ),
            (
                "(ARRAY[NULL::character varying, t.b])::text[]",
                "ARRAY[(NULL::character varying)::text, (t.b)::text]",
            ),
            // A domain over an array is no array.
            (
                "(ARRAY[(ARRAY['a'::character varying])::s.d])::text[]",
                "ARRAY[((ARRAY['a'::character varying])::s.d)::text]",
            ),
        ] {
            assert!(same_arrays(whole, each), "{whole}");
        }
    }

    /// Each as a server prints it, and as it does when it has read that (or, once, as nobody prints it).
    #[test]
    fn an_array_in_an_array_stays_one() {
        for (whole, each) in [
            (
                "(ARRAY[ARRAY['a'::character varying, 'b'::character varying]])::text[]",
                "ARRAY[ARRAY[('a'::character varying)::text, ('b'::character varying)::text]]",
            ),
            (
                "(ARRAY[ARRAY['a'::character varying, 'b'::character varying]])::text[]",
                "ARRAY[(ARRAY['a'::character varying, 'b'::character varying])::text[]]",
            ),
            (
                "(ARRAY[ARRAY[ARRAY[1, x]]])::bigint[]",
                "ARRAY[ARRAY[ARRAY[(1)::bigint, (x)::bigint]]]",
            ),
            (
                "(ARRAY[ARRAY[v, 'b'::character varying], ARRAY[v, 'b'::character varying]])::text[]",
                "ARRAY[ARRAY[(v)::text, ('b'::character varying)::text], ARRAY[(v)::text, ('b'::character varying)::text]]",
            ),
            (
                "(ARRAY[ARRAY['a'::character varying], va])::text[]",
                "ARRAY[ARRAY[('a'::character varying)::text], (va)::text[]]",
            ),
            (
                "(ARRAY[ARRAY[]::character varying[]])::text[]",
                "ARRAY[(ARRAY[]::character varying[])::text[]]",
            ),
            (
                "(ARRAY[(ARRAY[('a'::character varying)::text])::character varying[], '{x,y}'::character varying[]])::text[]",
                "ARRAY[(ARRAY[(('a'::character varying)::text)::character varying])::text[], ('{x,y}'::character varying[])::text[]]",
            ),
        ] {
            assert!(same_arrays(whole, each), "{whole}");
        }
    }

    #[test]
    fn an_array_is_no_array_of_the_texts_of_arrays() {
        let row = "ARRAY['a'::character varying, 'b'::character varying]";
        let whole = format!("(ARRAY[{row}])::text[]");
        for other in [
            format!("ARRAY[({row})::text]"),
            "ARRAY[('a'::character varying)::text, ('b'::character varying)::text]".to_owned(),
            "ARRAY[ARRAY[('a'::character varying)::text], ARRAY[('b'::character varying)::text]]"
                .to_owned(),
            "ARRAY[ARRAY[('a'::character varying)::text, ('c'::character varying)::text]]"
                .to_owned(),
            format!("(ARRAY[{row}])::name[]"),
            format!("(ARRAY[ARRAY[{row}]])::text[]"),
        ] {
            assert!(!same_arrays(&whole, &other), "{other}");
        }
        for (one, other) in [
            (
                "(ARRAY['{a}'::character varying[], va])::text[]",
                "ARRAY[('{a}'::character varying[])::text, (va)::text]",
            ),
            (
                "(ARRAY[(a)::character varying[]])::text[]",
                "ARRAY[((a)::character varying[])::text]",
            ),
            (
                "(ARRAY['a'::character varying])::text[]",
                "ARRAY[('a'::character varying)::text[]]",
            ),
            (
                "(ARRAY[ARRAY[]::character varying[]])::text[]",
                "ARRAY[(ARRAY[]::character varying[])::text]",
            ),
        ] {
            assert!(!same_arrays(one, other), "{one}");
        }
    }

    /// Each of these may be an array, and the second of its spellings another array then.
    #[test]
    fn what_does_not_say_whether_it_is_an_array_is_not_taken_for_either() {
        for element in UNTOLD.into_iter().chain(["NULL", "'1 2'::int2vector"]) {
            let whole = format!("(ARRAY[{element}, {element}])::text[]");
            assert!(same_arrays(&whole, &whole));
            for cast in ["text", "text[]"] {
                let each = format!("ARRAY[({element})::{cast}, ({element})::{cast}]");
                assert!(!same_arrays(&whole, &each), "{each}");
            }
        }
        // Nor is one that contradicts another.
        let whole = "(ARRAY['a'::character varying, '{b}'::character varying[]])::text[]";
        for cast in ["text", "text[]"] {
            let each = format!(
                "ARRAY[('a'::character varying)::{cast}, ('{{b}}'::character varying[])::{cast}]"
            );
            assert!(!same_arrays(whole, &each), "{each}");
        }
    }

    #[test]
    fn what_is_nested_without_end_is_compared_as_it_is_written() {
        let inner = "(ARRAY['a'::s.e])::s.t[]";
        let nested = |begin: &str, end: &str| {
            let (begin, end) = (begin.repeat(5_000), end.repeat(5_000));
            check(&format!("(ARRAY[{begin}{inner}{end}])::s.t[]"))
        };
        for deep in [nested("(ARRAY[", "])::s.t[]"), nested("ARRAY[", "]")] {
            assert!(same("TABLE", &deep, &deep, (15, 15)));
            let other = deep.replace("'a'", "'b'");
            assert!(!same("TABLE", &deep, &other, (15, 15)));
        }
    }
}
