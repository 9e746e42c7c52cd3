//! The search for damage, and what it needs: by whoever moves, dumps, or only looks.
//!
//! The survey's result is kept in the run directory: a session that goes on does not search again.

use std::sync::Arc;
use std::time::Duration;

use super::describe::LeftOut;
use super::part::part;
use super::tell;
use crate::cli::inspect::Server;
use crate::cli::output::Output;
use crate::cli::run_dir::RunDir;
use crate::cli::say::say;
use crate::cli::session::step;
use crate::event::{Emit as _, What};
use crate::failure::Failure;
use crate::model::{Filters, Finding, QualifiedName};
use crate::plan::Doubtful;
use crate::salvage::{
    CATALOG, Cause, DamageMap, Key, LostObject, Quiet, Survey, constraints, patient_session, quiet,
    survey,
};

/// How long one thing of a damaged table may take, unless somebody says otherwise.
const PROBE: Duration = Duration::from_secs(600);
/// Says otherwise, in milliseconds.
const PROBE_VARIABLE: &str = "PGCONVOY_PROBE_TIMEOUT_MS";
/// The only size of pages that is understood.
const BLOCK_SIZE: u64 = 8192;
/// The survey's result, in the run directory.
const MAP: &str = "salvage.json";
/// What was asked of the source.
const JOURNAL: &str = "salvage.journal";

/// What a count of tables that add up is called.
pub(in crate::cli) const ACCOUNTED: &str =
    "tables against what the search for damage has read of them";

/// What is said of a table that does not.
pub(in crate::cli) fn does_not_add_up(expected: u64, (rows, place): (u64, &str)) -> String {
    format!(
        "the search for damage read {expected} rows, but {rows} are {place}: more or less is lost than the account says"
    )
}

/// Whether a run has begun to search.
pub(in crate::cli) fn has_begun(output: &Output) -> bool {
    output.run_dir().path().join(JOURNAL).exists()
}

/// Whether a source can be searched; from then on it is read as a damaged one has to be.
pub(in crate::cli) async fn can_be_searched(
    source: &mut Server,
    doubtful: Doubtful,
) -> Result<(), Failure> {
    if !source.facts.superuser {
        return Err(Failure::usage(
            format!(
                "salvage reads the files of the source, which the role \"{}\" may not do",
                source.facts.role
            ),
            "Connect to the source as a superuser; on a copy of its files, you can be one.",
        ));
    }
    if source.facts.block_size != BLOCK_SIZE {
        return Err(Failure::usage(
            format!(
                "the source has pages of {} bytes; salvage understands those of {BLOCK_SIZE}",
                source.facts.block_size
            ),
            "Nothing was touched.",
        ));
    }
    let quiet = quiet(&source.session).await?;
    if !doubtful.is_none() && (!quiet.is_cold() || quiet.autovacuum) {
        return Err(Failure::usage(
            "the source is in use, or autovacuum is on: what a damaged page is taken for might be written to its files",
            "Stop the server, copy its data directory as a whole, start a server on the copy with autovacuum = off, and salvage that; \
             or leave --ignore-checksum-failure and --zero-damaged-pages out.",
        ));
    }
    // A damaged visibility map would have rows counted that are not there.
    source.connector = source
        .connector
        .with_opening("set enable_indexonlyscan = off");
    Ok(())
}

/// How a source is to be searched.
pub(in crate::cli) struct Asked<'a> {
    /// How many sessions read side by side.
    pub jobs: u32,
    /// What is read although it may be wrong.
    pub doubtful: Doubtful,
    /// What cannot be described.
    pub left_out: LeftOut,
    /// What is asked for, without that.
    pub filters: &'a Filters,
    /// Its definitions, if they come from elsewhere.
    pub schema: Option<&'a [u8]>,
}

/// The damage of a source: as an earlier session found it, or by a search.
pub(in crate::cli) async fn look_for_damage(
    output: &Output,
    source: &mut Server,
    asked: Asked<'_>,
) -> Result<Arc<DamageMap>, Failure> {
    let directory = output.run_dir().path();
    let emitter = output.emitter();
    if let Some(map) = tell::read_map(&directory.join(MAP))? {
        return Ok(Arc::new(map));
    }
    let part = Box::pin(part(source, asked.filters, asked.schema)).await?;
    let what = match part {
        Some(_) => "looking for damage in the catalog of the source, and in what is asked for",
        None => "looking for damage in all tables of the source",
    };
    step(&emitter, what);
    let doubtful = asked.doubtful;
    let quiet = quiet(&source.session).await?;
    for finding in findings(&quiet) {
        emitter.emit(What::Finding(finding));
    }
    for text in does_nothing(&quiet, doubtful) {
        emitter.emit(What::Note { text });
    }
    let search = Survey {
        source: &source.connector,
        server: &source.facts,
        jobs: asked.jobs,
        timeout: probe_timeout()?,
        doubtful,
        part: part.as_ref(),
        thorough: false,
        directory,
        tell: &|text| emitter.emit(What::Note { text }),
    };
    let mut map = Box::pin(survey(&search)).await?;
    // What was read may have brought down the server, and with it the session that was there before.
    source.session = patient_session(&source.connector).await?;
    note_the_catalog(source, &mut map);
    let keys = constraints(&source.session).await?;
    let checks = keys.iter().filter_map(Key::as_check);
    map.checks = checks
        .filter(|check| may_be_violated(&map, &quiet, &check.table))
        .collect();
    map.losses.objects.extend(asked.left_out.objects);
    for text in tell::sentences(&map.losses) {
        emitter.emit(What::Note { text });
    }
    tell::write(directory, &map.losses)?;
    // From here on nothing is searched again.
    tell::write_json(&directory.join(MAP), &map)?;
    Ok(Arc::new(map))
}

