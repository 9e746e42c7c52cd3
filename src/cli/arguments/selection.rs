//! Which objects a run is about: `-n`, `-t` and their kin, and filter files.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::Failure;
use crate::model::{FilterKind, Filters};

/// What to move. Without any of these, the whole database.
#[derive(Debug, Clone, Default, Args)]
#[command(
    next_help_heading = "Selection (patterns as for pg_dump; one that matches nothing is an error)"
)]
pub struct SelectionArgs {
    /// Only schemas that match, with what is in them
    #[arg(short = 'n', long, value_name = "PATTERN")]
    schema: Vec<String>,

    /// Leave out schemas that match
    #[arg(short = 'N', long, value_name = "PATTERN")]
    exclude_schema: Vec<String>,

    /// Only tables, views, sequences and foreign tables that match
    #[arg(short = 't', long, value_name = "PATTERN")]
    table: Vec<String>,

    /// Like --table, with partitions and inheritance children
    #[arg(long, value_name = "PATTERN")]
    table_and_children: Vec<String>,

    /// Leave out tables that match
    #[arg(short = 'T', long, value_name = "PATTERN")]
    exclude_table: Vec<String>,

    /// Like --exclude-table, with partitions and inheritance children
    #[arg(long, value_name = "PATTERN")]
    exclude_table_and_children: Vec<String>,

    /// Keep tables that match, but leave out their rows
    #[arg(long, value_name = "PATTERN")]
    exclude_table_data: Vec<String>,

    /// Like --exclude-table-data, with partitions and inheritance children
    #[arg(long, value_name = "PATTERN")]
    exclude_table_data_and_children: Vec<String>,

    /// Only extensions that match
    #[arg(short = 'e', long, value_name = "PATTERN")]
    extension: Vec<String>,

    /// Leave out extensions that match
    #[arg(long, value_name = "PATTERN")]
    exclude_extension: Vec<String>,

    /// Read patterns from a file, in the format of `pg_dump --filter`; may be given several times
    #[arg(long, value_name = "FILE")]
    filter: Vec<PathBuf>,
}

impl SelectionArgs {
    /// All patterns; reads the filter files.
    pub fn filters(&self) -> Result<Filters, Failure> {
        let groups = [
            (FilterKind::Schema, &self.schema),
            (FilterKind::ExcludeSchema, &self.exclude_schema),
            (FilterKind::Table, &self.table),
            (FilterKind::TableAndChildren, &self.table_and_children),
            (FilterKind::ExcludeTable, &self.exclude_table),
            (
                FilterKind::ExcludeTableAndChildren,
                &self.exclude_table_and_children,
            ),
            (FilterKind::ExcludeTableData, &self.exclude_table_data),
            (
                FilterKind::ExcludeTableDataAndChildren,
                &self.exclude_table_data_and_children,
            ),
            (FilterKind::Extension, &self.extension),
            (FilterKind::ExcludeExtension, &self.exclude_extension),
        ];
        let mut filters = Filters::default();
        for (kind, patterns) in groups {
            for pattern in patterns {
                filters.add(kind, pattern)?;
            }
        }
        for file in &self.filter {
            filters.add_file(&file.display().to_string(), &read(file)?)?;
        }
        Ok(filters)
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let read = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|error| {
        Failure::usage(
            format!("filter file {} cannot be read: {error}", file.display()),
            "Name a file of UTF-8 text that may be read, or - for standard input.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_files_come_to_the_same_filters() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("filters");
        std::fs::write(&file, "# comment\nexclude table_data cache.*\n").expect("written");
        let args = SelectionArgs {
            schema: vec!["public".into()],
            filter: vec![file],
            ..SelectionArgs::default()
        };
        assert_eq!(
            args.filters().expect("filters").pg_dump_args(),
            ["--schema=public", "--exclude-table-data=cache.*"]
        );
        let missing = SelectionArgs {
            filter: vec![dir.path().join("none")],
            ..SelectionArgs::default()
        };
        assert_eq!(missing.filters().expect_err("no file").status.code(), 2);
    }
}
