//! `--repair FILE`: what was found, handed to the module that thinks out the SQL.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{SecondsFormat, Utc};

use super::compare_rows::TableDiffers;
use super::look::{Both, Look, SideView};
use crate::catalog::{Column, Table, Types};
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::model::{Difference, Endpoint, Rows};
use crate::toc::CompareOptions;
use crate::verify::repair::{self, RepairColumn, RepairInput, RepairRow, RepairSide, TableRepair};
use crate::verify::rows::Ends;

/// Names that are tried for a file that is being written.
const ATTEMPTS: u32 = 100;

/// Writes the file, and says what it does not cover.
pub(super) async fn write(
    path: &Path,
    (differences, tables): (&[Difference], &[TableRepair]),
    (look, both, options): (&Look, &Both, &CompareOptions),
    (ends, emit): (&Arc<Ends>, &Arc<dyn Emit>),
) -> Result<(), Failure> {
    let made_at = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let input = RepairInput {
        differences,
        source: side(&both.source.endpoint, &look.source),
        target: side(&both.target.endpoint, &look.target),
        options,
        tables,
        target_superuser: both.target.facts.superuser,
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

/// What the repair has to know of a table whose rows differ. Rows that would be written to another server as well are left alone, and
/// so are those whose text says less than their value.
pub(super) fn of_table(differs: &TableDiffers, source: &SideView) -> Option<TableRepair> {
    if differs.comparand.reaches_foreign {
        return None;
    }
    let (name, facts) = (&differs.comparand.name, &source.facts);
    let is_in_it =
        |table: &&Table| table.load_via_root && table.partition_root.as_ref() == Some(name);
    let is_root = facts.tables.iter().any(|table| is_in_it(&table));
    let is_it = |table: &&Table| table.name == *name || is_in_it(table);
    let known = facts.tables.iter().find(is_it)?;
    let types = Types(&facts.types);
    // A name may be that of several functions.
    let is_ambiguous = |column: &Column| types.holds_names(column.type_oid);
    if known.columns.iter().any(is_ambiguous) {
        return None;
    }
    let key = differs.comparand.key.as_ref();
    let columns = known.columns.iter().map(|column| RepairColumn {
        name: column.name.clone(),
        generated: column.generated,
        identity_always: source
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
    let (rows, more) = match &differs.found {
        // Rows of several partitions can have the same place.
        Some(_) if !target_is_empty && is_root && differs.comparand.key.is_none() => return None,
        Some((found, described)) if !target_is_empty => {
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
            (rows.collect(), found.total() - named)
        }
        _ if target_is_empty => (Vec::new(), 0),
        _ => return None,
    };
    Some(TableRepair {
        table: name.clone(),
        is_root,
        columns: columns.collect(),
        key: key.map(|key| key.columns.clone()).unwrap_or_default(),
        rows,
        more,
        whole: target_is_empty,
        condition: differs.comparand.condition.clone(),
    })
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
