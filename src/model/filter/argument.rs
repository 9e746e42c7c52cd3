//! A selection as `pg_dump`'s arguments, read again.

use super::{FilterKind, Filters};

impl FilterKind {
    const ALL: [Self; 11] = [
        Self::Schema,
        Self::ExcludeSchema,
        Self::Table,
        Self::TableAndChildren,
        Self::ExcludeTable,
        Self::ExcludeTableAndChildren,
        Self::ExcludeTableData,
        Self::ExcludeTableDataAndChildren,
        Self::Extension,
        Self::ExcludeExtension,
        Self::IncludeForeignData,
    ];
}

impl Filters {
    /// Takes in an argument as [`Self::pg_dump_args`] writes it; whether it is one. Short options, abbreviations and whatever else `pg_dump`
    /// would understand are none.
    pub fn add_argument(&mut self, argument: &str) -> bool {
        let Some((flag, pattern)) = argument.split_once('=') else {
            return false;
        };
        let kind = FilterKind::ALL.into_iter().find(|kind| kind.flag() == flag);
        kind.is_some_and(|kind| self.add(kind, pattern).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let file = "include schema a\nexclude schema b*\ninclude table a.\"T=1\"\nexclude table \"two\nlines\"\n\
                    include table_and_children c\nexclude table_and_children d\nexclude table_data e|f\n\
                    exclude table_data_and_children g\ninclude extension h\nexclude extension i\ninclude foreign_data j\n";
        let mut filters = Filters::default();
        filters.add_file("f", file).expect("filters");
        assert_eq!(filters.iter().count(), FilterKind::ALL.len());
        let mut again = Filters::default();
        for argument in filters.pg_dump_args() {
            assert!(again.add_argument(&argument), "{argument}");
        }
        assert_eq!(again, filters);
    }

    #[test]
    fn nothing_else_is_taken_in() {
        let mut filters = Filters::default();
        for argument in [
            "--file=/home/me/.bashrc",
            "--dbname=host=elsewhere",
            "--snapshot=00000003-0000001B-1",
            "--filter=-",
            "--schem=a",
            "--schema",
            "schema=a",
            "-n",
            "-na",
            "-n=a",
            "-f",
            "shop",
            "",
            "=",
            "--table=a.b.c.d",
        ] {
            assert!(!filters.add_argument(argument), "{argument}");
        }
        assert!(filters.is_empty());
    }
}
