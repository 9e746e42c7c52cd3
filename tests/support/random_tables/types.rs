//! Types made of other types, and how a value of any of them is written.
//!
//! A value is text, as its type's input function reads it, so that one set of quoting rules nests: an array of domains over
//! composites with ranges in them is written by four functions that know nothing of each other.

use std::fmt::Write as _;
use std::rc::Rc;

use pgconvoy::model::{QualifiedName, quote_ident, quote_literal};

use super::builtin::{BUILTINS, Builtin, EXTENSIONS, text};
use super::dice::Dice;

/// A type of a column.
pub struct Type {
    /// As in a column definition.
    pub sql: String,
    /// Whether it may be a column of a key.
    pub key: bool,
    kind: Kind,
}

enum Kind {
    Scalar(&'static Builtin),
    Array(Rc<Type>),
    Enum(Vec<String>),
    Domain(Rc<Type>, Rule),
    Composite(Vec<Rc<Type>>),
    Range(Bound),
    Multirange(Bound),
}

/// How the bound of a range is written that stands at a place of an order.
type Bound = fn(i64) -> String;

/// What the checks of a domain leave.
type Rule = fn(&mut Dice, String) -> String;

const RANGES: &[(&str, &str, Bound)] = &[
    ("int4range", "int4multirange", |at| at.to_string()),
    ("int8range", "int8multirange", |at| {
        (at * 1_000_000_007).to_string()
    }),
    ("numrange", "nummultirange", |at| format!("{at}.50")),
    ("daterange", "datemultirange", |at| {
        format!("2000-01-{:02}", at + 10)
    }),
    ("tsrange", "tsmultirange", |at| {
        format!("2000-01-01 00:00:{:02}", at + 10)
    }),
    ("tstzrange", "tstzmultirange", |at| {
        format!("2000-01-01 00:00:{:02}+02", at + 10)
    }),
];

/// The types there are in one database.
pub struct Pool {
    types: Vec<Rc<Type>>,
    version: u32,
    /// What creates those of them that are made here.
    pub script: String,
}

impl Pool {
    /// For a server of a major version, with the types of its extensions or without.
    pub fn new(dice: &mut Dice, version: u32) -> Self {
        let scalar = |builtin: &'static Builtin| {
            Rc::new(Type {
                sql: builtin.sql.to_owned(),
                key: builtin.key,
                kind: Kind::Scalar(builtin),
            })
        };
        let mut pool = Self {
            types: BUILTINS
                .iter()
                .filter(|builtin| builtin.since <= version)
                .map(scalar)
                .collect(),
            version,
            script: "create table public.\"a target\" (a int);\n".to_owned(),
        };
        for (extension, builtin) in EXTENSIONS.iter().filter(|(_, one)| one.since <= version) {
            let _ = writeln!(
                pool.script,
                "create extension if not exists {extension} schema public;"
            );
            pool.types.push(scalar(builtin));
        }
        pool.ranges();
        for number in 0..24 {
            let made = pool.make(dice, number);
            pool.types.push(Rc::new(made));
        }
        pool
    }

    fn ranges(&mut self) {
        let mut push = |sql: &str, kind: Kind| {
            self.types.push(Rc::new(Type {
                sql: sql.to_owned(),
                key: false,
                kind,
            }));
        };
        for (range, multirange, bound) in RANGES {
            push(range, Kind::Range(*bound));
            if self.version >= 14 {
                push(multirange, Kind::Multirange(*bound));
            }
        }
        self.script.push_str(
            "create type public.\"float Range\" as range (subtype = float8);\n\
             create type public.text_range as range (subtype = text, collation = \"C\");\n",
        );
        push(
            "public.\"float Range\"",
            Kind::Range(|at| format!("{at}.1")),
        );
        push(
            "public.text_range",
            Kind::Range(|at| format!("k{:02} \"x", at + 10)),
        );
    }

    /// Every type, and arrays of each.
    pub fn each(&self) -> Vec<Rc<Type>> {
        let arrays = self.types.iter().map(|one| self.array_of(one));
        self.types.iter().cloned().chain(arrays).collect()
    }

