//! Text or binary, and in which form a column can be compared.
//!
//! Binary COPY is cheaper on both servers, but not always safe (see [`Types`]). Decided per table; the reason for text is
//! kept and shown.

use std::collections::BTreeMap;

use crate::catalog::{
    Column, Type, Types, intervals_differ_because, print_floats_differently,
    text_with_rounded_floats,
};
use crate::model::{CopyFormat, Oid, ServerVersion, quote_ident};

/// Why what is in an archive is text.
pub const IN_ARCHIVES: &str = "an archive holds text";

/// Decides for one server pair.
pub(super) struct Formats<'a> {
    pub types: &'a BTreeMap<Oid, Type>,
    /// The source database's encoding.
    pub encoding: &'a str,
    pub source: ServerVersion,
    pub target: ServerVersion,
    /// The rows are in an archive.
    pub archived: bool,
}

impl Formats<'_> {
    /// How a table with these columns travels.
    pub fn of(&self, columns: &[Column]) -> CopyFormat {
        if self.archived {
            return CopyFormat::Text {
                because: IN_ARCHIVES.to_owned(),
            };
        }
        // FORMAT binary converts to the client encoding whatever COPY's ENCODING says; text passes through unconverted.
        if !matches!(self.encoding, "UTF8" | "SQL_ASCII") {
            let because = format!(
                "the database's encoding is {}, which only text passes through unconverted",
                self.encoding
            );
            return CopyFormat::Text { because };
        }
        let copied = columns.iter().filter(|column| !column.generated);
        for column in copied {
            let reason = self.known().not_binary_because(column.type_oid);
            if let Some(reason) = reason.or_else(|| self.another_interval(column)) {
                return CopyFormat::Text {
                    because: format!("column {}: {reason}", quote_ident(&column.name)),
                };
            }
        }
        CopyFormat::Binary
    }

    /// Places of the arrays among what is read in this format: not all of their binary form is the value's own.
    pub fn arrays(&self, columns: &[&Column], format: &CopyFormat) -> Vec<u16> {
        if *format != CopyFormat::Binary {
            return Vec::new();
        }
        let types = columns.iter().map(|column| column.type_oid);
        self.known().arrays_among(types)
    }

    /// The expression that compares a column whose text form differs between the two versions although the value does
    /// not; `None` where the value as COPY prints it will do.
    pub fn comparable(&self, column: &Column, format: &CopyFormat) -> Option<String> {
        let crosses = print_floats_differently(self.source, self.target);
        let (known, oid) = (self.known(), column.type_oid);
        if *format == CopyFormat::Binary || !crosses || !known.holds_floats(oid) {
            return None;
        }
        let name = quote_ident(&column.name);
        if self.another_interval(column).is_some() {
            // The bits are the same of other values.
            return Some(text_with_rounded_floats(&name));
        }
        let by_bits = known.array_by_bits(oid, &name);
        let by_bits = by_bits.or_else(|| known.by_bits(oid, &name));
        Some(by_bits.unwrap_or_else(|| text_with_rounded_floats(&name)))
    }

    /// The expression that gives all of a column's value, which its type may print only in part.
    pub fn whole(&self, column: &Column) -> String {
        self.known().whole(column)
    }

    /// Columns that are read as another type than theirs, and as which.
    pub fn stored_as(&self, columns: &[&Column]) -> BTreeMap<String, String> {
        stored_as(self.known(), columns)
    }

    /// Whether XML is in a column that is copied, and compared, only as it is printed.
    pub fn hides_xml(&self, column: &Column) -> bool {
        self.known().hides_xml(column.type_oid)
    }

    /// Whether a column's floats are compared in fewer digits than they have, which is worth saying.
    pub fn is_rounded(&self, column: &Column, format: &CopyFormat) -> bool {
        let rounded = text_with_rounded_floats(&quote_ident(&column.name));
        self.comparable(column, format) == Some(rounded)
    }

    /// Why the same bytes are another value on the other server, if they may be.
    fn another_interval(&self, column: &Column) -> Option<String> {
        let because = intervals_differ_because(self.source, self.target)?;
        let holds_one = self.known().holds_intervals(column.type_oid);
        holds_one.then(|| because.to_owned())
    }

    fn known(&self) -> Types<'_> {
        Types(self.types)
    }
}

