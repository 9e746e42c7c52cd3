//! Large objects: content, and their owners, grants and comments, in batches.

use std::fmt::Write as _;

use super::builder::{Builder, Draft};
use super::{Statement, Work, cost};
use crate::catalog::LargeObject;
use crate::event::Phase;
use crate::model::{Bytes, Rows, SqlText, quote_ident, quote_literal};
use crate::toc::RestoreOptions;

/// Large objects of one transaction; each holds a lock.
const BATCH: usize = 500;

impl Builder<'_> {
    /// An archive describes them in entries of their own. They are made with their content, and not by these.
    pub fn place_large_objects(&mut self) {
        let entries = self.inputs.toc.entries.iter();
        let described = entries.filter(|entry| entry.is("BLOB") || entry.is("BLOB METADATA"));
        self.placed.extend(described.map(|entry| entry.dump_id));
    }

    /// What those take on disk that are part of it.
    pub fn large_object_bytes(&self) -> Bytes {
        let facts = self.inputs.facts;
        if facts.large_objects.is_empty() {
            return Bytes(0);
        }
        facts.large_object_bytes
    }

    /// Each is taken to be as large as an average one. They need nothing but the schema (roles may own them).
    pub fn plan_large_objects(&mut self) {
        let facts = self.inputs.facts;
        let batches = facts.large_objects.len().div_ceil(BATCH);
        for (index, objects) in facts.large_objects.chunks(BATCH).enumerate() {
            let statements = objects
                .iter()
                .filter_map(|object| metadata(object, &self.inputs.options.restore))
                .collect();
            let rows = Rows(objects.len() as u64);
            let label = format!("large objects {}/{batches}", index + 1);
            let bytes = share(
                facts.large_object_bytes,
                (objects.len(), facts.large_objects.len()),
            );
            let copied = self.add(Draft {
                after: self.schema_done.clone(),
                cost: cost::large_objects(objects.len(), bytes),
                rows,
                ..Draft::new(
                    Phase::Data,
                    label.clone(),
                    Work::LargeObjects {
                        objects: objects.to_vec(),
                        statements,
                    },
                )
            });
            if self.verifies_against_source() {
                let oids = objects.iter().map(|object| object.oid).collect();
                self.add(Draft {
                    after: vec![copied],
                    cost: cost::verify_large_objects(objects.len(), bytes),
                    rows,
                    ..Draft::new(
                        Phase::Verify,
                        format!("verify {label}"),
                        Work::CompareLargeObjects { objects: oids },
                    )
                });
            }
        }
    }
}

/// What so many of all come to.
fn share(bytes: Bytes, (some, all): (usize, usize)) -> Bytes {
    let share = u128::from(bytes.0) * some as u128 / all.max(1) as u128;
    Bytes(u64::try_from(share).unwrap_or(u64::MAX))
}

/// What makes a large object more than its content; `None` if it is nothing.
fn metadata(object: &LargeObject, options: &RestoreOptions) -> Option<Statement> {
    let LargeObject {
        oid,
        owner,
        comment,
        grants,
    } = object;
    let mut sql = String::new();
    if !options.no_owner && !owner.is_empty() {
        let _ = writeln!(
            sql,
            "alter large object {oid} owner to {};",
            quote_ident(owner)
        );
    }
    if let Some(grants) = grants.as_ref().filter(|_| !options.no_acl) {
        // The owner's own privileges are a default that an explicit list replaces.
        let holder = if options.no_owner {
            "current_user".to_owned()
        } else {
            quote_ident(owner)
        };
        let _ = writeln!(sql, "revoke all on large object {oid} from {holder};");
        for grant in grants {
            let _ = writeln!(sql, "{};", grant.statement(*oid, owner));
        }
    }
    if let Some(comment) = comment.as_ref().filter(|_| !options.no_comments) {
        let _ = writeln!(
            sql,
            "comment on large object {oid} is {};",
            quote_literal(comment)
        );
    }
    (!sql.is_empty()).then(|| Statement {
        entry: None,
        needs: Vec::new(),
        prelude: None,
        sql: SqlText::from(sql),
        otherwise: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_objects_cost_what_their_bytes_do_and_small_ones_what_their_number_does() {
        let [gigabyte, kilobytes] = [Bytes(1 << 30), Bytes(500 << 10)];
        assert!(cost::large_objects(500, gigabyte) > 100 * cost::large_objects(500, kilobytes));
        assert_eq!(
            cost::large_objects(500, kilobytes),
            cost::large_objects(500, Bytes(0))
        );
        assert_eq!(share(gigabyte, (250, 500)), Bytes(1 << 29));
        assert_eq!(share(Bytes(0), (0, 0)), Bytes(0));
    }
}
