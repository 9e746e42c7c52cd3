//! Settings of objects that a dump does not say, or that did not take effect: the `ALTER` for each (`sql/verify/states.sql`).

use crate::model::{QualifiedName, quote_ident, quote_literal};

use super::super::State;
use super::step::{Phase, Statement};

/// Sets what `setting` names to `wanted`; `None` is the default. `Err` says why it cannot be done.
pub(super) fn set(setting: &State, wanted: Option<&str>) -> Result<(Phase, Statement), String> {
    let alter = Alter {
        setting,
        wanted,
        name: QualifiedName::new(&setting.schema, &setting.name).to_string(),
    };
    let sql = alter.by_property()?;
    let phase = match (setting.class.as_str(), setting.property.as_str()) {
        ("event trigger", _) | (_, "data") => Phase::Last,
        _ => Phase::Finish,
    };
    Ok((phase, Statement::ours(sql)))
}

struct Alter<'a> {
    setting: &'a State,
    wanted: Option<&'a str>,
    name: String,
}

impl Alter<'_> {
    fn by_property(&self) -> Result<String, String> {
        let (name, wanted) = (&self.name, self.wanted);
        let table = format!("alter {} only {name}", self.kind());
        let property = self.setting.property.as_str();
        match property {
            "state" => return self.enabled(),
            "persistence" => {
                let to = if wanted.is_some() {
                    "unlogged"
                } else {
                    "logged"
                };
                return Ok(format!("alter {} {name} set {to}", self.kind()));
            }
            "data" => {
                let without = wanted.map_or("", |_| " with no data");
                return Ok(format!("refresh materialized view {name}{without}"));
            }
            "presence" => {
                let verb = if wanted.is_some() { "drop" } else { "create" };
                return Ok(format!("{verb} schema {}", quote_ident(&self.setting.name)));
            }
            "row security" => {
                let verb = if wanted.is_some() {
                    "enable"
                } else {
                    "disable"
                };
                return Ok(format!("{table} {verb} row level security"));
            }
            "row security for the owner" => {
                let no = if wanted.is_some() { "" } else { "no " };
                return Ok(format!("{table} {no}force row level security"));
            }
            "replica identity" => {
                return match wanted {
                    Some(text) if text.ends_with("(dropped)") => {
                        Err("the index that was its replica identity is gone on the source".into())
                    }
                    wanted => Ok(format!(
                        "{table} replica identity {}",
                        wanted.unwrap_or("default")
                    )),
                };
            }
            "clustered on" => {
                return Ok(match wanted {
                    Some(index) => format!("{} cluster on {index}", self.whole()),
                    None => format!("{} set without cluster", self.whole()),
                });
            }
            "statistics target" => {
                return Ok(format!(
                    "alter statistics {name} set statistics {}",
                    wanted.unwrap_or("-1")
                ));
            }
            _ => {}
        }
        self.by_part(property)
    }

    /// Settings of one column or constraint, which the property names, quoted where it must be.
    fn by_part(&self, property: &str) -> Result<String, String> {
        let (name, wanted, whole) = (&self.name, self.wanted, self.whole());
        let after = |prefix: &str| property.strip_prefix(prefix);
        if let Some(constraint) = after("constraint ").filter(|_| self.setting.class == "domain") {
            return match wanted {
                None => Ok(format!(
                    "alter domain {name} validate constraint {constraint}"
                )),
                Some(_) => Err(
                    "a constraint that was validated stays so: drop it and add it again, not valid"
                        .into(),
                ),
            };
        }
        if let Some(column) = after("statistics target of column ") {
            let target = wanted.unwrap_or("-1");
            return Ok(match &self.setting.part {
                Some(index) => {
                    let index = QualifiedName::new(&self.setting.schema, index);
                    format!("alter index {index} alter column {column} set statistics {target}")
                }
                None => format!("{whole} alter column {column} set statistics {target}"),
            });
        }
        if let Some(column) = after("compression of column ") {
            let method = wanted.unwrap_or("default");
            return Ok(format!(
                "{whole} alter column {column} set compression {method}"
            ));
        }
        if let Some(column) = after("storage of column ") {
            return Ok(match wanted {
                Some(storage) => format!("{whole} alter column {column} set storage {storage}"),
                None => self.default_storage(column),
            });
        }
        Err("it is not known how this is set".into())
    }

    fn kind(&self) -> &str {
        match self.setting.class.as_str() {
            "row security" | "trigger" | "rule" => "table",
            // ALTER MATERIALIZED VIEW knows no ONLY, and ALTER TABLE takes it as well.
            "materialized view" | "view" if self.setting.property != "persistence" => "table",
            class => class,
        }
    }

    fn whole(&self) -> String {
        format!("alter {} {}", self.kind(), self.name)
    }

    /// Of triggers, rules and event triggers.
    fn enabled(&self) -> Result<String, String> {
        let verb = match self.wanted {
            None => "enable",
            Some("disabled") => "disable",
            Some("enabled in replica mode") => "enable replica",
            Some("always enabled") => "enable always",
            Some(_) => return Err("it is not known how this is set".into()),
        };
        let class = self.setting.class.as_str();
        match &self.setting.part {
            Some(part) => Ok(format!(
                "alter table only {} {verb} {class} {}",
                self.name,
                quote_ident(part)
            )),
            None => Ok(format!(
                "alter {class} {} {verb}",
                quote_ident(&self.setting.name)
            )),
        }
    }

    /// `SET STORAGE DEFAULT` came with version 16; before, the type must be asked. The column is quoted already.
    fn default_storage(&self, column: &str) -> String {
        let table = quote_literal(&self.name);
        let quoted = quote_literal(column);
        let body = format!(
            "begin execute (select pg_catalog.format('alter table %s alter column %s set storage %s', {table}, {quoted}, \
             case t.typstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end) \
             from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid \
             where a.attrelid = {table}::pg_catalog.regclass and pg_catalog.quote_ident(a.attname) = {quoted}); end"
        );
        format!("do {}", quote_literal(&body))
    }
}

