//! What has no rows of its own: large objects one by one, and materialized views with what their queries give.

use xxhash_rust::xxh3::xxh3_64;

use super::read;
use crate::model::{MultisetDigest, Oid, Side, SqlText, VerifyLevel, shown_ident};
use crate::pg::wire::{Gauge, Wire, read_rows};
use crate::pg::{PgError, Pool, pin_values, set_values};
use crate::verify::matview::{Next, Tables, ViewCase, ViewRead, ViewVerdict};
use crate::verify::rows::{Bucketing, Buckets, ByColumn, Comparand, Ends, Sides, Subject};

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

/// What a materialized view is that does not hold the same on both sides: its query is run wherever that tells. With tables that
/// differ, only what it gives on the source does. Best effort: if it cannot be run, the view is compared with what the source's holds.
pub async fn matview(
    comparand: &Comparand,
    ends: &Ends,
    (level, tables): (VerifyLevel, Tables),
) -> Result<ViewVerdict, PgError> {
    let Subject::Matview {
        definition: Some(definition),
    } = &comparand.subject
    else {
        return Ok(ViewVerdict::Unknown);
    };
    let mut query = Comparand {
        from: format!(
            "({}) as definition",
            definition.trim().trim_end_matches(';')
        ),
        ..comparand.clone()
    };
    let columns = comparand.columns.iter();
    let columns = columns.map(|column| shown_ident(&column.name)).collect();
    let held = held_on_both(comparand, ends, level).await?;
    let mut case = ViewCase::new(comparand.name.shown(), columns, held);
    case.over(tables);
    loop {
        let (side, again) = match case.next() {
            Next::Ask { side, again } => (side, again),
            Next::Narrow(places) => {
                query = query.narrowed(&places);
                let held = held_on_both(&comparand.narrowed(&places), ends, level).await?;
                case.narrow(&places, held);
                continue;
            }
            Next::Judged(verdict) => return Ok(verdict),
        };
        let [source, target] = &ends.pools;
        let pool = match side {
            Side::Source => source,
            Side::Target => target,
        };
        let given = given(&query, (pool, again), &ends.settings_of_queries, level).await;
        match given {
            Ok(given) => case.add(side, given),
            Err(_) => case.failed(side),
        }
    }
}

/// What a view holds on the source and on the target.
async fn held_on_both(
    comparand: &Comparand,
    ends: &Ends,
    level: VerifyLevel,
) -> Result<[ViewRead; 2], PgError> {
    let [source, target] = &ends.pools;
    let (held, there) = tokio::try_join!(
        view(comparand, source, level),
        view(comparand, target, level)
    )?;
    Ok([held, there])
}

/// What a view holds.
async fn view(comparand: &Comparand, pool: &Pool, level: VerifyLevel) -> Result<ViewRead, PgError> {
    let mut wire = pool.lend().await?;
    let read = by_column(comparand, &mut wire, level).await?;
    wire.give_back();
    Ok(read)
}

/// What a query gives that is run with these settings; `anew`: in a transaction that begins now.
async fn given(
    query: &Comparand,
    (pool, anew): (&Pool, bool),
    settings: &[(String, String)],
    level: VerifyLevel,
) -> Result<ViewRead, PgError> {
    let mut wire = if anew {
        pool.lend_anew().await?
    } else {
        pool.lend().await?
    };
    wire.execute(&SqlText::from(set_values(settings))).await?;
    let read = by_column(query, &mut wire, level).await?;
    wire.execute(&SqlText::from(pin_values())).await?;
    wire.give_back();
    Ok(read)
}

async fn by_column(
    comparand: &Comparand,
    wire: &mut Wire,
    level: VerifyLevel,
) -> Result<ViewRead, PgError> {
    if level != VerifyLevel::Content {
        let rows = wire.count(&comparand.count("")).await?;
        return Ok(ViewRead {
            all: MultisetDigest { rows, sum: 0 },
            columns: None,
        });
    }
    let statement = comparand.copy_out(&[], "");
    let sink = ByColumn::new(statement.layout(), comparand.columns.len());
    let sink = (&Gauge::default(), sink);
    let (relayed, columns) = read_rows(wire, &statement.sql, statement.layout(), sink).await?;
    Ok(ViewRead {
        all: relayed.digest,
        columns: columns.digests(),
    })
}

async fn digest(comparand: &Comparand, pool: &Pool) -> Result<MultisetDigest, PgError> {
    let statement = comparand.copy_out(&[], "");
    let buckets = read(pool, &statement, Buckets::new(Bucketing::One)).await?;
    Ok(buckets.total())
}
