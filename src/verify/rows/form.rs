//! In which form a column is compared: the strongest that is right for both servers.
//!
//! The bytes that the server sends are the value's own for most types. Where they are not, the text that the type's output
//! function prints is compared; and where that differs between versions although the value does not, its bits.

use crate::catalog::{
    Column, Types, intervals_differ_because, print_floats_differently, text_with_rounded_floats,
};
use crate::model::{ColumnForm, Oid, ServerVersion, quote_ident};
use crate::toc::named_alike;

/// Names of functions and operators are looked for so many types deep.
const DEEPEST: u32 = 64;

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

/// How a column is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The expression that is read on both sides.
    pub expression: String,
    /// It is an array, of whose binary form not every byte is the value's own.
    pub is_array: bool,
    /// What to say about it if it is not the column itself.
    pub told: Option<ColumnForm>,
}

impl Form {
    fn instead_of(column: &Column, expression: String, form: &str, because: String) -> Self {
        Self {
            expression,
            is_array: false,
            told: Some(ColumnForm {
                column: column.name.clone(),
                form: form.to_owned(),
                because,
            }),
        }
    }
}

impl Forms<'_> {
    /// How a column is read on both sides.
    pub fn of(&self, source: &Column, target: &Column) -> Form {
        let name = quote_ident(&source.name);
        let read = |expression: String, form: &str, because: String| {
            Form::instead_of(source, expression, form, because)
        };
        let (ours, theirs) = (
            type_name(self.source, source),
            type_name(self.target, target),
        );
        let majors = (self.versions.0.major(), self.versions.1.major());
        if named_alike(&ours, majors) != named_alike(&theirs, majors) {
            let because = format!("it is {ours} on the source, and {theirs} on the target");
            return read(as_text(&name), "as text", because);
        }
        let is_array = self.source.element_of(source.type_oid).is_some();
        if is_array != self.target.element_of(target.type_oid).is_some() {
            let because = format!("{ours} is an array on one side only");
            return read(as_text(&name), "as text", because);
        }
        let not_binary = self
            .source
            .not_binary_because(source.type_oid)
            .or_else(|| self.target.not_binary_because(target.type_oid))
            .or_else(|| self.another_interval(source));
        let Some(because) = not_binary else {
            return Form {
                expression: name,
                is_array,
                told: None,
            };
        };
        if self.text_of_floats_differs() && self.source.holds_floats(source.type_oid) {
            return match self.array_by_bits(source, &name) {
                Some(expression) => read(expression, "by its bits", because),
                None => read(
                    text_with_rounded_floats(&name),
                    "as text, floats in it to 15 digits (6 of a real)",
                    because,
                ),
            };
        }
        if let Some(kind) = self.source.stored_as(source.type_oid) {
            return read(as_text(&format!("({name}::{kind})")), "as text", because);
        }
        // What a type is made of may differ, too: then what would tell its parts apart is no expression for both.
        let with_arguments = with_arguments(self.source, source);
        if with_arguments == self::with_arguments(self.target, target)
            && let Some(expression) = with_arguments
        {
            return read(
                expression,
                "as text, with the arguments of a name that is overloaded",
                because,
            );
        }
        if self.source.hides_xml(source.type_oid) {
            return read(
                as_text(&name),
                "as text, XML in it as it is printed",
                because,
            );
        }
        read(as_text(&name), "as text", because)
    }

    /// How a column of a key is read. Rows are sorted by the bytes of their keys, which must be the value's own: an array
    /// is read as text, and so is a float, since there are several NaN.
    pub fn of_key(&self, source: &Column, target: &Column) -> Form {
        let form = self.of(source, target);
        let because = if form.is_array {
            "equal arrays may have different binary forms, and it is in the key"
        } else if form.told.is_none() && self.source.holds_floats(source.type_oid) {
            "one NaN may have another sign than the other, and it is in the key"
        } else {
            return form;
        };
        let expression = as_text(&form.expression);
        Form::instead_of(source, expression, "as text", because.to_owned())
    }

    /// Whether the text of the same value is the same on both servers: it must be, to tell rows apart by it.
    pub fn has_same_text(&self, column: &Column) -> bool {
        !(self.text_of_floats_differs() && self.source.holds_floats(column.type_oid))
    }

    /// Why two values of a column may differ and be one and the same to whoever reads their text, as a clause: no dump carries the
    /// difference, and neither does replication. Then what [`Self::text_of`] gives is the same.
    pub(super) fn differs_untold(&self, column: &Column) -> Option<&'static str> {
        if self.source.stored_as(column.type_oid).is_some() {
            return Some(
                "dumps and replication leave out a plain XML declaration, and line breaks at the beginning",
            );
        }
        let is_float = self.source.holds_floats(column.type_oid);
        is_float.then_some("dumps and replication do not carry the sign of a NaN")
    }

    /// Text that is the same on both servers if the value is, given what is read of the column.
    pub(super) fn text_of(&self, column: &Column, expression: &str) -> String {
        let name = quote_ident(&column.name);
        if let Some(kind) = self.source.stored_as(column.type_oid) {
            return printed_xml(&name, kind);
        }
        if with_arguments(self.source, column).is_some() {
            return expression.to_owned();
        }
        if self.has_same_text(column) {
            return as_text(&name);
        }
        if expression == name
            && let Some(by_bits) = self.array_by_bits(column, &name)
        {
            return by_bits;
        }
        match self.source.by_bits(column.type_oid, &name) {
            Some(by_bits) if expression == name => by_bits,
            _ => expression.to_owned(),
        }
    }

    /// Text for people, given what is read of the column.
    pub(super) fn shown(&self, column: &Column, expression: &str) -> String {
        match with_arguments(self.source, column) {
            Some(_) => expression.to_owned(),
            None => as_text(&quote_ident(&column.name)),
        }
    }

    /// Why the same bytes are another value on the other server, if they may be.
    fn another_interval(&self, column: &Column) -> Option<String> {
        let because = intervals_differ_because(self.versions.0, self.versions.1)?;
        let holds_one = self.source.holds_intervals(column.type_oid);
        holds_one.then(|| because.to_owned())
    }

    /// What is not the value's own on both servers is not looked at.
    fn array_by_bits(&self, column: &Column, name: &str) -> Option<String> {
        let means_another = self.another_interval(column).is_some();
        let by_bits = || self.source.array_by_bits(column.type_oid, name);
        (!means_another).then(by_bits).flatten()
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

/// A function or an operator of a type that prints names alone, or what has such in it.
fn with_arguments(types: Types<'_>, column: &Column) -> Option<String> {
    with_arguments_at((types, 0), &quote_ident(&column.name), column.type_oid)
}

/// The same of a part of a value, so deep inside.
fn with_arguments_at((types, depth): (Types<'_>, u32), value: &str, oid: Oid) -> Option<String> {
    if depth > DEEPEST {
        return None;
    }
    if let Some(names) = types.prints_name_alone(oid) {
        return Some(named(value, names));
    }
    let of_part = |part: &str, oid| with_arguments_at((types, depth + 1), part, oid);
    if let Some(element) = types.element_of(oid) {
        return Some(elements(value, &of_part("element", element)?));
    }
    let fields = types.fields_of(oid);
    let names: Vec<String> = (1..=fields.len())
        .map(|place| format!("field_{place}"))
        .collect();
    let parts = names.iter().zip(&fields);
    let told: Vec<String> = parts
        .filter_map(|(name, field)| of_part(name, *field))
        .collect();
    if told.is_empty() {
        return None;
    }
    Some(format!(
        "case when {value} is distinct from null then pg_catalog.concat_ws(' ', pg_catalog.format('%s', {value}), \
         (select pg_catalog.concat_ws(' ', {}) from (select ({value}).*) as fields ({}))) end",
        told.join(", "),
        names.join(", ")
    ))
}

/// What the type's output function prints, NULL for NULL. (`IS DISTINCT FROM NULL`, because a composite value all of whose
/// fields are NULL would be "null" to `IS NULL`; and no cast, because a cast need not print what the output function does.)
pub(in crate::verify) fn as_text(column: &str) -> String {
    format!("case when {column} is distinct from null then pg_catalog.format('%s', {column}) end")
}

/// XML, or an array of it, as it is printed; without line breaks at the beginning, of which printing leaves out one each time.
fn printed_xml(column: &str, kind: &str) -> String {
    let printed = |value: &str| {
        let text = as_text(value);
        format!("pg_catalog.ltrim({text}, pg_catalog.chr(10))")
    };
    if !kind.ends_with("[]") {
        return printed(column);
    }
    elements(column, &printed("element"))
}

/// An array's bounds, and what is printed of each `element`. (Not `FROM unnest`, which takes the rows apart that an array may be of.)
fn elements(array: &str, printed: &str) -> String {
    format!(
        "case when {array} is not null then pg_catalog.concat(pg_catalog.array_dims({array}), \
         array(select {printed} from (select pg_catalog.unnest({array}) as element) as elements)) end"
    )
}

/// A function or an operator by its name; where others have the same, with the types of its arguments. (Not always: those of the server's
/// own functions change between versions.)
fn named(value: &str, [catalog, prefix, with_arguments]: [&str; 3]) -> String {
    format!(
        "case when (select pg_catalog.count(*) from (select {value}::pg_catalog.oid as oid) it \
         join pg_catalog.{catalog} one on one.oid = it.oid \
         join pg_catalog.{catalog} other on other.{prefix}name = one.{prefix}name \
         and other.{prefix}namespace = one.{prefix}namespace) > 1 \
         then pg_catalog.format('%s', {value}::pg_catalog.oid::pg_catalog.{with_arguments}) else {} end",
        as_text(value)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalog::Type;

    fn types(array_name: &str) -> BTreeMap<Oid, Type> {
        let base = |name: &str, element| Type {
            element,
            ..Type::built_in(name)
        };
        BTreeMap::from([
            (Oid(701), base("double precision", None)),
            (Oid(1022), base("double precision[]", Some(Oid(701)))),
            (Oid(23), base("integer", None)),
            (Oid(1007), base(array_name, Some(Oid(23)))),
            (Oid(2205), base("regclass", None)),
            (Oid(24), base("regproc", None)),
            (Oid(1008), base("regproc[]", Some(Oid(24)))),
            (Oid(2203), base("regoper", None)),
            (
                Oid(20_000),
                Type {
                    kind: 'r',
                    subtype: Some(Oid(701)),
                    ..base("public.floatrange", None)
                },
            ),
            (Oid(20_001), base("public.floatrange[]", Some(Oid(20_000)))),
            (Oid(1186), base("interval", None)),
            (Oid(1187), base("interval[]", Some(Oid(1186)))),
            (
                Oid(20_002),
                Type {
                    kind: 'c',
                    fields: vec![Oid(701), Oid(1186)],
                    ..base("public.measured", None)
                },
            ),
            (Oid(20_003), base("public.measured[]", Some(Oid(20_002)))),
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
            let form = forms(source, target).of(&column(oid), &column(oid));
            (form.expression, form.told.map(|told| told.form))
        };
        assert_eq!(form(701, 100_000, 180_000), ("\"c\"".to_owned(), None));
        assert_eq!(form(2205, 150_000, 150_000).1.as_deref(), Some("as text"));
        assert_eq!(form(1022, 150_000, 150_000), ("\"c\"".to_owned(), None));
        assert_eq!(form(1022, 100_000, 180_000), ("\"c\"".to_owned(), None));
        assert_eq!(form(20_001, 150_000, 150_000).1.as_deref(), Some("as text"));
        assert_eq!(
            form(20_001, 100_000, 180_000).1.as_deref(),
            Some("by its bits")
        );
        assert!(!forms(110_000, 120_000).has_same_text(&column(701)));
        assert!(forms(120_000, 180_000).has_same_text(&column(701)));
    }

    /// The bytes of an infinite interval are those of a finite one to who knows no infinity.
    #[test]
    fn intervals_are_compared_as_text_where_only_one_side_knows_infinity() {
        let all = types("integer[]");
        let form = |oid, source, target| {
            let forms = Forms {
                source: Types(&all),
                target: Types(&all),
                versions: (ServerVersion(source), ServerVersion(target)),
            };
            let form = forms.of(&column(oid), &column(oid));
            let text = forms.text_of(&column(oid), &form.expression);
            (form.told.map(|told| told.form), text)
        };
        for oid in [1186, 1187] {
            assert_eq!(form(oid, 170_000, 180_000).0, None);
            assert_eq!(form(oid, 110_000, 160_000).0, None);
            for (source, target) in [(170_000, 160_000), (150_000, 180_000)] {
                assert_eq!(form(oid, source, target).0.as_deref(), Some("as text"));
            }
        }
        for oid in [20_002, 20_003] {
            let (told, text) = form(oid, 180_000, 110_000);
            assert!(told.is_some_and(|told| told.contains("15 digits")));
            assert!(!text.contains("_send"), "{text}");
        }
    }

    /// Two functions of one name are not one, to whoever compares or looks.
    #[test]
    fn overloaded_names_are_read_with_their_arguments() {
        let all = types("integer[]");
        let forms = Forms {
            source: Types(&all),
            target: Types(&all),
            versions: (ServerVersion(100_000), ServerVersion(180_000)),
        };
        for (oid, wanted) in [
            (24, "\"c\"::pg_catalog.oid::pg_catalog.regprocedure"),
            (1008, "element::pg_catalog.oid::pg_catalog.regprocedure"),
            (2203, "\"c\"::pg_catalog.oid::pg_catalog.regoperator"),
        ] {
            let form = forms.of(&column(oid), &column(oid));
            assert!(form.expression.contains(wanted), "{form:?}");
            assert!(!form.is_array && form.told.is_some(), "{form:?}");
            let text = forms.text_of(&column(oid), &form.expression);
            assert_eq!(text, form.expression);
            let shown = forms.shown(&column(oid), &form.expression);
            assert_eq!(shown, form.expression);
        }
        let shown = forms.shown(&column(2205), "a form of it");
        assert_eq!(shown, as_text("\"c\""));
    }

    /// A name inside of a composite value, and inside of an array of these, if both sides have them made alike.
    #[test]
    fn overloaded_names_are_told_apart_deep_inside() {
        let with_fields = |fields: &[u32]| {
            let mut all = types("integer[]");
            let text = all[&Oid(23)].clone();
            let call = Type {
                name: "public.call".to_owned(),
                kind: 'c',
                fields: fields.iter().copied().map(Oid).collect(),
                ..text.clone()
            };
            let calls = Type {
                name: "public.call[]".to_owned(),
                element: Some(Oid(20_010)),
                ..text
            };
            all.extend([(Oid(20_010), call), (Oid(20_011), calls)]);
            all
        };
        let (ours, theirs) = (with_fields(&[23, 24, 1008]), with_fields(&[23, 24]));
        let form = |target, oid| {
            let forms = Forms {
                source: Types(&ours),
                target: Types(target),
                versions: (ServerVersion(150_000), ServerVersion(150_000)),
            };
            forms.of(&column(oid), &column(oid)).expression
        };
        let one = form(&ours, 20_010);
        for wanted in [
            "from (select (\"c\").*) as fields (field_1, field_2, field_3)",
            "field_2::pg_catalog.oid::pg_catalog.regprocedure",
            "(select pg_catalog.unnest(field_3) as element)",
        ] {
            assert!(one.contains(wanted), "{one}");
        }
        assert!(!one.contains("field_1::"), "{one}");
        let many = form(&ours, 20_011);
        assert!(many.contains("from (select (element).*) as"), "{many}");
        for oid in [20_010, 20_011] {
            assert_eq!(form(&theirs, oid), as_text("\"c\""));
        }
    }

    #[test]
    fn a_column_of_another_type_is_compared_as_text() {
        let (left, right) = (types("integer[]"), types("bigint[]"));
        let forms = Forms {
            source: Types(&left),
            target: Types(&right),
            versions: (ServerVersion(150_000), ServerVersion(150_000)),
        };
        let form = forms.of(&column(1007), &column(1007));
        assert_eq!(
            form.expression,
            "case when \"c\" is distinct from null then pg_catalog.format('%s', \"c\") end"
        );
        assert!(!form.is_array);
        let told = form.told.expect("it is told");
        assert!(told.because.contains("bigint[] on the target"));
    }

    #[test]
    fn an_array_is_known_as_one_and_its_text_is_the_values_own() {
        let (left, mut right) = (types("integer[]"), types("integer[]"));
        let versions = (ServerVersion(100_000), ServerVersion(180_000));
        let forms = Forms {
            source: Types(&left),
            target: Types(&left),
            versions,
        };
        assert!(forms.of(&column(1007), &column(1007)).is_array);
        assert!(!forms.of(&column(701), &column(701)).is_array);
        // Its flags, which are not the value's, are in what array_send gives.
        assert!(!forms.text_of(&column(1022), "\"c\"").contains("array_send"));
        let key = forms.of_key(&column(1007), &column(1007));
        assert!(
            !key.is_array && key.expression == as_text("\"c\""),
            "{key:?}"
        );
        assert!(forms.of_key(&column(23), &column(23)).told.is_none());

        if let Some(facts) = right.get_mut(&Oid(1007)) {
            facts.element = None;
        }
        let forms = Forms {
            target: Types(&right),
            ..forms
        };
        let form = forms.of(&column(1007), &column(1007));
        assert!(!form.is_array && form.told.is_some(), "{form:?}");
    }
}
