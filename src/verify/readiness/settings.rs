//! Settings that were not brought along: of the server (those that are only compared are in `groups`), of the database, of roles.
//!
//! Both at their own default are the same, whatever these defaults are: a newer server knows better. Of memory and of what
//! may run at once, more is no problem. Values are shown only of settings that cannot hold a secret.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Finding, shown_ident, to_paste};
use crate::pg::{Answer, PgError};

use super::groups::{GROUPS, Matters};
use super::locale::canonical;
use super::{Readiness, note, some_of, warning};

/// A setting of the server, as sessions of the database begin with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What it would be if nobody had set it.
    pub boot_value: Option<String>,
    /// What its number counts.
    pub unit: Option<String>,
}

/// A setting of the database, of a role in it, or of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSetting {
    /// The role, if it is not for all.
    pub role: Option<String>,
    /// Whether it holds in this database only.
    pub in_database: bool,
    /// The setting.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether our own sessions had it.
    pub applies: bool,
}

/// What must be on, lest a crash cost data.
const DURABILITY: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];

/// A checkpoint without fsync forgets which files it has not brought to the disk, and none after it does (`ProcessSyncRequests` in
/// `sync.c`). The manual, of `fsync`: have the machine write out what it holds.
const UNSYNCED: &str = "Before the target is used for good, there, and then `sync` on its machine (or, with the server stopped, initdb \
                        --sync-only -D and its data directory): what was written while fsync was off, no checkpoint brings to the disk any more:";

impl Setting {
    pub(super) fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            name: row.get::<String>("name")?.to_lowercase(),
            value: row.get("value")?,
            boot_value: row.get("boot_value")?,
            unit: row.get("unit")?,
        })
    }

    fn is_default(&self) -> bool {
        self.boot_value.as_ref() == Some(&self.value)
    }

    /// Spelled as everywhere.
    fn canonical(&self) -> String {
        match self.name.as_str() {
            "timezone" => {
                let zone = self.value.strip_prefix("Etc/").unwrap_or(&self.value);
                match zone {
                    "GMT" | "UCT" | "Zulu" | "Universal" | "GMT0" => "UTC".to_owned(),
                    other => other.to_owned(),
                }
            }
            name if name.starts_with("lc_") => canonical(&self.value),
            "search_path" | "temp_tablespaces" => self.value.replace(' ', ""),
            // Before version 15, the only method there was.
            "wal_compression" if self.value == "on" => "pglz".to_owned(),
            _ => self.value.clone(),
        }
    }

    /// The value in the order of values.
    fn rank(&self) -> Option<f64> {
        const WORDS: [(&str, &[&str]); 2] = [
            (
                "synchronous_commit",
                &["off", "local", "remote_write", "on", "remote_apply"],
            ),
            ("wal_level", &["minimal", "replica", "logical"]),
        ];
        if let Some((_, words)) = WORDS.iter().find(|(name, _)| *name == self.name) {
            let at = words.iter().position(|word| *word == self.value)?;
            return Some(at as f64);
        }
        // Blocks may have another size on another server.
        let unit = match self.unit.as_deref() {
            Some("8kB") => 8.0,
            Some("16kB") => 16.0,
            Some("32kB") => 32.0,
            Some("4kB") => 4.0,
            _ => 1.0,
        };
        self.value.parse::<f64>().ok().map(|number| number * unit)
    }

    pub(super) fn differs(&self, target: &Self, matters: Matters) -> bool {
        if self.is_default() && target.is_default() {
            return false;
        }
        match (matters, self.rank(), target.rank()) {
            (Matters::WhenLess, Some(ours), Some(theirs)) => theirs < ours,
            (Matters::WhenMore, Some(ours), Some(theirs)) => theirs > ours,
            (Matters::Always, Some(ours), Some(theirs)) => (ours - theirs).abs() > f64::EPSILON,
            _ => self.canonical() != target.canonical(),
        }
    }

    /// With its unit: `64MB`, `250ms`.
    pub(super) fn shown(&self) -> String {
        let Some(unit) = self.unit.as_deref() else {
            return if self.value.is_empty() {
                "empty".to_owned()
            } else {
                self.value.clone()
            };
        };
        let Ok(number) = self.value.parse::<u64>() else {
            return self.value.clone();
        };
        if number == 0 {
            return "0".to_owned();
        }
        let blocks = unit.strip_suffix("kB").map(|count| {
            let count: u64 = count.parse().unwrap_or(1);
            number.saturating_mul(count)
        });
        match blocks {
            Some(kilobytes) if kilobytes % (1024 * 1024) == 0 => {
                format!("{}GB", kilobytes / (1024 * 1024))
            }
            Some(kilobytes) if kilobytes % 1024 == 0 => format!("{}MB", kilobytes / 1024),
            Some(kilobytes) => format!("{kilobytes}kB"),
            None => format!("{number}{unit}"),
        }
    }
}

