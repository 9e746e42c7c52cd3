//! What `ALTER TABLE` can do about a table that is defined otherwise: columns, constraints and settings, from the two
//! `CREATE TABLE` statements.
//!
//! What would touch rows that are there (a column too many, another type) is not done, but said.

use super::options;
use super::step::Statement;
use super::text::{around_parentheses, at_commas, before, joined, pieces};

/// What to do about one table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TableChanges {
    /// Before anything else: constraints that the target has on its own.
    pub drop: Vec<Statement>,
    /// Before rows are written: columns, defaults, settings.
    pub define: Vec<Statement>,
    /// Once the rows are right: what they must satisfy.
    pub constrain: Vec<Statement>,
    /// What cannot be done, a clause each.
    pub gaps: Vec<String>,
    /// What is left to do when all of this is done: it keeps no row from being as on the source.
    pub partly: Vec<String>,
    /// It is another kind of table, or elsewhere in a tree of tables: nothing else about it can be compared.
    pub is_another: bool,
    /// Statements that would do what `gaps` speaks of, if a person wants them.
    pub suggestions: Vec<Statement>,
}

/// One column of a `CREATE TABLE`.
#[derive(Debug, PartialEq, Eq)]
struct Column<'a> {
    name: &'a [u8],
    /// Type and collation.
    data_type: &'a [u8],
    default: Option<&'a [u8]>,
    generated: Option<&'a [u8]>,
    /// `NOT NULL`, with the constraint's name if it has one of its own.
    not_null: Option<&'a [u8]>,
    whole: &'a [u8],
}

#[derive(Debug)]
struct Parts<'a> {
    head: &'a [u8],
    columns: Vec<Column<'a>>,
    /// Name and whole text.
    constraints: Vec<(&'a [u8], &'a [u8])>,
    tail: &'a [u8],
}

/// Compares two `CREATE [FOREIGN] TABLE` statements. `alter` is `ALTER TABLE "s"."t"`, without `ONLY`: what is done to a parent must
/// reach its children.
pub(super) fn changes(alter: &[u8], source: &[u8], target: &[u8]) -> TableChanges {
    let mut changes = TableChanges::default();
    let (Some(ours), Some(theirs)) = (parts(source), parts(target)) else {
        changes.gap("the two definitions could not be taken apart");
        return changes;
    };
    let table = Alter { alter, changes };
    table.compare(&ours, &theirs)
}

impl TableChanges {
    fn gap(&mut self, what: &str) {
        self.gaps.push(what.to_owned());
    }
}

struct Alter<'a> {
    alter: &'a [u8],
    changes: TableChanges,
}

