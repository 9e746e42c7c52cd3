//! Makes the target ready: creates its database like the source's, or empties the one that is there.
//!
//! ```text
//!   --create      create ─► comment ─► rehearse what comes last (rolled back) …… the move …… apply it
//!   --overwrite   refuse early ─► the run's sign ─► drop, in batches ─► make public anew ─► look whether anything is left
//! ```
//!
//! Nothing here touches another database, a role or a tablespace. Emptying needs no superuser: it drops what an ordinary owner may
//! drop, and refuses before the first statement if somebody else's property is in the way. It may be interrupted and run again.

use std::collections::BTreeMap;

use crate::catalog::{self, Droppable, Holding, LedgerSchema};
use crate::event::{self, Emit, What};
use crate::fault;
use crate::model::{Rows, and_more, quote_ident};
use crate::pg::{BEGIN_DURABLY, PgError, Query, Session};
use crate::plan::{NewDatabase, Property};

/// Statements in one transaction at first; fewer when the server's lock table is too small for what they drop.
const BATCH: usize = 100;
/// What may be seen where the ledger's schema is: a ledger, or the sign of a run that was emptying the database.
const LEDGER: &str = LedgerSchema::Ledger.kind();
const SIGN: &str = LedgerSchema::Sign.kind();
/// What would fire at all that follows, and is dropped first.
const EVENT_TRIGGER: &str = "event trigger";
/// Names of each kind that a note mentions.
const EXAMPLES: usize = 5;
/// `out_of_memory`: among others, the lock table is full.
const OUT_OF_MEMORY: &str = "53200";
/// `insufficient_privilege`.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

const DATABASE_EXISTS: Query = Query::new(
    "whether a database exists",
    "select exists (select from pg_catalog.pg_database where datname = $1::text) as found",
);
const WHO_AND_WHERE: Query = Query::new(
    "the connected role and database",
    "select current_user::text as role, pg_catalog.current_database()::text as database",
);

/// Why the target could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The catalog could not be read.
    #[error("preparing the target: {doing}")]
    Asking {
        /// What we wanted to know.
        doing: &'static str,
        /// Why not.
        #[source]
        source: PgError,
    },
    /// `--create` of what is there.
    #[error("database \"{database}\" already exists on the target")]
    Exists {
        /// Its name.
        database: String,
    },
    /// `CREATE DATABASE` failed.
    #[error("creating database \"{database}\"")]
    Create {
        /// Its name.
        database: String,
        /// Why.
        #[source]
        source: PgError,
    },
    /// The database cannot be given a property of the source's.
    #[error("database \"{database}\": {what} cannot be set on the target")]
    Property {
        /// The database.
        database: String,
        /// Which property.
        what: String,
        /// Why not.
        #[source]
        source: PgError,
    },
    /// Subscriptions hold replication slots on other servers; dropping them reaches beyond this database.
    #[error(
        "database \"{database}\" cannot be emptied: it has subscriptions, which hold slots on other servers: {}",
        names.join(", ")
    )]
    Subscriptions {
        /// The database.
        database: String,
        /// Their names.
        names: Vec<String>,
    },
    /// A schema of the ledger's name is somebody's own. Nothing was dropped.
    #[error(
        "database \"{database}\" cannot be emptied: its schema pgconvoy is not the ledger of a run, and a run needs that \
         name for its own"
    )]
    Taken {
        /// The database.
        database: String,
    },
    /// Somebody else's objects are in the way. Nothing was dropped.
    #[error(
        "database \"{database}\" cannot be emptied: role \"{role}\" owns neither these objects nor their schemas: {}",
        objects.join(", ")
    )]
    NotYours {
        /// The database.
        database: String,
        /// The connected role.
        role: String,
        /// What.
        objects: Vec<String>,
    },
    /// A statement failed; what was dropped before it stays dropped.
    #[error("emptying database \"{database}\": {what}")]
    Drop {
        /// The database.
        database: String,
        /// What was to be dropped or made.
        what: String,
        /// Why it was not.
        #[source]
        source: PgError,
    },
    /// Something was not dropped, or made by somebody in the meantime.
    #[error(
        "database \"{database}\" was emptied, but still holds {what}; is another session working in it?"
    )]
    Remains {
        /// The database.
        database: String,
        /// What.
        what: String,
    },
}

