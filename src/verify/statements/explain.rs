//! Asks a server's planner about a statement, and which statements the source spends its time on.
//!
//! Nothing is run. A statement is text from outside, and the question is made by writing something in front of it; so the
//! server is first asked to parse the text by itself, by a message of the protocol that takes a single statement and nothing
//! more. What it accepts there cannot be two statements, whatever we think of quotes and comments.

use crate::model::quote_ident;
use crate::pg::{PgError, Session};

use super::super::attempt::{attempt, attempt_text};
use super::shape::Node;
use super::{Answer, COUNTERS, Sampled, Spent, Unplanned, text};

/// From this version on, EXPLAIN itself accepts parameters that have no value.
const EXPLAINS_PARAMETERS: u32 = 16;

/// From this version on, a session can be told not to look at the values of parameters.
const FORGETS_VALUES: u32 = 12;

/// Statements that are read from the server's counters at most; of them, those that have a plan are looked at.
const MOST_COUNTED: u32 = 5000;

/// What the source's counters say.
#[derive(Debug, Clone, PartialEq)]
pub enum Counted {
    /// The statements on which most time was spent, those first.
    Statements(Vec<Sampled>),
    /// There is nothing to be read, and why.
    Nothing(String),
}

/// The statements on which the source has spent most time, at most so many of them.
pub async fn counted(source: &Session, most: usize) -> Result<Counted, PgError> {
    let installed = match attempt(source, &COUNTERS).await? {
        Ok(installed) => installed,
        Err(error) => return Ok(Counted::Nothing(error.to_string())),
    };
    let Some(row) = installed.first() else {
        let because = "pg_stat_statements is not installed in the source database";
        return Ok(Counted::Nothing(because.to_owned()));
    };
    let schema: String = row.get("schema")?;
    // Its columns have other names in each version; as JSON, one text serves all.
    let sql = format!(
        "select c.statement ->> 'query' as text, \
                sum((c.statement ->> 'calls')::int8)::int8 as calls, \
                sum(coalesce(c.statement ->> 'total_exec_time', c.statement ->> 'total_time')::float8) as total_ms \
         from (select pg_catalog.to_jsonb(s) as statement \
               from {}.pg_stat_statements s \
               join pg_catalog.pg_database d on d.oid = s.dbid and d.datname = pg_catalog.current_database()) c \
         where c.statement ->> 'query' is not null \
         group by 1 order by 3 desc, 1 limit {MOST_COUNTED}",
        quote_ident(&schema)
    );
    let rows = match attempt_text(source, "the statements that were counted", &sql).await? {
        Ok(rows) => rows,
        Err(error) => return Ok(Counted::Nothing(error.to_string())),
    };
    let mut statements = Vec::new();
    for row in &rows {
        let text: String = row.get("text")?;
        if statements.len() < most && text::is_of_interest(&text) {
            let spent = Some(Spent {
                calls: row.count("calls")?,
                total_ms: row.get("total_ms")?,
            });
            statements.push(Sampled { text, spent });
        }
    }
    if statements.is_empty() {
        let because = "pg_stat_statements on the source has counted no statement that this role may see and that reads or \
                       writes rows";
        return Ok(Counted::Nothing(because.to_owned()));
    }
    Ok(Counted::Statements(statements))
}

/// What the planner says to a statement. A refusal is an answer; a lost connection is an error.
pub(super) async fn explain(
    session: &Session,
    text: &str,
    number: usize,
) -> Result<Answer, PgError> {
    session.execute(&begin(session.version().major())).await?;
    let answer = ask(session, text, number).await;
    // Whatever it was, nothing of it stays.
    session.execute("rollback").await?;
    match answer {
        Err(error) if error.code().is_none() || error.is_lost_connection() => Err(error),
        Err(error) => Ok(Err(Unplanned {
            misfit: error.code().is_some_and(is_misfit),
            why: error.to_string(),
        })),
        Ok(answer) => Ok(answer),
    }
}

/// A session begins with settings of ours, so that what it prints is the same everywhere. Of those that decide what a
/// statement means and how it is planned, an application has others: those of the database and of the role.
fn begin(major: u32) -> String {
    let mut sql = "begin transaction read only; set local search_path to default; set local row_security to default; \
                   set local datestyle to default; set local statement_timeout to '10s'; set local lock_timeout to '2s'"
        .to_owned();
    if major >= FORGETS_VALUES {
        sql.push_str("; set local plan_cache_mode to force_generic_plan");
    }
    sql
}

async fn ask(session: &Session, text: &str, number: usize) -> Result<Answer, PgError> {
    let parameters = session.parameters_of(text).await?;
    let major = session.version().major();
    let answer = match (parameters, major) {
        (0, _) => {
            let sql = format!("explain (verbose, format json) {text}");
            session.texts(&sql).await?
        }
        (_, EXPLAINS_PARAMETERS..) => {
            let sql = format!("explain (generic_plan, verbose, format json) {text}");
            session.texts(&sql).await?
        }
        (_, FORGETS_VALUES..) => prepared(session, text, (parameters, number)).await?,
        _ => {
            let because = format!(
                "PostgreSQL {major} can plan a statement with parameters only for values that it is given; from \
                 {FORGETS_VALUES} on it can be asked"
            );
            return Ok(Err(in_the_way(because)));
        }
    };
    let plan = answer.first().and_then(|json| Node::parse(json));
    Ok(
        plan.ok_or_else(|| {
            in_the_way("the server's answer is no plan that can be read".to_owned())
        }),
    )
}

fn in_the_way(why: String) -> Unplanned {
    Unplanned { why, misfit: false }
}

/// Errors of syntax, of names and of types, but not of privileges: our role is not the application's.
fn is_misfit(code: &str) -> bool {
    (code.starts_with("42") && code != "42501") || code.starts_with("0A")
}

/// By way of a prepared statement that is given NULL for everything, and planned without looking.
async fn prepared(
    session: &Session,
    text: &str,
    (parameters, number): (usize, usize),
) -> Result<Vec<String>, PgError> {
    let nulls = vec!["null"; parameters].join(", ");
    for (name, before) in [
        (format!("pgconvoy_asked_{number}"), ""),
        // When a plan is begun, partitions are left out that NULL rules out: all of them.
        (
            format!("pgconvoy_asked_{number}_again"),
            "set local enable_partition_pruning to off; ",
        ),
    ] {
        session
            .execute(&format!("{before}prepare {name} as {text}"))
            .await?;
        let sql = format!("explain (verbose, format json) execute {name}({nulls})");
        let answer = session.texts(&sql).await?;
        session.execute(&format!("deallocate {name}")).await?;
        let all_there = |json: &String| !json.contains("\"Subplans Removed\"");
        if answer.first().is_none_or(all_there) || !before.is_empty() {
            return Ok(answer);
        }
    }
    Ok(Vec::new())
}
