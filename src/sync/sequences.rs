//! Sequences: the statements that make them stand as on the source. Pure.
//!
//! ```text
//!   rows change ─► sequences that go on ─► COMMIT ─► sequences that go back
//! ```
//!
//! A sequence follows no transaction: setting it takes effect at once, and no rollback undoes that. So at every moment at which a run may
//! be killed, whoever writes next must get no number that is taken, whether the rows are those from before or those from after. Sequences
//! are advanced before the commit, while nobody else can write, and set back after it: in between, one stands further on than it need.
//!
//! Nobody can be kept from taking numbers meanwhile. A sequence from which somebody has is not set back.

use crate::catalog::Sequence;
use crate::model::{SqlText, quote_literal};

/// A sequence that is to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceChange {
    /// As it stands on the target.
    pub from: Sequence,
    /// As it stands on the source.
    pub to: Sequence,
}

impl SequenceChange {
    /// Advances it, if that is further in its own direction than it stands by now; before the commit.
    pub(super) fn ahead(&self) -> SqlText {
        let name = &self.to.name;
        let relation = quote_literal(&name.to_string());
        let next = |value: &str, is_called: &str| {
            format!("({value}::numeric + case when {is_called} then q.seqincrement else 0 end)")
        };
        let (value, is_called) = (number(self.to.last_value), self.to.is_called.to_string());
        SqlText::from(format!(
            "select {} from pg_catalog.pg_sequence q cross join {name} s where q.seqrelid = {relation}::pg_catalog.regclass \
             and q.seqincrement * ({} - {}) > 0",
            self.set(),
            next(&value, &is_called),
            next("s.last_value", "s.is_called")
        ))
    }

    /// Sets it back, if it still stands where it was seen; after the commit.
    pub(super) fn back(&self) -> SqlText {
        let Sequence {
            name,
            last_value,
            is_called,
            ..
        } = &self.from;
        SqlText::from(format!(
            "select {} from {name} s where s.last_value = {} and s.is_called = {is_called}",
            self.set(),
            number(*last_value)
        ))
    }

    fn set(&self) -> String {
        let Sequence {
            name,
            last_value,
            is_called,
            ..
        } = &self.to;
        let relation = quote_literal(&name.to_string());
        let value = number(*last_value);
        format!("pg_catalog.setval({relation}::pg_catalog.regclass, {value}, {is_called})")
    }
}

/// In quotes: without its sign, the smallest number would not fit, and a plain literal is read without it.
fn number(value: i64) -> String {
    format!("'{value}'::int8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::QualifiedName;

    #[test]
    fn a_sequence_goes_back_only_from_where_it_was_seen() {
        let stands = |last_value, is_called| Sequence {
            name: QualifiedName::new("s", "it's"),
            last_value,
            extension: None,
            ahead: None,
            is_called,
        };
        let change = SequenceChange {
            from: stands(9, true),
            to: stands(i64::MIN, false),
        };
        let set = "select pg_catalog.setval('\"s\".\"it''s\"'::pg_catalog.regclass, '-9223372036854775808'::int8, false) from ";
        let back = change.back().to_string();
        let wanted =
            format!("{set}\"s\".\"it's\" s where s.last_value = '9'::int8 and s.is_called = true");
        assert_eq!(back, wanted);
        let ahead = change.ahead().to_string();
        assert!(ahead.starts_with(set), "{ahead}");
        assert!(
            ahead.ends_with(
                "and q.seqincrement * (('-9223372036854775808'::int8::numeric + case when false then q.seqincrement else 0 end) \
                 - (s.last_value::numeric + case when s.is_called then q.seqincrement else 0 end)) > 0"
            ),
            "{ahead}"
        );
    }
}
