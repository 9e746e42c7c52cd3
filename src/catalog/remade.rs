//! What no dump says of a relation, so that it is made anew as something else.

use serde::{Deserialize, Serialize};

use super::queries;
use crate::model::QualifiedName;
use crate::pg::{PgError, Session};

/// Relations that are made anew as something else than they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remade {
    /// Tables whose rows have an oid each (before version 12).
    pub with_oids: Vec<WithOids>,
    /// Partitions that somebody has begun to detach and not finished (14+).
    pub half_detached: Vec<HalfDetached>,
}

/// A table made `WITH OIDS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithOids {
    /// Its name.
    pub table: QualifiedName,
    /// So is a table that it inherits from, or is a partition of.
    pub inherited: bool,
}

/// A partition that no query of its table reads any more, and that is still one of its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfDetached {
    /// Its name.
    pub partition: QualifiedName,
    /// The table that it is to leave.
    pub parent: QualifiedName,
}

/// Reads it.
pub async fn remade(session: &Session) -> Result<Remade, PgError> {
    let query = queries::REMADE.for_server(session.version());
    let mut remade = Remade::default();
    for row in session.query(query, &[]).await? {
        let relation = row.name("schema", "name")?;
        match row.get::<Option<String>>("parent_schema")? {
            Some(_) => remade.half_detached.push(HalfDetached {
                partition: relation,
                parent: row.name("parent_schema", "parent_name")?,
            }),
            None => remade.with_oids.push(WithOids {
                table: relation,
                inherited: row.get("inherited")?,
            }),
        }
    }
    Ok(remade)
}
