//! Which objects of a database a run is about: the patterns given as options and in `--filter` files.
//!
//! `pg_dump` reads filter files itself from version 17 on. We parse them, so that any `pg_dump` can be driven with plain
//! options, so that a pattern that matches nothing is found before anything is touched, and because the rows are copied
//! by us. The format is that of `src/bin/pg_dump/filter.c`: one `include|exclude KIND PATTERN` a line, `#` begins a
//! comment, and a quoted name may go on over several lines.

mod argument;
mod found;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::QualifiedName;
use super::pattern::{NameKind, Pattern, PatternError};

/// What a pattern selects or leaves out, named after `pg_dump`'s options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilterKind {
    /// `-n`
    Schema,
    /// `-N`
    ExcludeSchema,
    /// `-t`
    Table,
    /// `--table-and-children`
    TableAndChildren,
    /// `-T`
    ExcludeTable,
    /// `--exclude-table-and-children`
    ExcludeTableAndChildren,
    /// `--exclude-table-data`
    ExcludeTableData,
    /// `--exclude-table-data-and-children`
    ExcludeTableDataAndChildren,
    /// `-e`
    Extension,
    /// `--exclude-extension`
    ExcludeExtension,
    /// `--include-foreign-data`
    IncludeForeignData,
}

impl FilterKind {
    /// The long option of `pg_dump`, and the first major version that has it.
    fn option(self) -> (&'static str, u32) {
        match self {
            Self::Schema => ("--schema", 0),
            Self::ExcludeSchema => ("--exclude-schema", 0),
            Self::Table => ("--table", 0),
            Self::TableAndChildren => ("--table-and-children", 16),
            Self::ExcludeTable => ("--exclude-table", 0),
            Self::ExcludeTableAndChildren => ("--exclude-table-and-children", 16),
            Self::ExcludeTableData => ("--exclude-table-data", 0),
            Self::ExcludeTableDataAndChildren => ("--exclude-table-data-and-children", 16),
            Self::Extension => ("--extension", 14),
            Self::ExcludeExtension => ("--exclude-extension", 17),
            Self::IncludeForeignData => ("--include-foreign-data", 13),
        }
    }

    /// The long option of `pg_dump`, with its dashes.
    pub fn flag(self) -> &'static str {
        self.option().0
    }

    fn names(self) -> NameKind {
        match self {
            Self::Schema | Self::ExcludeSchema => NameKind::Schema,
            Self::Extension | Self::ExcludeExtension | Self::IncludeForeignData => NameKind::Global,
            _ => NameKind::Relation,
        }
    }

    fn from_words(command: Command, object: &str) -> Option<Self> {
        let kind = match (command, object) {
            (Command::Include, "schema") => Self::Schema,
            (Command::Exclude, "schema") => Self::ExcludeSchema,
            (Command::Include, "table") => Self::Table,
            (Command::Exclude, "table") => Self::ExcludeTable,
            (Command::Include, "table_and_children") => Self::TableAndChildren,
            (Command::Exclude, "table_and_children") => Self::ExcludeTableAndChildren,
            (Command::Exclude, "table_data") => Self::ExcludeTableData,
            (Command::Exclude, "table_data_and_children") => Self::ExcludeTableDataAndChildren,
            (Command::Include, "extension") => Self::Extension,
            (Command::Exclude, "extension") => Self::ExcludeExtension,
            (Command::Include, "foreign_data") => Self::IncludeForeignData,
            _ => return None,
        };
        Some(kind)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Include,
    Exclude,
}

/// One pattern and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(FilterKind, String)", try_from = "(FilterKind, String)")]
pub struct Filter {
    /// What it is for.
    pub kind: FilterKind,
    /// The pattern.
    pub pattern: Pattern,
}

impl From<Filter> for (FilterKind, String) {
    fn from(filter: Filter) -> Self {
        (filter.kind, filter.pattern.to_string())
    }
}

impl TryFrom<(FilterKind, String)> for Filter {
    type Error = PatternError;
    fn try_from((kind, text): (FilterKind, String)) -> Result<Self, PatternError> {
        let pattern = Pattern::new(&text, kind.names())?;
        Ok(Self { kind, pattern })
    }
}

/// A relation as patterns see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its name.
    pub name: QualifiedName,
    /// `pg_table_is_visible` under the session's default `search_path`, not under an empty one.
    pub visible: bool,
    /// The tables it directly inherits from or is a partition of.
    pub parents: Vec<QualifiedName>,
}

