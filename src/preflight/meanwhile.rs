//! Statements that change a setting for the time of the move, with those that undo it afterwards.

use crate::model::{not_yet, quote_literal};

/// After settings that need no restart.
pub(super) const RELOAD: &str = "SELECT pg_reload_conf();";

/// A change of a setting.
pub(super) struct Change<'a> {
    pub name: &'a str,
    /// As it is spelled in a statement.
    pub to: String,
    /// What it is now; `None` if that is not known.
    pub from: Option<String>,
}

impl<'a> Change<'a> {
    pub fn new(name: &'a str, to: impl Into<String>, from: Option<String>) -> Self {
        Self {
            name,
            to: to.into(),
            from,
        }
    }

    /// With the value that it had: a RESET would also take away what was set by ALTER SYSTEM before.
    fn back(&self) -> String {
        let Self { name, from, .. } = self;
        match from {
            Some(value) => {
                let value = quote_literal(value);
                format!("ALTER SYSTEM SET {name} = {};", value.trim_start())
            }
            None => format!("ALTER SYSTEM RESET {name};"),
        }
    }
}

/// For settings that take a restart, for which the sentence above has to ask.
pub(super) fn with_restart(changes: &[Change<'_>]) -> Vec<String> {
    statements(changes, None)
}

/// For settings that a running server takes.
pub(super) fn with_reload(changes: &[Change<'_>]) -> Vec<String> {
    statements(changes, Some(RELOAD))
}

fn statements(changes: &[Change<'_>], reload: Option<&str>) -> Vec<String> {
    let set = changes
        .iter()
        .map(|change| format!("ALTER SYSTEM SET {} = {};", change.name, change.to));
    let reload = reload.map(str::to_owned);
    let back = changes.iter().map(Change::back).chain(reload.clone());
    let back: Vec<String> = back.collect();
    set.chain(reload)
        .chain(not_yet("after the move, as it was", &back.join(" ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_for_the_move_can_be_taken_back() {
        let changes = [
            Change::new("max_wal_size", "'8192MB'", Some("2048MB".to_owned())),
            Change::new("checkpoint_timeout", "'30min'", None),
        ];
        assert_eq!(
            with_reload(&changes),
            [
                "ALTER SYSTEM SET max_wal_size = '8192MB';",
                "ALTER SYSTEM SET checkpoint_timeout = '30min';",
                RELOAD,
                "-- after the move, as it was: ALTER SYSTEM SET max_wal_size = '2048MB'; ALTER SYSTEM RESET checkpoint_timeout; \
                 SELECT pg_reload_conf();",
            ]
        );
        let named = Change::new("synchronous_standby_names", "''", Some("\"it's\"".into()));
        assert_eq!(
            with_restart(&[named]),
            [
                "ALTER SYSTEM SET synchronous_standby_names = '';",
                "-- after the move, as it was: ALTER SYSTEM SET synchronous_standby_names = '\"it''s\"';",
            ]
        );
    }
}
