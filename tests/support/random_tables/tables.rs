//! Tables made of random columns, with keys or without, in trees or alone, and the script that makes and fills them.

use std::fmt::Write as _;
use std::rc::Rc;

use pgconvoy::model::{QualifiedName, quote_ident};

use super::dice::Dice;
use super::types::{Pool, Type, nasty_name};

const SCHEMAS: [&str; 3] = ["public", "Two \"words\"", "select\nfrom"];

/// A database to be.
pub struct Database {
    /// What makes it, for psql.
    pub script: String,
    /// Every table that holds rows itself.
    pub tables: Vec<Table>,
    /// The types its columns have.
    pub pool: Pool,
}

/// A table that holds rows.
pub struct Table {
    pub name: QualifiedName,
    pub columns: Vec<Column>,
    /// Whether rows must be told by a key: there is one, and it is made of types that anybody knows.
    pub has_plain_key: bool,
}

#[derive(Clone)]
pub struct Column {
    pub name: String,
    pub of: Rc<Type>,
    pub role: Role,
    not_null: bool,
}

/// Where a column's values come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Role {
    Plain,
    /// With the words behind its type.
    Identity(&'static str),
    /// With its expression and its kind.
    Generated(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    None,
    Primary,
    Unique,
    /// Deferred, as an index and not as a constraint, partial, or of an expression: no key, or a key of another sort.
    Odd(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    Alone,
    Inherited,
    List,
    Range,
    Hash,
}

impl Database {
    /// A number of tables for a server of a major version.
    pub fn random(seed: u64, tables: u64, version: u32) -> Self {
        let mut database = Self::empty(seed, version);
        for number in 1..=tables {
            let mut one =
                Draft::random(Dice::of_part(seed, number), &database.pool, version, number);
            one.write();
            let (script, tables) = (one.script, one.tables);
            database.add(&script, tables);
        }
        database
    }

    /// A table for each type, and one for arrays of it.
    pub fn of_each_type(seed: u64, version: u32) -> Self {
        let mut database = Self::empty(seed, version);
        for (number, of) in (1..).zip(database.pool.each()) {
            let dice = Dice::of_part(seed, number);
            let mut one = Draft::of_type(dice, &database.pool, version, (number, of));
            one.write_alone();
            let (script, tables) = (one.script, one.tables);
            database.add(&script, tables);
        }
        database
    }

    fn add(&mut self, script: &str, mut tables: Vec<Table>) {
        self.script.push_str(script);
        self.tables.append(&mut tables);
    }

    fn empty(seed: u64, version: u32) -> Self {
        let mut dice = Dice::of_part(seed, 0);
        let pool = Pool::new(&mut dice, version);
        let mut script =
            "set search_path = ''; set datestyle = 'ISO, YMD'; set lc_monetary = 'C';\n".to_owned();
        for schema in &SCHEMAS[1..] {
            let _ = writeln!(script, "create schema {};", quote_ident(schema));
        }
        script.push_str(&pool.script);
        Self {
            script,
            tables: vec![Table {
                name: QualifiedName::new("public", "a target"),
                columns: vec![],
                has_plain_key: false,
            }],
            pool,
        }
    }
}

/// A table, or a tree of them, in the making.
struct Draft<'a> {
    dice: Dice,
    pool: &'a Pool,
    version: u32,
    name: QualifiedName,
    columns: Vec<Column>,
    key: Key,
    /// Positions of the key's columns.
    key_columns: Vec<usize>,
    tree: Tree,
    /// Rows given out, so that a value can be a new one.
    filled: usize,
    script: String,
    tables: Vec<Table>,
}

impl<'a> Draft<'a> {
    fn random(mut dice: Dice, pool: &'a Pool, version: u32, number: u64) -> Self {
        let schema = dice.pick(&SCHEMAS);
        let name = format!("{} {number}", nasty_name(&mut dice));
        let name = QualifiedName::new(schema, name);
        let tree = match dice.below(12) {
            0 => Tree::Inherited,
            1 => Tree::List,
            2 => Tree::Range,
            3 if version >= 11 => Tree::Hash,
            _ => Tree::Alone,
        };
        let mut draft = Self::new(dice, pool, version, name);
        draft.tree = tree;
        draft.choose_key();
        draft.choose_columns();
        draft
    }

    fn of_type(dice: Dice, pool: &'a Pool, version: u32, (number, of): (u64, Rc<Type>)) -> Self {
        let of_what: String = of.sql.chars().filter(|one| *one != '"').take(40).collect();
        let name = QualifiedName::new("public", format!("{number} {of_what}"));
        let mut draft = Self::new(dice, pool, version, name);
        draft.push(of, false);
        draft
    }

    fn new(dice: Dice, pool: &'a Pool, version: u32, name: QualifiedName) -> Self {
        Self {
            pool,
            version,
            name,
            columns: Vec::new(),
            key: Key::None,
            key_columns: Vec::new(),
            tree: Tree::Alone,
            filled: 0,
            script: String::new(),
            tables: Vec::new(),
            dice,
        }
    }

    fn choose_key(&mut self) {
        self.key = match self.dice.below(20) {
            0..=6 => Key::Primary,
            7..=9 => Key::Unique,
            10 => Key::Odd("deferrable"),
            11 => Key::Odd("index"),
            12 => Key::Odd("partial"),
            13 => Key::Odd("nullable"),
            _ => Key::None,
        };
        if self.is_partitioned() {
            if self.version < 11 || matches!(self.key, Key::Odd(_)) {
                self.key = Key::None;
            }
            // What a tree is partitioned by is the first column.
            let of = self.pool.named(self.dice.pick(&["integer", "text"]));
            let of = if self.tree == Tree::Range {
                self.pool.named("integer")
            } else {
                of
            };
            self.push(of, self.tree != Tree::List || self.key != Key::None);
            if self.key != Key::None {
                self.key_columns.push(0);
            }
        }
        if self.key == Key::None {
            return;
        }
        let count = if self.dice.one_in(3) { 2 } else { 1 };
        for _ in 0..count {
            self.key_columns.push(self.columns.len());
            let of = match self.key {
                Key::Odd("deferrable") => self.pool.named("bigint"),
                _ if self.dice.one_in(2) => self.pool.named("bigint"),
                _ => self.pool.key(&mut self.dice),
            };
            self.push(of, self.key != Key::Odd("nullable"));
        }
    }

    fn push(&mut self, of: Rc<Type>, not_null: bool) {
        let name = match self.dice.below(3) {
            0 => nasty_name(&mut self.dice),
            _ => "column",
        };
        self.columns.push(Column {
            name: format!("{name} {}", self.columns.len()),
            of,
            role: Role::Plain,
            not_null,
        });
    }

    fn choose_columns(&mut self) {
        let count = match self.dice.below(12) {
            0 => 0,
            1 => 12 + self.dice.index(8),
            _ => 1 + self.dice.index(8),
        };
        for _ in 0..count {
            let of = self.pool.any(&mut self.dice);
            let not_null = self.dice.one_in(5);
            self.push(of, not_null);
        }
        if self.tree == Tree::Alone && self.dice.one_in(6) {
            let of = self
                .pool
                .named(self.dice.pick(&["smallint", "integer", "bigint"]));
            self.push(of, true);
            let kind = self.dice.pick(&["always", "by default"]);
            self.columns.last_mut().expect("just pushed").role = Role::Identity(kind);
        }
        if self.version >= 12 && self.tree != Tree::Inherited && self.dice.one_in(4) {
            self.generate();
        }
    }

    /// A column that is made of another one.
    fn generate(&mut self) {
        let is_virtual = self.version >= 18 && self.dice.one_in(2);
        let kind = if is_virtual { "virtual" } else { "stored" };
        let source = self.columns.iter().find_map(|column| {
            let name = quote_ident(&column.name);
            match column.of.sql.as_str() {
                "integer" => Some(("bigint", format!("{name}::bigint * 2"))),
                "bigint" => Some(("text", format!("pg_catalog.md5({name}::text)"))),
                "text" => Some(("text", format!("{name} || '!'"))),
                "double precision" => Some(("double precision", format!("- {name}"))),
                _ => None,
            }
        });
        if let Some((of, expression)) = source {
            let of = self.pool.named(of);
            self.push(of, false);
            let role = Role::Generated(format!("generated always as ({expression}) {kind}"));
            self.columns.last_mut().expect("just pushed").role = role;
        }
    }

    fn write(&mut self) {
        match self.tree {
            Tree::Alone => self.write_alone(),
            Tree::Inherited => self.write_inherited(),
            _ => self.write_partitioned(),
        }
    }

    fn write_alone(&mut self) {
        let mut definitions: Vec<String> = self.columns.iter().map(Column::definition).collect();
        let doomed = self.dice.index(3);
        for number in 0..doomed {
            let at = self.dice.index(definitions.len() + 1);
            definitions.insert(at, format!("\"doomed {number}\" text default 'gone'"));
        }
        let unlogged = if self.dice.one_in(8) { "unlogged " } else { "" };
        let name = self.name.to_string();
        let _ = writeln!(
            self.script,
            "create {unlogged}table {name} ({});",
            definitions.join(", ")
        );
        let drops_first = self.dice.one_in(2);
        let drop = |script: &mut String| {
            for number in 0..doomed {
                let _ = writeln!(
                    script,
                    "alter table {name} drop column \"doomed {number}\";"
                );
            }
        };
        if drops_first {
            drop(&mut self.script);
        }
        self.add_key();
        let rows = self.row_count();
        self.fill(&name, &self.columns.clone(), rows);
        if !drops_first {
            drop(&mut self.script);
        }
        if self.dice.one_in(6) {
            // Rows that were there before the column have its value in the catalog.
            let of = self.pool.named("text");
            self.push(of, false);
            let added = self.columns.last().expect("just pushed").definition();
            let _ = writeln!(
                self.script,
                "alter table {name} add column {added} default 'was ''there''';"
            );
            if self.dice.one_in(2) {
                self.fill(&name, &self.columns.clone(), 2);
            }
        }
        self.done(self.name.clone(), self.columns.clone());
    }

    fn write_inherited(&mut self) {
        self.columns.retain(|column| column.role == Role::Plain);
        self.write_alone();
        let child = self.part("child");
        let of = self.pool.any(&mut self.dice);
        let more = Column {
            name: "more".to_owned(),
            of,
            role: Role::Plain,
            not_null: false,
        };
        let _ = writeln!(
            self.script,
            "create table {child} ({}) inherits ({});",
            more.definition(),
            self.name
        );
        let mut columns = self.columns.clone();
        columns.push(more);
        let rows = self.row_count();
        self.fill_keyless(&child.to_string(), &columns, rows);
        self.done(child, columns);
        self.tables.last_mut().expect("just pushed").has_plain_key = false;
    }

    fn write_partitioned(&mut self) {
        let first = quote_ident(&self.columns[0].name);
        let is_text = self.columns[0].of.sql == "text";
        let by = match self.tree {
            Tree::List => "list",
            Tree::Range => "range",
            _ => "hash",
        };
        let definitions: Vec<String> = self.columns.iter().map(Column::definition).collect();
        let root = self.name.to_string();
        let _ = writeln!(
            self.script,
            "create table {root} ({}) partition by {by} ({first});",
            definitions.join(", ")
        );
        self.add_key();
        let bounds: &[&str] = match (self.tree, is_text) {
            (Tree::List, false) => &["in (1, 2, 3)", "in (4, 5)", "in (6, 7, null)"],
            (Tree::List, true) => &["in ('a')", "in ('b', null)", "in ('é')"],
            (Tree::Range, _) => &[
                "from (minvalue) to (0)",
                "from (0) to (5)",
                "from (5) to (maxvalue)",
            ],
            _ => &[
                "with (modulus 2, remainder 0)",
                "with (modulus 4, remainder 1)",
                "with (modulus 4, remainder 3)",
            ],
        };
        for (number, bound) in bounds.iter().enumerate() {
            let part = self.part(&format!("part {number}"));
            self.write_partition(&part, bound);
        }
        let rows = self.row_count();
        self.fill(&root, &self.columns.clone(), rows);
    }

    /// One that was a table of its own has its columns in another order.
    fn write_partition(&mut self, part: &QualifiedName, bound: &str) {
        let is_plain = self.columns.iter().all(|column| column.role == Role::Plain);
        let mut columns = self.columns.clone();
        let root = self.name.to_string();
        if is_plain && self.dice.one_in(2) {
            columns.reverse();
            let definitions: Vec<String> = columns.iter().map(Column::definition).collect();
            let _ = writeln!(
                self.script,
                "create table {part} (gone int, {});\nalter table {part} drop column gone;\n\
                 alter table {root} attach partition {part} for values {bound};",
                definitions.join(", ")
            );
        } else {
            let _ = writeln!(
                self.script,
                "create table {part} partition of {root} for values {bound};"
            );
        }
        self.done(part.clone(), columns);
    }

    fn add_key(&mut self) {
        let columns: Vec<String> = self
            .key_columns
            .iter()
            .map(|at| quote_ident(&self.columns[*at].name))
            .collect();
        let (name, columns) = (&self.name, columns.join(", "));
        let sql = match self.key {
            Key::None => return,
            Key::Primary => format!("alter table {name} add primary key ({columns})"),
            Key::Unique | Key::Odd("nullable") => {
                format!("alter table {name} add unique ({columns})")
            }
            Key::Odd("deferrable") => {
                format!(
                    "alter table {name} add primary key ({columns}) deferrable initially deferred"
                )
            }
            Key::Odd("index") => format!("create unique index on {name} ({columns})"),
            Key::Odd(_) => format!("create unique index on {name} ({columns}) where false"),
        };
        let _ = writeln!(self.script, "{sql};");
    }

    fn row_count(&mut self) -> usize {
        let rows = match self.dice.below(24) {
            0 | 1 => 0,
            2 | 3 => 1,
            4 | 5 => 100 + self.dice.index(400),
            6 if self.columns.len() <= 6 => 1000 + self.dice.index(3000),
            _ => 2 + self.dice.index(28),
        };
        // Without columns, rows can only be made one by one.
        if self.columns.is_empty() {
            rows.min(20)
        } else {
            rows
        }
    }

    /// Fills a table by way of one without its keys; rows that its keys don't allow are left out.
    fn fill(&mut self, table: &str, columns: &[Column], rows: usize) {
        let conflict = match self.key {
            Key::None | Key::Odd("deferrable") => "",
            _ => "on conflict do nothing",
        };
        self.fill_with(table, columns, rows, conflict);
    }

    fn fill_keyless(&mut self, table: &str, columns: &[Column], rows: usize) {
        self.fill_with(table, columns, rows, "");
    }

    fn fill_with(&mut self, table: &str, columns: &[Column], rows: usize, conflict: &str) {
        let given: Vec<&Column> = columns.iter().filter(|column| column.is_given()).collect();
        if given.is_empty() {
            for _ in 0..rows {
                let _ = writeln!(self.script, "insert into {table} default values;");
            }
            return;
        }
        let names = names(&given);
        let _ = writeln!(
            self.script,
            "create temp table stage (like {table});\ncopy pg_temp.stage ({names}) from stdin;"
        );
        let mut last = String::new();
        for _ in 0..rows {
            self.filled += 1;
            if last.is_empty() || self.key != Key::None || !self.dice.one_in(6) {
                let values: Vec<String> = given.iter().map(|column| self.cell(column)).collect();
                last = values.join("\t");
            }
            let _ = writeln!(self.script, "{last}");
        }
        let _ = writeln!(
            self.script,
            "\\.\ninsert into {table} ({names}) overriding system value select {names} from pg_temp.stage {conflict};\n\
             drop table pg_temp.stage;"
        );
    }

    /// A value, as COPY reads it.
    fn cell(&mut self, column: &Column) -> String {
        let is_partition_key = self.is_partitioned() && column.name == self.columns[0].name;
        let is_key = self
            .key_columns
            .iter()
            .any(|at| self.columns[*at].name == column.name);
        let of = &column.of;
        let dice = &mut self.dice;
        let value = if is_partition_key && self.tree == Tree::List {
            match of.sql.as_str() {
                "text" => dice.pick(&["a", "b", "é"]).to_owned(),
                _ => dice.between(1, 7).to_string(),
            }
        } else if !column.not_null && dice.one_in(6) {
            return "\\N".to_owned();
        } else if column.role != Role::Plain || is_key && self.key == Key::Odd("deferrable") {
            self.filled.to_string()
        } else if of.is_long() && !is_key && dice.one_in(150) {
            let prefix = if of.sql == "bytea" { "\\x" } else { "" };
            let digits = 20_000 + dice.index(60_000) * 2;
            format!("{prefix}{}", dice.hex(digits))
        } else {
            self.pool.value(of, dice)
        };
        escaped(&value)
    }

    fn is_partitioned(&self) -> bool {
        !matches!(self.tree, Tree::Alone | Tree::Inherited)
    }

    fn part(&self, name: &str) -> QualifiedName {
        QualifiedName::new(&self.name.schema, format!("{} {name}", self.name.name))
    }

    fn done(&mut self, name: QualifiedName, columns: Vec<Column>) {
        let has_plain_key = matches!(self.key, Key::Primary | Key::Unique)
            && self
                .key_columns
                .iter()
                .all(|at| self.columns[*at].of.is_plain_key());
        self.tables.push(Table {
            name,
            columns,
            has_plain_key,
        });
    }
}

impl Column {
    /// Whether its values are given, and not made by the server.
    pub fn is_given(&self) -> bool {
        !matches!(self.role, Role::Generated(_))
    }

    fn definition(&self) -> String {
        let not_null = if self.not_null { " not null" } else { "" };
        let role = match &self.role {
            Role::Plain => String::new(),
            Role::Identity(kind) => format!(" generated {kind} as identity"),
            Role::Generated(words) => format!(" {words}"),
        };
        format!(
            "{} {}{role}{not_null}",
            quote_ident(&self.name),
            self.of.sql
        )
    }
}

/// Columns, quoted, as a list.
pub fn names(columns: &[&Column]) -> String {
    let quoted: Vec<String> = columns
        .iter()
        .map(|column| quote_ident(&column.name))
        .collect();
    quoted.join(", ")
}

/// As COPY's text format has it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace('\t', "\\t")
}
