//! Settings of the server that are only compared: which of them are told together, what it means that they differ, and when it matters.

use super::settings::ByName;
use crate::model::{Finding, to_paste};

/// When a setting that is not the same is worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matters {
    /// Whenever it differs.
    Always,
    /// When the target's is the smaller one.
    WhenLess,
    /// When the target's is the larger one.
    WhenMore,
}

/// Settings that are told together.
pub(super) struct Group {
    rule: &'static str,
    /// What precedes the list.
    consequence: &'static str,
    remedy: &'static str,
    settings: &'static [(&'static str, Matters)],
    /// Settings whose names begin so.
    prefix: Option<&'static str>,
}

use Matters::{Always, WhenLess, WhenMore};

pub(super) const GROUPS: [Group; 5] = [
    Group {
        rule: "planner-settings",
        consequence: "the target's planner settings differ, so queries may run differently",
        remedy: "Set them on the target as on the source (ALTER SYSTEM SET …, or ALTER DATABASE … SET …), unless its hardware is \
                 different.",
        settings: &[
            ("constraint_exclusion", Always),
            ("cpu_index_tuple_cost", Always),
            ("cpu_operator_cost", Always),
            ("cpu_tuple_cost", Always),
            ("cursor_tuple_fraction", Always),
            ("default_statistics_target", Always),
            ("effective_cache_size", WhenLess),
            ("from_collapse_limit", Always),
            ("geqo", Always),
            ("geqo_threshold", Always),
            ("jit", Always),
            ("jit_above_cost", Always),
            ("join_collapse_limit", Always),
            ("max_parallel_maintenance_workers", WhenLess),
            ("max_parallel_workers", WhenLess),
            ("max_parallel_workers_per_gather", WhenLess),
            ("max_worker_processes", WhenLess),
            ("min_parallel_index_scan_size", Always),
            ("min_parallel_table_scan_size", Always),
            ("parallel_setup_cost", Always),
            ("parallel_tuple_cost", Always),
            ("plan_cache_mode", Always),
            ("random_page_cost", Always),
            ("seq_page_cost", Always),
        ],
        prefix: Some("enable_"),
    },
    Group {
        rule: "memory-settings",
        consequence: "the target's server may use less memory",
        remedy: "Raise them on the target if its machine has the memory (ALTER SYSTEM SET …; shared_buffers needs a restart).",
        settings: &[
            ("hash_mem_multiplier", WhenLess),
            ("maintenance_work_mem", WhenLess),
            ("shared_buffers", WhenLess),
            ("temp_buffers", WhenLess),
            ("work_mem", WhenLess),
        ],
        prefix: None,
    },
    Group {
        rule: "io-settings",
        consequence: "the target's server reads ahead, writes and vacuums differently, which may make it slower",
        remedy: "Set them on the target as on the source, unless its disks are different (ALTER SYSTEM SET …; huge_pages and io_method \
                 need a restart, and so does autovacuum_max_workers before version 18).",
        settings: &[
            ("autovacuum_analyze_scale_factor", WhenMore),
            ("autovacuum_max_workers", WhenLess),
            ("autovacuum_naptime", WhenMore),
            ("autovacuum_vacuum_cost_delay", WhenMore),
            ("autovacuum_vacuum_scale_factor", WhenMore),
            ("checkpoint_completion_target", WhenLess),
            ("checkpoint_timeout", WhenLess),
            ("commit_delay", WhenMore),
            ("effective_io_concurrency", WhenLess),
            ("huge_pages", Always),
            ("io_method", Always),
            ("io_workers", WhenLess),
            ("maintenance_io_concurrency", WhenLess),
            ("max_wal_size", WhenLess),
            // Less than on the source is a matter of what a crash may cost.
            ("synchronous_commit", WhenMore),
            ("temp_tablespaces", Always),
            ("vacuum_cost_delay", WhenMore),
            ("wal_compression", Always),
        ],
        prefix: None,
    },
    Group {
        rule: "session-settings",
        consequence: "sessions on the target begin with different settings, so statements may mean something else or end differently",
        remedy: "Set them on the target as on the source: ALTER DATABASE … SET …, or ALTER SYSTEM SET ….",
        settings: &[
            ("array_nulls", Always),
            ("backslash_quote", Always),
            ("bytea_output", Always),
            ("datestyle", Always),
            ("default_table_access_method", Always),
            ("default_text_search_config", Always),
            ("default_toast_compression", Always),
            ("default_transaction_deferrable", Always),
            ("default_transaction_isolation", Always),
            ("default_transaction_read_only", Always),
            ("event_triggers", Always),
            ("extra_float_digits", Always),
            ("gin_fuzzy_search_limit", Always),
            ("idle_in_transaction_session_timeout", Always),
            ("idle_session_timeout", Always),
            // Rows that a damaged page held are passed over, without an error.
            ("ignore_checksum_failure", WhenMore),
            ("intervalstyle", Always),
            ("lc_monetary", Always),
            ("lc_numeric", Always),
            ("lc_time", Always),
            ("lo_compat_privileges", Always),
            ("lock_timeout", Always),
            ("row_security", Always),
            ("search_path", Always),
            ("session_replication_role", Always),
            ("standard_conforming_strings", Always),
            ("statement_timeout", Always),
            ("timezone", Always),
            ("transaction_timeout", Always),
            ("transform_null_equals", Always),
            ("xmlbinary", Always),
            ("xmloption", Always),
            ("zero_damaged_pages", WhenMore),
        ],
        prefix: None,
    },
    Group {
        rule: "capacity-settings",
        consequence: "the target's server allows less than the source's",
        remedy: "Raise them on the target before the application connects (ALTER SYSTEM SET …, then a restart).",
        settings: &[
            ("max_connections", WhenLess),
            ("max_locks_per_transaction", WhenLess),
            ("max_prepared_transactions", WhenLess),
            ("max_replication_slots", WhenLess),
            ("max_wal_senders", WhenLess),
            ("wal_level", WhenLess),
        ],
        prefix: None,
    },
];

