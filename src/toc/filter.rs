//! Which entries a restore leaves out, and why (`_tocEntryRequired` in `pg_backup_archiver.c`).

use serde::{Deserialize, Serialize};

use super::Entry;

/// What to leave out; the names are those of `pg_restore`'s options. `Default` leaves out nothing that `pg_restore` without
/// options would restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RestoreOptions {
    /// Objects belong to whoever restores them.
    pub no_owner: bool,
    /// No grants and no default privileges.
    pub no_acl: bool,
    /// Everything goes to the default tablespace.
    pub no_tablespaces: bool,
    /// Every table gets the default access method.
    pub no_table_access_method: bool,
    /// No comments.
    pub no_comments: bool,
    /// No security labels.
    pub no_security_labels: bool,
    /// No publications, nor comments and labels on them.
    pub no_publications: bool,
    /// No subscriptions, nor comments and labels on them.
    pub no_subscriptions: bool,
    /// No row-level security policies, nor comments on them.
    pub no_policies: bool,
    /// No planner statistics (`STATISTICS DATA`, `pg_dump` 18).
    pub no_statistics: bool,
    /// The database itself, with its properties, grants and comment: `--create`.
    pub create_database: bool,
}

impl RestoreOptions {
    /// The options of the command line that are set.
    pub fn options(&self) -> impl Iterator<Item = &'static str> + use<> {
        let all = [
            (self.no_owner, "--no-owner"),
            (self.no_acl, "--no-acl"),
            (self.no_tablespaces, "--no-tablespaces"),
            (self.no_comments, "--no-comments"),
            (self.no_publications, "--no-publications"),
            (self.no_subscriptions, "--no-subscriptions"),
            (self.no_security_labels, "--no-security-labels"),
        ];
        all.into_iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, option)| option)
    }

    /// With what these options leave out, as [`Self::options`] names them; of others nothing is said here.
    #[must_use]
    pub fn and(self, options: &[String]) -> Self {
        let has = |option: &str| options.iter().any(|one| one == option);
        Self {
            no_owner: self.no_owner || has("--no-owner"),
            no_acl: self.no_acl || has("--no-acl"),
            no_tablespaces: self.no_tablespaces || has("--no-tablespaces"),
            no_comments: self.no_comments || has("--no-comments"),
            no_publications: self.no_publications || has("--no-publications"),
            no_subscriptions: self.no_subscriptions || has("--no-subscriptions"),
            no_security_labels: self.no_security_labels || has("--no-security-labels"),
            ..self
        }
    }

    /// Why the entry is not restored, as a clause; `None` if it is.
    pub fn leaves_out(&self, entry: &Entry) -> Option<&'static str> {
        let desc = entry.desc.as_str();
        let tag = &*entry.tag;
        let attached = entry.is_attached();
        let is_database = matches!(desc, "DATABASE" | "DATABASE PROPERTIES")
            || (attached && tag.starts_with(b"DATABASE "));
        let rules = [
            (
                matches!(desc, "ENCODING" | "STDSTRINGS" | "SEARCHPATH"),
                "it describes the archive",
            ),
            (desc == "WARNING", "it is a remark of pg_dump"),
            (desc == "<Init>" && tag == b"Max OID", "it is obsolete"),
            (
                is_database && !self.create_database,
                "the database is not to be created",
            ),
            (self.no_acl && entry.is_acl(), "no grants are wanted"),
            (
                self.no_statistics && desc == "STATISTICS DATA",
                "no statistics are wanted",
            ),
            (
                self.no_comments && matches!(desc, "COMMENT" | "BLOB COMMENTS"),
                "no comments are wanted",
            ),
            (
                self.no_security_labels && desc == "SECURITY LABEL",
                "no security labels are wanted",
            ),
            (
                self.no_policies
                    && (matches!(desc, "POLICY" | "ROW SECURITY")
                        || (desc == "COMMENT" && tag.starts_with(b"POLICY"))),
                "no policies are wanted",
            ),
            (
                self.no_publications
                    && (desc.starts_with("PUBLICATION")
                        || (attached && tag.starts_with(b"PUBLICATION"))),
                "no publications are wanted",
            ),
            (
                self.no_subscriptions
                    && (desc.starts_with("SUBSCRIPTION")
                        || (attached && tag.starts_with(b"SUBSCRIPTION"))),
                "no subscriptions are wanted",
            ),
        ];
        rules
            .into_iter()
            .find_map(|(applies, because)| applies.then_some(because))
    }
}
