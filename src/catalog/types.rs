//! What is known of types by their names and kinds: whether their binary form is the value's own, and what they hold.
//!
//! Binary COPY is not always safe: arrays and composites of user-defined types carry their OIDs, `reg*` values are OIDs, some
//! types have no send or receive function, and an extension may change its types' format between versions. And equal arrays
//! may differ in their headers: who compares rows by their bytes has to know which of them are arrays
//! ([`Types::element_of`]), and none may be hidden inside another value.

use std::collections::BTreeMap;

use super::{Column, Type};
use crate::model::{Oid, ServerVersion, quote_ident};

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

/// Extensions whose types print floats as the server does, or with digits of their own choice, by the server's version. (Not
/// `seg`, which keeps how many digits a number was given with.)
const FLOATS_OF_EXTENSIONS: [&str; 2] = ["cube", "vector"];

/// Types of one server, by OID.
#[derive(Debug, Clone, Copy)]
pub struct Types<'a>(pub &'a BTreeMap<Oid, Type>);

impl Types<'_> {
    /// Why values of a type are not to be compared, or sent to another server, in their binary form, as a clause; `None` if
    /// they may.
    pub fn not_binary_because(self, oid: Oid) -> Option<String> {
        self.not_binary_at(oid, (0, false))
    }

    /// `is_part`: it is the type of a part of a value.
    fn not_binary_at(self, oid: Oid, (depth, is_part): (u32, bool)) -> Option<String> {
        let Some(facts) = self.0.get(&oid).filter(|_| depth < 64) else {
            return Some("its type is not known".into());
        };
        let base = |base: Oid| self.not_binary_at(base, (depth + 1, is_part));
        let part = |part: Oid| self.not_binary_at(part, (depth + 1, true));
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
            'd' => facts.base.and_then(base),
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
                // a copy of it does not: equal arrays, different bytes. Of a column these are left out when rows are
                // compared, but nobody looks for them inside of a value.
                Some(_) if is_part => Some(format!(
                    "{} inside of another type has no single binary form",
                    facts.name
                )),
                Some(element) if built_in(oid) && self.is_plain(element) => part(element),
                Some(_) => Some(format!(
                    "{} carries the OID of its elements' type",
                    facts.name
                )),
                None if !built_in(oid) => {
                    Some(format!("{} is a user-defined base type", facts.name))
                }
                None => None,
            },
            _ => Some(format!("{} is not a type for columns", facts.name)),
        }
    }

    /// Whether it is a base type or a range, which have the same OID on every server if they are built in.
    fn is_plain(self, element: Oid) -> bool {
        let facts = self.0.get(&element);
        element.0 < FIRST_NORMAL_OID && facts.is_some_and(|facts| "brm".contains(facts.kind))
    }

    /// An array's bounds, and each element's bits; `None` for what is no array, or one of elements without such a form.
    pub fn array_by_bits(self, oid: Oid, column: &str) -> Option<String> {
        let (array, bits) = if self.is_vector(oid) {
            let bits = "pg_catalog.encode(pg_catalog.float4send(element), 'hex')".to_owned();
            (format!("({column}::pg_catalog.float4[])"), bits)
        } else {
            let bits = self.by_bits(self.element_of(oid)?, "element")?;
            (column.to_owned(), bits)
        };
        Some(format!(
            "case when {column} is not null then pg_catalog.concat(pg_catalog.array_dims({array}), \
             array(select {bits} from pg_catalog.unnest({array}) as element)) end"
        ))
    }

    /// The bits of a value, in hexadecimal digits; `None` for what has no binary form that is the same on both servers. All NaN
    /// are the one that a server reads from text: no text tells which of them it was, and no function of the server but this.
    pub fn by_bits(self, oid: Oid, value: &str) -> Option<String> {
        let send = self.send_function(oid)?;
        let float = match send.as_str() {
            "float4send" => "pg_catalog.float4",
            "float8send" => "pg_catalog.float8",
            _ => {
                return Some(format!(
                    "pg_catalog.encode(pg_catalog.{send}({value}), 'hex')"
                ));
            }
        };
        Some(format!(
            "pg_catalog.encode(pg_catalog.{send}(case when {value}::{float} = 'NaN' then 'NaN'::{float} \
             else {value}::{float} end), 'hex')"
        ))
    }

    /// As which type a column is read that its own type prints only in part: XML loses a declaration without more in it than
    /// version 1.0, and the line break behind it or at the beginning (`xml_out_internal` in `xml.c`; `xml_send` does the same). As
    /// text it is what is stored, and what an input function of `xml` stores as it is.
    pub fn stored_as(self, oid: Oid) -> Option<&'static str> {
        if self.is_xml(oid) {
            return Some("pg_catalog.text");
        }
        let is_array = self.element_of(oid).is_some_and(|one| self.is_xml(one));
        is_array.then_some("pg_catalog.text[]")
    }

    /// What is read of a column: all of its value, which its type may print only in part.
    pub fn whole(self, column: &Column) -> String {
        let name = quote_ident(&column.name);
        match self.stored_as(column.type_oid) {
            Some(kind) => format!("{name}::{kind}"),
            None => name,
        }
    }

    /// Of a built-in type that prints the name of a function or an operator alone, which others may have too: the catalog of those, what
    /// its columns begin with, and the type that prints the arguments as well.
    pub fn prints_name_alone(self, oid: Oid) -> Option<[&'static str; 3]> {
        let oid = self.beneath(oid);
        let facts = self.0.get(&oid).filter(|_| oid.0 < FIRST_NORMAL_OID)?;
        match facts.name.as_str() {
            "regproc" => Some(["pg_proc", "pro", "regprocedure"]),
            "regoper" => Some(["pg_operator", "opr", "regoperator"]),
            _ => None,
        }
    }

    /// Whether the name of a function or an operator is somewhere in a type that prints it without the arguments.
    pub fn holds_names(self, oid: Oid) -> bool {
        self.holds(oid, 0, &|one, _| self.prints_name_alone(one).is_some())
    }

    /// The types of the fields of a composite type, or of a domain over one; none of any other.
    pub fn fields_of(self, oid: Oid) -> Vec<Oid> {
        let facts = self.0.get(&self.beneath(oid));
        let facts = facts.filter(|facts| facts.kind == 'c');
        facts.map(|facts| facts.fields.clone()).unwrap_or_default()
    }

    /// Whether XML is inside of a type from which it is had only as it is printed.
    pub fn hides_xml(self, oid: Oid) -> bool {
        self.stored_as(oid).is_none() && self.holds(oid, 0, &|one, _| self.is_xml(one))
    }

    fn is_xml(self, oid: Oid) -> bool {
        let oid = self.beneath(oid);
        let is_it = |facts: &Type| facts.name == "xml";
        oid.0 < FIRST_NORMAL_OID && self.0.get(&oid).is_some_and(is_it)
    }

    /// `vector` of the extension of the same name, whose digits no setting limits: it is an array of `real` by a cast.
    fn is_vector(self, oid: Oid) -> bool {
        let is_it = |facts: &Type| {
            let of_extension = facts.extension.as_deref() == Some("vector");
            of_extension && facts.kind == 'b' && facts.name.ends_with("vector")
        };
        self.0.get(&self.beneath(oid)).is_some_and(is_it)
    }

    /// The type that a domain is over, or the type itself.
    pub fn beneath(self, oid: Oid) -> Oid {
        let mut oid = oid;
        for _ in 0..64 {
            match self.0.get(&oid) {
                Some(facts) if facts.kind == 'd' => oid = facts.base.unwrap_or(oid),
                _ => break,
            }
        }
        oid
    }

    /// The element type of an array, or of a domain over one.
    pub fn element_of(self, oid: Oid) -> Option<Oid> {
        let facts = self.0.get(&oid)?;
        match (facts.kind, facts.base) {
            ('d', Some(base)) if base != oid => self.element_of(base),
            _ => facts.element,
        }
    }

    /// The places of the arrays in a list of columns of these types.
    pub fn arrays_among(self, types: impl IntoIterator<Item = Oid>) -> Vec<u16> {
        let places = (0..).zip(types);
        places
            .filter(|&(_, oid)| self.element_of(oid).is_some())
            .map(|(place, _)| place)
            .collect()
    }

    /// Whether a float is somewhere in a type: its text changed with version 12, though not its value.
    pub fn holds_floats(self, oid: Oid) -> bool {
        let geometric = ["point", "line", "lseg", "box", "path", "polygon", "circle"];
        self.holds(oid, 0, &|oid, facts| {
            let is_float = matches!(facts.name.as_str(), "real" | "double precision")
                || geometric.contains(&facts.name.as_str());
            let of_extension = facts.extension.as_deref();
            let prints_floats =
                of_extension.is_some_and(|name| FLOATS_OF_EXTENSIONS.contains(&name));
            (is_float && oid.0 < FIRST_NORMAL_OID) || prints_floats
        })
    }

    /// Whether an interval is somewhere in a type: what its bytes mean changed with version 17.
    pub fn holds_intervals(self, oid: Oid) -> bool {
        self.holds(oid, 0, &|oid, facts| {
            oid.0 < FIRST_NORMAL_OID && facts.name == "interval"
        })
    }

    fn holds(self, oid: Oid, depth: u32, is_it: &dyn Fn(Oid, &Type) -> bool) -> bool {
        let Some(facts) = self.0.get(&oid).filter(|_| depth < 64) else {
            return false;
        };
        let mut parts = [facts.element, facts.base, facts.subtype, facts.range]
            .into_iter()
            .flatten()
            .chain(facts.fields.iter().copied());
        is_it(oid, facts) || parts.any(|part| self.holds(part, depth + 1, is_it))
    }

    /// The function that gives a value's binary form, for types whose binary form is the same on both servers. Not for arrays,
    /// whose binary form says more than the value.
    pub fn send_function(self, oid: Oid) -> Option<String> {
        if self.not_binary_because(oid).is_some() {
            return None;
        }
        let facts = self.0.get(&oid)?;
        match (facts.kind, facts.element) {
            ('d', _) => facts.base.and_then(|base| self.send_function(base)),
            ('c', _) => Some("record_send".into()),
            ('r', _) => Some("range_send".into()),
            ('m', _) => Some("multirange_send".into()),
            (_, Some(_)) => None,
            _ => match facts.name.as_str() {
                "real" => Some("float4send".into()),
                "double precision" => Some("float8send".into()),
                "polygon" => Some("poly_send".into()),
                geometric => Some(format!("{geometric}_send")),
            },
        }
    }
}

