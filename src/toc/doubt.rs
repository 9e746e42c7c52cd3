//! Definitions that may mean the same, or not, of which their text does not say which: what is not known, and who would know.

use crate::model::{Difference, Unverified};

/// Why it is not known whether two definitions differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// They have two names for a locale, and only ICU, which both servers have them from, knows whether these mean the same.
    Locale,
    /// One casts an array as a whole and the other each of its elements, and only a server knows whether these are arrays themselves.
    Arrays,
}

impl Doubt {
    /// What may be a difference, with what is not known of it.
    pub(super) fn about(self, difference: Difference) -> Unverified {
        let detail = &difference.detail;
        let because = match self {
            Self::Locale => format!(
                "do the two names mean the same locale of ICU? A server of version 16 or later turns the name into a language tag, and \
                 whether it would turn the one into the other is not known. CREATE COLLATION with the older name, on a server of the newer \
                 version, shows it:\n{detail}"
            ),
            Self::Arrays => format!(
                "is x an array itself? A server prints the cast of an array as (ARRAY[x])::text[] when it is made. After it has been read \
                 again, it prints ARRAY[(x)::text], or ARRAY[(x)::text[]] if x is an array itself. Here the definitions are in both ways, \
                 and whether x is one is not known. pg_typeof(x), in a query on the side that has the first, shows it:\n{detail}"
            ),
        };
        Unverified {
            class: difference.class,
            object: difference.object,
            because,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, toc};
    use super::super::{CompareOptions, Entry, Toc, compare, compare_or_doubt};

    fn view(array: &str, tablespace: &str) -> Toc {
        let defn = format!("CREATE VIEW s.v AS\n SELECT s.f({array}) AS f\n   FROM s.t;\n");
        toc(vec![Entry {
            defn: Some(defn.as_str().into()),
            tablespace: Some(tablespace.into()),
            ..entry("VIEW")
        }])
    }

    const WHOLE: &str = "(ARRAY[a, b])::text[]";
    const TEXTS: &str = "ARRAY[(a)::text, (b)::text]";
    const ARRAYS: &str = "ARRAY[(a)::text[], (b)::text[]]";

    /// How many differences there are, and how many doubts.
    fn found(source: &Toc, target: &Toc, nested_arrays: Option<bool>) -> (usize, usize) {
        let options = CompareOptions {
            nested_arrays,
            ..CompareOptions::default()
        };
        let (differences, doubts) = compare_or_doubt(source, target, &options);
        for doubt in &doubts {
            assert!(doubt.because.contains("pg_typeof(x)"), "{doubt:?}");
            assert!(doubt.because.contains(WHOLE), "{doubt:?}");
        }
        // Whoever has no word for a doubt takes it for a difference.
        let all = compare(source, target, &options).len();
        assert_eq!(all, differences.len() + doubts.len());
        (differences.len(), doubts.len())
    }

    #[test]
    fn what_may_be_an_array_is_neither_the_same_nor_different() {
        let of = |array: &str| view(array, "o");
        let (whole, texts, arrays) = (of(WHOLE), of(TEXTS), of(ARRAYS));
        let both_ways = |one: &Toc, other: &Toc, nested| {
            let forth = found(one, other, nested);
            assert_eq!(forth, found(other, one, nested));
            forth
        };
        assert_eq!(both_ways(&whole, &texts, Some(false)), (0, 0));
        assert_eq!(both_ways(&whole, &arrays, Some(false)), (1, 0));
        for nested in [Some(true), None] {
            assert_eq!(both_ways(&whole, &whole, nested), (0, 0));
            assert_eq!(both_ways(&whole, &texts, nested), (0, 1));
            assert_eq!(both_ways(&whole, &arrays, nested), (0, 1));
        }
        let other = of("ARRAY[(b)::text, (a)::text]");
        for nested in [Some(false), Some(true), None] {
            assert_eq!(both_ways(&texts, &arrays, nested), (1, 0));
            assert_eq!(both_ways(&whole, &other, nested), (1, 0));
        }
    }

    #[test]
    fn what_differs_besides_is_a_difference() {
        let whole = view(WHOLE, "o");
        assert_eq!(found(&whole, &view(TEXTS, "p"), None), (1, 0));
        assert_eq!(found(&whole, &view(WHOLE, "p"), None), (1, 0));
        assert_eq!(found(&whole, &view(TEXTS, "p"), Some(false)), (1, 0));
    }
}
