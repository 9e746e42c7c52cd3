//! Settings of the database and of roles: what was not brought along, and what the target alone has.
//!
//! What counts is what a session begins with, wherever that was set: what is set for a role in the database goes before what is set for
//! the role, that before what is set for the database, that before what is set for all roles, and that before the server's own
//! (`process_settings` in `postinit.c`).
//!
//! What our sessions began with, the server says. But what is set for the role that we are hides there what others get, and whatever has
//! been set since they began it does not say: what is set for the database, or for all, is taken from the catalog.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Finding, Rows, quote_ident, rule, shown_ident, to_paste};
use crate::pg::{Answer, PgError};

use super::groups::{self, Matters};
use super::settings::Setting;
use super::{Readiness, some_of, spelling};

/// A setting of the database, of a role in it, or of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSetting {
    /// The role, if it is not for all.
    pub role: Option<String>,
    /// The database, if it holds in that only.
    pub database: Option<String>,
    /// The setting.
    pub name: String,
    /// Its value, as somebody wrote it.
    pub value: String,
    /// Whether our own sessions had it.
    pub applies: bool,
}

/// What closes a database to writers.
const READ_ONLY: &str = "default_transaction_read_only";

/// What decides only what a server writes down, and counts: how the names of such settings begin.
const WRITTEN_DOWN: [&str; 7] = [
    "application_name",
    "auto_explain.",
    "client_min_messages",
    "debug_p",
    "log_",
    "pg_stat_statements.",
    "track_",
];

/// Of these, what autovacuum goes by.
const COUNTED_FOR_VACUUM: &str = "track_counts";

/// How many statements are pasted at most: there may be roles by the tens of thousands, with settings of each.
const MOST_RESETS: usize = 20;

const DEFAULT_TABLESPACE: &str = "default_tablespace";

/// What decides as whom, where and in which encoding a session works, and is in no group.
const OF_SESSIONS: [&str; 4] = [
    "client_encoding",
    DEFAULT_TABLESPACE,
    "role",
    "synchronous_commit",
];

impl RoleSetting {
    pub(super) fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            role: row.get("role")?,
            database: row.get("database")?,
            name: row.get("name")?,
            value: row.get("value")?,
            applies: row.get("applies")?,
        })
    }

    /// As the list of settings has it.
    pub(super) fn plain_name(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Whether it is what closes the database to writers, as a follow does.
    fn closes(&self) -> bool {
        self.role.is_none() && self.database.is_some() && self.plain_name() == READ_ONLY
    }

    /// The statement that does something about it.
    pub(super) fn statement(&self, action: &str) -> String {
        let role = self.role.as_deref().map(quote_ident);
        let database = self.database.as_deref().map(quote_ident);
        match (role, database) {
            (Some(role), Some(database)) => {
                format!("ALTER ROLE {role} IN DATABASE {database} {action};")
            }
            (Some(role), None) => format!("ALTER ROLE {role} {action};"),
            (None, Some(database)) => format!("ALTER DATABASE {database} {action};"),
            (None, None) => format!("ALTER ROLE ALL {action};"),
        }
    }

    fn reset(&self) -> String {
        let plain = |char: char| char.is_ascii_alphanumeric() || char == '_';
        if self.name.chars().all(plain) {
            self.statement(&format!("RESET {}", self.name))
        } else {
            // Somebody's own: `app.tenant`.
            self.statement(&format!("RESET {}", quote_ident(&self.name)))
        }
    }
}

/// For which role something is set, whether in the database alone, and its plain name.
type Place<'a> = (Option<&'a str>, bool, Cow<'a, str>);

/// What sessions of one side begin with. Each role may have settings of its own, and there may be tens of thousands of them: nothing goes
/// through all for one.
pub(super) struct Begins<'a> {
    /// What the server shows.
    shown: BTreeMap<&'a str, &'a Setting>,
    roles: BTreeSet<&'a str>,
    /// What is set for the database and for roles.
    set: Vec<&'a RoleSetting>,
    /// The same by where it is set.
    placed: BTreeMap<Place<'a>, &'a RoleSetting>,
    /// Those of a role for which nothing is set, as far as they are known.
    pub(super) plainly: BTreeMap<&'a str, Cow<'a, Setting>>,
}

