//! Looks before the leap: facts → findings (severity, what, remedy) → go or no-go.
//!
//! Every rule is a function of facts, so it can be tested without a server. A rule that finds something says what to do
//! about it. One blocker is enough for a no-go: nothing is touched then.
//!
//! A new rule is a function of facts, in the file it belongs to. It joins [`findings`] (a move, and so check), [`restore_findings`] (if an
//! archive can be asked as well), [`source_findings`] (a dump) or [`further_findings`] (check alone). One that merely foretells a failure
//! may join [`SKIPPABLE`].
//!
//! What a move, a dump or a restore refuses or warns of, and `pgconvoy check` with it:
//!
//! | file | looks at |
//! |---|---|
//! | `source` | whether everything can be read, large objects as well |
//! | `damage_passed_over` | settings under which damage is read without an error |
//! | `remade` | what would be created again as something else |
//! | `target` | whether it can be written, and is empty |
//! | `lacking` | extensions, tablespaces, encoding and settings: what the target lacks |
//! | `roles` | owners and grantees that the target does not have |
//! | `owners` | owners that may create nothing in the schema of what they are to own |
//! | `superuser` | what only a superuser can create |
//! | `rows_only` | whether rows alone can be loaded |
//! | `clean` | what is dropped before it is created again |
//!
//! What check adds, because it takes longer to look at than a move should wait:
//!
//! | file | looks at |
//! |---|---|
//! | `activity` | who else is at work, and what could end the snapshot |
//! | `capacity` | room for sessions, locks and temporary files |
//! | `room` | room on disks; for a dump, on the archive's |
//! | `slow` | settings of the target that make the move slow, or keep it from ending, and what makes every commit there slow |
//! | `damage` | what is damaged or not in force on the source |
//! | `counted` | tables with another number of rows than their primary keys have entries |
//! | `not_carried` | what is in no dump |
//! | `left_out_keys` | foreign keys to what is left out |
//! | `collations` | what text is compared by |
//! | `created` | what keeps a database from being created like the source's |
//! | `window` | whether it fits into the time there is |
//!
//! What rules use, and what becomes of their findings:
//!
//! | file | holds |
//! |---|---|
//! | `grantees` | the roles that a statement names |
//! | `road` | what was measured of the road, from which rules work out what a setting costs |
//! | `meanwhile` | statements that change a setting for the time of the move, and those that undo it |
//! | `skip` | blockers that the operator passes over |
//! | `verdict` | what all findings come to |
//! | `testing` | a world of facts for the tests of rules |
//!
//! Deliberately not here: patterns that match nothing, and source = target, which are wrong usage and not findings
//! ([`same_database`] says whether it is so).

mod activity;
mod capacity;
mod clean;
mod collations;
mod counted;
mod created;
mod damage;
mod damage_passed_over;
mod grantees;
mod lacking;
mod left_out_keys;
mod meanwhile;
mod not_carried;
mod owners;
mod remade;
mod road;
mod roles;
mod room;
mod rows_only;
mod skip;
mod slow;
mod source;
mod superuser;
mod target;
#[cfg(test)]
mod testing;
mod verdict;
mod window;

use std::collections::BTreeMap;

use crate::catalog::{
    Circumstances, Counts, DatabaseFacts, Disks, Orphans, OwnerWithoutCreate, Pulse, ServerFacts,
    SourceFacts, TargetFacts, Unreadable,
};
use crate::model::{Bytes, Finding, QualifiedName, Severity};
use crate::plan::Plan;
use crate::salvage::WrongFile;
use crate::toc::{Entry, RestoreOptions, Toc};

pub use clean::clean;
pub use damage_passed_over::for_salvage;
pub use owners::new_owners;
pub use remade::pg_dump_warned;
pub use road::{Measured, MeasuredLog};
pub use room::archive_disk;
pub use rows_only::{RowsOnly, rows_only};
pub use skip::{SKIPPABLE, pass_over};
pub use target::{add_a_part, ledger_in_the_way, rows_elsewhere, same_database, schema_in_the_way};
pub use verdict::Verdict;
pub use window::finding as window_finding;

/// Everything that rules look at.
#[derive(Debug, Clone, Copy)]
pub struct PreflightFacts<'a> {
    /// Who the source is.
    pub source: &'a ServerFacts,
    /// Who the target is. With `create`, the database connected to is not the one that will be filled.
    pub target: &'a ServerFacts,
    /// What the source holds.
    pub source_facts: &'a SourceFacts,
    /// What the target holds and offers.
    pub target_facts: &'a TargetFacts,
    /// The schema; `None` as long as it has not been read: then only what does not need it is looked at.
    pub toc: Option<&'a Toc>,
    /// What is left out.
    pub restore: &'a RestoreOptions,
    /// The name given with `--overwrite`.
    pub overwrite: Option<&'a str>,
    /// The target database is to be created.
    pub create: bool,
    /// Only a part of the database was selected.
    pub selective: bool,
    /// What the connected role may not read of the source: relations whether they take part or not, large objects if they do.
    pub unreadable: &'a Unreadable,
    /// Tables and sequences whose rows a source that is a standby does not have, but for those that are left out by name.
    pub out_of_reach: &'a [QualifiedName],
    /// `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET` of the source that sessions of the target do not begin with, as
    /// `verify::SettingsLacking` tells them: what may be a secret by name alone.
    pub database_settings: &'a [String],
    /// Roles of the target to whom the connected role can give objects.
    pub assumable_roles: &'a [String],
    /// Roles of the target that are to own something in a schema where they may create nothing; none for a superuser, who may give it to
    /// them all the same.
    pub owners_without_create: &'a [OwnerWithoutCreate],
}