/// What emptying a database did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Emptied {
    /// What was dropped.
    pub dropped: Vec<Holding>,
    /// What was left, and why.
    pub left: Vec<String>,
}

impl Emptied {
    /// A sentence for each kind that was dropped, and for each thing that was left.
    pub fn notes(&self) -> Vec<String> {
        let dropped = self.dropped.iter().map(|holding| {
            let more = holding.count.saturating_sub(holding.examples.len() as u64);
            format!(
                "dropped {} × {}: {}",
                Rows(holding.count),
                holding.kind,
                and_more(&holding.examples, more)
            )
        });
        let left = self.left.iter().map(|left| format!("left {left}"));
        dropped.chain(left).collect()
    }
}

/// Whether the target's server has a database of this name.
pub async fn database_exists(maintenance: &Session, name: &str) -> Result<bool, PrepareError> {
    let found = async {
        let rows = maintenance.query(&DATABASE_EXISTS, &[&name]).await?;
        rows.first().map_or(Ok(false), |row| row.get("found"))
    };
    found.await.map_err(|source| PrepareError::Asking {
        doing: "whether its database exists",
        source,
    })
}

/// Creates the database. If one of its properties cannot be set, neither now nor later, the database is dropped again:
/// it is ours, and was empty a moment ago.
pub async fn create_database(maintenance: &Session, new: &NewDatabase) -> Result<(), PrepareError> {
    if database_exists(maintenance, &new.name).await? {
        return Err(PrepareError::Exists {
            database: new.name.clone(),
        });
    }
    let created = maintenance.execute(&new.create.to_string_lossy()).await;
    created.map_err(|source| match source.code() {
        // Somebody was faster than we.
        Some("42P04") => PrepareError::Exists {
            database: new.name.clone(),
        },
        _ => PrepareError::Create {
            database: new.name.clone(),
            source,
        },
    })?;
    fault::point("database-bare");
    let complete = async {
        in_transaction(maintenance, new, &new.early, "commit").await?;
        in_transaction(maintenance, new, &new.late, "rollback").await
    };
    let complete = complete.await;
    if complete.is_err() {
        // The first error is the one that counts; a database that could not be dropped is found by the next attempt.
        let _ = maintenance
            .execute(&format!("drop database {}", quote_ident(&new.name)))
            .await;
    }
    complete
}

/// For a database that an interrupted run has created, but perhaps not finished: sets again what is set first. All of it may be set
/// twice.
pub async fn adopt_database(session: &Session, new: &NewDatabase) -> Result<(), PrepareError> {
    in_transaction(session, new, &new.early, "commit").await?;
    in_transaction(session, new, &new.late, "rollback").await
}

/// Sets what comes last, all of it or nothing; `session` may be connected to any database of the target.
pub async fn apply_properties(session: &Session, new: &NewDatabase) -> Result<(), PrepareError> {
    in_transaction(session, new, &new.late, "commit").await
}

async fn in_transaction(
    session: &Session,
    new: &NewDatabase,
    properties: &[Property],
    end: &str,
) -> Result<(), PrepareError> {
    let failed = |what: &str, source: PgError| PrepareError::Property {
        database: new.name.clone(),
        what: what.to_owned(),
        source,
    };
    if properties.is_empty() {
        return Ok(());
    }
    let begin = session.execute(BEGIN_DURABLY);
    begin.await.map_err(|source| failed("nothing", source))?;
    for property in properties {
        let done = session.execute(&property.sql.to_string_lossy()).await;
        if let Err(source) = done {
            // Should this fail as well, then the session is gone, and the transaction with it.
            let _ = session.execute("rollback").await;
            return Err(failed(&property.what, source));
        }
    }
    let ended = session.execute(end).await;
    ended.map_err(|source| failed("all that was asked for", source))
}