impl RoleSetting {
    pub(super) fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            role: row.get("role")?,
            in_database: row.get("in_database")?,
            name: row.get("name")?,
            value: row.get("value")?,
            applies: row.get("applies")?,
        })
    }

    fn key(&self) -> (Option<&str>, bool, &str) {
        (self.role.as_deref(), self.in_database, &self.name)
    }
}

pub(super) fn findings(source: &Readiness, target: &Readiness) -> Vec<Finding> {
    let told: BTreeSet<String> = [source, target]
        .iter()
        .flat_map(|side| side.role_settings.iter())
        .filter(|one| one.applies)
        .map(|one| one.name.to_lowercase())
        .collect();
    let by_name = |side| by_name(side, &told);
    let (ours, theirs) = (by_name(source), by_name(target));
    let mut findings: Vec<Finding> = GROUPS
        .iter()
        .filter_map(|group| group.finding(&ours, &theirs))
        .collect();
    findings.extend(libraries(&ours, &theirs));
    findings.extend(vacuum(&ours, &theirs));
    findings.extend(durability(&ours, &theirs));
    findings.extend(left_behind(source, target, true));
    findings.extend(left_behind(source, target, false));
    findings
}

pub(super) type ByName<'a> = BTreeMap<&'a str, &'a Setting>;

/// Without what is set on the database or on the role we are: that is told by itself.
fn by_name<'a>(side: &'a Readiness, told: &BTreeSet<String>) -> ByName<'a> {
    side.settings
        .iter()
        .filter(|setting| !told.contains(&setting.name))
        .map(|setting| (setting.name.as_str(), setting))
        .collect()
}

fn libraries(source: &ByName<'_>, target: &ByName<'_>) -> Option<Finding> {
    let loaded = |side: &ByName<'_>| -> Option<BTreeSet<String>> {
        let libraries = side.get("shared_preload_libraries")?;
        let names = libraries.value.split(',').map(|name| {
            let name = name.trim().trim_matches('"');
            name.rsplit('/').next().unwrap_or(name).to_owned()
        });
        Some(names.filter(|name| !name.is_empty()).collect())
    };
    let there = loaded(target)?;
    let missing: Vec<String> = loaded(source)?
        .into_iter()
        .filter(|name| !there.contains(name))
        .collect();
    (!missing.is_empty()).then(|| {
        warning(
            "libraries-not-loaded",
            format!(
                "the target's server does not load what the source's does: {}",
                some_of(&missing)
            ),
            "Add them to shared_preload_libraries on the target if they are still needed, and restart it.",
        )
    })
}

/// An ordinary role is not told what a server loads, and then `libraries-not-loaded` says nothing.
pub(super) fn libraries_unknown(source: &Readiness, target: &Readiness) -> Option<Finding> {
    let is_unknown = |side: &Readiness| {
        let mut names = side.settings.iter().map(|one| one.name.as_str());
        !side.settings.is_empty() && names.all(|name| name != "shared_preload_libraries")
    };
    let sides = [("source", source), ("target", target)];
    let unknown = sides.iter().filter(|(_, side)| is_unknown(side));
    let unknown: Vec<&str> = unknown.map(|(name, _)| *name).collect();
    (!unknown.is_empty()).then(|| {
        note(
            "libraries-unknown",
            format!(
                "whether the target loads the libraries that the source does was not looked at: the role may not see \
                 shared_preload_libraries on the {}",
                unknown.join(" and the ")
            ),
            "To know, check once as a superuser, or have pg_read_all_settings granted to the role.",
        )
    })
}

fn is_off(side: &ByName<'_>, name: &str) -> bool {
    side.get(name).is_some_and(|setting| setting.value == "off")
}

/// Set, and not reset: what is off in the configuration file stays so when it is only reset.
fn switch_on(names: &[String]) -> Vec<String> {
    let set = names
        .iter()
        .map(|name| format!("ALTER SYSTEM SET {name} = on;"));
    set.chain(["SELECT pg_reload_conf();".to_owned()]).collect()
}

