//! The sessions that turn a database over are known by a lock: whoever comes next finds those that an earlier run has left, and ends them.
//!
//! A run that is killed, interrupted or cut off leaves sessions behind, and a server goes on with what it was told: a statement that
//! waits for a lock gets it at last, and closes a side that nobody turns away from any more. The claim has the same for its
//! own database, the target; this is for both sides, and for one follow of several of the same database.

use crate::model::FollowName;
use crate::pg::{PgError, Query, Session};

pub(super) const AT_WORK: Query = Query::new(
    "follow/at_work.sql",
    include_str!("../../sql/follow/at_work.sql"),
);

/// First of the two numbers of the lock; the other one stands for the follow.
const TURNS: i32 = i32::from_be_bytes(*b"turn");

/// A statement by which its session is known from then on as one that turns the connected database over for a follow.
pub fn works_for(of: &FollowName) -> String {
    let key = of.lock_key();
    format!("select pg_catalog.pg_try_advisory_lock_shared({TURNS}, {key})")
}

/// Other sessions of the connected database that are known as such: their processes, and in words.
pub async fn at_work(session: &Session, of: &FollowName) -> Result<Vec<(i32, String)>, PgError> {
    let rows = session.query(&AT_WORK, &[&TURNS, &of.lock_key()]).await?;
    rows.iter()
        .map(|row| Ok((row.get("pid")?, row.get("what")?)))
        .collect()
}
