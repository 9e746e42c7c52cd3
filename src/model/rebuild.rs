//! The statement that builds indexes anew on a server that others use, and what that keeps them waiting for.

use std::fmt::Display;

/// How a server builds indexes anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuild {
    concurrently: bool,
}

impl Rebuild {
    /// What to say of a standby, instead of a statement.
    pub const ON_STANDBY: &str = "This server is a standby, where no index can be rebuilt: do that on its primary, with REINDEX (CONCURRENTLY \
                                  from version 12 on, so that others can go on writing).";

    /// Of a server of this major version; `None` on a standby.
    pub fn on(major: u32, in_recovery: bool) -> Option<Self> {
        (!in_recovery).then_some(Self {
            concurrently: major >= 12,
        })
    }

    /// Of an index that no server builds anew but under a lock: one of the catalog, or of an exclusion constraint.
    pub const LOCKING: Self = Self {
        concurrently: false,
    };

    /// What builds the indexes anew that the statement for a whole database passes over; `None` if that does not pass over any.
    pub fn passed_over(self) -> Option<String> {
        self.concurrently.then(|| PASSED_OVER.to_owned())
    }

    /// `kind` is `INDEX`, `TABLE` or `DATABASE`, the name is quoted.
    pub fn statement(self, kind: &str, name: impl Display) -> String {
        let concurrently = if self.concurrently {
            "CONCURRENTLY "
        } else {
            ""
        };
        format!("REINDEX {kind} {concurrently}{name};")
    }

    /// What happens to others meanwhile, and what may be left of it: a sentence.
    pub fn meanwhile(self) -> &'static str {
        if self.concurrently {
            "REINDEX CONCURRENTLY lets others go on writing; it waits for open transactions, and if it fails, leaves an invalid index behind \
             (…_ccnew), which has to be dropped. It skips indexes of exclusion constraints with a warning, or refuses them: rebuild these with \
             REINDEX INDEX without CONCURRENTLY, which locks."
        } else {
            "REINDEX without CONCURRENTLY makes sessions that write to a table wait while its indexes are built, and queries that would use \
             them as well."
        }
    }
}

/// A partitioned index has no entries, and temporary ones are other sessions' business.
const PASSED_OVER: &str = "DO $$DECLARE one regclass; BEGIN FOR one IN SELECT i.indexrelid FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c \
                           ON c.oid = i.indexrelid WHERE i.indisexclusion AND c.relkind = 'i' AND c.relpersistence <> 't' \
                           LOOP EXECUTE pg_catalog.format('REINDEX INDEX %s', one); END LOOP; END$$;";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_in_use_is_kept_waiting_only_if_it_knows_no_other_way() {
        let said = |major| {
            let rebuild = Rebuild::on(major, false).expect("a primary");
            (rebuild.statement("TABLE", "\"t\""), rebuild.meanwhile())
        };
        let (statement, meanwhile) = said(11);
        assert_eq!(statement, "REINDEX TABLE \"t\";");
        assert!(meanwhile.contains("write to a table wait"), "{meanwhile}");
        let (statement, meanwhile) = said(12);
        assert_eq!(statement, "REINDEX TABLE CONCURRENTLY \"t\";");
        assert!(meanwhile.contains("go on writing") && meanwhile.contains("_ccnew"));
        assert_eq!(Rebuild::on(18, true), None);
    }

    #[test]
    fn what_concurrently_does_not_build_is_built_under_a_lock() {
        let [old, new] = [11, 18].map(|major| Rebuild::on(major, false).expect("a primary"));
        assert_eq!(
            Rebuild::LOCKING.statement("INDEX", "\"i\""),
            "REINDEX INDEX \"i\";"
        );
        assert_eq!(Rebuild::LOCKING, old);
        assert_eq!(old.passed_over(), None, "it builds all");
        let statement = new.passed_over().expect("a statement");
        assert!(
            statement.contains("indisexclusion") && !statement.contains("CONCURRENTLY"),
            "{statement}"
        );
        assert_eq!(statement.lines().count(), 1);
    }
}