    /// Any type, perhaps an array of it.
    pub fn any(&self, dice: &mut Dice) -> Rc<Type> {
        let found = &self.types[dice.index(self.types.len())];
        if dice.one_in(4) {
            self.array_of(found)
        } else {
            Rc::clone(found)
        }
    }

    /// There are no arrays of arrays (an array has dimensions), and none of domains before 11.
    fn array_of(&self, element: &Rc<Type>) -> Rc<Type> {
        match element.kind {
            Kind::Array(_) => Rc::clone(element),
            Kind::Domain(..) if self.version < 11 => Rc::clone(element),
            _ => Rc::new(Type {
                sql: format!("{}[]", element.sql),
                key: false,
                kind: Kind::Array(Rc::clone(element)),
            }),
        }
    }

    /// A type that a key can be made of.
    pub fn key(&self, dice: &mut Dice) -> Rc<Type> {
        loop {
            let found = &self.types[dice.index(self.types.len())];
            if found.key {
                return Rc::clone(found);
            }
        }
    }

    /// A built-in type by its name.
    pub fn named(&self, sql: &str) -> Rc<Type> {
        let found = self.types.iter().find(|one| one.sql == sql);
        Rc::clone(found.unwrap_or_else(|| panic!("there is a type {sql}")))
    }

    /// A value for a column.
    pub fn value(&self, of: &Type, dice: &mut Dice) -> String {
        of.value(dice, self.version)
    }

    /// A new type, and the statements that create it.
    fn make(&mut self, dice: &mut Dice, number: u64) -> Type {
        let name = QualifiedName::new("public", format!("{} t{number}", nasty_name(dice)));
        let name = name.to_string();
        match dice.below(5) {
            0 => self.make_enum(dice, name),
            1 | 2 => self.make_composite(dice, name),
            _ => self.make_domain(dice, name),
        }
    }

    fn make_enum(&mut self, dice: &mut Dice, sql: String) -> Type {
        let count = 1 + dice.index(5);
        let labels: Vec<String> = (0..count)
            .map(|n| format!("{}{n}", text(dice).chars().take(8).collect::<String>()))
            .collect();
        let quoted: Vec<String> = labels.iter().map(|label| quote_literal(label)).collect();
        let _ = writeln!(
            self.script,
            "create type {sql} as enum ({});\nalter type {sql} add value ' before' before {};",
            quoted.join(", "),
            quoted[0]
        );
        Type {
            sql,
            key: true,
            kind: Kind::Enum(labels),
        }
    }

    fn make_composite(&mut self, dice: &mut Dice, sql: String) -> Type {
        let fields: Vec<Rc<Type>> = (0..=dice.index(4)).map(|_| self.any(dice)).collect();
        let definitions: Vec<String> = fields
            .iter()
            .enumerate()
            .map(|(n, field)| {
                let name = quote_ident(&format!("{} {n}", nasty_name(dice)));
                format!("{name} {}", field.sql)
            })
            .collect();
        let _ = writeln!(
            self.script,
            "create type {sql} as (gone int, {});\nalter type {sql} drop attribute gone;",
            definitions.join(", ")
        );
        Type {
            sql,
            key: false,
            kind: Kind::Composite(fields),
        }
    }

    fn make_domain(&mut self, dice: &mut Dice, sql: String) -> Type {
        let is_composite = |base: &Type| matches!(base.kind, Kind::Composite(_));
        let (base, check, rule): (_, _, Rule) = match dice.below(4) {
            0 => (
                self.named("integer"),
                "check (value between 0 and 99)",
                |dice, _| dice.below(100).to_string(),
            ),
            1 => (
                self.named("text"),
                "check (value <> 'forbidden') check (length(value) < 9)",
                |_, value| value.chars().take(8).collect(),
            ),
            2 => (
                self.array_of(&self.named("integer")),
                "check (array_ndims(value) < 3)",
                |dice, _| format!("{{{},NULL}}", dice.below(100)),
            ),
            // A domain over a composite type, from 11 on; over an array; over a domain.
            _ => loop {
                let base = self.any(dice);
                if self.version >= 11 || !is_composite(&base) {
                    break (base, "", |_, value| value);
                }
            },
        };
        let _ = writeln!(self.script, "create domain {sql} as {} {check};", base.sql);
        Type {
            sql,
            key: base.key,
            kind: Kind::Domain(base, rule),
        }
    }
}

