//! Who may own what in which schema: `ALTER … OWNER TO` wants the new owner to have `CREATE` on the schema (`ATExecChangeOwner`,
//! `AlterObjectOwner_internal`), unless a superuser says it.

use super::queries::OWNERS_WITHOUT_CREATE;
use super::read::ask;
use crate::pg::{Parameter, PgError, Session};

/// A role that is to own something in a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOwner {
    /// The role.
    pub role: String,
    /// The schema.
    pub schema: String,
    /// Whose the schema will be, if it is made or given away before; empty if not.
    pub schema_owner: String,
}

/// One that may create nothing there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerWithoutCreate {
    /// The role.
    pub role: String,
    /// The schema.
    pub schema: String,
    /// The schema is there already.
    pub there: bool,
}

/// Which of them may create nothing in the schema by then. `stays`: what the database holds is there still.
pub async fn owners_without_create(
    session: &Session,
    (owners, stays): (&[NewOwner], bool),
) -> Result<Vec<OwnerWithoutCreate>, PgError> {
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let column =
        |of: fn(&NewOwner) -> &String| -> Vec<String> { owners.iter().map(of).cloned().collect() };
    let roles = column(|one| &one.role);
    let schemas = column(|one| &one.schema);
    let schema_owners = column(|one| &one.schema_owner);
    let parameters: [&dyn Parameter; 4] = [&roles, &schemas, &schema_owners, &stays];
    let rows = ask(session, &OWNERS_WITHOUT_CREATE, &parameters).await?;
    rows.iter()
        .map(|row| {
            Ok(OwnerWithoutCreate {
                role: row.get("role")?,
                schema: row.get("schema")?,
                there: row.get("there")?,
            })
        })
        .collect()
}
