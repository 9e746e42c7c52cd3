//! The ledger's end: dropped when everything is proven, and nobody may answer to that.
//!
//! The event triggers of the moved database are in place by then, and what one of them would write no comparison would see any more. Most keep
//! quiet under `session_replication_role = replica`. Those that fire all the same are disabled meanwhile, in the same transaction.

use super::BEGIN_DURABLY;
use crate::fault;
use crate::model::{SqlText, quote_ident};
use crate::pg::PgError;
use crate::pg::wire::Wire;

const LOUD: &str = include_str!("../../sql/ledger/loud_event_triggers.sql");

/// An event trigger that fires under `session_replication_role = replica`.
struct Loud {
    name: String,
    /// `always` or `replica`.
    enabled: String,
}

/// Drops the ledger, and waits until that is on the target's disk. It may be gone: the first attempt may have lost nothing but the answer.
///
/// Only a `superuser` can keep event triggers quiet. `and` is what takes the ledger's place, in the same transaction.
pub async fn drop(wire: &mut Wire, superuser: bool, and: Option<&str>) -> Result<(), PgError> {
    let loud = if superuser {
        loud_event_triggers(wire).await?
    } else {
        Vec::new()
    };
    wire.execute(&statement(superuser, &loud, and)).await
}

async fn loud_event_triggers(wire: &mut Wire) -> Result<Vec<Loud>, PgError> {
    let rows = wire.query(&SqlText::from(LOUD)).await?;
    let text = |value: &Option<_>| {
        let value: Option<&bytes::Bytes> = value.as_ref();
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let loud = rows.iter().filter_map(|row| {
        let [name, enabled] = row.as_slice() else {
            return None;
        };
        Some(Loud {
            name: text(name)?,
            enabled: text(enabled)?,
        })
    });
    Ok(loud.collect())
}

fn statement(superuser: bool, loud: &[Loud], and: Option<&str>) -> SqlText {
    let alter = |one: &Loud, to: &str| {
        let name = quote_ident(&one.name);
        format!("alter event trigger {name} {to};\n")
    };
    let disable: String = loud.iter().map(|one| alter(one, "disable")).collect();
    let enable: String = loud
        .iter()
        .map(|one| alter(one, &format!("enable {}", one.enabled)))
        .collect();
    let silence = if superuser {
        "set local session_replication_role = replica;"
    } else {
        ""
    };
    let stall = fault::stall("ledger-half-dropped", "").unwrap_or_default();
    let and = and.unwrap_or_default();
    SqlText::from(format!(
        "{BEGIN_DURABLY}; {silence} set local client_min_messages = warning;\n{disable}\
         drop schema if exists pgconvoy cascade; {stall}; {and};\n{enable}commit"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_would_fire_all_the_same_is_quiet_meanwhile_and_as_before_then() {
        let loud = |name: &str, enabled: &str| Loud {
            name: name.to_owned(),
            enabled: enabled.to_owned(),
        };
        let loud = [loud("a", "always"), loud("It's", "replica")];
        let said = statement(true, &loud, Some("select 1")).to_string();
        let parts: Vec<&str> = said.split('\n').map(str::trim).collect();
        assert_eq!(
            parts[1..],
            [
                "alter event trigger \"a\" disable;",
                "alter event trigger \"It's\" disable;",
                "drop schema if exists pgconvoy cascade; ; select 1;",
                "alter event trigger \"a\" enable always;",
                "alter event trigger \"It's\" enable replica;",
                "commit",
            ]
        );
    }
}
