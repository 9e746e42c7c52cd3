//! A damaged source, connected to so that its catalogs can be read.
//!
//! If they cannot be read as usual, they are tried without their indexes (`ignore_system_indexes`), which a session can only ask for
//! when it begins. If `pg_dump` cannot describe the database even so, what it stumbles over is left out. Where not even a session can begin, the server has to be told so in its own settings, which is its owner's to do.

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
            None => Err(damage),
            Some(damage) => return Err(damage.with_status(ExitStatus::Usage)),
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
        "If what pg_dump stumbles over is named above, take the definitions from elsewhere: --schema-from with an archive, or with a \
         server that has the same tables, such as staging; the rows are then the source's. "
    } else {
        ""
    };
    format!(
        "{elsewhere}What is named above is damaged in the catalog itself: on a copy of the files it may be mended by hand, or a backup \
         be used."
    )
}

/// Where the indexes of the catalog that every session begins with are damaged, there is none.
/// `Some` is that damage; an error is anything else.
async fn a_session_begins(conninfo: &Conninfo) -> Result<Option<Failure>, Failure> {
    let connector = Connector::new(conninfo.clone(), Side::Source)?;
    let Err(error) = connector.session("questions").await else {
        return Ok(None);
    };
    let is_damage = refusal(&error).is_some_and(|(code, message)| {
        Cause::of_error(code, message).is_some_and(|_| !code.starts_with("22"))
    });
    let failure = Failure::from(error);
    if !is_damage {
        return Err(failure);
    }
    Ok(Some(Failure {
        hint: Some(format!(
            "The catalog is damaged so that no session can begin. On a copy of the files, add \"{}\" to postgresql.conf, start the \
             server again, and run the same again: if it is only an index of the catalog, that is enough.",
            WITHOUT_INDEXES.replace('=', " = ")
        )),
        ..failure.with_status(ExitStatus::Failed)
    }))
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

async fn pg_dump(server: &Server) -> Result<ClientTool, Failure> {
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