fn vacuum(source: &ByName<'_>, target: &ByName<'_>) -> Option<Finding> {
    let off: Vec<String> = ["autovacuum", "track_counts"]
        .iter()
        .filter(|name| is_off(target, name) && !is_off(source, name))
        .map(|name| (*name).to_owned())
        .collect();
    (!off.is_empty()).then(|| {
        warning(
            "autovacuum-off",
            format!(
                "on the target nobody vacuums and analyzes: off are {}",
                some_of(&off)
            ),
            to_paste("On the target:", switch_on(&off)),
        )
    })
}

/// Off on both sides is somebody's decision, made before; off on the target only is what a fast load leaves behind.
fn durability(source: &ByName<'_>, target: &ByName<'_>) -> Option<Finding> {
    let off = |side: &ByName<'_>| -> Vec<String> {
        let off = DURABILITY.iter().filter(|name| is_off(side, name));
        off.map(|name| (*name).to_owned()).collect()
    };
    let (ours, theirs) = (off(source), off(target));
    if theirs.is_empty() {
        return None;
    }
    let is_new = theirs.iter().any(|name| !ours.contains(name));
    let consequence = if theirs == ["synchronous_commit"] {
        "a crash of the target's server loses the last commits"
    } else {
        "a crash of the target's server loses data"
    };
    let what = |as_there: &str| format!("{consequence}: off are {}{as_there}", some_of(&theirs));
    let mut statements = switch_on(&theirs);
    statements.push("CHECKPOINT;".to_owned());
    let sentence = if theirs.iter().any(|name| name == "fsync") {
        UNSYNCED
    } else {
        "Before the target is used for good, there:"
    };
    let remedy = to_paste(sentence, statements);
    Some(if is_new {
        warning("not-crash-safe", what(""), remedy)
    } else {
        note("not-crash-safe", what(" (as on the source)"), remedy)
    })
}