impl Type {
    /// Types that any key can be made of, so that a row must be told by it.
    pub fn is_plain_key(&self) -> bool {
        ["smallint", "integer", "bigint", "uuid", "date", "boolean"].contains(&self.sql.as_str())
    }

    /// Whether it is text of some length.
    pub fn is_long(&self) -> bool {
        ["text", "character varying", "bytea"].contains(&self.sql.as_str())
    }

    fn value(&self, dice: &mut Dice, version: u32) -> String {
        match &self.kind {
            Kind::Scalar(builtin) => (builtin.make)(dice, version),
            Kind::Enum(labels) => labels[dice.index(labels.len())].clone(),
            Kind::Domain(base, rule) => {
                let value = base.value(dice, version);
                rule(dice, value)
            }
            Kind::Array(element) => array(element, dice, version),
            Kind::Composite(fields) => {
                let is_empty = dice.one_in(8);
                let fields = fields.iter().map(|field| {
                    if is_empty || dice.one_in(5) {
                        String::new()
                    } else {
                        quoted(&field.value(dice, version))
                    }
                });
                format!("({})", fields.collect::<Vec<_>>().join(","))
            }
            Kind::Range(bound) => range(*bound, dice),
            Kind::Multirange(bound) => {
                let ranges: Vec<String> = (0..dice.index(4)).map(|_| range(*bound, dice)).collect();
                format!("{{{}}}", ranges.join(","))
            }
        }
    }

    fn delimiter(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(builtin) if builtin.sql == "box" => ";",
            Kind::Domain(base, _) => base.delimiter(),
            _ => ",",
        }
    }
}

fn array(element: &Type, dice: &mut Dice, version: u32) -> String {
    let delimiter = element.delimiter();
    let row = |dice: &mut Dice, length: usize| {
        let elements = (0..length).map(|_| {
            if dice.one_in(6) {
                "NULL".to_owned()
            } else {
                quoted(&element.value(dice, version))
            }
        });
        format!("{{{}}}", elements.collect::<Vec<_>>().join(delimiter))
    };
    match dice.below(10) {
        0 => "{}".to_owned(),
        1 => format!("{{{}{delimiter}{}}}", row(dice, 3), row(dice, 3)),
        2 => format!("[0:1]={}", row(dice, 2)),
        3 => {
            let (one, two) = (row(dice, 1), row(dice, 1));
            format!("[-2:-1][7:7]={{{one}{delimiter}{two}}}")
        }
        length => row(dice, usize::try_from(length - 3).expect("a digit")),
    }
}

fn range(bound: Bound, dice: &mut Dice) -> String {
    if dice.one_in(8) {
        return "empty".to_owned();
    }
    let low = dice.between(-9, 8);
    let high = dice.between(low + 1, 10);
    let mut side = |at| {
        if dice.one_in(8) {
            String::new()
        } else {
            quoted(&bound(at))
        }
    };
    let (low, high) = (side(low), side(high));
    let (open, close) = (dice.pick(&["[", "("]), dice.pick(&["]", ")"]));
    format!("{open}{low},{high}{close}")
}

/// An element of an array, a field of a row, a bound of a range: all three take quotes and backslashes.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name that needs quotes, or more than quotes.
pub fn nasty_name(dice: &mut Dice) -> &'static str {
    dice.pick(&[
        "select",
        "user",
        "Mixed Case",
        "a\"b",
        "it's",
        "é",
        "日本語",
        "new\nline",
        "tab\t",
        "back\\slash",
        " leading",
        "100%s",
        "$1",
        "a.b",
        "--x",
        "/* x",
        "ordinary",
        "c",
        "order",
        "table",
        "😀",
        "a,b",
        "(x)",
        "{y}",
        "\\N",
        "x;y",
        "=",
        "*",
        "?",
        "|",
    ])
}