/// Columns that are read as another type than theirs, and as which.
pub(super) fn stored_as(types: Types<'_>, columns: &[&Column]) -> BTreeMap<String, String> {
    let columns = columns.iter();
    let found = columns.filter_map(|column| {
        let kind = types.stored_as(column.type_oid)?;
        Some((column.name.clone(), kind.to_owned()))
    });
    found.collect()
}

/// A column, read as this type if there is one.
pub(super) fn cast(column: &str, kind: Option<&str>) -> String {
    let name = quote_ident(column);
    match kind {
        Some(kind) => format!("{name}::{kind}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str, kind: char) -> Type {
        Type {
            name: name.into(),
            schema: "pg_catalog".into(),
            kind,
            element: None,
            base: None,
            has_binary: true,
            fields: vec![],
            subtype: None,
            range: None,
            extension: None,
        }
    }

    fn types() -> BTreeMap<Oid, Type> {
        BTreeMap::from([
            (Oid(23), facts("integer", 'b')),
            (Oid(701), facts("double precision", 'b')),
            (Oid(2205), facts("regclass", 'b')),
            (
                Oid(1007),
                Type {
                    element: Some(Oid(23)),
                    ..facts("integer[]", 'b')
                },
            ),
            (Oid(20_000), facts("public.mood", 'e')),
            (
                Oid(20_001),
                Type {
                    element: Some(Oid(20_000)),
                    ..facts("public.mood[]", 'b')
                },
            ),
            (
                Oid(20_002),
                Type {
                    base: Some(Oid(20_001)),
                    ..facts("public.moods", 'd')
                },
            ),
            (
                Oid(20_003),
                Type {
                    fields: vec![Oid(23), Oid(701)],
                    ..facts("public.pair", 'c')
                },
            ),
            (
                Oid(20_004),
                Type {
                    fields: vec![Oid(20_000)],
                    ..facts("public.feeling", 'c')
                },
            ),
            (
                Oid(20_005),
                Type {
                    extension: Some("hstore".into()),
                    ..facts("public.hstore", 'b')
                },
            ),
            (
                Oid(20_006),
                Type {
                    subtype: Some(Oid(701)),
                    ..facts("public.floatrange", 'r')
                },
            ),
            (
                Oid(1033),
                Type {
                    has_binary: false,
                    ..facts("aclitem", 'b')
                },
            ),
            (
                Oid(20_008),
                Type {
                    base: Some(Oid(1007)),
                    ..facts("public.numbers", 'd')
                },
            ),
            (
                Oid(20_009),
                Type {
                    fields: vec![Oid(1007)],
                    ..facts("public.holds_numbers", 'c')
                },
            ),
            (
                Oid(20_010),
                Type {
                    subtype: Some(Oid(20_008)),
                    ..facts("public.range_of_numbers", 'r')
                },
            ),
            (
                Oid(1008),
                Type {
                    element: Some(Oid(2205)),
                    ..facts("regclass[]", 'b')
                },
            ),
            // A domain over itself cannot exist, but a damaged catalog may say so.
            (
                Oid(20_007),
                Type {
                    base: Some(Oid(20_007)),
                    ..facts("public.loop", 'd')
                },
            ),
        ])
    }

    fn column(oid: u32) -> Column {
        Column {
            name: "c".into(),
            type_oid: Oid(oid),
            generated: false,
            is_virtual: false,
        }
    }

    #[test]
    fn binary_only_where_no_oid_travels() {
        let types = types();
        let formats = Formats {
            types: &types,
            encoding: "UTF8",
            source: ServerVersion(150_000),
            target: ServerVersion(180_000),
            archived: false,
        };
        for (oid, binary) in [
            (23, true),
            (1007, true),
            (20_000, true),
            (20_003, true),
            (20_006, true),
            (2205, false),
            (20_001, false),
            (20_002, false),
            (20_004, false),
            (20_005, false),
            (1033, false),
            (20_007, false),
            (20_008, true),
            (20_009, false),
            (20_010, false),
            (1008, false),
            (999, false),
        ] {
            assert_eq!(
                formats.of(&[column(oid)]) == CopyFormat::Binary,
                binary,
                "type {oid}"
            );
        }
        let generated = Column {
            generated: true,
            ..column(2205)
        };
        assert_eq!(
            formats.of(&[generated]),
            CopyFormat::Binary,
            "generated columns are not copied"
        );
    }

    /// Infinity, from 17 on, has the bytes of a finite interval, which an older server takes for that.
    #[test]
    fn intervals_travel_as_text_where_only_one_side_knows_infinity() {
        let several = Type {
            element: Some(Oid(1186)),
            ..facts("interval[]", 'b')
        };
        let measured = Type {
            fields: vec![Oid(701), Oid(1186)],
            ..facts("public.measured", 'c')
        };
        let mut types = types();
        types.extend([
            (Oid(1186), facts("interval", 'b')),
            (Oid(1187), several),
            (Oid(20_011), measured),
        ]);
        let formats = |source, target| Formats {
            types: &types,
            encoding: "UTF8",
            source: ServerVersion(source),
            target: ServerVersion(target),
            archived: false,
        };
        for oid in [1186, 1187, 20_011] {
            for (source, target, binary) in [
                (170_000, 180_000, true),
                (110_000, 160_000, true),
                (170_000, 160_000, false),
                (160_000, 170_000, false),
            ] {
                let format = formats(source, target).of(&[column(oid)]);
                let told = (oid, source, target);
                assert_eq!(format == CopyFormat::Binary, binary, "{told:?}");
            }
        }
        assert_eq!(
            formats(160_000, 180_000).of(&[column(23)]),
            CopyFormat::Binary
        );
        let text = CopyFormat::Text {
            because: "a test".into(),
        };
        let comparable = formats(100_000, 180_000).comparable(&column(20_011), &text);
        let comparable = comparable.expect("it holds floats as well");
        assert!(!comparable.contains("record_send"), "{comparable}");
    }

    #[test]
    fn arrays_are_known_by_their_places() {
        let types = types();
        let formats = Formats {
            types: &types,
            encoding: "UTF8",
            source: ServerVersion(150_000),
            target: ServerVersion(180_000),
            archived: false,
        };
        let columns = [column(1007), column(23), column(20_008)];
        let columns: Vec<&Column> = columns.iter().collect();
        assert_eq!(formats.arrays(&columns, &CopyFormat::Binary), [0, 2]);
        let text = CopyFormat::Text {
            because: "a test".into(),
        };
        assert_eq!(formats.arrays(&columns, &text), [0_u16; 0]);
    }

    /// What XML's output function leaves out is there all the same, wherever it can be had.
    #[test]
    fn xml_is_read_as_it_is_stored() {
        let mut types = types();
        let over = |base: u32, name: &str| Type {
            base: Some(Oid(base)),
            ..facts(name, 'd')
        };
        let several = |element: u32, name: &str| Type {
            element: Some(Oid(element)),
            ..facts(name, 'b')
        };
        let holding = |field: u32, name: &str| Type {
            fields: vec![Oid(23), Oid(field)],
            ..facts(name, 'c')
        };
        types.extend([
            (Oid(142), facts("xml", 'b')),
            (Oid(143), several(142, "xml[]")),
            (Oid(20_011), over(142, "public.page")),
            (Oid(20_012), several(20_011, "public.page[]")),
            (Oid(20_013), over(20_012, "public.pages")),
            (Oid(20_014), holding(142, "public.titled")),
            (Oid(20_015), several(20_014, "public.titled[]")),
        ]);
        let formats = Formats {
            types: &types,
            encoding: "UTF8",
            source: ServerVersion(100_000),
            target: ServerVersion(180_000),
            archived: false,
        };
        for (oid, read, hides) in [
            (142, "\"c\"::pg_catalog.text", false),
            (143, "\"c\"::pg_catalog.text[]", false),
            (20_011, "\"c\"::pg_catalog.text", false),
            (20_012, "\"c\"::pg_catalog.text[]", false),
            (20_013, "\"c\"::pg_catalog.text[]", false),
            (20_014, "\"c\"", true),
            (20_015, "\"c\"", true),
            (23, "\"c\"", false),
        ] {
            let column = column(oid);
            let found = (formats.whole(&column), formats.hides_xml(&column));
            assert_eq!(found, (read.to_owned(), hides), "type {oid}");
            let is_text = formats.of(&[column]) != CopyFormat::Binary;
            assert_eq!(is_text, oid != 23, "type {oid}");
        }
    }

    /// What an extension prints by the version of the server is not compared by that.
    #[test]
    fn floats_of_extensions_are_known() {
        let of = |extension: &str, name: &str| Type {
            extension: Some(extension.into()),
            ..facts(name, 'b')
        };
        let mut types = types();
        types.extend([
            (Oid(20_011), of("vector", "public.vector")),
            (Oid(20_012), of("vector", "public.sparsevec")),
            (Oid(20_013), of("cube", "public.cube")),
            (Oid(20_014), of("seg", "public.seg")),
        ]);
        let formats = |source| Formats {
            types: &types,
            encoding: "UTF8",
            source: ServerVersion(source),
            target: ServerVersion(180_000),
            archived: false,
        };
        let text = CopyFormat::Text {
            because: "a test".into(),
        };
        let comparable = |oid| formats(110_000).comparable(&column(oid), &text);
        // No setting limits its digits.
        let vector = comparable(20_011).expect("it is not compared as text");
        assert!(
            vector.contains("float4send") && vector.contains("\"c\"::pg_catalog.float4[]"),
            "{vector}"
        );
        assert!(!formats(110_000).is_rounded(&column(20_011), &text));
        for oid in [20_012, 20_013] {
            assert!(formats(110_000).is_rounded(&column(oid), &text), "{oid}");
        }
        assert_eq!(comparable(20_014), None);
        assert_eq!(formats(130_000).comparable(&column(20_011), &text), None);
    }

    #[test]
    fn other_encodings_travel_as_text() {
        let types = types();
        let formats = Formats {
            types: &types,
            encoding: "LATIN1",
            source: ServerVersion(150_000),
            target: ServerVersion(150_000),
            archived: false,
        };
        assert!(
            matches!(formats.of(&[column(23)]), CopyFormat::Text { because } if because.contains("LATIN1"))
        );
    }

    #[test]
    fn floats_are_compared_by_their_bits_where_their_text_changed() {
        let types = types();
        let text = CopyFormat::Text {
            because: "a test".into(),
        };
        let formats = Formats {
            types: &types,
            encoding: "UTF8",
            source: ServerVersion(100_000),
            target: ServerVersion(180_000),
            archived: false,
        };
        assert_eq!(
            formats.comparable(&column(701), &text).as_deref(),
            Some(
                "pg_catalog.encode(pg_catalog.float8send(case when \"c\"::pg_catalog.float8 = 'NaN' \
                 then 'NaN'::pg_catalog.float8 else \"c\"::pg_catalog.float8 end), 'hex')"
            )
        );
        assert_eq!(
            formats.comparable(&column(20_006), &text).as_deref(),
            Some("pg_catalog.encode(pg_catalog.range_send(\"c\"), 'hex')")
        );
        assert_eq!(formats.comparable(&column(23), &text), None);
        assert_eq!(formats.comparable(&column(701), &CopyFormat::Binary), None);
        let same_side = Formats {
            source: ServerVersion(150_000),
            ..formats
        };
        assert_eq!(same_side.comparable(&column(701), &text), None);
    }
}
