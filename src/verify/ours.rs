//! The schemas that hold the notes of a run and of a follow, and what somebody else keeps in them: nothing in these is moved, dumped or
//! compared, so it is named.
//!
//! What is ours is known by its exact tables, also those of a run that broke off, or of this one. A sign that a target is being emptied is a
//! schema with nothing in it.

use std::collections::BTreeMap;

use crate::catalog::VersionedQuery;
use crate::model::{Side, Unverified, shown_ident};
use crate::pg::{PgError, Query, Session};

use super::attempt::attempt;
use super::some_of;

pub(super) const BESIDE_OURS: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "beside_ours.sql",
        include_str!("../../sql/verify/beside_ours.sql"),
    ),
    older: None,
};

/// Objects, by the schema that they are in.
pub(super) type BySchema = BTreeMap<String, Vec<String>>;

/// What is in each of these schemas and is not ours, or why the server does not say.
pub(super) async fn read(session: &Session) -> Result<Result<BySchema, PgError>, PgError> {
    let rows = match attempt(session, &BESIDE_OURS).await? {
        Ok(rows) => rows,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut found = BySchema::new();
    for row in &rows {
        let objects = found.entry(row.get("schema")?).or_default();
        objects.push(row.get("object")?);
    }
    Ok(Ok(found))
}

/// That it takes no part.
pub(super) fn unverified(side: Side, schema: &str, objects: &[String]) -> Unverified {
    let schema = shown_ident(schema);
    Unverified {
        class: "schema".to_owned(),
        because: format!(
            "a schema of this name is where pgconvoy keeps what it has to know of a run, and is never moved, dumped or compared; on the {side} \
             there is something else in it: {}. If it is yours, give it another name (ALTER SCHEMA {schema} RENAME TO …)",
            some_of(objects)
        ),
        object: schema,
    }
}
