//! Whether the application's statements would run on the target as they run on the source: their plans, side by side.
//!
//! ```text
//!   pg_stat_statements, or a file ──► Sampled ──► ask both planners ──► Answers ──► findings
//!            (text)                                  (explain)       (shape)      (changes)
//! ```
//!
//! A copy that is the same row for row can be a hundred times slower: statistics that are missing, an index that is not used,
//! another setting. Its first users would find out. Both planners are asked how they would go about a statement, with
//! parameters of which nothing is known, and nothing is run: each question is asked in a transaction of its own that is
//! `READ ONLY` and rolled back. What a plan costs is the planner's own figure, in pages that are read one after the other, and says
//! nothing about seconds; that it is much more than on the source says a lot.
//!
//! Nothing that is found here is a difference between what the databases hold: they are findings, and change no exit status.

mod changes;
mod explain;
mod shape;
mod text;

use crate::model::Finding;
use crate::pg::{PgError, Query, Session};

pub use explain::{Counted, counted};
pub use text::{StatementsError, parse};

use crate::catalog::VersionedQuery;
use shape::Node;

/// Where `pg_stat_statements` is.
pub(super) const COUNTERS: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "statement_counters.sql",
        include_str!("../../../sql/verify/statement_counters.sql"),
    ),
    older: None,
};

/// A statement whose plans are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The statement, whole; its parameters are `$1`, `$2`, …
    pub text: String,
    /// What it has cost on the source, if its server has kept count.
    pub spent: Option<Spent>,
}

/// What a statement has cost so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spent {
    /// How often it was run.
    pub calls: u64,
    /// How long that took in all.
    pub total_ms: f64,
}

/// What a planner says to a statement: its plan, or why there is none.
type Answer = Result<Node, Unplanned>;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unplanned {
    /// What the server says, whole.
    why: String,
    /// Whether the statement itself does not fit the server: something that it names is not there, or means something else.
    /// Otherwise something stood in the way of the question.
    misfit: bool,
}

/// A statement with what both planners say.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    statement: Sampled,
    source: Answer,
    target: Answer,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compared {
    /// Statements whose plans are the same, or as good.
    pub alike: u64,
    /// What a person should know; warnings first.
    pub findings: Vec<Finding>,
}

/// Asks both planners about statements, about so many of them at most. Of those that the source has counted, the ones that only read
/// catalogs are passed over: tools ask them, and we do. Only a lost connection is an error.
pub async fn ask(
    (source, target): (&Session, &Session),
    statements: Vec<Sampled>,
    most: usize,
) -> Result<Vec<Asked>, PgError> {
    let mut asked = Vec::new();
    for (number, statement) in statements.into_iter().enumerate() {
        if asked.len() >= most {
            break;
        }
        let (source, target) = tokio::try_join!(
            explain::explain(source, &statement.text, number),
            explain::explain(target, &statement.text, number),
        )?;
        let about_catalogs = source.as_ref().is_ok_and(Node::is_about_catalogs);
        if statement.spent.is_some() && about_catalogs {
            continue;
        }
        asked.push(Asked {
            statement,
            source,
            target,
        });
    }
    Ok(asked)
}

/// Compares what they have said.
pub fn compare(asked: &[Asked]) -> Compared {
    changes::compare(asked)
}
