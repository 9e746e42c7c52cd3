//! `--repair FILE`: what was found, handed to the module that thinks out the SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{SecondsFormat, Utc};

use super::compare_rows::TableDiffers;
use super::look::{Both, Look, SideView};
use crate::catalog::{Column, SourceFacts, Table, Types};
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::model::{Difference, Endpoint, QualifiedName, RepairFile, Rows, VerifyLevel};
use crate::toc::CompareOptions;
use crate::verify::repair::{
    self, NoRows, RepairColumn, RepairInput, RepairRow, RepairSide, TableRepair, TargetIdentity,
};
use crate::verify::rows::Ends;

/// Names that are tried for a file that is being written.
const ATTEMPTS: u32 = 100;

/// What was found, after the rules that pass something over.
pub(super) struct FoundToRepair<'a> {
    /// All of it.
    pub differences: &'a [Difference],
    /// The rows that can be written.
    pub tables: &'a [TableRepair],
    /// Why those of other tables cannot.
    pub no_rows: &'a BTreeMap<QualifiedName, NoRows>,
    /// Tables that were compared in full, and are the same.
    pub same: &'a BTreeSet<QualifiedName>,
}

/// What the catalogs know of tables.
pub(super) struct Catalogs<'a> {
    /// The source's.
    pub source: &'a SourceFacts,
    /// The target's.
    pub target: &'a SourceFacts,
    /// Columns of the source that are `GENERATED ALWAYS AS IDENTITY`.
    pub identities: &'a BTreeSet<(QualifiedName, String)>,
}

/// Writes the file, and says what it does not cover.
pub(super) async fn write(
    path: &Path,
    found: &FoundToRepair<'_>,
    (look, both, options): (&Look, &Both, &CompareOptions),
    (ends, emit): (&Arc<Ends>, &Arc<dyn Emit>),
) -> Result<(), Failure> {
    let made_at = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let differences = found.differences;
    let target = &both.target.facts;
    let input = RepairInput {
        differences,
        source: side(&both.source.endpoint, &look.source),
        target: side(&both.target.endpoint, &look.target),
        options,
        tables: found.tables,
        no_rows: found.no_rows,
        same: found.same,
        target_identity: TargetIdentity {
            system_identifier: target.system_identifier,
            database_oid: target.database_oid,
        },
        target_superuser: target.superuser,
        made_at: &made_at,
    };
    let repair = repair::plan(&input);
    let failed = |error: io::Error| Failure::file("writing", path, &error);
    let (unfinished, file) = Unfinished::beside(path)
        .map_err(|(unfinished, error)| Failure::file("writing", &unfinished, &error))?;
    let mut file = BufWriter::new(file);
    let [source, target] = &ends.pools;
    let (mut left, mut right) = (source.take().await?, target.take().await?);
    repair.write(&mut left, &mut right, &mut file).await?;
    // Their client encoding is not what the pool's sessions have.
    source.give_up(left);
    target.give_up(right);
    file.flush().map_err(failed)?;
    file.get_ref().sync_all().map_err(failed)?;
    fs::rename(&unfinished.path, path).map_err(failed)?;
    emit.emit(What::RepairWritten(RepairFile {
        file: path.display().to_string(),
        covered: repair.covered() as u64,
        differences: differences.len() as u64,
    }));
    emit.emit(What::Note {
        text: format!(
            "the repair is in {}: it covers {} of {} differences; read it before you run it, and verify again afterwards",
            path.display(),
            repair.covered(),
            differences.len()
        ),
    });
    for left in repair.not_covered() {
        let Difference { class, object, .. } = &left.difference;
        emit.emit(What::Note {
            text: format!(
                "the repair does not cover {class} {object}: {}",
                left.because
            ),
        });
    }
    Ok(())
}

