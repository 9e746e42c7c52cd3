//! The definitions of a damaged source, object by object: relations that keep `pg_dump` from describing the others are left out, and with
//! them the views that read them.
//!
//! What `pg_dump` says at its first error need not name anything, so it is asked: with ever more relations, by halves, until it is known
//! which is the first that it cannot describe; then for the next. What is not a relation (a function, a type) cannot be left out in this
//! way: then the definitions have to come from elsewhere.

use std::collections::BTreeSet;

use crate::catalog;
use crate::cli::inspect::Server;
use crate::cli::schema::dump_schema;
use crate::failure::Failure;
use crate::model::{FilterKind, Filters, QualifiedName};
use crate::pg::client_tools::ClientTool;
use crate::salvage::{Cause, DamageClass, LostObject, dependents};

/// What the account calls such an object.
const RELATION: &str = "relation";

/// More relations than this that cannot be described are no case for this.
const MOST: usize = 20;
/// All names together have to fit into the arguments of a process.
const MOST_BYTES: usize = 1 << 20;

/// What cannot be described.
#[derive(Debug, Default)]
pub(in crate::cli) struct LeftOut {
    relations: BTreeSet<QualifiedName>,
    /// For the account.
    pub objects: Vec<LostObject>,
}

impl LeftOut {
    /// Leaves it out.
    pub fn narrow(&self, filters: &mut Filters) -> Result<(), Failure> {
        for relation in &self.relations {
            filters.add(FilterKind::ExcludeTable, &pattern(relation))?;
        }
        Ok(())
    }
}

/// A search for what keeps `pg_dump` from describing a database.
pub(super) struct Describing<'a> {
    pub server: &'a Server,
    pub pg_dump: &'a ClientTool,
    pub filters: &'a Filters,
}

impl Describing<'_> {
    /// Describes all of it.
    pub async fn whole(&self) -> Result<(), Failure> {
        self.without(&BTreeSet::new()).await
    }

    /// What has to be left out so that the rest can be described; `failure` is why all of it cannot be.
    pub async fn left_out(&self, failure: Failure) -> Result<LeftOut, Failure> {
        let relations = catalog::relations(&self.server.session).await?;
        let relations: Vec<QualifiedName> = relations.into_iter().map(|one| one.name).collect();
        let bytes: usize = relations.iter().map(|name| pattern(name).len() + 20).sum();
        let everything = relations.iter().cloned().collect();
        if bytes > MOST_BYTES || self.without(&everything).await.is_err() {
            return Err(failure);
        }
        let mut left = LeftOut::default();
        let mut why = failure;
        loop {
            let first = self.first_of(&relations, (&left.relations, &mut why)).await;
            let first = &relations[first];
            // It cannot be described without this one either: something else has come in between.
            if !left.relations.insert(first.clone()) {
                return Err(why);
            }
            left.objects.push(lost(first, &why));
            let read_by = dependents(&self.server.session, first).await;
            for view in read_by.unwrap_or_default() {
                if left.relations.insert(view.clone()) {
                    left.objects.push(reads(&view, first));
                }
            }
            match self.without(&left.relations).await {
                Ok(()) => return Ok(left),
                Err(failure) if left.relations.len() > MOST => return Err(failure),
                Err(failure) => why = failure,
            }
        }
    }

    /// The first relation that cannot be described: all before it can. `why` becomes what is said of it.
    async fn first_of(
        &self,
        relations: &[QualifiedName],
        (known, why): (&BTreeSet<QualifiedName>, &mut Failure),
    ) -> usize {
        // With the relations before `good` it can, with those before `bad` it cannot.
        let (mut good, mut bad) = (0, relations.len());
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            let others = relations[middle..].iter().chain(known).cloned();
            match self.without(&others.collect()).await {
                Ok(()) => good = middle,
                Err(failure) => {
                    bad = middle;
                    *why = failure;
                }
            }
        }
        good
    }

    async fn without(&self, relations: &BTreeSet<QualifiedName>) -> Result<(), Failure> {
        let mut filters = self.filters.clone();
        for relation in relations {
            filters.add(FilterKind::ExcludeTable, &pattern(relation))?;
        }
        let described = dump_schema(self.server, self.pg_dump, (None, &filters)).await;
        described.map(drop)
    }
}

/// The pattern that matches it and nothing else: what is quoted stands for itself.
pub(in crate::cli) fn pattern(relation: &QualifiedName) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    format!("{}.{}", quoted(&relation.schema), quoted(&relation.name))
}

fn lost(relation: &QualifiedName, why: &Failure) -> LostObject {
    let text = why.to_string();
    let said = text.lines().find(|line| line.contains("ERROR:"));
    LostObject {
        class: RELATION.to_owned(),
        object: relation.shown(),
        what: "its definition cannot be read: it is left out, with the rows that it may have"
            .to_owned(),
        cause: Cause {
            class: DamageClass::Corrupted,
            code: None,
            message: said.unwrap_or(&why.message).trim().to_owned(),
        },
    }
}

fn reads(view: &QualifiedName, relation: &QualifiedName) -> LostObject {
    LostObject {
        class: RELATION.to_owned(),
        object: view.shown(),
        what: "it is left out".to_owned(),
        cause: Cause::silent(format!("it reads {}, which is left out", relation.shown())),
    }
}