/// What there is on the source, to hold patterns against.
#[derive(Debug, Clone, Copy, Default)]
pub struct Objects<'a> {
    /// Everything that `-t` can mean: tables, views, materialized views, sequences, foreign tables.
    pub relations: &'a [Relation],
    /// All schemas.
    pub schemas: &'a [String],
    /// All extensions.
    pub extensions: &'a [String],
    /// All foreign servers.
    pub foreign_servers: &'a [String],
}

/// Why a line of a filter file cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FilterProblem {
    /// Neither `include` nor `exclude`.
    #[error("{0:?} is no filter command (expected \"include\" or \"exclude\")")]
    Command(String),
    /// Nothing after the command.
    #[error("the kind of object is missing")]
    NoKind,
    /// A kind of object that filters do not know, or not with this command.
    #[error("\"{command} {kind}\" is not supported")]
    Kind {
        /// `include` or `exclude`.
        command: String,
        /// The kind, as given.
        kind: String,
    },
    /// Nothing after the kind.
    #[error("the pattern is missing")]
    NoPattern,
    /// The file ends inside double quotes.
    #[error("the file ends before the closing double quote")]
    Unclosed,
    /// The pattern is wrong in itself.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// Why filters cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// A line of a filter file.
    #[error("filter file {file}, line {line}")]
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: FilterProblem,
    },
    /// An option's pattern.
    #[error("{flag}")]
    Option {
        /// The option.
        flag: &'static str,
        /// What is wrong with its pattern.
        #[source]
        source: PatternError,
    },
    /// A pattern that names another database than the one connected to.
    #[error("{flag} {pattern}: names database {named}, but the source is {connected}")]
    OtherDatabase {
        /// The option.
        flag: &'static str,
        /// Its pattern.
        pattern: String,
        /// The database in the pattern.
        named: String,
        /// The database of the source.
        connected: String,
    },
    /// An option that this `pg_dump` does not have yet.
    #[error("{flag} {pattern}: needs pg_dump {needs} or newer, this one is {found}")]
    OldPgDump {
        /// The option.
        flag: &'static str,
        /// Its pattern.
        pattern: String,
        /// The first major version that has it.
        needs: u32,
        /// The major version there is.
        found: u32,
    },
}

/// All patterns of a run, in the order given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filters(Vec<Filter>);

impl Filters {
    /// Takes in the pattern of one option.
    pub fn add(&mut self, kind: FilterKind, pattern: &str) -> Result<(), FilterError> {
        let pattern =
            Pattern::new(pattern, kind.names()).map_err(|source| FilterError::Option {
                flag: kind.flag(),
                source,
            })?;
        self.0.push(Filter { kind, pattern });
        Ok(())
    }

    /// Takes in a filter file; `file` is its name, for messages.
    pub fn add_file(&mut self, file: &str, text: &str) -> Result<(), FilterError> {
        let mut reader = Reader { text, line: 1 };
        loop {
            let line = reader.line;
            match reader.read_item() {
                Ok(Some(filter)) => self.0.push(filter),
                Ok(None) => return Ok(()),
                Err(source) => {
                    let line = match source {
                        // The line where the file ends says nothing; the one where the quote opens does.
                        FilterProblem::Unclosed => line,
                        _ => reader.line,
                    };
                    return Err(FilterError::Line {
                        file: file.to_owned(),
                        line,
                        source,
                    });
                }
            }
        }
    }

