//! Why none of a table's rows are written although they differ, as it is told to whoever has to write them instead.

use crate::model::shown_ident;

/// The reason, with what to do about it, in clauses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRows {
    /// A partition of it is a foreign table.
    #[error(
        "partitions of it are foreign tables, and rows that are written to it may be sent to other servers: write those of its own \
         partitions by hand"
    )]
    ReachForeign,
    /// The source's catalog shows no such table.
    #[error("nothing is known of its columns: copy the table again")]
    Unknown,
    /// A column's text says less than its value.
    #[error(
        "its column {} holds names of functions or operators, which may be those of several: copy the table again",
        shown_ident(.column)
    )]
    HoldNames {
        /// The first such column, unquoted.
        column: String,
    },
    /// The comparison was not to look at more than the number of rows.
    #[error(
        "its rows were only counted, so it is not known which of them differ: verify with --level content"
    )]
    OnlyCounted,
    /// Which rows differ was looked for in vain.
    #[error(
        "it is not known which of its rows differ ({because}): verify it alone with --table, or copy it again"
    )]
    NotFound {
        /// What the difference says about it.
        because: String,
    },
    /// Without a key a row is told by its place, and each partition has its own first place.
    #[error(
        "it has no key, and rows of several of its partitions can have the same place, so that none can be told from the others: give it \
         a primary key on both sides, or copy it again"
    )]
    SamePlaces,
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::model::{Difference, DifferenceKind, Endpoint, Oid, QualifiedName, SqlText};
    use crate::toc::testing::{entry, toc};
    use crate::toc::{CompareOptions, Entry};
    use crate::verify::Observed;
    use crate::verify::repair::{RepairInput, RepairSide, TargetIdentity, plan};

    /// What is said of a difference of `public.t`, of which no row is written.
    fn said(kind: DifferenceKind, class: &str, (on_source, why): (Vec<Entry>, NoRows)) -> String {
        let table = QualifiedName::new("public", "t");
        let differences = [Difference {
            kind,
            class: class.to_owned(),
            object: table.shown(),
            detail: String::new(),
        }];
        let (source, target) = (toc(on_source), toc(Vec::new()));
        let observed = Observed::default();
        let endpoint = Endpoint::archive("/backup/shop".to_owned(), "shop".to_owned());
        let side = |toc| RepairSide {
            endpoint: &endpoint,
            toc,
            observed: &observed,
        };
        let options = CompareOptions::default();
        let input = RepairInput {
            differences: &differences,
            source: side(&source),
            target: side(&target),
            options: &options,
            tables: &[],
            no_rows: &BTreeMap::from([(table, why)]),
            same: &BTreeSet::new(),
            target_identity: TargetIdentity {
                system_identifier: None,
                database_oid: Oid(1),
            },
            target_superuser: true,
            made_at: "2026-01-01T00:00:00Z",
        };
        let repair = plan(&input);
        let [left] = repair.not_covered() else {
            panic!("{:?}", repair.not_covered());
        };
        left.because.clone()
    }

    fn hold_names() -> NoRows {
        NoRows::HoldNames {
            column: "My f".to_owned(),
        }
    }

    #[test]
    fn each_reason_is_said_and_no_other() {
        let not_found = NoRows::NotFound {
            because: "the connection was lost".to_owned(),
        };
        let reasons = [
            (NoRows::ReachForeign, "partitions of it are foreign tables"),
            (NoRows::Unknown, "nothing is known of its columns"),
            (hold_names(), "its column \"My f\" holds names of functions"),
            (NoRows::OnlyCounted, "verify with --level content"),
            (not_found, "differ (the connection was lost): verify it"),
            (NoRows::SamePlaces, "give it a primary key on both sides"),
        ];
        let words = reasons.each_ref().map(|(_, words)| *words);
        for (why, of_it) in reasons {
            let said = said(DifferenceKind::Different, "table data", (Vec::new(), why));
            let found: Vec<&str> = words
                .into_iter()
                .filter(|words| said.contains(words))
                .collect();
            assert_eq!(found, [of_it], "{said}");
        }
    }

    #[test]
    fn of_a_table_that_is_made_it_is_said_why_it_stays_empty() {
        let made = Entry {
            defn: Some(SqlText::from("CREATE TABLE public.t (\"My f\" regproc);\n")),
            ..entry("TABLE")
        };
        let said = said(DifferenceKind::Missing, "table", (vec![made], hold_names()));
        let told =
            "the table is made, but its rows are not in this file: its column \"My f\" holds names";
        assert!(said.contains(told), "{said}");
    }
}