/// Settings of the database and of roles in it, or else of roles that both sides have.
fn left_behind(source: &Readiness, target: &Readiness, in_database: bool) -> Option<Finding> {
    let there: BTreeMap<_, &str> = target
        .role_settings
        .iter()
        .map(|one| (one.key(), one.value.as_str()))
        .collect();
    let shows: BTreeSet<&str> = source
        .settings
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let is_ours = |one: &&RoleSetting| {
        let role = one.role.as_ref();
        one.in_database == in_database
            && role.is_none_or(|role| target.roles.contains(role) && !role.starts_with("pg_"))
    };
    let lacking = source
        .role_settings
        .iter()
        .filter(is_ours)
        .filter_map(|one| {
            let found = there.get(&one.key());
            if found == Some(&one.value.as_str()) {
                return None;
            }
            let who = match &one.role {
                Some(role) => format!("{}: ", shown_ident(role)),
                None => String::new(),
            };
            let value = if shows.contains(one.name.to_lowercase().as_str()) {
                format!("={}", one.value)
            } else {
                String::new()
            };
            let other = if found.is_some() {
                " (another value)"
            } else {
                ""
            };
            Some(format!("{who}{}{value}{other}", one.name))
        });
    let lacking: Vec<String> = lacking.collect();
    if lacking.is_empty() {
        return None;
    }
    let (rule, whose, remedy) = if in_database {
        (
            "database-settings",
            "the source database has settings of its own that the target has not",
            "Set them on the target with ALTER DATABASE … SET …, or ALTER ROLE … IN DATABASE … SET ….",
        )
    } else {
        (
            "role-settings",
            "roles have settings on the source that they have not on the target",
            "Set them on the target with ALTER ROLE … SET …; pg_dumpall --roles-only on the source writes the statements.",
        )
    };
    Some(warning(
        rule,
        format!("{whose}: {}", some_of(&lacking)),
        remedy,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;

    /// Name, value, default, unit.
    type Given<'a> = (&'a str, &'a str, &'a str, Option<&'a str>);

    fn side(settings: &[Given<'_>]) -> Readiness {
        let setting = |(name, value, boot_value, unit): &Given<'_>| Setting {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
            boot_value: Some((*boot_value).to_owned()),
            unit: unit.map(str::to_owned),
        };
        Readiness {
            settings: settings.iter().map(setting).collect(),
            roles: vec!["app".into()],
            ..Readiness::default()
        }
    }

    fn one(source: Given<'_>, target: Given<'_>) -> Vec<String> {
        let found = findings(&side(&[source]), &side(&[target])).into_iter();
        found
            .map(|one| format!("{} {}", one.rule, one.what))
            .collect()
    }

    #[test]
    fn two_defaults_are_the_same_and_what_somebody_set_is_not() {
        let jit = |value, default| ("jit", value, default, None);
        assert_eq!(one(jit("off", "off"), jit("on", "on")), [""; 0]);
        assert_eq!(one(jit("off", "on"), jit("on", "on")).len(), 1);
        assert_eq!(one(jit("on", "off"), jit("on", "on")), [""; 0]);
        let cost = |value| ("random_page_cost", value, "4", None);
        assert_eq!(
            one(cost("1.1"), cost("4")),
            [
                "planner-settings the target's planner is set otherwise, so that queries may run otherwise: random_page_cost \
                 (1.1 on the source, 4 on the target)"
            ]
        );
        assert_eq!(one(cost("1.10"), cost("1.1")), [""; 0]);
        let of_prefix = |value| ("enable_nestloop", value, "on", None);
        assert_eq!(one(of_prefix("on"), of_prefix("off")).len(), 1);
        assert_eq!(
            one(
                ("unheard_of", "1", "0", None),
                ("unheard_of", "2", "0", None)
            ),
            [""; 0]
        );
    }

    #[test]
    fn more_memory_is_no_problem_and_less_is_told_with_its_unit() {
        let buffers = |value| ("shared_buffers", value, "1024", Some("8kB"));
        assert_eq!(one(buffers("16384"), buffers("32768")), [""; 0]);
        let found = one(buffers("131072"), buffers("16384"));
        assert!(
            found[0].ends_with("shared_buffers (1GB on the source, 128MB on the target)"),
            "{found:?}"
        );
        let timeout = |value| ("statement_timeout", value, "0", Some("ms"));
        let found = one(timeout("0"), timeout("250"));
        assert!(
            found[0].ends_with("(0 on the source, 250ms on the target)"),
            "{found:?}"
        );
        let wal = |value| ("wal_level", value, "replica", None);
        assert_eq!(one(wal("logical"), wal("replica")).len(), 1);
        assert_eq!(one(wal("replica"), wal("logical")), [""; 0]);
    }

    #[test]
    fn a_commit_that_waits_for_more_is_told_and_one_that_waits_for_less_is_another_matter() {
        let waits = |value| ("synchronous_commit", value, "on", None);
        let found = one(waits("off"), waits("on"));
        assert!(
            found[0].starts_with("io-settings ")
                && found[0].ends_with("synchronous_commit (off on the source, on on the target)"),
            "{found:?}"
        );
        assert_eq!(one(waits("on"), waits("remote_apply")).len(), 1);
        assert_eq!(one(waits("remote_apply"), waits("on")), [""; 0]);
        let found = one(waits("on"), waits("off"));
        assert!(
            found.len() == 1 && found[0].starts_with("not-crash-safe "),
            "{found:?}"
        );
        // As many pages read ahead as before, or more; and a vacuum that rests longer than before.
        let ahead = |value| ("effective_io_concurrency", value, "16", None);
        assert_eq!(one(ahead("200"), ahead("16")).len(), 1);
        assert_eq!(one(ahead("16"), ahead("200")), [""; 0]);
        let rests = |value| ("autovacuum_vacuum_cost_delay", value, "2", Some("ms"));
        let found = one(rests("0"), rests("2"));
        assert!(
            found[0].ends_with("(0 on the source, 2ms on the target)"),
            "{found:?}"
        );
        assert_eq!(one(rests("20"), rests("2")), [""; 0]);
    }

    #[test]
    fn spelling_is_no_difference() {
        let same = |name, ours, theirs| {
            let found = one((name, ours, "x", None), (name, theirs, "x", None));
            assert_eq!(found, [""; 0], "{name}");
        };
        same("timezone", "UTC", "Etc/UTC");
        same("timezone", "GMT", "Etc/UTC");
        same("lc_time", "de_DE.UTF-8", "de_DE.utf8");
        same("search_path", "a, b", "a,b");
        same("temp_tablespaces", "a, b", "a,b");
        same("wal_compression", "on", "pglz");
        let found = one(
            ("timezone", "UTC", "GMT", None),
            ("timezone", "Asia/Tokyo", "GMT", None),
        );
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn what_a_fast_load_leaves_behind_is_a_warning() {
        let with = |value| {
            side(&[
                ("fsync", value, "on", None),
                ("autovacuum", value, "on", None),
            ])
        };
        let told = |source, target| -> Vec<(Severity, String)> {
            let found = findings(&with(source), &with(target)).into_iter();
            found.map(|one| (one.severity, one.rule)).collect()
        };
        assert_eq!(told("on", "on"), []);
        assert_eq!(told("off", "on"), []);
        let found = findings(&with("on"), &with("off"));
        let pasted: Vec<&str> = found
            .iter()
            .flat_map(|one| one.remedy.lines().skip(1))
            .collect();
        assert_eq!(
            pasted,
            [
                "ALTER SYSTEM SET autovacuum = on;",
                "SELECT pg_reload_conf();",
                "ALTER SYSTEM SET fsync = on;",
                "SELECT pg_reload_conf();",
                "CHECKPOINT;"
            ]
        );
        let remedy = |found: &[Finding]| {
            let mut found = found.iter().filter(|one| one.rule == "not-crash-safe");
            found.next().map(|one| one.remedy.clone()).expect("told")
        };
        let unsynced = remedy(&found);
        assert!(
            unsynced.contains("then `sync` on its machine") && unsynced.contains("--sync-only"),
            "{unsynced}"
        );
        // Whatever has been written went to the disk.
        for name in ["full_page_writes", "synchronous_commit"] {
            let side = |value| side(&[(name, value, "on", None)]);
            let synced = remedy(&findings(&side("on"), &side("off")));
            assert!(!synced.contains("sync`"), "{synced}");
            assert!(synced.ends_with("CHECKPOINT;"), "{synced}");
        }
        assert_eq!(
            told("on", "off"),
            [
                (Severity::Warning, "autovacuum-off".to_owned()),
                (Severity::Warning, "not-crash-safe".to_owned())
            ]
        );
        assert_eq!(
            told("off", "off"),
            [(Severity::Note, "not-crash-safe".to_owned())]
        );
    }

    #[test]
    fn settings_of_roles_are_told_by_name_and_secrets_are_not_shown() {
        let set = |role: Option<&str>, in_database, name: &str, value: &str| RoleSetting {
            role: role.map(str::to_owned),
            in_database,
            name: name.to_owned(),
            value: value.to_owned(),
            applies: role.is_none(),
        };
        let mut source = side(&[("work_mem", "65536", "4096", Some("kB"))]);
        source.role_settings = vec![
            set(None, true, "work_mem", "64MB"),
            set(None, true, "app.jwt_secret", "hunter2"),
            set(Some("app"), false, "statement_timeout", "5s"),
            set(Some("elsewhere"), false, "work_mem", "1GB"),
        ];
        let mut target = side(&[("work_mem", "4096", "4096", Some("kB"))]);
        let found = findings(&source, &target);
        let said: Vec<&str> = found.iter().map(|one| one.what.as_str()).collect();
        assert_eq!(
            said,
            [
                "the source database has settings of its own that the target has not: work_mem=64MB, app.jwt_secret",
                "roles have settings on the source that they have not on the target: app: statement_timeout"
            ]
        );
        target.role_settings.clone_from(&source.role_settings);
        assert_eq!(findings(&source, &target), []);
        if let Some(first) = target.role_settings.first_mut() {
            first.value = "1MB".into();
        }
        let found = findings(&source, &target);
        assert!(
            found[0].what.ends_with("work_mem=64MB (another value)"),
            "{found:?}"
        );
    }

    #[test]
    fn libraries_that_are_not_loaded_are_named() {
        let with = |value| ("shared_preload_libraries", value, "", None);
        assert_eq!(
            one(
                with("pg_stat_statements"),
                with("auto_explain, pg_stat_statements")
            ),
            [""; 0]
        );
        let found = one(
            with("pg_stat_statements,$libdir/timescaledb"),
            with("pg_stat_statements"),
        );
        assert!(found[0].ends_with(": timescaledb"), "{found:?}");
        let (told, untold) = (side(&[with("x")]), side(&[("jit", "on", "on", None)]));
        assert_eq!(libraries_unknown(&told, &told), None);
        let found = libraries_unknown(&untold, &told).expect("the source does not tell");
        assert!(found.what.ends_with("on the source"), "{found:?}");
    }
}
