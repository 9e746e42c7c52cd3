//! Settings that were not brought along: what sessions begin with wherever it is set (those that are only compared are in `groups`, what
//! is set for the database and for roles in `sessions`), and what the server loads and does.
//!
//! Both at their own default are the same, whatever these defaults are: a newer server knows better. Of memory and of what
//! may run at once, more is no problem. Values are shown only of settings that cannot hold a secret.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Finding, canonical_locale, to_paste};
use crate::pg::{Answer, PgError};

use super::groups::{GROUPS, Matters};
use super::sessions::{self, Begins};
use super::{Readiness, some_of, spelling};

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

/// What must be on, lest a crash cost data.
const DURABILITY: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];

/// Settings that are texts, of which a capital letter may mean something: those of `settings.sql`. All others are numbers or words.
const TEXTS: [&str; 10] = [
    "datestyle",
    "default_table_access_method",
    "default_text_search_config",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "search_path",
    "shared_preload_libraries",
    "temp_tablespaces",
    "timezone",
];

/// A checkpoint without fsync forgets which files it has not brought to the disk, and none after it does (`ProcessSyncRequests` in
/// `sync.c`). The manual, of `fsync`: have the machine write out what it holds.
const UNSYNCED: &str = "Before the target goes into service, run this there, and then `sync` in a shell on its machine (or, with the \
                        server stopped, initdb --sync-only -D and its data directory): no checkpoint brings to disk what was written while \
                        fsync was off:";