/// Settings that are set for the database, or for all roles, go before the server's.
const TAKE_AWAY: &str = "What is set on the target for its database, or for all roles, overrides its server's settings; to remove it \
                         there:";

/// When a setting matters, if it is one that is compared.
pub(super) fn matters(name: &str) -> Option<Matters> {
    GROUPS.iter().find_map(|group| group.matters(name))
}

impl Group {
    fn matters(&self, name: &str) -> Option<Matters> {
        let listed = self.settings.iter().find(|(listed, _)| *listed == name);
        let prefixed = self.prefix.is_some_and(|prefix| name.starts_with(prefix));
        match listed {
            Some((_, matters)) => Some(*matters),
            None => prefixed.then_some(Always),
        }
    }

    /// What is told of them; `resets` are the statements that take away what the target alone has set.
    pub(super) fn finding(
        &self,
        source: &ByName<'_>,
        target: &ByName<'_>,
        resets: impl Fn(&str) -> Vec<String>,
    ) -> Option<Finding> {
        let differing = source.iter().filter_map(|(name, ours)| {
            let theirs = target.get(name)?;
            let differs = ours.differs(theirs, self.matters(name)?);
            differs.then(|| {
                let named = format!(
                    "{name} ({} on the source, {} on the target)",
                    ours.shown(),
                    theirs.shown()
                );
                (named, resets(name))
            })
        });
        // Each of them may be the one that matters: all are shown.
        let (differing, resets): (Vec<String>, Vec<Vec<String>>) = differing.unzip();
        if differing.is_empty() {
            return None;
        }
        let resets = resets.concat();
        let remedy = if resets.is_empty() {
            self.remedy.to_owned()
        } else {
            to_paste(&format!("{} {TAKE_AWAY}", self.remedy), resets)
        };
        let what = format!("{}: {}", self.consequence, differing.join(", "));
        Some(Finding::warning(self.rule, what, remedy))
    }
}
