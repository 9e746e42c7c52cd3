//! What tells one row from another: which columns, and how a statement names rows by them.
//!
//! Keys travel as literals without a type, which take that of the column: what a type's output function prints, its input function
//! reads. Two kinds of columns would have them taken otherwise: the server compares names of objects (`regclass`) by their OIDs, and
//! so reads the literal as one; and it reads no literal without a type as a composite value. There it says what it is.

use std::collections::{BTreeMap, BTreeSet};

use super::comparand::Inputs;
use crate::catalog::{Column, Table, Type, Types};
use crate::model::{Oid, QualifiedName, quote_ident, quote_literal};

/// What tells one row from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its columns, the index's first column first.
    pub columns: Vec<String>,
    /// Whether the first column is a number in its binary form: an integer, or (`true`) a `uuid`.
    pub number: Option<bool>,
    /// Of each column, the type that a literal has to be given; `None` if it takes the column's by itself.
    pub literals: Vec<Option<String>>,
}

impl Key {
    /// The condition that selects rows by the texts of their keys.
    pub fn is_one_of<'k>(&self, keys: impl Iterator<Item = &'k [String]>) -> String {
        let names: Vec<String> = self.columns.iter().map(|name| quote_ident(name)).collect();
        let tuples: Vec<String> = keys.map(|key| self.tuple(key)).collect();
        format!("({}) in ({})", names.join(", "), tuples.join(", "))
    }

    fn tuple(&self, key: &[String]) -> String {
        let types = self.literals.iter().map(Option::as_deref);
        let types = types.chain(std::iter::repeat(None));
        let literals = key.iter().zip(types).map(|(text, kind)| {
            let literal = quote_literal(text);
            kind.map_or_else(|| literal.clone(), |kind| format!("{literal}::{kind}"))
        });
        format!("({})", literals.collect::<Vec<_>>().join(", "))
    }
}

/// The type that a literal has to be given to be compared with a column.
fn literal_type(types: Types<'_>, column: &Column) -> Option<String> {
    let found = types.0.get(&types.beneath(column.type_oid))?;
    let is_name = found.schema == "pg_catalog" && found.name.starts_with("reg");
    (found.kind == 'c' || is_name).then(|| found.name.clone())
}

impl Inputs<'_> {
    /// The best key of the source that is one on the target as well, and whose values have the same text on both.
    pub(super) fn key(&self, source: &Table, target: &Table) -> Option<Key> {
        let of = |keys: &[(QualifiedName, Vec<String>)]| -> Vec<Vec<String>> {
            let found = keys.iter().filter(|(table, _)| *table == source.name);
            found.map(|(_, columns)| columns.clone()).collect()
        };
        let as_set = |columns: &[String]| columns.iter().cloned().collect::<BTreeSet<String>>();
        let theirs: Vec<BTreeSet<String>> = of(self.keys.1).iter().map(|key| as_set(key)).collect();
        let column = |table: &Table, name: &String| {
            table
                .columns
                .iter()
                .find(|column| column.name == *name)
                .cloned()
        };
        let suits = |columns: &Vec<String>| {
            let is_told_by_text = |name: &String| {
                let ignored = (source.name.clone(), name.clone());
                // The name of a function without its arguments may be that of several.
                let names_others =
                    |column: &Column| Types(&self.source.types).holds_names(column.type_oid);
                let same = |column: Column| {
                    !column.is_virtual
                        && self.forms().has_same_text(&column)
                        && !names_others(&column)
                };
                column(source, name).is_some_and(same) && !self.without_columns.contains(&ignored)
            };
            theirs.contains(&as_set(columns)) && columns.iter().all(is_told_by_text)
        };
        let columns = of(self.keys.0).into_iter().find(suits)?;
        let number = |table: &Table, types: &BTreeMap<Oid, Type>| {
            let first = column(table, columns.first()?)?;
            match types.get(&first.type_oid)?.name.as_str() {
                "smallint" | "integer" | "bigint" => Some(false),
                "uuid" => Some(true),
                _ => None,
            }
        };
        // The width does not matter, but a number is not compared with a text.
        let numbers = (
            number(source, &self.source.types),
            number(target, &self.target.types),
        );
        let number = numbers.0.filter(|_| numbers.0 == numbers.1);
        let same_type = |name: &String| {
            let told = Some(column(source, name)?).zip(column(target, name));
            told.map(|(ours, theirs)| self.forms().of(&ours, &theirs).told.is_none())
        };
        let is_plain = columns.first().and_then(same_type).unwrap_or(false);
        let literal = |name: &String| {
            let ours = literal_type(Types(&self.source.types), &column(source, name)?);
            let theirs = literal_type(Types(&self.target.types), &column(target, name)?);
            if ours == theirs { ours } else { None }
        };
        Some(Key {
            number: number.filter(|_| is_plain),
            literals: columns.iter().map(literal).collect(),
            columns,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_says_what_it_is_where_the_server_would_not_know() {
        let key = |literals: &[Option<&str>]| Key {
            columns: vec!["tab".to_owned(), "n".to_owned()],
            number: None,
            literals: literals.iter().map(|one| one.map(str::to_owned)).collect(),
        };
        let rows = [
            vec!["public.t".to_owned(), "1".to_owned()],
            vec!["it's".to_owned(), "2".to_owned()],
        ];
        let condition = |key: &Key| key.is_one_of(rows.iter().map(Vec::as_slice));
        assert_eq!(
            condition(&key(&[Some("regclass"), None])),
            r#"("tab", "n") in (('public.t'::regclass, '1'), ('it''s'::regclass, '2'))"#
        );
        assert_eq!(
            condition(&key(&[])),
            r#"("tab", "n") in (('public.t', '1'), ('it''s', '2'))"#
        );
    }

    #[test]
    fn names_of_objects_and_composite_values_are_told_by_their_type() {
        let base = |name: &str, schema: &str, kind, base: Option<u32>| Type {
            name: name.to_owned(),
            schema: schema.to_owned(),
            kind,
            element: None,
            base: base.map(Oid),
            has_binary: true,
            fields: Vec::new(),
            subtype: None,
            range: None,
            extension: None,
        };
        let types: BTreeMap<Oid, Type> = [
            (Oid(1), base("regclass", "pg_catalog", 'b', None)),
            (Oid(2), base("s.named", "s", 'd', Some(1))),
            (Oid(3), base("s.pair", "s", 'c', None)),
            (Oid(4), base("text", "pg_catalog", 'b', None)),
            (Oid(5), base("s.registered", "s", 'e', None)),
        ]
        .into();
        let told = |oid| {
            let column = Column {
                name: "c".to_owned(),
                type_oid: Oid(oid),
                generated: false,
                is_virtual: false,
            };
            literal_type(Types(&types), &column)
        };
        let told: Vec<Option<String>> = (1..6).map(told).collect();
        let expected = [
            Some("regclass"),
            Some("regclass"),
            Some("s.pair"),
            None,
            None,
        ];
        assert_eq!(told, expected.map(|one| one.map(str::to_owned)));
    }
}