/// Looks for damage, and for nothing else. `undescribed` is why `pg_dump` cannot describe the source, if it cannot: then all of it is
/// searched, whatever was asked for.
pub(super) async fn survey_only(
    (source, undescribed): (&Server, Option<String>),
    asked: Asked<'_>,
    run_dir: &RunDir,
) -> Result<DamageMap, Failure> {
    let doubtful = asked.doubtful;
    let part = match undescribed {
        None => Box::pin(part(source, asked.filters, asked.schema)).await?,
        Some(_) => None,
    };
    let quiet = quiet(&source.session).await?;
    for finding in findings(&quiet) {
        say(&format!("warning: {}\n  {}", finding.what, finding.remedy));
    }
    for text in does_nothing(&quiet, doubtful) {
        say(&text);
    }
    let search = Survey {
        source: &source.connector,
        server: &source.facts,
        jobs: asked.jobs,
        timeout: probe_timeout()?,
        doubtful,
        part: part.as_ref(),
        thorough: true,
        directory: run_dir.path(),
        tell: &|text| say(&text),
    };
    let mut map = Box::pin(survey(&search)).await?;
    note_the_catalog(source, &mut map);
    map.losses.objects.extend(asked.left_out.objects);
    map.losses.objects.extend(undescribed.map(|why| LostObject {
        class: CATALOG.to_owned(),
        object: source.facts.database.clone(),
        what: "pg_dump cannot describe the database: --schema-from takes the definitions from elsewhere"
            .to_owned(),
        cause: Cause::silent(why),
    }));
    tell::write(run_dir.path(), &map.losses)?;
    Ok(map)
}

/// Whether damage may have changed a value in a table. If pages have checksums, and all of the table's are right, it has not.
fn may_be_violated(map: &DamageMap, quiet: &Quiet, table: &QualifiedName) -> bool {
    let is_proven = quiet.checksums && map.losses.cold;
    !is_proven || map.losses.tables.iter().any(|one| one.table == *table)
}

fn probe_timeout() -> Result<Duration, Failure> {
    let Ok(text) = std::env::var(PROBE_VARIABLE) else {
        return Ok(PROBE);
    };
    match text.parse() {
        Ok(timeout_ms) if timeout_ms > 0 => Ok(Duration::from_millis(timeout_ms)),
        _ => Err(Failure::usage(
            format!("{PROBE_VARIABLE} is not a number of milliseconds: {text}"),
            "Set it to how long the source may take to read one thing.",
        )),
    }
}

/// The indexes of the catalog are damaged, if it can only be read without them.
fn note_the_catalog(source: &Server, map: &mut DamageMap) {
    let options = source.connector.conninfo().options.as_deref();
    if options.is_some_and(|options| options.contains(super::reach::WITHOUT_INDEXES)) {
        map.losses
            .notes
            .push("indexes of the catalog (the catalog was read without them)".to_owned());
    }
}

/// What was asked for in vain.
fn does_nothing(quiet: &Quiet, doubtful: Doubtful) -> Vec<String> {
    let text = "--ignore-checksum-failure does nothing: the source's pages have no checksums";
    let is_in_vain = doubtful.checksums && !quiet.checksums;
    is_in_vain.then(|| text.to_owned()).into_iter().collect()
}

/// What speaks against the source being a copy that nobody uses.
fn findings(quiet: &Quiet) -> Vec<Finding> {
    let remedy = "Stop the server, copy its data directory as a whole, start a server on the copy with autovacuum = off, and salvage that: \
                  then the losses are exact to the row, and the original stays as it is.";
    let mut what: Vec<String> = Vec::new();
    if quiet.others > 0 {
        what.push(format!(
            "{} other sessions are connected to it",
            quiet.others
        ));
    }
    if !quiet.is_cold() && quiet.others == 0 {
        what.push(
            "not everything written to it is in its files yet (a CHECKPOINT by its owner would do)"
                .to_owned(),
        );
    }
    if quiet.autovacuum {
        what.push("autovacuum is on".to_owned());
    }
    what.into_iter()
        .map(|what| {
            Finding::warning(
                "source-in-use",
                format!("the source is in use: {what}"),
                remedy,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_knows_how_long_a_probe_may_take() {
        assert_eq!(PROBE, Duration::from_secs(10 * 60));
        let says = format!("one that takes ten minutes (`{PROBE_VARIABLE}`) is given up");
        assert!(crate::readme_says(&says));
    }
}