/// Empties the database that the session is connected to, down to what a new one holds. Extensions of other roles stay. Tells that it
/// begins before the first statement, and how far it is.
///
/// `sign` is a statement that puts up [the run's sign](crate::ledger::put_up_sign), which comes before anything else and stays.
pub async fn empty(
    session: &Session,
    sign: Option<&str>,
    emit: &dyn Emit,
) -> Result<Emptied, PrepareError> {
    let asking = |doing| move |source| PrepareError::Asking { doing, source };
    let (role, database) = who_and_where(session).await.map_err(asking("who we are"))?;
    let names = catalog::subscriptions(session)
        .await
        .map_err(asking("its subscriptions"))?;
    if !names.is_empty() {
        return Err(PrepareError::Subscriptions { database, names });
    }
    let whose = catalog::ledger_schema(session).await;
    if whose.map_err(asking("what it holds"))? == Some(LedgerSchema::Another) {
        return Err(PrepareError::Taken { database });
    }
    let found = catalog::droppable(session)
        .await
        .map_err(asking("what it holds"))?;
    let (drops, left) = match sort_out(found) {
        Ok(sorted) => sorted,
        Err(objects) => {
            return Err(PrepareError::NotYours {
                database,
                role,
                objects,
            });
        }
    };
    let emptying = Emptying {
        session,
        database,
        sign,
    };
    emptying.quietly("warning").await?;
    let mut emptied = Emptied {
        dropped: counted(&drops),
        left,
    };
    // A sign is no object of anybody's.
    let objects = drops.iter().filter(|item| item.kind != SIGN).count();
    let tell = |left: usize| {
        emit.emit(What::EmptyingTarget(event::Emptying {
            objects: objects as u64,
            dropped: objects.saturating_sub(left) as u64,
        }));
    };
    if objects > 0 {
        tell(objects);
    }
    let drops = emptying.begin(drops).await?;
    if drops.len() < objects {
        tell(drops.len());
    }
    emptying.drop_all(&drops, &tell).await?;
    fault::point("defaults-missing");
    emptying.restore_defaults(&mut emptied.left).await?;
    emptying.quietly("notice").await?;
    emptying.nothing_remains().await?;
    Ok(emptied)
}

async fn who_and_where(session: &Session) -> Result<(String, String), PgError> {
    let rows = session.query(&WHO_AND_WHERE, &[]).await?;
    let row = rows.first().ok_or_else(|| PgError::Answer {
        query: WHO_AND_WHERE.name,
        what: "no row".into(),
    })?;
    Ok((row.get("role")?, row.get("database")?))
}

/// What to drop, and what to leave; the error is what else is not ours.
fn sort_out(found: Vec<Droppable>) -> Result<(Vec<Droppable>, Vec<String>), Vec<String>> {
    let (drops, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|item| item.may_drop);
    let (left, in_the_way): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|item| item.kind == "extension");
    let described = |item: &Droppable| format!("{} {}", item.kind, item.name);
    if !in_the_way.is_empty() {
        return Err(in_the_way.iter().map(described).collect());
    }
    let left = left
        .iter()
        .map(|item| format!("{}, which belongs to another role", described(item)));
    Ok((drops, left.collect()))
}

fn counted(drops: &[Droppable]) -> Vec<Holding> {
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    // It is not told of, either.
    for item in drops.iter().filter(|item| item.kind != SIGN) {
        kinds.entry(&item.kind).or_default().push(&item.name);
    }
    let holding = |(kind, names): (&str, Vec<&str>)| Holding {
        kind: kind.to_owned(),
        count: names.len() as u64,
        examples: names
            .iter()
            .take(EXAMPLES)
            .map(|&name| name.to_owned())
            .collect(),
    };
    kinds.into_iter().map(holding).collect()
}

/// A database that is being emptied.
struct Emptying<'a> {
    session: &'a Session,
    database: String,
    sign: Option<&'a str>,
}