/// A file that is being written beside its place: a repair that is half there must not look like a whole one. What has not become the
/// file itself goes.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// One that was not there. It holds rows and passwords, so it is for its owner alone. Who was killed has left one, and where we
    /// have the same number each time, as in a container, it has ours. An error comes with the path that it is about.
    fn beside(path: &Path) -> Result<(Self, File), (PathBuf, io::Error)> {
        let mut attempt = 1;
        loop {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(format!(".unfinished-{}", std::process::id()));
            if attempt > 1 {
                name.push(format!("-{attempt}"));
            }
            let path = path.with_file_name(name);
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            match options.open(&path) {
                Ok(file) => return Ok((Self { path }, file)),
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(error) => return Err((path, error)),
            }
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn side<'a>(endpoint: &'a Endpoint, view: &'a SideView) -> RepairSide<'a> {
    RepairSide {
        endpoint,
        toc: &view.toc,
        observed: &view.observed,
    }
}

/// What the repair has to know of a table whose rows differ, or why none of these are written. Rows that would be written to another
/// server as well are left alone, and so are those whose text says less than their value.
pub(super) fn of_table(
    differs: &TableDiffers,
    catalogs: &Catalogs<'_>,
    level: VerifyLevel,
) -> Result<TableRepair, NoRows> {
    let facts = catalogs.source;
    if differs.comparand.reaches_foreign {
        return Err(NoRows::ReachForeign);
    }
    let name = &differs.comparand.name;
    let is_in_it =
        |table: &&Table| table.load_via_root && table.partition_root.as_ref() == Some(name);
    let is_root = facts.tables.iter().any(|table| is_in_it(&table));
    let is_it = |table: &&Table| table.name == *name || is_in_it(table);
    let known = facts.tables.iter().find(is_it).ok_or(NoRows::Unknown)?;
    let types = Types(&facts.types);
    // A name may be that of several functions.
    let is_ambiguous = |column: &&Column| types.holds_names(column.type_oid);
    if let Some(column) = known.columns.iter().find(is_ambiguous) {
        return Err(NoRows::HoldNames {
            column: column.name.clone(),
        });
    }
    let key = differs.comparand.key.as_ref();
    let is_compared = |column: &Column| {
        let mut compared = differs.comparand.columns.iter();
        compared.any(|one| one.name == column.name)
    };
    // What only the target has is not compared either.
    let there = catalogs.target.tables.iter().find(is_it);
    let mut stored = there.into_iter().flat_map(|table| &table.columns);
    let has_own_values = stored.any(|column| !column.generated && !is_compared(column));
    let columns = known.columns.iter().map(|column| RepairColumn {
        name: column.name.clone(),
        generated: column.generated,
        compared: is_compared(column),
        identity_always: catalogs
            .identities
            .contains(&(known.name.clone(), column.name.clone())),
        equals_in: equals_in(types, column),
        literal_type: key.and_then(|key| {
            let mut columns = key.columns.iter().zip(&key.literals);
            let (_, literal) = columns.find(|(name, _)| **name == column.name)?;
            literal.clone()
        }),
    });
    let target_is_empty = differs
        .verdict
        .target
        .is_none_or(|digest| digest.rows == Rows(0));
    let (rows, more) = if target_is_empty {
        (Vec::new(), 0)
    } else {
        rows_of(differs, is_root, level)?
    };
    Ok(TableRepair {
        table: name.clone(),
        is_root,
        columns: columns.collect(),
        key: key.map(|key| key.columns.clone()).unwrap_or_default(),
        rows,
        more,
        whole: target_is_empty,
        condition: differs.comparand.condition.clone(),
        has_own_values,
    })
}

/// The rows that are known by name, and how many more differ.
fn rows_of(
    differs: &TableDiffers,
    is_root: bool,
    level: VerifyLevel,
) -> Result<(Vec<RepairRow>, u64), NoRows> {
    let Some((found, described)) = &differs.found else {
        return Err(if level == VerifyLevel::Content {
            NoRows::NotFound {
                because: differs.difference.detail.clone(),
            }
        } else {
            NoRows::OnlyCounted
        });
    };
    // Rows of several partitions can have the same place.
    if is_root && differs.comparand.key.is_none() {
        return Err(NoRows::SamePlaces);
    }
    let named: u64 = found.rows.iter().map(|row| row.copies).sum();
    let columns = |key: &Vec<String>| {
        let example = described.examples.iter().find(|row| row.key == *key);
        let columns = example.map(|row| row.columns.iter().map(|one| one.column.clone()));
        columns.into_iter().flatten().collect()
    };
    let rows = found.rows.iter().map(|row| RepairRow {
        kind: row.kind,
        key: row.key.clone(),
        copies: row.copies,
        columns: columns(&row.key),
    });
    Ok((rows.collect(), found.total() - named))
}

/// The schema of a type's `=`: enums, arrays, ranges and composite types have the server's own.
fn equals_in(types: Types<'_>, column: &Column) -> Option<String> {
    let facts = types.0.get(&types.beneath(column.type_oid))?;
    let has_its_own = facts.kind == 'b' && facts.element.is_none();
    has_its_own.then(|| facts.schema.clone())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::catalog::Type;
    use crate::model::{DifferenceKind, MultisetDigest, Oid, RowKind, RowsDiffer, TableVerdict};
    use crate::verify::drill::{DifferingRow, Found};
    use crate::verify::rows::{Comparand, ReadColumn};

    /// Their numbers on every server.
    const INTEGER: Oid = Oid(23);
    const REGPROC: Oid = Oid(24);

    /// A source with a table of one column.
    fn with_column(type_oid: Oid) -> SourceFacts {
        let column = Column {
            name: "f".to_owned(),
            type_oid,
            generated: false,
            is_virtual: false,
        };
        SourceFacts {
            tables: vec![Table::bare(QualifiedName::new("s", "calls"), vec![column])],
            types: BTreeMap::from([(REGPROC, Type::built_in("regproc"))]),
            ..SourceFacts::default()
        }
    }

    /// That it differs, and is not empty; not in which rows.
    fn differing() -> TableDiffers {
        let name = QualifiedName::new("s", "calls");
        let target = Some(MultisetDigest {
            rows: Rows(3),
            sum: 7,
        });
        TableDiffers {
            verdict: TableVerdict {
                target,
                ..TableVerdict::excluded(&name)
            },
            difference: Difference {
                kind: DifferenceKind::Different,
                class: "table data".to_owned(),
                object: name.shown(),
                detail: "the connection was lost".to_owned(),
            },
            comparand: Comparand::named(&name),
            found: None,
        }
    }

    fn one_row() -> (Found, RowsDiffer) {
        let row = DifferingRow {
            kind: RowKind::Missing,
            key: vec!["(0,1)".to_owned()],
            copies: 1,
            hash: Some(7),
        };
        let found = Found {
            missing: 1,
            rows: vec![row],
            ..Found::default()
        };
        let described = RowsDiffer {
            table: QualifiedName::new("s", "calls"),
            key: Vec::new(),
            missing: Rows(1),
            extra: Rows(0),
            changed: Rows(0),
            exact: true,
            examples: Vec::new(),
            in_flux: Rows(0),
        };
        (found, described)
    }

    fn catalogs<'a>(source: &'a SourceFacts, target: &'a SourceFacts) -> Catalogs<'a> {
        static NONE: BTreeSet<(QualifiedName, String)> = BTreeSet::new();
        Catalogs {
            source,
            target,
            identities: &NONE,
        }
    }

    /// How many rows are written, or why none are.
    fn written(
        differs: &TableDiffers,
        facts: &SourceFacts,
        level: VerifyLevel,
    ) -> Result<usize, NoRows> {
        let table = of_table(differs, &catalogs(facts, facts), level)?;
        Ok(table.rows.len())
    }

    #[test]
    fn rows_that_are_not_written_have_the_reason_that_there_is() {
        let (plain, of_names) = (with_column(INTEGER), with_column(REGPROC));
        let by_content = VerifyLevel::Content;
        let mut differs = differing();
        let nowhere = SourceFacts::default();
        let of_nothing = written(&differs, &nowhere, by_content);
        assert_eq!(of_nothing, Err(NoRows::Unknown));
        let not_found = NoRows::NotFound {
            because: "the connection was lost".to_owned(),
        };
        assert_eq!(written(&differs, &plain, by_content), Err(not_found));
        let by_count = written(&differs, &plain, VerifyLevel::Counts);
        assert_eq!(by_count, Err(NoRows::OnlyCounted));

        differs.found = Some(one_row());
        assert_eq!(written(&differs, &plain, by_content), Ok(1));
        let hold_names = NoRows::HoldNames {
            column: "f".to_owned(),
        };
        assert_eq!(written(&differs, &of_names, by_content), Err(hold_names));
        let mut partitioned = with_column(INTEGER);
        let partition = &mut partitioned.tables[0];
        partition.name = QualifiedName::new("s", "calls_1");
        partition.partition_root = Some(QualifiedName::new("s", "calls"));
        partition.load_via_root = true;
        let of_root = written(&differs, &partitioned, by_content);
        assert_eq!(of_root, Err(NoRows::SamePlaces));
        // Whatever else is the matter with it.
        differs.comparand.reaches_foreign = true;
        let of_others = written(&differs, &of_names, by_content);
        assert_eq!(of_others, Err(NoRows::ReachForeign));
    }

    /// Then nobody has to know which rows differ.
    #[test]
    fn all_rows_of_an_empty_table_are_written() {
        let mut differs = differing();
        differs.verdict.target = Some(MultisetDigest::default());
        let facts = with_column(INTEGER);
        let table = of_table(&differs, &catalogs(&facts, &facts), VerifyLevel::Counts);
        assert!(table.is_ok_and(|table| table.whole));
    }

    #[test]
    fn a_row_that_holds_what_was_not_compared_is_not_replaced() {
        let (source, mut target) = (with_column(INTEGER), with_column(INTEGER));
        let mut differs = differing();
        differs.found = Some(one_row());
        let has_own_values = |differs: &TableDiffers, target: &SourceFacts| {
            let table = of_table(differs, &catalogs(&source, target), VerifyLevel::Content);
            table.expect("rows").has_own_values
        };
        assert!(has_own_values(&differs, &target), "f was not compared");
        differs.comparand.columns = vec![ReadColumn {
            name: "f".to_owned(),
            expression: "f".to_owned(),
            text: String::new(),
            differs_untold: None,
            shown: String::new(),
            generated: false,
            is_array: false,
        }];
        assert!(!has_own_values(&differs, &target));
        let more = Column {
            name: "only here".to_owned(),
            ..target.tables[0].columns[0].clone()
        };
        target.tables[0].columns.push(more);
        assert!(has_own_values(&differs, &target));
    }

    #[test]
    fn what_is_not_finished_is_seen_by_nobody_and_goes() {
        let directory = tempfile::tempdir().expect("a directory");
        let others = ["x.part", "x.sql"].map(|name| directory.path().join(name));
        for other in &others {
            fs::write(other, "somebody's").expect("a file");
        }
        let (unfinished, file) = Unfinished::beside(&others[1]).expect("a file");
        let mode = file.metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Somebody with our number has been killed.
        let (beside_it, _) = Unfinished::beside(&others[1]).expect("another name");
        assert_ne!(beside_it.path, unfinished.path);
        for one in [unfinished, beside_it] {
            let path = one.path.clone();
            assert!(path.exists());
            drop(one);
            assert!(!path.exists());
        }
        let nowhere = directory.path().join("nowhere").join("x.sql");
        let (named, _) = Unfinished::beside(&nowhere)
            .map(drop)
            .expect_err("no directory");
        assert!(
            named.to_string_lossy().contains(".unfinished-"),
            "{named:?}"
        );
        for other in &others {
            let text = fs::read_to_string(other).expect("a file");
            assert_eq!(text, "somebody's");
        }
    }
}