impl Setting {
    pub(super) fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            name: row.get::<String>("name")?.to_ascii_lowercase(),
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
            "datestyle" => spelling::date_style(&self.value, ""),
            "default_text_search_config" => spelling::configuration(&self.value),
            "search_path" | "temp_tablespaces" => spelling::list(&self.value),
            "timezone" => spelling::zone(&self.value),
            name if name.starts_with("lc_") => canonical_locale(&self.value),
            // Before version 15, the only method there was.
            "wal_compression" if self.value == "on" => "pglz".to_owned(),
            name if TEXTS.contains(&name) => self.value.clone(),
            // A word of those that there are.
            _ => self.value.to_lowercase(),
        }
    }

    /// The value in the order of values.
    fn rank(&self) -> Option<f64> {
        const WORDS: [(&str, &[&str]); 4] = [
            ("ignore_checksum_failure", &["off", "on"]),
            (
                "synchronous_commit",
                &["off", "local", "remote_write", "on", "remote_apply"],
            ),
            ("wal_level", &["minimal", "replica", "logical"]),
            ("zero_damaged_pages", &["off", "on"]),
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
        !(self.is_default() && target.is_default()) && self.is_other(target, matters)
    }

    /// The same, whoever has set it.
    pub(super) fn is_other(&self, target: &Self, matters: Matters) -> bool {
        match (matters, self.rank(), target.rank()) {
            (Matters::WhenLess, Some(ours), Some(theirs)) => theirs < ours,
            (Matters::WhenMore, Some(ours), Some(theirs)) => theirs > ours,
            (Matters::Always, Some(ours), Some(theirs)) => (ours - theirs).abs() > f64::EPSILON,
            _ => self.canonical() != target.canonical(),
        }
    }

    /// The same set to what somebody wrote: `5s`, `64MB`, `yes`.
    pub(super) fn set_to(&self, text: &str) -> Self {
        let text = text.trim();
        let is_switch = [Some(self.value.as_str()), self.boot_value.as_deref()]
            .iter()
            .any(|value| matches!(value, Some("on" | "off")));
        let word = text.to_lowercase();
        let value = match self.unit.as_deref() {
            Some(unit) => in_unit(text, unit).unwrap_or_else(|| text.to_owned()),
            None if self.name == "datestyle" => spelling::date_style(text, &self.value),
            None if TEXTS.contains(&self.name.as_str()) => text.to_owned(),
            None if is_switch => spelling::switch(&word).map_or(word, str::to_owned),
            None => word,
        };
        Self {
            value,
            ..self.clone()
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

/// A number with a unit, in another one. Without a unit it is in that already.
fn in_unit(text: &str, unit: &str) -> Option<String> {
    let end = text.find(|char: char| !(char.is_ascii_digit() || matches!(char, '.' | '-')));
    let (number, written) = text.split_at(end.unwrap_or(text.len()));
    let number: f64 = number.parse().ok()?;
    let (written, unit) = (size_of(written.trim())?, size_of(unit)?);
    Some((number * written / unit).to_string())
}

/// What a unit counts, in bytes or in microseconds (`guc.c`): `kB`, `8kB`, `min`.
fn size_of(unit: &str) -> Option<f64> {
    let word = unit.trim_start_matches(|char: char| char.is_ascii_digit());
    let count = unit.strip_suffix(word)?;
    let count: f64 = if count.is_empty() {
        1.0
    } else {
        count.parse().ok()?
    };
    let size = match word {
        "B" | "us" => 1.0,
        "kB" => 1024.0,
        "MB" => 1_048_576.0,
        "GB" => 1_073_741_824.0,
        "TB" => 1_099_511_627_776.0,
        "ms" => 1e3,
        "s" => 1e6,
        "min" => 6e7,
        "h" => 3.6e9,
        "d" => 8.64e10,
        _ => return None,
    };
    Some(count * size)
}

pub(super) fn findings(source: &Readiness, target: &Readiness) -> Vec<Finding> {
    let [ours, theirs] = sessions::both(source, target);
    let lacking = sessions::lacking(&ours, &theirs);
    let resets = |name: &str| theirs.resets(name, &ours);
    let (here, there) = (by_name(&ours), by_name(&theirs));
    // What everybody has on the source, and the target lacks, is told by itself.
    let told = lacking.iter().filter(|one| one.role.is_none());
    let told: BTreeSet<String> = told.map(|one| one.plain_name()).collect();
    let mut untold = here.clone();
    untold.retain(|name, _| !told.contains(*name));
    let mut findings: Vec<Finding> = GROUPS
        .iter()
        .filter_map(|group| group.finding(&untold, &there, resets))
        .collect();
    findings.extend(libraries(&here, &there));
    findings.extend(vacuum((&here, &there), &theirs));
    findings.extend(durability((&here, &there), &theirs));
    let sides = (&ours, &theirs);
    findings.extend(sessions::left_behind(&lacking, sides, true));
    findings.extend(sessions::left_behind(&lacking, sides, false));
    findings.extend(sessions::target_alone(&ours, &theirs));
    findings
}

pub(super) type ByName<'a> = BTreeMap<&'a str, &'a Setting>;

fn by_name<'a>(side: &'a Begins<'_>) -> ByName<'a> {
    let settings = side.plainly.iter();
    settings
        .map(|(name, setting)| (*name, &**setting))
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
        Finding::warning(
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
        Finding::note(
            "libraries-unknown",
            format!(
                "whether the target loads the libraries that the source does was not looked at: the role may not see \
                 shared_preload_libraries on the {}",
                unknown.join(" and the ")
            ),
            "To find out, check once as a superuser, or have pg_read_all_settings granted to the role.",
        )
    })
}

fn is_off(side: &ByName<'_>, name: &str) -> bool {
    side.get(name).is_some_and(|setting| setting.value == "off")
}

/// Set, and not reset: what is off in the configuration file stays so when it is only reset. And set where it is: what the server has is
/// not asked for where the database has it.
fn switch_on(names: &[String], side: &Begins<'_>) -> Vec<String> {
    let on = |name: &String| format!("SET {name} = on");
    let set = names.iter().map(|name| match side.set_for(None, name) {
        Some(set) => set.statement(&on(name)),
        None => format!("ALTER SYSTEM {};", on(name)),
    });
    set.chain(["SELECT pg_reload_conf();".to_owned()]).collect()
}

fn vacuum(
    (source, target): (&ByName<'_>, &ByName<'_>),
    target_begins: &Begins<'_>,
) -> Option<Finding> {
    let off: Vec<String> = ["autovacuum", "track_counts"]
        .iter()
        .filter(|name| is_off(target, name) && !is_off(source, name))
        .map(|name| (*name).to_owned())
        .collect();
    (!off.is_empty()).then(|| {
        Finding::warning(
            "autovacuum-off",
            format!(
                "nothing vacuums and analyzes the target by itself, because these are off: {}",
                some_of(&off)
            ),
            to_paste("On the target:", switch_on(&off, target_begins)),
        )
    })
}

/// Off on both sides is somebody's decision, made before; off on the target only is what a fast load leaves behind.
fn durability(
    (source, target): (&ByName<'_>, &ByName<'_>),
    target_begins: &Begins<'_>,
) -> Option<Finding> {
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
        "a crash of the target's server can lose the last commits"
    } else {
        "a crash of the target's server can lose data"
    };
    let what = |as_there: &str| {
        format!(
            "{consequence}, because these are off: {}{as_there}",
            some_of(&theirs)
        )
    };
    let mut statements = switch_on(&theirs, target_begins);
    statements.push("CHECKPOINT;".to_owned());
    let sentence = if theirs.iter().any(|name| name == "fsync") {
        UNSYNCED
    } else {
        "Before the target goes into service, run there:"
    };
    let remedy = to_paste(sentence, statements);
    Some(if is_new {
        Finding::warning("not-crash-safe", what(""), remedy)
    } else {
        Finding::note("not-crash-safe", what(" (as on the source)"), remedy)
    })
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
                "planner-settings the target's planner settings differ, so queries may run differently: random_page_cost \
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
        same("timezone", "utc", "Etc/UTC");
        same("datestyle", "iso, mdy", "ISO, MDY");
        same("search_path", "\"public\"", "Public");
        same(
            "default_text_search_config",
            "pg_catalog.english",
            "english",
        );
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
            unsynced.contains("then `sync` in a shell on its machine")
                && unsynced.contains("--sync-only"),
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
    fn what_somebody_wrote_is_read_as_the_server_does() {
        let written = |name: &str, unit: Option<&str>, boot: &str, text: &str| {
            let setting = Setting {
                name: name.to_owned(),
                value: boot.to_owned(),
                boot_value: Some(boot.to_owned()),
                unit: unit.map(str::to_owned),
            };
            setting.set_to(text).value
        };
        for (text, unit, expected) in [
            ("5s", "ms", "5000"),
            ("1.5 min", "s", "90"),
            ("250", "ms", "250"),
            ("-1", "kB", "-1"),
            ("64MB", "kB", "65536"),
            ("8MB", "8kB", "1024"),
            ("2h", "min", "120"),
            ("some", "ms", "some"),
        ] {
            assert_eq!(written("x", Some(unit), "0", text), expected, "{text}");
        }
        assert_eq!(written("jit", None, "on", "False"), "off");
        assert_eq!(written("jit", None, "on", "f"), "off");
        assert_eq!(written("datestyle", None, "ISO, MDY", "dmy"), "ISO, DMY");
        assert_eq!(written("synchronous_commit", None, "on", "Local"), "local");
        assert_eq!(written("geqo_threshold", None, "12", "1"), "1");
        assert_eq!(written("search_path", None, "", "\"A\", b"), "\"A\", b");
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