impl Alter<'_> {
    fn statement(&self, parts: &[&[u8]]) -> Statement {
        let mut all = vec![self.alter, b" "];
        all.extend(parts);
        Statement::of_dump(joined(&all))
    }

    fn compare(mut self, ours: &Parts, theirs: &Parts) -> TableChanges {
        self.head_and_tail(ours, theirs);
        if self.changes.is_another {
            return self.changes;
        }
        self.columns(&ours.columns, &theirs.columns);
        for (name, text) in &theirs.constraints {
            if !ours.constraints.iter().any(|(_, other)| other == text) {
                let drop = self.statement(&[b"DROP CONSTRAINT ", name]);
                self.changes.drop.push(drop);
            }
        }
        for (_, text) in &ours.constraints {
            if !theirs.constraints.iter().any(|(_, other)| other == text) {
                let add = self.statement(&[b"ADD ", text]);
                self.changes.constrain.push(add);
            }
        }
        self.changes
    }

    fn head_and_tail(&mut self, ours: &Parts, theirs: &Parts) {
        let unlogged = |head: &[u8]| head.starts_with(b"CREATE UNLOGGED");
        let kind = |head: &[u8]| {
            head.split(|&byte| byte == b' ')
                .next_back()
                .map(<[u8]>::to_vec)
        };
        // Whether it is logged is among its settings.
        if unlogged(ours.head) == unlogged(theirs.head) && kind(ours.head) != kind(theirs.head) {
            self.changes.gap("it is another kind of table");
            self.changes.is_another = true;
        }
        if ours.tail == theirs.tail {
            return;
        }
        let (Some(left), Some(right)) = (storage_options(ours.tail), storage_options(theirs.tail))
        else {
            if let Some(change) = options::of_server(ours.tail, theirs.tail) {
                let statement = self.statement(&[&change]);
                self.changes.define.push(statement);
                return;
            }
            self.changes.is_another = true;
            self.changes.gap(
                "what follows the list of columns (parents, partition key, server) differs, and is not changed on a table that exists",
            );
            return;
        };
        let name = |option: &&[u8]| {
            option
                .split(|&byte| byte == b'=')
                .next()
                .map(<[u8]>::to_vec)
        };
        let names: Vec<Vec<u8>> = left.iter().filter_map(name).collect();
        for option in &right {
            let reset = name(option).filter(|name| !names.contains(name));
            if let Some(option) = reset {
                let statement = self.statement(&[b"RESET (", &option, b")"]);
                self.changes.define.push(statement);
            }
        }
        for option in left.iter().filter(|option| !right.contains(option)) {
            let statement = self.statement(&[b"SET (", option, b")"]);
            self.changes.define.push(statement);
        }
    }

    fn columns(&mut self, ours: &[Column], theirs: &[Column]) {
        let names = |columns: &[Column]| -> Vec<Vec<u8>> {
            columns.iter().map(|column| column.name.to_vec()).collect()
        };
        let (left, right) = (names(ours), names(theirs));
        for extra in theirs
            .iter()
            .filter(|one| !left.contains(&one.name.to_vec()))
        {
            // A row that is deleted and inserted again would lose its value there: nor are rows written.
            self.changes.gap(&format!(
                "its column {} is not on the source: dropping it would drop its values",
                String::from_utf8_lossy(extra.name)
            ));
            let statement = self.statement(&[b"DROP COLUMN ", extra.name]);
            self.changes.suggestions.push(statement);
        }
        let common = |these: &[Vec<u8>], those: &[Vec<u8>]| -> Vec<Vec<u8>> {
            let these = these.iter().filter(|name| those.contains(name));
            these.cloned().collect()
        };
        if common(&left, &right) != common(&right, &left) {
            let because = "its columns are in another order, which cannot be changed";
            self.changes.partly.push(because.to_owned());
        }
        let last_common = ours
            .iter()
            .rposition(|one| right.contains(&one.name.to_vec()));
        for (at, column) in ours.iter().enumerate() {
            match theirs.iter().find(|other| other.name == column.name) {
                Some(other) => self.column(column, other),
                None => self.missing_column(column, last_common.is_none_or(|last| last < at)),
            }
        }
    }

    fn missing_column(&mut self, column: &Column, is_last: bool) {
        let name = String::from_utf8_lossy(column.name);
        let add = self.statement(&[b"ADD COLUMN ", column.whole]);
        if is_last {
            self.changes.define.push(add);
            if column.generated.is_none() {
                self.changes.partly.push(format!(
                    "its column {name} is added here, but with the default in every row: write a new repair file when this one has been run"
                ));
            }
        } else {
            self.changes.gap(&format!(
                "its column {name} would become the last one, which it is not on the source"
            ));
            self.changes.suggestions.push(add);
        }
    }

    fn column(&mut self, ours: &Column, theirs: &Column) {
        let name = String::from_utf8_lossy(ours.name).into_owned();
        let column = joined(&[b"ALTER COLUMN ", ours.name, b" "]);
        if ours.data_type != theirs.data_type {
            self.changes.gap(&format!(
                "its column {name} is of another type: changing it may change the values, and views on it must go first"
            ));
            let change = self.statement(&[&column, b"TYPE ", ours.data_type]);
            self.changes.suggestions.push(change);
        }
        if ours.generated != theirs.generated {
            self.changes.gap(&format!(
                "its column {name} is generated differently: drop it and add it again"
            ));
        } else if ours.default != theirs.default {
            let change = match ours.default {
                Some(default) => self.statement(&[&column, b"SET DEFAULT ", default]),
                None => self.statement(&[&column, b"DROP DEFAULT"]),
            };
            self.changes.define.push(change);
        }
        if ours.not_null != theirs.not_null {
            self.not_null(ours, theirs, &column);
        }
    }

    fn not_null(&mut self, ours: &Column, theirs: &Column, column: &[u8]) {
        if theirs.not_null.is_some() {
            let drop = self.statement(&[column, b"DROP NOT NULL"]);
            self.changes.drop.push(drop);
        }
        let add = match ours.not_null {
            None => return,
            Some(b"NOT NULL") => self.statement(&[column, b"SET NOT NULL"]),
            // Version 18: `CONSTRAINT name NOT NULL`, which wants to know the column when it stands alone.
            Some(constraint) => {
                let mut text = constraint.to_vec();
                if let Some(at) = pieces(constraint)
                    .iter()
                    .find(|piece| piece.is_word("NULL"))
                {
                    let mut behind = b" ".to_vec();
                    behind.extend_from_slice(ours.name);
                    text.splice(at.end..at.end, behind);
                }
                self.statement(&[b"ADD ", &text])
            }
        };
        self.changes.constrain.push(add);
    }
}