/// Of both sides. While one follows the other, pgconvoy has closed one of them to writers: that is meant.
pub(super) fn both<'a>(source: &'a Readiness, target: &'a Readiness) -> [Begins<'a>; 2] {
    let sides = [source, target];
    let is_closed =
        |side: &&Readiness| side.in_follow && side.role_settings.iter().any(RoleSetting::closes);
    let closed = sides.iter().any(is_closed);
    sides.map(|side| Begins::of(side, closed))
}

/// Both without what is set for their databases: another one is connected to than will be there.
pub(super) fn without_databases(source: &Readiness, target: &Readiness) -> [Readiness; 2] {
    let sides = [source, target];
    let set: BTreeSet<String> = sides
        .iter()
        .flat_map(|side| &side.role_settings)
        .filter(|one| one.role.is_none() && one.database.is_some())
        .map(RoleSetting::plain_name)
        .collect();
    sides.map(|side| {
        let settings = side.settings.iter();
        let role_settings = side.role_settings.iter();
        Readiness {
            settings: settings
                .filter(|one| !set.contains(&one.name))
                .cloned()
                .collect(),
            role_settings: role_settings
                .filter(|one| one.database.is_none())
                .cloned()
                .collect(),
            roles: side.roles.clone(),
            ..Readiness::default()
        }
    })
}

impl<'a> Begins<'a> {
    fn of(side: &'a Readiness, closed: bool) -> Self {
        let settings = side.settings.iter();
        let shown = settings.filter(|setting| !(closed && setting.name == READ_ONLY));
        let set = side.role_settings.iter();
        let set: Vec<&RoleSetting> = set.filter(|one| !(closed && one.closes())).collect();
        let place = |one: &'a RoleSetting| {
            let name = Cow::Owned(one.plain_name());
            ((one.role.as_deref(), one.database.is_some(), name), one)
        };
        let ours = set
            .iter()
            .filter(|one| one.applies && one.role.is_some())
            .map(|one| one.plain_name());
        let hidden: BTreeSet<String> = ours.collect();
        let mut begins = Self {
            shown: shown.map(|one| (one.name.as_str(), one)).collect(),
            roles: side.roles.iter().map(String::as_str).collect(),
            placed: set.iter().copied().map(place).collect(),
            set,
            plainly: BTreeMap::new(),
        };
        begins.plainly = begins
            .shown
            .iter()
            .filter_map(|(&name, &setting)| Some((name, begins.plain(setting, &hidden)?)))
            .collect();
        begins
    }

    fn plain(&self, setting: &'a Setting, hidden: &BTreeSet<String>) -> Option<Cow<'a, Setting>> {
        match self.set_for(None, &setting.name) {
            Some(set) => Some(Cow::Owned(setting.set_to(&set.value))),
            None if hidden.contains(&setting.name) => None,
            None => Some(Cow::Borrowed(setting)),
        }
    }

    fn at(&self, role: Option<&str>, in_database: bool, name: &str) -> Option<&'a RoleSetting> {
        let place = (role, in_database, Cow::Borrowed(name));
        self.placed.get(&place).copied()
    }

    /// What is set for a role, or for all: in the database, or else anywhere.
    pub(super) fn set_for(&self, role: Option<&str>, name: &str) -> Option<&'a RoleSetting> {
        let in_database = self.at(role, true, name);
        in_database.or_else(|| self.at(role, false, name))
    }

    /// What a role, or any that nothing is set for, begins with; `None` if that is not known.
    fn with(&self, role: Option<&str>, name: &str) -> Option<Cow<'a, Setting>> {
        let Some(set) = role.and_then(|role| self.set_for(Some(role), name)) else {
            return self.plainly.get(name).cloned();
        };
        let shown = self.shown.get(name)?;
        Some(Cow::Owned(shown.set_to(&set.value)))
    }

    /// The same as somebody wrote it, if it is set for anybody.
    fn written(&self, role: Option<&str>, name: &str) -> Option<&'a str> {
        let of_role = role.and_then(|role| self.set_for(Some(role), name));
        let set = of_role.or_else(|| self.set_for(None, name))?;
        Some(set.value.as_str())
    }

    /// What is set here in the same place as on the other side.
    fn in_place_of(&self, other: &RoleSetting) -> Option<&'a RoleSetting> {
        let in_database = other.database.is_some();
        self.at(other.role.as_deref(), in_database, &other.plain_name())
    }

    fn has_role_of(&self, other: &RoleSetting) -> bool {
        let role = other.role.as_deref();
        role.is_none_or(|role| self.roles.contains(role) && !role.starts_with("pg_"))
    }

    /// The statements that take away what is set for all here, and not on the other side.
    pub(super) fn resets(&self, name: &str, other: &Begins<'_>) -> Vec<String> {
        let set = [false, true].map(|in_database| self.at(None, in_database, name));
        set.into_iter()
            .flatten()
            .filter(|one| other.in_place_of(one).is_none())
            .map(RoleSetting::reset)
            .collect()
    }
}

