//! What has no rows of its own: large objects one by one, and materialized views that are fresher than the source's.

use xxhash_rust::xxh3::xxh3_64;

use super::read;
use crate::model::{MultisetDigest, Oid, SqlText};
use crate::pg::wire::{Gauge, read_rows};
use crate::pg::{PgError, Pool, pin_values, set_values};
use crate::verify::rows::{Bucketing, Buckets, Comparand, Ends, SideRead, Sides, Subject};

/// Which of the large objects of a batch have another content on the target.
pub async fn large_objects(oids: &[Oid], sides: &Sides, ends: &Ends) -> Result<Vec<Oid>, PgError> {
    let [Ok(source), Ok(target)] = sides else {
        return Ok(Vec::new());
    };
    let differing = source.buckets.differing(&target.buckets);
    let Bucketing::ByKey { buckets, .. } = source.buckets.by() else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for oid in oids {
        // The first column of each part, as it is in the binary format.
        let field = [&4_i32.to_be_bytes()[..], &oid.0.to_be_bytes()].concat();
        let bucket = usize::try_from(xxh3_64(&field) % (*buckets as u64)).unwrap_or(0);
        if !differing.contains(&bucket) {
            continue;
        }
        let one = Comparand::of_large_objects(&[*oid]);
        let [source, target] = &ends.pools;
        let (left, right) = tokio::try_join!(digest(&one, source), digest(&one, target))?;
        if left != right {
            found.push(*oid);
        }
    }
    Ok(found)
}

/// Whether a materialized view holds on the target what its query gives on the source, whose own view is older than that.
/// Best effort: if the query cannot be run, it is compared with what the source's view holds, and that only.
pub async fn is_fresh(comparand: &Comparand, sides: &Sides, ends: &Ends) -> bool {
    let Subject::Matview {
        definition: Some(definition),
    } = &comparand.subject
    else {
        return false;
    };
    let query = Comparand {
        from: format!(
            "({}) as definition",
            definition.trim().trim_end_matches(';')
        ),
        ..comparand.clone()
    };
    let by_query = digest_of_query(&query, &ends.pools[0], &ends.settings_of_queries).await;
    let held = sides[1].as_ref().map(SideRead::digest);
    matches!((by_query, held), (Ok(by_query), Ok(held)) if by_query == held)
}

/// Of what a query gives that is run with these settings.
async fn digest_of_query(
    query: &Comparand,
    pool: &Pool,
    settings: &[(String, String)],
) -> Result<MultisetDigest, PgError> {
    let statement = query.copy_out(&[], "");
    let gauge = Gauge::default();
    let mut wire = pool.lend().await?;
    wire.execute(&SqlText::from(set_values(settings))).await?;
    let sink = (&gauge, Buckets::new(Bucketing::One));
    let (_, buckets) = read_rows(&mut wire, &statement.sql, statement.layout(), sink).await?;
    wire.execute(&SqlText::from(pin_values())).await?;
    wire.give_back();
    Ok(buckets.total())
}

async fn digest(comparand: &Comparand, pool: &Pool) -> Result<MultisetDigest, PgError> {
    let statement = comparand.copy_out(&[], "");
    let buckets = read(pool, &statement, Buckets::new(Bucketing::One)).await?;
    Ok(buckets.total())
}