/// The statements that put a table's triggers and rules back to how the target has them, for after rows were written.
pub(super) fn as_they_are<'a>(
    states: impl Iterator<Item = &'a State> + 'a,
) -> impl Iterator<Item = Statement> + 'a {
    states.filter_map(|state| {
        set(state, Some(&state.state))
            .ok()
            .map(|(_, statement)| statement)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(class: &str, part: Option<&str>, property: &str) -> State {
        State {
            class: class.to_owned(),
            schema: "s".to_owned(),
            name: "t".to_owned(),
            part: part.map(str::to_owned),
            property: property.to_owned(),
            state: String::new(),
            extension: None,
        }
    }

    #[test]
    fn each_setting_has_its_statement() {
        for (state, wanted, expected) in [
            (
                state("trigger", Some("a\"b"), "state"),
                Some("always enabled"),
                "alter table only \"s\".\"t\" enable always trigger \"a\"\"b\"",
            ),
            (
                state("table", None, "replica identity"),
                Some("using index x"),
                "alter table only \"s\".\"t\" replica identity using index x",
            ),
            (
                state("sequence", None, "persistence"),
                None,
                "alter sequence \"s\".\"t\" set logged",
            ),
            (
                state("materialized view", None, "data"),
                None,
                "refresh materialized view \"s\".\"t\"",
            ),
            (
                state("index", Some("i"), "statistics target of column 2"),
                Some("7"),
                "alter index \"s\".\"i\" alter column 2 set statistics 7",
            ),
        ] {
            let (_, statement) = set(&state, wanted).expect("known");
            assert_eq!(statement.to_string_lossy(), expected);
        }
        assert!(set(&state("table", None, "colour"), None).is_err());
        assert!(
            set(
                &state("domain", None, "constraint c"),
                Some("not validated")
            )
            .is_err()
        );
    }
}