/// When it is worth a word that the target has set something else than the source.
fn matters(name: &str) -> Option<Matters> {
    if OF_SESSIONS.contains(&name) {
        return Some(Matters::Always);
    }
    groups::matters(name)
}

/// What the source has set and the target has not, so that sessions begin otherwise there. Of what the target has set itself, whatever
/// matters is told of the target.
pub(super) fn lacking<'a>(source: &Begins<'a>, target: &Begins<'_>) -> Vec<&'a RoleSetting> {
    let set = source.set.iter().copied();
    set.filter(|one| target.has_role_of(one) && is_lacking(one, source, target))
        .collect()
}

fn is_lacking(one: &RoleSetting, source: &Begins<'_>, target: &Begins<'_>) -> bool {
    let name = one.plain_name();
    let matters = matters(&name);
    let there = target.in_place_of(one);
    if there.is_some_and(|there| there.value == one.value || matters.is_some()) {
        return false;
    }
    let role = one.role.as_deref();
    match (source.with(role, &name), target.with(role, &name)) {
        (Some(ours), Some(theirs)) => ours.is_other(&theirs, matters.unwrap_or(Matters::Always)),
        _ => is_written_otherwise((source, target), role, &name),
    }
}

/// Whether something else is set, where the servers do not show what that comes to.
fn is_written_otherwise(
    (source, target): (&Begins<'_>, &Begins<'_>),
    role: Option<&str>,
    name: &str,
) -> bool {
    let written = |side: &Begins<'_>| Some(spelling::of_text(name, side.written(role, name)?));
    written(source) != written(target)
}

/// What the source has set for its database, and for roles in it, and the target lacks.
pub(super) fn lacking_in_database(source: &Readiness, target: &Readiness) -> Vec<String> {
    let [source, target] = both(source, target);
    named(&lacking(&source, &target), (&source, &target), true)
}

/// Settings of the database and of roles in it, or else of roles that both sides have. What may be a secret is told by name alone.
fn named(
    lacking: &[&RoleSetting],
    (source, target): (&Begins<'_>, &Begins<'_>),
    in_database: bool,
) -> Vec<String> {
    let lacking = lacking
        .iter()
        .filter(|one| one.database.is_some() == in_database);
    let named = lacking.map(|one| {
        let value = if source.shown.contains_key(one.plain_name().as_str()) {
            format!("={}", one.value)
        } else {
            String::new()
        };
        let other = if target.in_place_of(one).is_some() {
            " (another value)"
        } else {
            ""
        };
        format!("{}{}{value}{other}", whose(one), one.name)
    });
    named.collect()
}

/// The finding about these.
pub(super) fn left_behind(
    lacking: &[&RoleSetting],
    sides: (&Begins<'_>, &Begins<'_>),
    in_database: bool,
) -> Option<Finding> {
    let lacking = named(lacking, sides, in_database);
    if lacking.is_empty() {
        return None;
    }
    let (rule, whose, remedy) = if in_database {
        (
            rule::DATABASE_SETTINGS,
            "the source database has settings of its own that the target does not have",
            "Set them on the target with ALTER DATABASE … SET …, or ALTER ROLE … IN DATABASE … SET ….",
        )
    } else {
        (
            "role-settings",
            "roles have settings on the source that they do not have on the target",
            "Set them on the target with ALTER ROLE … SET …; pg_dumpall --roles-only on the source writes the statements.",
        )
    };
    Some(Finding::warning(
        rule,
        format!("{whose}: {}", some_of(&lacking)),
        remedy,
    ))
}

