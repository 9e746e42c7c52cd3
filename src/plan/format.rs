//! Text or binary, and in which form a column can be compared.
//!
//! Binary COPY is cheaper on both servers, but not always safe: equal arrays may differ, composites of user-defined types carry their
//! OIDs, `reg*` values are OIDs, some types have no send or receive function, and an extension may change its types'
//! format between versions. Decided per table; the reason for text is kept and shown.

use std::collections::BTreeMap;

use crate::catalog::{Column, Type};
use crate::model::{CopyFormat, Oid, ServerVersion, quote_ident};

/// OIDs from here on are given out at run time and differ between servers (`FirstNormalObjectId` in transam.h; those of
/// `initdb` itself, from 12000 on, can differ between versions, and no column type that matters has one).
const FIRST_NORMAL_OID: u32 = 16_384;

/// Built-in types whose binary form is not the value's own: OIDs, or text in an encoding of its own choice; and three
/// whose receive function refuses what their send function makes of an empty value.
const NOT_PORTABLE: [&str; 16] = [
    "regclass",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "regdatabase",
    "xml",
    "int2vector",
    "oidvector",
    "tsquery",
];

/// The first version that prints the shortest decimal that reads back as the same float.
const SHORTEST_FLOATS: u32 = 12;

/// Decides for one server pair.
pub(super) struct Formats<'a> {
    pub types: &'a BTreeMap<Oid, Type>,
    /// The source database's encoding.
    pub encoding: &'a str,
    pub source: ServerVersion,
    pub target: ServerVersion,
}

impl Formats<'_> {
    /// How a table with these columns travels.
    pub fn of(&self, columns: &[Column]) -> CopyFormat {
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
            if let Some(reason) = self.unsafe_because(column.type_oid, 0) {
                return CopyFormat::Text {
                    because: format!("column {}: {reason}", quote_ident(&column.name)),
                };
            }
        }
        CopyFormat::Binary
    }

    /// The expression that compares a column whose text form differs between the two versions although the value does
    /// not; `None` where the value as COPY prints it will do.
    pub fn comparable(&self, column: &Column, format: &CopyFormat) -> Option<String> {
        let crosses =
            (self.source.major() < SHORTEST_FLOATS) != (self.target.major() < SHORTEST_FLOATS);
        if *format == CopyFormat::Binary || !crosses || !self.holds_floats(column.type_oid, 0) {
            return None;
        }
        if let Some(element) = self.element_of(column.type_oid) {
            let (send, column) = (self.send_function(element)?, quote_ident(&column.name));
            return Some(format!(
                "case when {column} is not null then pg_catalog.concat(pg_catalog.array_dims({column}), \
                 array(select pg_catalog.encode(pg_catalog.{send}(element), 'hex') \
                 from pg_catalog.unnest({column}) as element)) end"
            ));
        }
        let send = self.send_function(column.type_oid)?;
        Some(format!(
            "pg_catalog.encode(pg_catalog.{send}({}), 'hex')",
            quote_ident(&column.name)
        ))
    }

    fn unsafe_because(&self, oid: Oid, depth: u32) -> Option<String> {
        let Some(facts) = self.types.get(&oid).filter(|_| depth < 64) else {
            return Some("its type is not known".into());
        };
        let part = |part: Oid| self.unsafe_because(part, depth + 1);
        let built_in = |oid: Oid| oid.0 < FIRST_NORMAL_OID;
        if let Some(extension) = &facts.extension {
            return Some(format!(
                "{} belongs to extension {extension}, whose binary format may change",
                facts.name
            ));
        }
        if !facts.has_binary {
            return Some(format!("{} has no binary format", facts.name));
        }
        if built_in(oid) && NOT_PORTABLE.contains(&facts.name.as_str()) {
            return Some(format!("{} has no portable binary format", facts.name));
        }
        match facts.kind {
            'd' => facts.base.and_then(part),
            'e' => None,
            'r' => facts
                .subtype
                .map_or(Some("a range of unknown subtype".into()), part),
            'm' => facts
                .range
                .map_or(Some("a multirange of unknown range".into()), part),
            'c' => facts.fields.iter().find_map(|&field| {
                if built_in(field) {
                    part(field)
                } else {
                    Some(format!("{} carries OIDs of user-defined types", facts.name))
                }
            }),
            'b' => match facts.element {
                // The binary form says whether there is room for NULLs, which an array keeps when its last NULL is gone and
                // a copy of it does not: equal arrays, different bytes. (And it carries the element type's OID.)
                Some(_) => Some(format!("{} has no single binary form", facts.name)),
                None if !built_in(oid) => {
                    Some(format!("{} is a user-defined base type", facts.name))
                }
                None => None,
            },
            _ => Some(format!("{} is not a type for columns", facts.name)),
        }
    }

    /// The element type of an array, or of a domain over one.
    fn element_of(&self, oid: Oid) -> Option<Oid> {
        let facts = self.types.get(&oid)?;
        match (facts.kind, facts.base) {
            ('d', Some(base)) if base != oid => self.element_of(base),
            _ => facts.element,
        }
    }

    fn holds_floats(&self, oid: Oid, depth: u32) -> bool {
        let Some(facts) = self.types.get(&oid).filter(|_| depth < 64) else {
            return false;
        };
        let geometric = ["point", "line", "lseg", "box", "path", "polygon", "circle"];
        let is_float = matches!(facts.name.as_str(), "real" | "double precision")
            || geometric.contains(&facts.name.as_str());
        let mut parts = [facts.element, facts.base, facts.subtype, facts.range]
            .into_iter()
            .flatten()
            .chain(facts.fields.iter().copied());
        (is_float && oid.0 < FIRST_NORMAL_OID)
            || parts.any(|part| self.holds_floats(part, depth + 1))
    }

    /// The function that gives a value's binary form, for types whose binary form is the same on both servers.
    fn send_function(&self, oid: Oid) -> Option<String> {
        if self.unsafe_because(oid, 0).is_some() {
            return None;
        }
        let facts = self.types.get(&oid)?;
        match (facts.kind, facts.element) {
            ('d', _) => facts.base.and_then(|base| self.send_function(base)),
            ('c', _) => Some("record_send".into()),
            ('r', _) => Some("range_send".into()),
            ('m', _) => Some("multirange_send".into()),
            _ => match facts.name.as_str() {
                "real" => Some("float4send".into()),
                "double precision" => Some("float8send".into()),
                "polygon" => Some("poly_send".into()),
                geometric => Some(format!("{geometric}_send")),
            },
        }
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
        };
        for (oid, binary) in [
            (23, true),
            (1007, false),
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

    #[test]
    fn other_encodings_travel_as_text() {
        let types = types();
        let formats = Formats {
            types: &types,
            encoding: "LATIN1",
            source: ServerVersion(150_000),
            target: ServerVersion(150_000),
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
        };
        assert_eq!(
            formats.comparable(&column(701), &text).as_deref(),
            Some("pg_catalog.encode(pg_catalog.float8send(\"c\"), 'hex')")
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
