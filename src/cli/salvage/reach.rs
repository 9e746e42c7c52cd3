//! A damaged source, connected to so that its catalogs can be read.
//!
//! If they cannot be read as usual, they are tried without their indexes (`ignore_system_indexes`), which a session can only ask for
//! when it begins. If `pg_dump` cannot describe the database even so, what it fails on is left out. Where not even a session can begin,
//! the setting has to be made in the server's own configuration, by its owner.

use super::describe::{Describing, LeftOut};
use crate::catalog;
use crate::cli::inspect::Server;
use crate::failure::Failure;
use crate::model::{ExitStatus, Filters, Side};
use crate::pg::client_tools::{ClientTool, Search};
use crate::pg::connect_error::ConnectError;
use crate::pg::conninfo::{Conninfo, Environment};
use crate::pg::{Connector, PgError};
use crate::salvage::{Cause, Facts};

/// The setting.
pub(super) const WITHOUT_INDEXES: &str = "ignore_system_indexes=on";

/// The file that says which files the catalog of a database is in.
const MAP: &str = "pg_filenode.map";

/// A way to a damaged source.
pub(in crate::cli) struct Reached {
    /// Where its catalogs can be read: perhaps without their indexes.
    pub conninfo: Conninfo,
    /// What cannot be described.
    pub left_out: LeftOut,
}

/// Finds one. `describe` are the filters with which `pg_dump` has to describe the database; nothing, if it need not.
pub(in crate::cli) async fn reachable(
    conninfo: Conninfo,
    describe: Option<&Filters>,
) -> Result<Reached, Failure> {
    let without = conninfo
        .clone()
        .with_option(&format!("-c {WITHOUT_INDEXES}"));
    let looked = match Box::pin(a_session_begins(&conninfo)).await? {
        None => Box::pin(look(&conninfo, describe)).await,
        // It may be that only what every session of ours does first needs such an index.
        Some(damage) => match Box::pin(a_session_begins(&without)).await? {
            None => Err(damage.with_status(ExitStatus::Failed)),
            Some(damage) => return Err(damage),
        },
    };
    let failure = match looked {
        Ok(()) => return Ok(Reached::whole(conninfo)),
        Err(failure) => failure,
    };
    // A tool that is missing, or somebody who holds a lock, is no damage.
    if failure.status == ExitStatus::Usage || failure.to_string().contains("lock timeout") {
        return Err(failure);
    }
    if Box::pin(look(&without, describe)).await.is_ok() {
        return Ok(Reached::whole(without));
    }
    let mut failure = Failure {
        hint: Some(hint(describe.is_some())),
        ..failure.while_doing("reading the catalogs of the source, with and without their indexes")
    };
    if let Some(filters) = describe {
        for conninfo in [conninfo, without] {
            if Box::pin(look(&conninfo, None)).await.is_err() {
                continue;
            }
            match Box::pin(object_by_object(&conninfo, filters, failure)).await {
                Ok(left_out) => return Ok(Reached { conninfo, left_out }),
                Err(again) => failure = again,
            }
        }
    }
    Err(failure)
}

impl Reached {
    fn whole(conninfo: Conninfo) -> Self {
        Self {
            conninfo,
            left_out: LeftOut::default(),
        }
    }
}

/// Connects to a damaged source.
pub(in crate::cli) async fn connect(
    conninfo: Conninfo,
    filters: &Filters,
) -> Result<(Server, LeftOut), Failure> {
    let reached = Box::pin(reachable(conninfo, Some(filters))).await?;
    let server = Server::connect(reached.conninfo, Side::Source).await?;
    Ok((server, reached.left_out))
}

fn hint(describable: bool) -> String {
    let elsewhere = if describable {
        "If the message above names what pg_dump fails on, take the definitions from elsewhere: --schema-from with an archive, or with a \
         server that has the same tables, such as staging; the rows still come from the source. "
    } else {
        ""
    };
    format!(
        "{elsewhere}What is named above is damaged in the catalog itself: on a copy of the files it can perhaps be fixed by hand; otherwise \
         use a backup."
    )
}

/// Where what every session begins with is damaged, there is none.
/// `Some` is that damage; an error is anything else.
async fn a_session_begins(conninfo: &Conninfo) -> Result<Option<Failure>, Failure> {
    let connector = Connector::new(conninfo.clone(), Side::Source)?;
    let Err(error) = connector.session("questions").await else {
        return Ok(None);
    };
    let remedy = refusal(&error).and_then(|(code, message)| without_a_session(code, message));
    let failure = Failure::from(error);
    let Some((hint, status)) = remedy else {
        return Err(failure);
    };
    Ok(Some(Failure {
        hint: Some(hint),
        ..failure.with_status(status)
    }))
}