fn whose(one: &RoleSetting) -> String {
    let role = one.role.as_deref();
    role.map_or_else(String::new, |role| format!("{}: ", shown_ident(role)))
}

/// What is set on the target, for roles or for the database, so that sessions begin otherwise than on the source. What is compared of the
/// servers is told with that, as far as everybody begins with it.
pub(super) fn target_alone(source: &Begins<'_>, target: &Begins<'_>) -> Option<Finding> {
    let told = target.set.iter().filter(|one| source.has_role_of(one));
    let told = told.filter_map(|one| Some((*one, otherwise(one, source, target)?)));
    let told: Vec<(&RoleSetting, String)> = told.collect();
    if told.is_empty() {
        return None;
    }
    let named: Vec<String> = told.iter().map(|(_, named)| named.clone()).collect();
    let alone = told.iter().map(|(one, _)| *one);
    let alone = alone.filter(|one| source.in_place_of(one).is_none());
    let remedy = taking_away(&alone.collect::<Vec<_>>());
    Some(Finding::warning(
        "target-settings",
        format!(
            "settings of roles or of the database differ on the target, so sessions begin differently: {}",
            some_of(&named)
        ),
        remedy,
    ))
}

fn taking_away(alone: &[&RoleSetting]) -> String {
    let as_there = "If that is not intended, set them on the target as on the source (ALTER DATABASE … SET …, ALTER ROLE … SET …)";
    if alone.is_empty() {
        return format!("{as_there}.");
    }
    let some = if alone.len() > MOST_RESETS {
        format!(
            " ({MOST_RESETS} of {}; \\drds in psql lists them all)",
            Rows(alone.len() as u64)
        )
    } else {
        String::new()
    };
    to_paste(
        &format!("{as_there}; to remove what only the target has set{some}:"),
        alone.iter().take(MOST_RESETS).map(|one| one.reset()),
    )
}

/// How, in words; `None` if it is not.
fn otherwise(one: &RoleSetting, source: &Begins<'_>, target: &Begins<'_>) -> Option<String> {
    let name = one.plain_name();
    if name == DEFAULT_TABLESPACE && one.value.is_empty() {
        // The database's own, as without it.
        return None;
    }
    let role = one.role.as_deref();
    if one.database.is_none() && target.at(role, true, &name).is_some() {
        // That is what counts.
        return None;
    }
    let matters = match matters(&name) {
        Some(matters) => matters,
        None if is_harmless(&name) => return None,
        // The source has it set as well, and it is told that the target has not the same.
        None if source.set_for(role, &name).is_some() => return None,
        None => Matters::Always,
    };
    match (source.with(role, &name), target.with(role, &name)) {
        (Some(_), Some(_)) if role.is_none() && is_compared(&name) => None,
        (Some(ours), Some(theirs)) => ours.is_other(&theirs, matters).then(|| {
            format!(
                "{}{} ({} on the source, {} on the target)",
                whose(one),
                one.name,
                ours.shown(),
                theirs.shown()
            )
        }),
        _ => is_written_otherwise((source, target), role, &name)
            .then(|| format!("{}{}", whose(one), one.name)),
    }
}

fn is_harmless(name: &str) -> bool {
    let mut written_down = WRITTEN_DOWN.iter();
    name != COUNTED_FOR_VACUUM && written_down.any(|begins| name.starts_with(begins))
}

