//! `--repair FILE`: what was found, handed to the module that thinks out the SQL.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use chrono::{SecondsFormat, Utc};

use super::compare_rows::TableDiffers;
use super::look::{Both, Look, SideView};
use crate::catalog::Table;
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::model::{Difference, Endpoint, Rows};
use crate::toc::CompareOptions;
use crate::verify::repair::{self, RepairColumn, RepairInput, RepairRow, RepairSide, TableRepair};
use crate::verify::rows::Ends;

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
    let failed = |error: std::io::Error| Failure::file("writing", path, &error);
    // Beside its place first: a repair that is half there must not look like a whole one.
    let beside = path.with_extension("part");
    let mut file = BufWriter::new(File::create(&beside).map_err(failed)?);
    let [source, target] = &ends.pools;
    let (mut left, mut right) = (source.take().await?, target.take().await?);
    repair.write(&mut left, &mut right, &mut file).await?;
    // Their client encoding is not what the pool's sessions have.
    source.give_up(left);
    target.give_up(right);
    file.flush().map_err(failed)?;
    file.get_ref().sync_all().map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)?;
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

fn side<'a>(endpoint: &'a Endpoint, view: &'a SideView) -> RepairSide<'a> {
    RepairSide {
        endpoint,
        toc: &view.toc,
        observed: &view.observed,
    }
}

/// What the repair has to know of a table whose rows differ.
pub(super) fn of_table(differs: &TableDiffers, source: &SideView) -> Option<TableRepair> {
    let (name, facts) = (&differs.comparand.name, &source.facts);
    let is_in_it =
        |table: &&Table| table.load_via_root && table.partition_root.as_ref() == Some(name);
    let is_root = facts.tables.iter().any(|table| is_in_it(&table));
    let is_it = |table: &&Table| table.name == *name || is_in_it(table);
    let known = facts.tables.iter().find(is_it)?;
    let columns = known.columns.iter().map(|column| {
        let facts = facts.types.get(&column.type_oid);
        RepairColumn {
            name: column.name.clone(),
            generated: column.generated,
            identity_always: source
                .identities
                .contains(&(known.name.clone(), column.name.clone())),
            equals_in: facts
                .filter(|facts| facts.extension.is_some())
                .map(|facts| facts.schema.clone()),
        }
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
        key: differs
            .comparand
            .key
            .as_ref()
            .map(|key| key.columns.clone())
            .unwrap_or_default(),
        rows,
        more,
        whole: target_is_empty,
    })
}
