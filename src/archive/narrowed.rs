//! What was left out of an archive when it was dumped, as its manifest has it: options of the command line.
//!
//! They are `pg_dump`'s as well, which describes a server likewise when that is compared with the archive. Whoever wrote the manifest, its
//! texts are not given to a program that writes files and knows a password: they are understood here, and what is given on is
//! made anew from what was understood.

use crate::model::{FilterKind, Filters};
use crate::toc::RestoreOptions;

/// What was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// Which objects were meant.
    pub filters: Filters,
    /// What was left out of these.
    pub restore: RestoreOptions,
}

impl Narrowed {
    /// Understands options as `dump` notes them; the error is the first that is none of these.
    pub fn parse(options: &[String]) -> Result<Self, &str> {
        let mut narrowed = Self::default();
        for option in options {
            if !narrowed.filters.add_argument(option) {
                let with_it = narrowed.restore.and(std::slice::from_ref(option));
                if !with_it.options().any(|known| known == option) {
                    return Err(option);
                }
                narrowed.restore = with_it;
            }
        }
        Ok(narrowed)
    }

    /// The options again, each one argument, as `dump` and `pg_dump` take them.
    pub fn options(&self) -> Vec<String> {
        let mut options = self.filters.pg_dump_args();
        options.extend(self.restore.options().map(str::to_owned));
        options
    }

    /// Whether large objects were left out: `pg_dump` takes none where it is told what to take.
    pub fn leaves_out_large_objects(&self) -> bool {
        self.filters.iter().any(|filter| filter.kind.selects())
    }

    /// Whether data was left out of what is defined in it.
    pub fn leaves_out_data(&self) -> bool {
        self.filters.iter().any(|filter| {
            matches!(
                filter.kind,
                FilterKind::ExcludeTableData | FilterKind::ExcludeTableDataAndChildren
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(options: &[&str]) -> Vec<String> {
        options.iter().map(|&option| option.to_owned()).collect()
    }

    #[test]
    fn what_a_dump_notes_is_understood() {
        let options = strings(&[
            "--schema=app",
            "--exclude-table-data=app.log",
            "--no-acl",
            "--no-comments",
            "--no-publications",
            "--no-subscriptions",
            "--no-security-labels",
        ]);
        let narrowed = Narrowed::parse(&options).expect("all are known");
        assert_eq!(narrowed.options(), options);
        assert!(narrowed.restore.no_comments && narrowed.restore.no_acl);
        assert_eq!(Narrowed::parse(&[]), Ok(Narrowed::default()));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for unknown in [
            "--file=/home/me/.bashrc",
            "--dbname=host=elsewhere",
            "--snapshot=1",
            "--create",
            "--no-policies=x",
            "-f",
            "shop",
            "",
        ] {
            let options = strings(&["--no-comments", unknown, "--schema=app"]);
            assert_eq!(Narrowed::parse(&options), Err(unknown));
        }
    }

    #[test]
    fn large_objects_are_left_out_where_something_is_chosen() {
        let leaves_out = |option: &str| {
            let options = strings(&[option]);
            let narrowed = Narrowed::parse(&options);
            narrowed.expect("known").leaves_out_large_objects()
        };
        for option in ["--schema=a", "--table=a", "--extension=a"] {
            assert!(leaves_out(option), "{option}");
        }
        for option in [
            "--exclude-schema=a",
            "--exclude-table=a",
            "--exclude-table-data=a",
            "--no-comments",
        ] {
            assert!(!leaves_out(option), "{option}");
        }
    }

    #[test]
    fn data_is_left_out_where_its_table_is_named() {
        let leaves_out = |option: &str| {
            let options = strings(&[option]);
            let narrowed = Narrowed::parse(&options);
            narrowed.expect("known").leaves_out_data()
        };
        assert!(leaves_out("--exclude-table-data=a"));
        assert!(leaves_out("--exclude-table-data-and-children=a"));
        assert!(!leaves_out("--exclude-table=a") && !leaves_out("--table=a"));
    }
}