/// Whether it is compared what everybody begins with, wherever that is set.
fn is_compared(name: &str) -> bool {
    name == COUNTED_FOR_VACUUM || groups::matters(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::settings::findings;
    use super::*;

    /// Name, value, default, unit.
    const SETTINGS: [(&str, &str, &str, Option<&str>); 10] = [
        ("datestyle", "ISO, MDY", "ISO, MDY", None),
        ("jit", "on", "on", None),
        ("timezone", "Etc/UTC", "GMT", None),
        ("zero_damaged_pages", "off", "off", None),
        ("work_mem", "4096", "4096", Some("kB")),
        ("statement_timeout", "0", "0", Some("ms")),
        (
            "search_path",
            "\"$user\", public",
            "\"$user\", public",
            None,
        ),
        ("session_replication_role", "origin", "origin", None),
        ("synchronous_commit", "on", "on", None),
        (READ_ONLY, "off", "off", None),
    ];

    fn set(role: Option<&str>, in_database: bool, name: &str, value: &str) -> RoleSetting {
        RoleSetting {
            role: role.map(str::to_owned),
            database: in_database.then(|| "shop".to_owned()),
            name: name.to_owned(),
            value: value.to_owned(),
            applies: role.is_none_or(|role| role == "we"),
        }
    }

    /// A side with these set, whose sessions begin with them as a server's do.
    fn side(role_settings: &[RoleSetting]) -> Readiness {
        let mut side = Readiness {
            settings: SETTINGS
                .iter()
                .map(|(name, value, boot_value, unit)| Setting {
                    name: (*name).to_owned(),
                    value: (*value).to_owned(),
                    boot_value: Some((*boot_value).to_owned()),
                    unit: unit.map(str::to_owned),
                })
                .collect(),
            role_settings: role_settings.to_vec(),
            roles: vec!["app".into(), "we".into()],
            ..Readiness::default()
        };
        let mut applied: Vec<&RoleSetting> = role_settings.iter().collect();
        applied.retain(|one| one.applies);
        applied.sort_by_key(|one| (one.role.is_some(), one.database.is_some()));
        for one in applied {
            let settings = side.settings.iter_mut();
            for setting in settings.filter(|setting| one.plain_name() == setting.name) {
                *setting = setting.set_to(&one.value);
            }
        }
        side
    }

    /// The rules, and what each lists.
    fn told(source: &[RoleSetting], target: &[RoleSetting]) -> Vec<String> {
        let found = findings(&side(source), &side(target)).into_iter();
        found
            .map(|one| {
                let said = one.what.split_once(": ").map_or("", |(_, said)| said);
                format!("{}: {said}", one.rule)
            })
            .collect()
    }

    #[test]
    fn settings_of_roles_are_told_by_name_and_secrets_are_not_shown() {
        let mut source = vec![
            set(None, true, "work_mem", "64MB"),
            set(None, true, "app.jwt_secret", "hunter2"),
            set(Some("app"), false, "Unheard_Of", "5s"),
            set(Some("elsewhere"), false, "work_mem", "1GB"),
        ];
        assert_eq!(
            told(&source, &[]),
            [
                "database-settings: work_mem=64MB, app.jwt_secret",
                "role-settings: app: Unheard_Of"
            ]
        );
        assert_eq!(told(&source, &source), [""; 0]);
        let target = source.clone();
        if let Some(first) = source.get_mut(1) {
            first.value = "hunter3".into();
        }
        assert_eq!(
            told(&source, &target),
            ["database-settings: app.jwt_secret (another value)"]
        );
    }

    #[test]
    fn what_is_set_for_the_targets_database_alone_is_told_with_what_takes_it_away() {
        let target = [
            set(None, true, "session_replication_role", "REPLICA"),
            set(None, true, "statement_timeout", "5s"),
            set(None, true, "synchronous_commit", "off"),
            set(None, true, "work_mem", "1MB"),
            set(None, true, "role", "deputy"),
            set(None, true, "app.colour", "red"),
        ];
        let found = findings(&side(&[]), &side(&target));
        let said: Vec<String> = found
            .iter()
            .map(|one| format!("{}: {}", one.rule, one.what))
            .collect();
        let parts = [
            "work_mem (4MB on the source, 1MB on the target)",
            "session_replication_role (origin on the source, replica on the target), statement_timeout (0 on the source, 5000ms on the target)",
            "these are off: synchronous_commit",
            "differently: role, app.colour",
        ];
        assert_eq!(said.len(), parts.len(), "{said:#?}");
        for (said, part) in said.iter().zip(parts) {
            assert!(said.ends_with(part), "{said}");
        }
        let pasted: Vec<&str> = found
            .iter()
            .flat_map(|one| one.remedy.lines().skip(1))
            .collect();
        assert_eq!(
            pasted,
            [
                "ALTER DATABASE \"shop\" RESET work_mem;",
                "ALTER DATABASE \"shop\" RESET session_replication_role;",
                "ALTER DATABASE \"shop\" RESET statement_timeout;",
                "ALTER DATABASE \"shop\" SET synchronous_commit = on;",
                "SELECT pg_reload_conf();",
                "CHECKPOINT;",
                "ALTER DATABASE \"shop\" RESET role;",
                "ALTER DATABASE \"shop\" RESET \"app.colour\";"
            ]
        );
        // More memory is no problem, wherever it comes from, and neither is what the server's log says.
        let more = [
            set(None, true, "work_mem", "1GB"),
            set(Some("app"), true, "work_mem", "1GB"),
            set(None, true, "log_statement", "all"),
            set(Some("app"), true, "application_name", "shop"),
        ];
        assert_eq!(told(&[], &more), [""; 0]);
        let uncounted = [set(Some("app"), true, "track_counts", "off")];
        assert_eq!(
            told(&[], &uncounted),
            ["target-settings: app: track_counts"]
        );
    }

    #[test]
    fn what_passes_over_damage_is_told_of_the_target_alone() {
        let passing_over = [set(None, true, "zero_damaged_pages", "on")];
        assert_eq!(
            told(&[], &passing_over),
            ["session-settings: zero_damaged_pages (off on the source, on on the target)"]
        );
        assert_eq!(told(&passing_over, &[]), [""; 0]);
    }

    /// Such a one began before the database was given its settings.
    #[test]
    fn what_was_set_since_our_session_began_counts() {
        let brought = [
            set(None, true, "statement_timeout", "7s"),
            set(None, true, "synchronous_commit", "off"),
        ];
        let source = side(&brought);
        let target = Readiness {
            settings: side(&[]).settings,
            ..side(&brought)
        };
        let found = findings(&source, &target);
        let rules: Vec<&str> = found.iter().map(|one| one.rule.as_str()).collect();
        assert_eq!(rules, ["not-crash-safe"], "{found:?}");
        assert!(found[0].what.ends_with("(as on the source)"), "{found:?}");
    }

    #[test]
    fn another_spelling_or_another_place_is_no_difference() {
        let one = [
            set(Some("app"), true, "jit", "off"),
            set(Some("app"), true, "client_encoding", "UTF-8"),
            set(Some("app"), true, "app.colour", "red"),
            set(None, true, "timezone", "utc"),
        ];
        let other = [
            set(Some("app"), false, "jit", "f"),
            set(Some("app"), false, "client_encoding", "utf8"),
            set(Some("app"), true, "datestyle", "iso, mdy"),
            set(None, true, "app.colour", "red"),
            set(None, true, "timezone", "Utc"),
        ];
        assert_eq!(
            told(&one, &other[..3]),
            ["database-settings: app: app.colour"]
        );
        assert_eq!(
            told(&one, &other),
            ["target-settings: app.colour"],
            "others have it"
        );
        let dates = [set(Some("app"), true, "DateStyle", "iso, dmy")];
        assert_eq!(
            told(&[], &dates),
            ["target-settings: app: DateStyle (ISO, MDY on the source, ISO, DMY on the target)"]
        );
    }

    #[test]
    fn what_both_have_set_is_told_when_it_is_not_the_same() {
        let database = |value| [set(None, true, "statement_timeout", value)];
        assert_eq!(told(&database("5s"), &database("5000")), [""; 0]);
        assert_eq!(
            told(&database("5s"), &database("1min")),
            ["session-settings: statement_timeout (5000ms on the source, 60000ms on the target)"]
        );
        let found = findings(&side(&database("5s")), &side(&database("1min")));
        assert!(!found[0].remedy.contains('\n'), "{found:?}");
        // What is set for a role is as good as what is set for all.
        let everybody = [set(None, false, "statement_timeout", "5000ms")];
        assert_eq!(told(&database("5s"), &everybody), [""; 0]);
        assert_eq!(told(&everybody, &database("5s")), [""; 0]);
        let in_database = [set(Some("app"), true, "statement_timeout", "5s")];
        let anywhere = [set(Some("app"), false, "statement_timeout", "5s")];
        assert_eq!(told(&in_database, &anywhere), [""; 0]);
        assert_eq!(
            told(&in_database, &database("5s")).len(),
            1,
            "others have it"
        );
    }

    #[test]
    fn what_is_set_for_a_role_of_the_target_alone_is_told() {
        let target = [
            set(Some("app"), true, "search_path", "elsewhere"),
            set(Some("app"), false, "statement_timeout", "5s"),
            set(Some("target_only"), false, "statement_timeout", "5s"),
            set(Some("pg_monitor"), false, "statement_timeout", "5s"),
        ];
        assert_eq!(
            told(&[], &target),
            [
                "target-settings: app: search_path (\"$user\", public on the source, elsewhere on the target), \
                 app: statement_timeout (0 on the source, 5000ms on the target)"
            ]
        );
        let found = findings(&side(&[]), &side(&target));
        let pasted: Vec<&str> = found[0].remedy.lines().skip(1).collect();
        assert_eq!(
            pasted,
            [
                "ALTER ROLE \"app\" IN DATABASE \"shop\" RESET search_path;",
                "ALTER ROLE \"app\" RESET statement_timeout;"
            ]
        );
        let source = [set(Some("app"), true, "search_path", "here")];
        let found = findings(&side(&source), &side(&target[..1]));
        assert!(
            found[0].what.contains("(here on the source, elsewhere on"),
            "{found:?}"
        );
        assert!(!found[0].remedy.contains('\n'), "{found:?}");
    }

    /// It is ours alone, and what others begin with is not seen for it.
    #[test]
    fn what_is_set_for_the_role_that_we_are_hides_nothing_that_is_set() {
        let ours = set(Some("we"), false, "statement_timeout", "0");
        let target = [ours.clone(), set(None, true, "statement_timeout", "5s")];
        let both = [ours.clone(), set(None, true, "statement_timeout", "5000")];
        assert_eq!(told(&both, &target), [""; 0]);
        assert_eq!(told(&target, &target), [""; 0]);
        let other = [ours.clone(), set(None, true, "statement_timeout", "1s")];
        assert_eq!(
            told(&other, &target),
            ["session-settings: statement_timeout (1000ms on the source, 5000ms on the target)"]
        );
        let alone = [ours];
        assert_eq!(
            told(&alone, &target),
            ["target-settings: statement_timeout"]
        );
        assert_eq!(told(&alone, &alone), [""; 0]);
    }

    #[test]
    fn a_side_that_pgconvoy_has_closed_is_no_difference() {
        let closed = [set(None, true, READ_ONLY, "on")];
        assert_eq!(
            told(&[], &closed),
            [
                "session-settings: default_transaction_read_only (off on the source, on on the target)"
            ]
        );
        let followed = |settings: &[RoleSetting]| Readiness {
            in_follow: true,
            ..side(settings)
        };
        let (open, closed) = (followed(&[]), followed(&closed));
        assert_eq!(findings(&open, &closed), []);
        assert_eq!(findings(&closed, &open), [], "after the cut-over");
    }

    #[test]
    fn of_a_database_that_is_yet_to_be_created_nothing_is_set() {
        let source = side(&[
            set(None, true, "statement_timeout", "5s"),
            set(Some("app"), true, "work_mem", "1MB"),
            set(Some("app"), false, "search_path", "here"),
        ]);
        let maintenance = side(&[set(None, true, READ_ONLY, "on")]);
        let [source, target] = without_databases(&source, &maintenance);
        let found = findings(&source, &target);
        let rules: Vec<&str> = found.iter().map(|one| one.rule.as_str()).collect();
        assert_eq!(rules, ["role-settings"], "{found:?}");
    }
}
