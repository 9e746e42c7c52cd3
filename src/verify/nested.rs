//! Whether expressions have arrays of arrays in them. The text of a definition does not always say it, and a comparison has to know: what a
//! server has stored says it (`sql/verify/nested_arrays.sql`).

use crate::catalog::VersionedQuery;
use crate::pg::{PgError, Query, Session};

use super::Observed;
use super::attempt::attempt;

pub(super) const NESTED_ARRAYS: VersionedQuery = VersionedQuery {
    newest: Query::new(
        "nested_arrays.sql",
        include_str!("../../sql/verify/nested_arrays.sql"),
    ),
    older: None,
};

/// Whether any expression of a database has one. `None` if the server does not tell.
///
/// Of an archive nobody can be asked. Where it has been restored, the target says it: what is an array comes as one.
pub async fn has_nested_arrays(session: &Session) -> Result<Option<bool>, PgError> {
    let Ok(rows) = attempt(session, &NESTED_ARRAYS).await? else {
        return Ok(None);
    };
    rows.first().map(|row| row.get("nested")).transpose()
}

/// Whether one of two databases has one: what does not say of itself whether it is an array may be one in the text of either. `None` if
/// nobody knows.
pub fn nested_arrays(source: &Observed, target: &Observed) -> Option<bool> {
    match (source.nested_arrays, target.nested_arrays) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_none_only_where_both_sides_say_so() {
        let side = |nested_arrays| Observed {
            nested_arrays,
            ..Observed::default()
        };
        for (source, target, both) in [
            (Some(false), Some(false), Some(false)),
            (Some(true), Some(false), Some(true)),
            (Some(true), None, Some(true)),
            (Some(false), None, None),
            (None, None, None),
        ] {
            let (one, other) = (side(source), side(target));
            assert_eq!(nested_arrays(&one, &other), both);
            assert_eq!(nested_arrays(&other, &one), both);
        }
    }
}
