//! Which part of an archive: the names and meanings of the options are `pg_restore`'s.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::look::Wanted;
use crate::failure::Failure;
use crate::model::shell_word;
use crate::toc::{Section, Selection};

/// Which part. Nothing is everything.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which part")]
pub struct PartArgs {
    /// Only what is in this schema (a name, not a pattern); may be given several times
    #[arg(short = 'n', long, value_name = "NAME")]
    schema: Vec<String>,

    /// Leave out this schema
    #[arg(short = 'N', long, value_name = "NAME")]
    exclude_schema: Vec<String>,

    /// Only this table, view or sequence, with its rows, and without its indexes and keys
    #[arg(short = 't', long, value_name = "NAME")]
    table: Vec<String>,

    /// Only the entries in this file: the output of pgconvoy list, with a ; before each line to leave out
    #[arg(short = 'L', long, value_name = "FILE")]
    use_list: Option<PathBuf>,

    /// No rows, no large objects, and sequences at their start values
    #[arg(short = 's', long)]
    schema_only: bool,

    /// Only rows, large objects and the values of sequences; the target must already have the tables, and they must be empty
    ///
    /// With --overwrite, the tables are emptied first. They are loaded in the order of their foreign keys. Indexes and keys
    /// stay in force, so it takes longer than restoring everything. Definitions are not compared.
    #[arg(short = 'a', long, conflicts_with_all = ["schema_only", "section"])]
    data_only: bool,

    /// With --data-only: triggers and foreign keys do not fire while rows are loaded; the keys are checked afterwards. Needs a superuser
    #[arg(long, requires = "data_only")]
    pub disable_triggers: bool,

    /// Only this section; pre-data alone, or with data
    #[arg(long, value_name = "SECTION", value_enum)]
    section: Vec<SectionName>,
}

/// A section, as `pg_restore` calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SectionName {
    /// What must exist before the rows.
    PreData,
    /// Rows.
    Data,
    /// What is created after them.
    PostData,
}

impl PartArgs {
    /// What is chosen.
    pub fn selection(&self) -> Result<Selection, Failure> {
        let list = match &self.use_list {
            None => None,
            Some(path) => {
                // Names may be in any encoding; the numbers count.
                let text =
                    std::fs::read(path).map_err(|error| Failure::file("reading", path, &error))?;
                let list =
                    Selection::read_list(&String::from_utf8_lossy(&text)).map_err(|error| {
                        Failure::usage(
                            error.to_string(),
                            "Let pgconvoy list write it, and edit that.",
                        )
                    })?;
                Some(list)
            }
        };
        let sections = self.section.iter().map(|section| match section {
            SectionName::PreData => Section::PreData,
            SectionName::Data => Section::Data,
            SectionName::PostData => Section::PostData,
        });
        Ok(Selection {
            schemas: self.schema.clone(),
            exclude_schemas: self.exclude_schema.clone(),
            tables: self.table.clone(),
            list,
            schema_only: self.schema_only,
            data_only: self.data_only,
            sections: sections.collect(),
        })
    }
}

/// What is restored of some objects empties nothing else: `--overwrite` would drop all there is.
pub(super) fn refuse_to_drop_everything(wanted: &Wanted) -> Result<(), Failure> {
    let selection = &wanted.selection;
    let Some(name) = wanted
        .overwrite
        .as_ref()
        .filter(|_| selection.is_of_some() && !selection.data_only)
    else {
        return Ok(());
    };
    let name = shell_word(name);
    Err(Failure::usage(
        format!(
            "--overwrite {name} drops everything that the target holds, but only a part is restored ({})",
            selection.options().join(" ")
        ),
        format!(
            "Give --clean {name} --if-exists instead, which drops that part alone; or drop the database yourself, and give --create."
        ),
    ))
}