/// The options of `WITH (…)`, if there is nothing else.
fn storage_options(tail: &[u8]) -> Option<Vec<&[u8]>> {
    if tail.is_empty() {
        return Some(Vec::new());
    }
    let (head, options, rest) = around_parentheses(tail)?;
    (head == b"WITH" && rest.is_empty()).then(|| at_commas(options))
}

fn parts(definition: &[u8]) -> Option<Parts<'_>> {
    let (head, list, tail) = around_parentheses(definition)?;
    let mut parts = Parts {
        head,
        columns: Vec::new(),
        constraints: Vec::new(),
        tail,
    };
    for item in at_commas(list) {
        let tokens = pieces(item);
        let first = tokens.first()?;
        if first.is_word("CONSTRAINT") {
            parts.constraints.push((tokens.get(1)?.text, item));
        } else {
            parts.columns.push(column(item)?);
        }
    }
    Some(parts)
}

/// `name type [COLLATE c] [DEFAULT e | GENERATED ALWAYS AS (e) STORED] [[CONSTRAINT n] NOT NULL]`, in the order in which `pg_dump`
/// writes it.
fn column(item: &[u8]) -> Option<Column<'_>> {
    const CLAUSES: [&str; 4] = ["DEFAULT", "GENERATED", "CONSTRAINT", "NOT"];
    let tokens = pieces(item);
    let name = tokens.first()?;
    let rest = item[name.end..].trim_ascii();
    let starts: Vec<(usize, &str)> = pieces(rest)
        .iter()
        .filter_map(|piece| {
            let clause = CLAUSES.iter().find(|word| piece.is_word(word))?;
            Some((piece.start, *clause))
        })
        .collect();
    let first = |words: &[&str]| {
        let found = starts.iter().find(|(_, word)| words.contains(word));
        found.map(|(at, _)| *at)
    };
    let not_null_at = first(&["CONSTRAINT", "NOT"]);
    let upto = not_null_at.unwrap_or(rest.len());
    let clause = |word: &str| {
        let at = first(&[word])?;
        Some(rest[at + word.len()..upto].trim_ascii())
    };
    Some(Column {
        name: name.text,
        data_type: before(rest, &CLAUSES).unwrap_or(rest),
        default: clause("DEFAULT"),
        generated: clause("GENERATED"),
        not_null: not_null_at.map(|at| rest[at..].trim_ascii()),
        whole: item,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(statements: &[Statement]) -> Vec<String> {
        statements.iter().map(Statement::to_string_lossy).collect()
    }

    fn compared(source: &str, target: &str) -> TableChanges {
        changes(b"ALTER TABLE t", source.as_bytes(), target.as_bytes())
    }

    #[test]
    fn columns_constraints_and_options() {
        let found = compared(
            "CREATE TABLE t (\n    a integer DEFAULT 1 NOT NULL,\n    b numeric(3,1),\n    c text,\n    CONSTRAINT x CHECK ((a > 1))\n)\nWITH (fillfactor='70')",
            "CREATE TABLE t (\n    a integer DEFAULT 2,\n    b numeric(3,1) NOT NULL,\n    CONSTRAINT y CHECK ((a > 1))\n)\nWITH (autovacuum_enabled='off')",
        );
        assert_eq!(
            texts(&found.drop),
            [
                "ALTER TABLE t ALTER COLUMN b DROP NOT NULL",
                "ALTER TABLE t DROP CONSTRAINT y"
            ]
        );
        assert_eq!(
            texts(&found.define),
            [
                "ALTER TABLE t RESET (autovacuum_enabled)",
                "ALTER TABLE t SET (fillfactor='70')",
                "ALTER TABLE t ALTER COLUMN a SET DEFAULT 1",
                "ALTER TABLE t ADD COLUMN c text"
            ]
        );
        assert_eq!(
            texts(&found.constrain),
            [
                "ALTER TABLE t ALTER COLUMN a SET NOT NULL",
                "ALTER TABLE t ADD CONSTRAINT x CHECK ((a > 1))"
            ]
        );
        assert_eq!(found.partly.len(), 1, "{:?}", found.partly);
        assert!(found.gaps.is_empty(), "{:?}", found.gaps);
    }

    #[test]
    fn what_would_lose_values_is_only_suggested() {
        let found = compared(
            "CREATE TABLE t (\n    a text,\n    b int\n)",
            "CREATE TABLE t (\n    a varchar(100),\n    b int,\n    z int\n)",
        );
        assert!(found.define.is_empty() && found.drop.is_empty());
        assert_eq!(
            texts(&found.suggestions),
            [
                "ALTER TABLE t DROP COLUMN z",
                "ALTER TABLE t ALTER COLUMN a TYPE text"
            ]
        );
        let inner = compared(
            "CREATE TABLE t (\n    a int,\n    b int\n)",
            "CREATE TABLE t (\n    b int\n)",
        );
        assert!(inner.define.is_empty() && inner.gaps.len() == 1);
    }

    /// Statements name the columns.
    #[test]
    fn what_harms_no_row_keeps_nothing_from_being_done() {
        let found = compared(
            "CREATE TABLE t (\n    a int DEFAULT 1,\n    b int\n)",
            "CREATE TABLE t (\n    b int,\n    a int\n)",
        );
        assert!(found.gaps.is_empty(), "{:?}", found.gaps);
        assert_eq!(found.partly.len(), 1, "{:?}", found.partly);
        assert_eq!(
            texts(&found.define),
            ["ALTER TABLE t ALTER COLUMN a SET DEFAULT 1"]
        );
        for harmful in [
            "z int",
            "z int NOT NULL",
            "z int GENERATED ALWAYS AS (b) STORED",
        ] {
            let target = format!("CREATE TABLE t (\n    b int,\n    {harmful}\n)");
            let found = compared("CREATE TABLE t (\n    b int\n)", &target);
            assert_eq!(found.gaps.len(), 1, "{harmful}: {:?}", found.gaps);
        }
    }

    #[test]
    fn of_other_parents_nothing_else_is_said() {
        let found = compared(
            "CREATE TABLE t (\n    c text,\n    CONSTRAINT own CHECK ((c > ''))\n)\nINHERITS (a, b)",
            "CREATE TABLE t (\n    a int,\n    c text,\n    CONSTRAINT inherited CHECK ((a > 1))\n)\nINHERITS (b, a)",
        );
        assert_eq!(found.gaps.len(), 1, "{:?}", found.gaps);
        assert!(found.is_another);
        let nothing = TableChanges {
            gaps: found.gaps.clone(),
            is_another: true,
            ..TableChanges::default()
        };
        assert_eq!(found, nothing);
    }

    #[test]
    fn options_of_a_foreign_table_are_changed() {
        let found = changes(
            b"ALTER FOREIGN TABLE t",
            b"CREATE FOREIGN TABLE t (\n    a int\n)\nSERVER s\nOPTIONS (\n    x '1',\n    y 'a, b'\n)",
            b"CREATE FOREIGN TABLE t (\n    a int\n)\nSERVER s\nOPTIONS (\n    x '2',\n    z ''\n)",
        );
        assert_eq!(
            texts(&found.define),
            ["ALTER FOREIGN TABLE t OPTIONS (DROP z, SET x '1', ADD y 'a, b')"]
        );
        assert!(found.gaps.is_empty() && !found.is_another);
    }

    #[test]
    fn a_named_not_null_says_its_column() {
        let found = compared(
            "CREATE TABLE t (\n    a int CONSTRAINT nn NOT NULL NO INHERIT\n)",
            "CREATE TABLE t (\n    a int\n)",
        );
        assert_eq!(
            texts(&found.constrain),
            ["ALTER TABLE t ADD CONSTRAINT nn NOT NULL a NO INHERIT"]
        );
    }
}
