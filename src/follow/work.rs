//! The sessions that carry out a turn are known by a lock: the next run finds those that an earlier one left behind, and ends them.
//!
//! A run that is killed, interrupted or cut off leaves sessions behind, and the server goes on with what it was told: a statement
//! waiting for a lock gets it in the end, and closes a side although nobody is turning away from it any more. The claim does the same
//! for its own database, the target; this lock is for both sides, and for one of several follows of the same database.

use crate::model::FollowName;
use crate::pg::{PgError, Query, Session};

pub(super) const AT_WORK: Query = Query::new(
    "follow/at_work.sql",
    include_str!("../../sql/follow/at_work.sql"),
);

/// First of the lock's two keys; the second stands for the follow.
const TURNS: i32 = i32::from_be_bytes(*b"turn");

/// The statement that marks its session, from then on, as one that turns the connected database over for a follow.
pub fn works_for(of: &FollowName) -> String {
    let key = of.lock_key();
    format!("select pg_catalog.pg_try_advisory_lock_shared({TURNS}, {key})")
}

/// Other sessions of the connected database that are so marked: their process IDs, and what they are in words.
pub async fn at_work(session: &Session, of: &FollowName) -> Result<Vec<(i32, String)>, PgError> {
    let rows = session.query(&AT_WORK, &[&TURNS, &of.lock_key()]).await?;
    rows.iter()
        .map(|row| Ok((row.get("pid")?, row.get("what")?)))
        .collect()
}