impl<'a> PreflightFacts<'a> {
    /// The entries that will be restored.
    fn entries(&self) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let restore = self.restore;
        let entries = self.toc.map_or(&[][..], |toc| &toc.entries);
        entries
            .iter()
            .filter(move |entry| restore.leaves_out(entry).is_none())
    }

    /// Whether a relation of one of these kinds of entries is described by what is moved, as far as that is known: without the schema, it may
    /// be any.
    fn describes(&self, kinds: &[&str], relation: &QualifiedName) -> bool {
        let mut entries = self.entries().filter(|entry| kinds.contains(&&*entry.desc));
        !self.selective
            || self.toc.is_none()
            || entries.any(|entry| entry.qualified_name().as_ref() == Some(relation))
    }

    /// Whether the target's role has what managed services give instead of superuser: it may do some of the same, and
    /// only trying tells which.
    fn nearly_superuser(&self) -> bool {
        const MANAGED: [&str; 4] = [
            "rds_superuser",
            "cloudsqlsuperuser",
            "azure_pg_admin",
            "neon_superuser",
        ];
        self.assumable_roles
            .iter()
            .any(|role| MANAGED.contains(&role.as_str()))
    }
}

/// What `pgconvoy check` looks at besides.
#[derive(Debug, Clone, Copy)]
pub struct CheckFacts<'a> {
    /// What a move looks at.
    pub basis: PreflightFacts<'a>,
    /// How things stand on the source.
    pub source: &'a Circumstances,
    /// How things stand on the target.
    pub target: &'a Circumstances,
    /// Where the source was at two moments.
    pub pulses: (Pulse, Pulse),
    /// The source database itself.
    pub source_database: &'a DatabaseFacts,
    /// The target database itself, unless it is to be created.
    pub target_database: Option<&'a DatabaseFacts>,
    /// Files of the source that are missing or cut off, if they were looked for.
    pub wrong_files: &'a [WrongFile],
    /// Rows that point nowhere, if they were looked for.
    pub orphans: Option<&'a Orphans>,
    /// Tables against their primary keys, if they were counted.
    pub counts: Option<&'a Counts>,
    /// The target's disks, if they can be seen from here.
    pub disks: Option<&'a Disks>,
    /// What the rows of the source's tables take at the least, as far as that is known.
    pub packed: &'a BTreeMap<QualifiedName, Bytes>,
    /// What a move would do.
    pub plan: &'a Plan,
    /// How fast both servers are, if that was measured.
    pub measured: Option<&'a Measured>,
}

/// Everything that `pgconvoy check` finds beyond what a move looks at, the worst first.
pub fn further_findings(facts: &CheckFacts<'_>) -> Vec<Finding> {
    let mut findings = activity::findings(facts);
    findings.extend(damage::findings(facts));
    findings.extend(counted::findings(facts));
    findings.extend(collations::finding(facts));
    findings.extend(created::findings(facts));
    findings.extend(capacity::findings(facts));
    findings.extend(room::findings(facts));
    findings.extend(slow::findings(facts));
    findings.extend(not_carried::findings(facts));
    findings.extend(left_out_keys::finding(facts));
    worst_first(findings)
}

/// What forbids to ask more: servers of versions to which our questions mean nothing.
pub fn unsupported(source: &ServerFacts, target: &ServerFacts) -> Vec<Finding> {
    let findings = [source::too_old(source), target::too_old(target)];
    findings.into_iter().flatten().collect()
}

/// All findings, the worst first.
pub fn findings(facts: &PreflightFacts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(target::findings(facts));
    findings.extend(source::findings(facts));
    findings.extend(roles::findings(facts));
    findings.extend(owners::finding(facts));
    findings.extend(lacking::findings(facts));
    findings.extend(superuser::findings(facts));
    worst_first(findings)
}

/// The same for a run that has no source server: what it is from is known as far as an archive knows it.
pub fn restore_findings(facts: &PreflightFacts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(target::findings(facts));
    findings.extend(remade::archived_with_oids(facts));
    findings.extend(roles::findings(facts));
    findings.extend(owners::finding(facts));
    findings.extend(lacking::findings(facts));
    findings.extend(superuser::findings(facts));
    worst_first(findings)
}

/// The same for a run that has no target server.
pub fn source_findings(facts: &PreflightFacts<'_>) -> Vec<Finding> {
    worst_first(source::findings(facts))
}

/// Blockers, then warnings, then notes, each in the order of their rules.
fn worst_first(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// Whether a run may start.
pub fn is_go(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.severity < Severity::Blocker)
}