/// What can be done about the damage that keeps sessions from beginning, by somebody else if not by a backup; nothing, if it is none.
fn without_a_session(code: &str, message: &str) -> Option<(String, ExitStatus)> {
    // All that a session of ours asks for when it begins is the server's own, and always there.
    let is_missing = matches!(code, "3F000" | "42P01" | "42704" | "42883");
    if is_missing && message.contains("pg_catalog") {
        let hint = "What is named above is missing from the catalog itself, and no session can begin without it: on a copy of the files it can \
                    perhaps be fixed by hand; otherwise use a backup.";
        return Some((hint.to_owned(), ExitStatus::Failed));
    }
    Cause::of_error(code, message).filter(|_| !code.starts_with("22"))?;
    let hint = if message.contains(MAP) {
        format!(
            "That file says which files the catalog is in, and no session can begin without it. On a copy of the files, put that of template1 \
             (base/1/{MAP}) in its place, and run the same command again: they are the same if the catalogs of neither database were ever \
             rewritten (VACUUM FULL, CLUSTER, REINDEX). Otherwise use a backup."
        )
    } else {
        format!(
            "The catalog is so damaged that no session can begin. On a copy of the files, add \"{}\" to postgresql.conf, restart the server, \
             and run the same command again: if only an index of the catalog is damaged, that is enough.",
            WITHOUT_INDEXES.replace('=', " = ")
        )
    };
    Some((hint, ExitStatus::Usage))
}

/// What the server has said to whoever wanted to connect.
fn refusal(error: &PgError) -> Option<(&str, &str)> {
    match error {
        PgError::Connect(error) => of_connecting(error),
        PgError::Server { error, .. } => Some((&error.code, &error.message)),
        _ => None,
    }
}

fn of_connecting(error: &ConnectError) -> Option<(&str, &str)> {
    match error {
        ConnectError::Refused { error, .. } => Some((&error.code, &error.message)),
        ConnectError::All(errors) => errors.iter().find_map(of_connecting),
        _ => None,
    }
}

/// Everything that is asked of the catalogs later on, once.
async fn look(conninfo: &Conninfo, describe: Option<&Filters>) -> Result<(), Failure> {
    let server = Server::connect(conninfo.clone(), Side::Source).await?;
    if !server.facts.superuser {
        // Who may not look into the files is told so, and not that the catalogs are damaged.
        return Ok(());
    }
    let facts = Facts::read(&server.session).await?;
    // Where sequences stand is not in the catalog.
    let sequences = facts.sequences.into_iter().map(|one| one.name).collect();
    catalog::source_facts_but(&server.session, &sequences).await?;
    let Some(filters) = describe else {
        return Ok(());
    };
    let pg_dump = pg_dump(&server).await?;
    describing(&server, &pg_dump, filters).whole().await
}

/// What has to be left out so that the rest can be described.
async fn object_by_object(
    conninfo: &Conninfo,
    filters: &Filters,
    failure: Failure,
) -> Result<LeftOut, Failure> {
    let server = Server::connect(conninfo.clone(), Side::Source).await?;
    let pg_dump = pg_dump(&server).await?;
    let search = describing(&server, &pg_dump, filters);
    search.left_out(failure).await
}

/// The `pg_dump` that describes it.
pub(super) async fn pg_dump(server: &Server) -> Result<ClientTool, Failure> {
    let search = Search::run("pg_dump", &Environment::of_process()).await;
    Ok(search.closest_for(server.facts.version)?)
}

fn describing<'a>(
    server: &'a Server,
    pg_dump: &'a ClientTool,
    filters: &'a Filters,
) -> Describing<'a> {
    Describing {
        server,
        pg_dump,
        filters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_done_depends_on_what_keeps_sessions_from_beginning() {
        let says = |code: &str, message: &str| {
            without_a_session(code, message).map(|(hint, status)| {
                let words = ["backup", "template1", "ignore_system_indexes = on"];
                (words.map(|word| hint.contains(word)), status)
            })
        };
        let index = "index \"pg_class_oid_index\" contains unexpected zero page at block 1";
        let on_request = Some(([false, false, true], ExitStatus::Usage));
        assert_eq!(says("XX002", index), on_request);
        let map = "relation mapping file \"base/5/pg_filenode.map\" contains incorrect checksum";
        let by_hand = Some(([true, true, false], ExitStatus::Usage));
        assert_eq!(says("XX000", map), by_hand);
        let gone = "could not open file \"base/5/pg_filenode.map\": No such file or directory";
        assert_eq!(says("58P01", gone), by_hand);
        let schema = "schema \"pg_catalog\" does not exist";
        let lost = Some(([true, false, false], ExitStatus::Failed));
        assert_eq!(says("3F000", schema), lost);
        // These are no damage.
        assert_eq!(says("3D000", "database \"shop\" does not exist"), None);
        let setting = "unrecognized configuration parameter \"x\"";
        assert_eq!(says("42704", setting), None);
        assert_eq!(says("22023", "invalid value for parameter \"x\""), None);
    }
}