    /// No pattern at all: the whole database is meant.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All patterns, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Filter> {
        self.0.iter()
    }

    /// The options that make `pg_dump` select the same, each one argument: `--schema=east*`.
    pub fn pg_dump_args(&self) -> Vec<String> {
        let argument = |filter: &Filter| format!("{}={}", filter.kind.flag(), filter.pattern);
        self.0.iter().map(argument).collect()
    }

    /// Whether `pg_dump` of this major version has all the options that are needed.
    pub fn check_pg_dump(&self, major: u32) -> Result<(), FilterError> {
        let too_new = self.0.iter().find(|filter| filter.kind.option().1 > major);
        too_new.map_or(Ok(()), |filter| {
            let (flag, needs) = filter.kind.option();
            Err(FilterError::OldPgDump {
                flag,
                pattern: filter.pattern.to_string(),
                needs,
                found: major,
            })
        })
    }

    /// Refuses patterns that name another database than the one connected to, as `pg_dump` does.
    pub fn check_database(&self, connected: &str) -> Result<(), FilterError> {
        for filter in &self.0 {
            if let Some(named) = filter.pattern.database()
                && named != connected
            {
                return Err(FilterError::OtherDatabase {
                    flag: filter.kind.flag(),
                    pattern: filter.pattern.to_string(),
                    named: named.to_owned(),
                    connected: connected.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The patterns that match nothing. To `pg_dump` most of these are no error; to an operator they are a typing
    /// mistake, found before a table is left out or copied that should not be.
    pub fn unmatched(&self, objects: &Objects<'_>) -> Vec<&Filter> {
        let any = |names: &[String], pattern: &Pattern| {
            names.iter().any(|name| pattern.matches_name(name))
        };
        let idle = |filter: &&Filter| match filter.kind {
            FilterKind::Schema | FilterKind::ExcludeSchema => {
                !any(objects.schemas, &filter.pattern)
            }
            FilterKind::Extension | FilterKind::ExcludeExtension => {
                !any(objects.extensions, &filter.pattern)
            }
            FilterKind::IncludeForeignData => !any(objects.foreign_servers, &filter.pattern),
            _ => !objects.relations.iter().any(|relation| {
                filter
                    .pattern
                    .matches_relation(&relation.name, relation.visible)
            }),
        };
        self.0.iter().filter(idle).collect()
    }

    /// The relations whose rows are to be left out, those of children included where that was asked for.
    pub fn data_excluded<'a>(&self, relations: &'a [Relation]) -> BTreeSet<&'a QualifiedName> {
        let matching = |kind: FilterKind| {
            relations.iter().filter(move |relation| {
                self.0.iter().any(|filter| {
                    filter.kind == kind
                        && filter
                            .pattern
                            .matches_relation(&relation.name, relation.visible)
                })
            })
        };
        let mut children: BTreeMap<&QualifiedName, Vec<&QualifiedName>> = BTreeMap::new();
        for relation in relations {
            for parent in &relation.parents {
                children.entry(parent).or_default().push(&relation.name);
            }
        }
        let mut excluded = BTreeSet::new();
        let mut open: Vec<&QualifiedName> = matching(FilterKind::ExcludeTableDataAndChildren)
            .map(|relation| &relation.name)
            .collect();
        while let Some(name) = open.pop() {
            if excluded.insert(name) {
                open.extend(children.get(name).into_iter().flatten());
            }
        }
        excluded.extend(matching(FilterKind::ExcludeTableData).map(|relation| &relation.name));
        excluded
    }
}

/// Where in a filter file we are.
struct Reader<'a> {
    /// What is left of it.
    text: &'a str,
    /// The line that begins there.
    line: usize,
}

impl Reader<'_> {
    /// The next item; `None` at the end of the file.
    fn read_item(&mut self) -> Result<Option<Filter>, FilterProblem> {
        loop {
            self.skip_blanks();
            match self.text.chars().next() {
                None => return Ok(None),
                Some('\n') => self.advance('\n'),
                Some('#') => self.skip_line(),
                Some(_) => break,
            }
        }
        let command_word = self.word();
        let command = match command_word.to_ascii_lowercase().as_str() {
            "include" => Command::Include,
            "exclude" => Command::Exclude,
            _ => return Err(FilterProblem::Command(command_word)),
        };
        self.skip_blanks();
        let kind_word = self.word();
        if kind_word.is_empty() {
            return Err(FilterProblem::NoKind);
        }
        let kind = FilterKind::from_words(command, &kind_word.to_ascii_lowercase()).ok_or(
            FilterProblem::Kind {
                command: command_word.to_ascii_lowercase(),
                kind: kind_word,
            },
        )?;
        let pattern = self.pattern()?;
        Ok(Some(Filter {
            kind,
            pattern: Pattern::new(&pattern, kind.names())?,
        }))
    }

    /// The pattern up to the end of the line or a comment. White space around dots, commas and brackets goes, other white
    /// space becomes one space.
    fn pattern(&mut self) -> Result<String, FilterProblem> {
        let mut pattern = String::new();
        // Whether a space that was skipped stood for something.
        let mut joinable = false;
        loop {
            let spaced = self.skip_blanks();
            let Some(char) = self.text.chars().next().filter(|&c| c != '\n' && c != '#') else {
                break;
            };
            if matches!(char, '.' | '(' | ')' | ',') {
                self.advance(char);
                pattern.push(char);
                if char == ',' {
                    pattern.push(' ');
                }
                joinable = false;
                continue;
            }
            if spaced && joinable {
                pattern.push(' ');
            }
            joinable = true;
            if char == '"' {
                self.quoted(&mut pattern)?;
            } else {
                self.advance(char);
                pattern.push(char);
            }
        }
        self.skip_line();
        if pattern.is_empty() {
            return Err(FilterProblem::NoPattern);
        }
        Ok(pattern)
    }

    /// A quoted name with its quotes; it may hold line ends, also written as `\n`.
    fn quoted(&mut self, pattern: &mut String) -> Result<(), FilterProblem> {
        self.advance('"');
        pattern.push('"');
        loop {
            let mut chars = self.text.chars();
            let char = chars.next().ok_or(FilterProblem::Unclosed)?;
            let next = chars.next();
            self.advance(char);
            match (char, next) {
                ('"', Some('"')) => {
                    self.advance('"');
                    pattern.push_str("\"\"");
                }
                ('"', _) => {
                    pattern.push('"');
                    return Ok(());
                }
                ('\\', Some(escaped)) => {
                    self.advance(escaped);
                    match escaped {
                        'n' => pattern.push('\n'),
                        '\\' => pattern.push('\\'),
                        // As pg_dump has it: any other escape stands for nothing.
                        _ => {}
                    }
                }
                // The other half of a line end.
                ('\r', _) => {}
                _ => pattern.push(char),
            }
        }
    }

    /// Skips white space within the line, and says whether there was any.
    fn skip_blanks(&mut self) -> bool {
        let rest = self
            .text
            .trim_start_matches(|c: char| c != '\n' && c.is_ascii_whitespace() || c == '\x0b');
        let skipped = rest.len() < self.text.len();
        self.text = rest;
        skipped
    }

    /// Everything up to the next white space.
    fn word(&mut self) -> String {
        let end = self
            .text
            .find(|c: char| c.is_ascii_whitespace() || c == '\x0b')
            .unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        self.text = rest;
        word.to_owned()
    }

    /// Goes to the end of the line, not over it: an error found there is still one of this line.
    fn skip_line(&mut self) {
        let end = self.text.find('\n').unwrap_or(self.text.len());
        self.text = &self.text[end..];
    }

    fn advance(&mut self, char: char) {
        self.text = &self.text[char.len_utf8().min(self.text.len())..];
        if char == '\n' {
            self.line += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<String> {
        let mut filters = Filters::default();
        filters.add_file("f", text).expect("is a filter file");
        filters.pg_dump_args()
    }

    fn refused(text: &str) -> String {
        let error = Filters::default()
            .add_file("f", text)
            .expect_err("is no filter file");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    }

    fn relation(schema: &str, name: &str, parents: &[&str]) -> Relation {
        Relation {
            name: QualifiedName::new(schema, name),
            visible: schema == "public",
            parents: parents
                .iter()
                .map(|parent| QualifiedName::new(schema, *parent))
                .collect(),
        }
    }

    /// The files that `src/bin/pg_dump/t/005_pg_dump_filterfile.pl` tries.
    #[test]
    fn filter_files_are_read_as_pg_dump_reads_them() {
        assert!(read("\n # a comment and nothing more\n\n").is_empty());
        assert_eq!(
            read(
                "  include   table table_one    #comment\ninclude table table_two\n# skip this line\n\n\t\n  \t# another comment\nexclude table_data table_one\n"
            ),
            [
                "--table=table_one",
                "--table=table_two",
                "--exclude-table-data=table_one"
            ]
        );
        assert_eq!(
            read(
                "include table public.table_one\ninclude table \"public\".\"table_two\"\ninclude table \"public\". table_three\n"
            ),
            [
                "--table=public.table_one",
                "--table=\"public\".\"table_two\"",
                "--table=\"public\".table_three"
            ]
        );
        for text in [
            "include table \"strange aaa\nname\"",
            "include table \"strange aaa\r\nname\"\r\n",
            "include table \"strange aaa\\nname\"",
        ] {
            assert_eq!(read(text), ["--table=\"strange aaa\nname\""]);
        }
        assert_eq!(read("include table \"\nt\nt\n\""), ["--table=\"\nt\nt\n\""]);
        assert_eq!(
            read("include table table   one"),
            ["--table=table one"],
            "which then matches nothing"
        );
        assert_eq!(
            read(
                "EXCLUDE Schema public\ninclude foreign_data dummyserver\ninclude extension pg_trgm"
            ),
            [
                "--exclude-schema=public",
                "--include-foreign-data=dummyserver",
                "--extension=pg_trgm"
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_line() {
        assert_eq!(
            refused("k"),
            r#"filter file f, line 1: "k" is no filter command (expected "include" or "exclude")"#
        );
        assert_eq!(
            refused("\n\ninclude xxx\n"),
            r#"filter file f, line 3: "include xxx" is not supported"#
        );
        assert_eq!(
            refused("include table \"a\nb\"\nexclude foreign_data dummy*\n"),
            r#"filter file f, line 3: "exclude foreign_data" is not supported"#
        );
        assert_eq!(
            refused("# x\ninclude table # y\ninclude table t"),
            "filter file f, line 2: the pattern is missing"
        );
        assert_eq!(
            refused("include"),
            "filter file f, line 1: the kind of object is missing"
        );
        assert_eq!(
            refused("include table \"a\n\n\n"),
            "filter file f, line 1: the file ends before the closing double quote"
        );
        assert_eq!(
            refused("\ninclude table a.b.c.d"),
            r#"filter file f, line 2: pattern "a.b.c.d": too many parts separated by dots (at most 3)"#
        );
        for kind in ["include table_data", "include database", "exclude function"] {
            assert!(refused(&format!("{kind} x")).ends_with("is not supported"));
        }
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_found_whatever_it_is_for() {
        let mut filters = Filters::default();
        for (kind, pattern) in [
            (FilterKind::Table, "stat*"),
            (FilterKind::ExcludeTable, "archive"),
            (FilterKind::ExcludeTableData, "log.*"),
            (FilterKind::Schema, "logs"),
            (FilterKind::ExcludeSchema, "lo?"),
            (FilterKind::Extension, "hstore"),
        ] {
            filters.add(kind, pattern).expect("is a pattern");
        }
        let relations = [
            relation("public", "statuses", &[]),
            relation("log", "archive", &[]),
        ];
        let objects = Objects {
            relations: &relations,
            schemas: &["public".to_owned(), "log".to_owned()],
            ..Objects::default()
        };
        let idle: Vec<String> = filters
            .unmatched(&objects)
            .into_iter()
            .map(|filter| format!("{} {}", filter.kind.flag(), filter.pattern))
            .collect();
        assert_eq!(
            idle,
            [
                "--exclude-table archive",
                "--schema logs",
                "--extension hstore"
            ]
        );
    }

    #[test]
    fn rows_are_left_out_of_children_only_where_asked() {
        let relations = [
            relation("public", "events", &[]),
            relation("public", "events_2024", &["events"]),
            relation("public", "events_2024_01", &["events_2024"]),
            relation("public", "cache", &[]),
            relation("public", "cache_old", &["cache"]),
        ];
        let mut filters = Filters::default();
        filters
            .add(FilterKind::ExcludeTableDataAndChildren, "events")
            .expect("is a pattern");
        filters
            .add(FilterKind::ExcludeTableData, "cache")
            .expect("is a pattern");
        let names: Vec<&str> = filters
            .data_excluded(&relations)
            .into_iter()
            .map(|name| name.name.as_str())
            .collect();
        assert_eq!(names, ["cache", "events", "events_2024", "events_2024_01"]);
    }

    #[test]
    fn other_databases_and_too_old_a_pg_dump_are_refused() {
        let mut filters = Filters::default();
        filters
            .add(FilterKind::Table, "shop.public.t")
            .expect("is a pattern");
        assert_eq!(filters.check_database("shop"), Ok(()));
        assert_eq!(
            filters
                .check_database("forum")
                .expect_err("differs")
                .to_string(),
            "--table shop.public.t: names database shop, but the source is forum"
        );
        assert_eq!(filters.check_pg_dump(10), Ok(()));
        filters
            .add(FilterKind::ExcludeTableAndChildren, "events")
            .expect("is a pattern");
        assert_eq!(
            filters.check_pg_dump(15).expect_err("too old").to_string(),
            "--exclude-table-and-children events: needs pg_dump 16 or newer, this one is 15"
        );
    }

    #[test]
    fn filters_survive_serialisation() {
        let mut filters = Filters::default();
        filters
            .add(FilterKind::ExcludeTableData, "Log*")
            .expect("is a pattern");
        let json = serde_json::to_string(&filters).expect("serialises");
        assert_eq!(json, r#"[["exclude-table-data","Log*"]]"#);
        assert_eq!(
            serde_json::from_str::<Filters>(&json).expect("parses"),
            filters
        );
        assert!(serde_json::from_str::<Filters>(r#"[["table","a("]]"#).is_err());
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(
            text in any::<String>(),
            lines in prop::collection::vec("(include|exclude) (table|schema|table_data) [a-z\"\\\\\n#.,() ]{0,20}", 0..5),
        ) {
            let _ = Filters::default().add_file("f", &text);
            let _ = Filters::default().add_file("f", &lines.join("\n"));
        }
    }
}
