//! In which form a column is compared: the strongest that is right for both servers.
//!
//! The bytes that the server sends are the value's own for most types. Where they are not, the text that the type's output
//! function prints is compared; and where that differs between versions although the value does not, its bits.

use crate::catalog::{Column, Types, print_floats_differently, text_with_rounded_floats};
use crate::model::{ColumnForm, ServerVersion, quote_ident};

/// Decides for one pair of servers.
#[derive(Debug, Clone, Copy)]
pub struct Forms<'a> {
    /// Types of the source.
    pub source: Types<'a>,
    /// Types of the target.
    pub target: Types<'a>,
    /// Versions of source and target.
    pub versions: (ServerVersion, ServerVersion),
}

impl Forms<'_> {
    /// The expression that is read on both sides, and what to say about it if it is not the column itself.
    pub fn of(&self, source: &Column, target: &Column) -> (String, Option<ColumnForm>) {
        let name = quote_ident(&source.name);
        let told = |form: &str, because: String| {
            Some(ColumnForm {
                column: source.name.clone(),
                form: form.to_owned(),
                because,
            })
        };
        let (ours, theirs) = (
            type_name(self.source, source),
            type_name(self.target, target),
        );
        if ours != theirs {
            let because = format!("it is {ours} on the source, and {theirs} on the target");
            return (as_text(&name), told("as text", because));
        }
        let not_binary = self
            .source
            .not_binary_because(source.type_oid)
            .or_else(|| self.target.not_binary_because(target.type_oid));
        let Some(because) = not_binary else {
            return (name, None);
        };
        if self.text_of_floats_differs() && self.source.holds_floats(source.type_oid) {
            return match self.source.array_by_bits(source.type_oid, &name) {
                Some(expression) => (expression, told("by its bits", because)),
                None => (
                    text_with_rounded_floats(&name),
                    told("as text, floats in it to 15 digits (6 of a real)", because),
                ),
            };
        }
        (as_text(&name), told("as text", because))
    }

    /// Whether the text of the same value is the same on both servers: it must be, to tell rows apart by it.
    pub fn has_same_text(&self, column: &Column) -> bool {
        !(self.text_of_floats_differs() && self.source.holds_floats(column.type_oid))
    }

    /// Text that is the same on both servers if the value is, given what is read of the column.
    pub(super) fn text_of(&self, column: &Column, expression: &str) -> String {
        let name = quote_ident(&column.name);
        if self.has_same_text(column) {
            return as_text(&name);
        }
        match self.source.send_function(column.type_oid) {
            Some(send) if expression == name => {
                format!("pg_catalog.encode(pg_catalog.{send}({name}), 'hex')")
            }
            _ => expression.to_owned(),
        }
    }

    fn text_of_floats_differs(&self) -> bool {
        print_floats_differently(self.versions.0, self.versions.1)
    }
}

fn type_name(types: Types<'_>, column: &Column) -> String {
    let known = types.0.get(&column.type_oid);
    known.map_or_else(
        || "of an unknown type".to_owned(),
        |facts| facts.name.clone(),
    )
}

/// What the type's output function prints, NULL for NULL. (`IS DISTINCT FROM NULL`, because a composite value all of whose
/// fields are NULL would be "null" to `IS NULL`; and no cast, because a cast need not print what the output function does.)
pub(in crate::verify) fn as_text(column: &str) -> String {
    format!("case when {column} is distinct from null then pg_catalog.format('%s', {column}) end")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalog::Type;
    use crate::model::Oid;

    fn types(array_name: &str) -> BTreeMap<Oid, Type> {
        let base = |name: &str, element| Type {
            name: name.to_owned(),
            schema: "pg_catalog".to_owned(),
            kind: 'b',
            element,
            base: None,
            has_binary: true,
            fields: vec![],
            subtype: None,
            range: None,
            extension: None,
        };
        BTreeMap::from([
            (Oid(701), base("double precision", None)),
            (Oid(1022), base("double precision[]", Some(Oid(701)))),
            (Oid(23), base("integer", None)),
            (Oid(1007), base(array_name, Some(Oid(23)))),
            (Oid(2205), base("regclass", None)),
        ])
    }

    fn column(oid: u32) -> Column {
        Column {
            name: "c".to_owned(),
            type_oid: Oid(oid),
            generated: false,
            is_virtual: false,
        }
    }

    #[test]
    fn the_strongest_form_that_is_right() {
        let (left, right) = (types("integer[]"), types("integer[]"));
        let forms = |source, target| Forms {
            source: Types(&left),
            target: Types(&right),
            versions: (ServerVersion(source), ServerVersion(target)),
        };
        let form = |oid, source, target| {
            let (expression, told) = forms(source, target).of(&column(oid), &column(oid));
            (expression, told.map(|told| told.form))
        };
        assert_eq!(form(701, 100_000, 180_000), ("\"c\"".to_owned(), None));
        assert_eq!(form(2205, 150_000, 150_000).1.as_deref(), Some("as text"));
        assert_eq!(form(1022, 150_000, 150_000).1.as_deref(), Some("as text"));
        assert_eq!(
            form(1022, 100_000, 180_000).1.as_deref(),
            Some("by its bits")
        );
        assert!(!forms(110_000, 120_000).has_same_text(&column(701)));
        assert!(forms(120_000, 180_000).has_same_text(&column(701)));
    }

    #[test]
    fn a_column_of_another_type_is_compared_as_text() {
        let (left, right) = (types("integer[]"), types("bigint[]"));
        let forms = Forms {
            source: Types(&left),
            target: Types(&right),
            versions: (ServerVersion(150_000), ServerVersion(150_000)),
        };
        let (expression, told) = forms.of(&column(1007), &column(1007));
        assert_eq!(
            expression,
            "case when \"c\" is distinct from null then pg_catalog.format('%s', \"c\") end"
        );
        assert!(told.is_some_and(|told| told.because.contains("bigint[] on the target")));
    }
}
