//! What is searched, if only a part of the database is asked for: what its description has.
//!
//! `pg_dump` alone knows what it makes of patterns, so it is asked. Tables whose rows are left out are not searched either.

use crate::catalog;
use crate::cli::inspect::Server;
use crate::cli::patterns::check_patterns;
use crate::cli::schema::read_schema;
use crate::failure::Failure;
use crate::model::Filters;
use crate::salvage::{Facts, Part};
use crate::toc::{Entry, Toc};

/// What of a source is asked for; nothing, if that is all of it. `schema` are its definitions, if they come from elsewhere.
pub(super) async fn part(
    source: &Server,
    filters: &Filters,
    schema: Option<&[u8]>,
) -> Result<Option<Part>, Failure> {
    if filters.is_empty() {
        return Ok(None);
    }
    let excluded = check_patterns(&[source], filters).await?;
    let toc = if let Some(archive) = schema {
        Toc::of_server(archive)?
    } else {
        let pg_dump = super::reach::pg_dump(source).await?;
        read_schema(source, &pg_dump, (None, filters)).await?.0
    };
    let has_rows = |entry: &&Entry| {
        let kinds = ["TABLE", "MATERIALIZED VIEW", "SEQUENCE"];
        kinds.into_iter().any(|kind| entry.is(kind))
    };
    let described = toc.entries.iter().filter(has_rows);
    let mut part = Part {
        relations: described.filter_map(Entry::qualified_name).collect(),
        large_objects: !filters.selects(),
    };
    // What an extension makes is not described, and may have rows all the same.
    let facts = Facts::read(&source.session).await?;
    let sequences = facts.sequences.into_iter().map(|one| one.name).collect();
    let facts = catalog::source_facts_but(&source.session, &sequences).await?;
    let of_extensions = facts.tables.into_iter();
    let of_extensions = of_extensions.filter(|table| table.extension.is_some());
    part.relations.extend(of_extensions.map(|table| table.name));
    part.relations
        .retain(|relation| !excluded.contains(relation));
    Ok(Some(part))
}