/// The first version that prints the shortest decimal that reads back as the same float.
const SHORTEST_FLOATS: u32 = 12;

/// Whether two servers print the same float differently.
pub fn print_floats_differently(one: ServerVersion, other: ServerVersion) -> bool {
    (one.major() < SHORTEST_FLOATS) != (other.major() < SHORTEST_FLOATS)
}

/// The first version whose intervals can be infinite. They have the bytes of the longest and the shortest that there are, which
/// older servers take for just that, and send back as they came (`INTERVAL_NOBEGIN` in `datatype/timestamp.h`).
const INFINITE_INTERVALS: u32 = 17;

/// Why an interval's bytes are not to be sent from one server to another, or compared between them, as a clause; `None` if they
/// mean the same to both.
pub fn intervals_differ_because(one: ServerVersion, other: ServerVersion) -> Option<&'static str> {
    let knows = |version: ServerVersion| version.major() >= INFINITE_INTERVALS;
    (knows(one) != knows(other)).then_some(
        "an interval may be infinite from version 17 on, and has the bytes of a finite one then",
    )
}

/// Text of a value that holds floats deep inside, the same from any server: all of it whole, and its floats rounded to the digits
/// that every version prints alike (15, or 6 of a `real`). The setting is put back behind each value.
pub fn text_with_rounded_floats(column: &str) -> String {
    format!(
        "case when pg_catalog.num_nulls({column}) = 0 \
         and pg_catalog.set_config('extra_float_digits', '0', true) is not null \
         then pg_catalog.concat(pg_catalog.format('%s', {column}), \
         pg_catalog.substr(pg_catalog.set_config('extra_float_digits', '3', true), 2)) end"
    )
}