impl Emptying<'_> {
    fn failed(&self, what: String, source: PgError) -> PrepareError {
        PrepareError::Drop {
            database: self.database.clone(),
            what,
            source,
        }
    }

    /// CASCADE has a notice for everything it takes along.
    async fn quietly(&self, level: &str) -> Result<(), PrepareError> {
        let set = format!("set client_min_messages = {level}");
        let done = self.session.execute(&set).await;
        done.map_err(|source| self.failed("starting".into(), source))
    }

    /// Whose work it is, written down before anything is missing: in one transaction with what would fire at that, and with what
    /// has its place. Says what is still to be dropped.
    async fn begin(&self, drops: Vec<Droppable>) -> Result<Vec<Droppable>, PrepareError> {
        let Some(sign) = self.sign else {
            return Ok(drops);
        };
        let comes_first =
            |item: &Droppable| [EVENT_TRIGGER, LEDGER, SIGN].contains(&item.kind.as_str());
        let (first, rest): (Vec<_>, Vec<_>) = drops.into_iter().partition(comes_first);
        let first = first.iter().map(|item| item.statement.as_str());
        let statements: Vec<&str> = first.chain([sign]).collect();
        let begun = self.session.execute(&statements.join(";\n")).await;
        begun.map_err(|source| self.failed("noting which run does it".into(), source))?;
        fault::point("target-signed");
        Ok(rest)
    }

    /// Whether something may stay: the sign, until the ledger takes its place.
    fn is_sign(&self, kind: &str) -> bool {
        self.sign.is_some() && kind == SIGN
    }

    /// In order, as many in one transaction as the server's lock table can take; tells after each how many are left.
    async fn drop_all(
        &self,
        drops: &[Droppable],
        tell: &(dyn Fn(usize) + Sync),
    ) -> Result<(), PrepareError> {
        let mut size = BATCH;
        let mut rest = drops;
        while !rest.is_empty() {
            fault::point("target-half-empty");
            let (batch, later) = rest.split_at(size.min(rest.len()));
            match self.drop_batch(batch).await {
                Ok(()) => {
                    rest = later;
                    tell(rest.len());
                }
                Err((_, error)) if error.code() == Some(OUT_OF_MEMORY) && batch.len() > 1 => {
                    size = batch.len().div_ceil(2);
                }
                // Alone, so that the error is about one object.
                Err((_, error)) if !error.is_lost_connection() && batch.len() > 1 => size = 1,
                Err((what, source)) => return Err(self.failed(what, source)),
            }
        }
        Ok(())
    }

    /// One transaction: several statements that are sent together are one.
    async fn drop_batch(&self, batch: &[Droppable]) -> Result<(), (String, PgError)> {
        let (objects, relations): (Vec<_>, Vec<_>) =
            batch.iter().partition(|item| item.kind == "large object");
        let statements: Vec<&str> = relations
            .iter()
            .map(|item| item.statement.as_str())
            .collect();
        let what = batch
            .first()
            .map_or(String::new(), |item| format!("{} {}", item.kind, item.name));
        let done = async {
            self.session.execute(&statements.join(";\n")).await?;
            for item in objects {
                while self.unlink_some(&item.statement).await? > 0 {}
            }
            Ok(())
        };
        done.await.map_err(|source| (what, source))
    }

    async fn unlink_some(&self, statement: &str) -> Result<u64, PgError> {
        let name = "unlinking large objects";
        let rows = self.session.query_text(name, statement, &[]).await?;
        rows.first().map_or(Ok(0), |row| row.count("count"))
    }

    /// What a new database has. On a managed server some of it may not be ours to make; then it is noted.
    async fn restore_defaults(&self, left: &mut Vec<String>) -> Result<(), PrepareError> {
        let wanted = catalog::missing_defaults(self.session).await;
        let wanted = wanted.map_err(|source| PrepareError::Asking {
            doing: "what a new database has",
            source,
        })?;
        for default in wanted {
            match self.session.execute(&default.statement).await {
                Ok(()) => {}
                Err(error) if error.code() == Some(INSUFFICIENT_PRIVILEGE) => {
                    left.push(format!("{} as it was: {error}", default.what));
                }
                Err(source) => return Err(self.failed(default.what, source)),
            }
        }
        Ok(())
    }

    async fn nothing_remains(&self) -> Result<(), PrepareError> {
        let asking = |source| PrepareError::Asking {
            doing: "whether it is empty now",
            source,
        };
        let again = catalog::droppable(self.session).await.map_err(asking)?;
        let again = again
            .iter()
            .filter(|item| item.kind != "extension" || item.may_drop)
            .filter(|item| !self.is_sign(&item.kind));
        let mut remains: Vec<String> = again
            .map(|item| format!("{} {}", item.kind, item.name))
            .collect();
        if remains.is_empty() {
            let held = catalog::holdings(self.session).await.map_err(asking)?;
            remains = held
                .iter()
                .filter(|held| !self.is_sign(&held.kind))
                .map(|held| format!("{} {}", held.kind, held.examples.join(", ")))
                .collect();
        }
        if remains.is_empty() {
            return Ok(());
        }
        Err(PrepareError::Remains {
            database: self.database.clone(),
            what: remains.join(", "),
        })
    }
}
