//! The table of contents that `pg_dump` would write, all data included: it is asked for everything, and ended when it begins
//! with the data.

use std::ffi::OsString;

use super::{DumpRequest, Source};
use crate::archive::{Algorithm, Codec};
use crate::cli::explain::explained;
use crate::cli::salvage;
use crate::cli::schema::warnings;
use crate::failure::Failure;
use crate::follow;
use crate::ledger;
use crate::pg::client_tools::ClientTool;
use crate::toc::{Compression, Toc};

/// The first `pg_dump` whose archives say how they are compressed.
const NAMES_ALGORITHM: u32 = 16;

/// Whether an archive by this `pg_dump` can be compressed like this.
pub(super) fn check(pg_dump: &ClientTool, codec: Codec) -> Result<(), Failure> {
    let is_new = matches!(codec.algorithm, Algorithm::Lz4 | Algorithm::Zstd);
    if is_new && pg_dump.version.major() < NAMES_ALGORITHM {
        return Err(Failure::usage(
            format!(
                "archives of pg_dump {} know no {codec}, only gzip and none",
                pg_dump.version
            ),
            "Use -Z gzip, or install the client programs of PostgreSQL 16 or later.",
        ));
    }
    Ok(())
}

/// Asks `pg_dump`, in the snapshot. With what it has warned of: often the only word for what it leaves out.
pub(super) async fn contents(
    source: &Source,
    request: &DumpRequest,
    codec: Codec,
) -> Result<(Toc, Vec<String>), Failure> {
    let Source {
        server,
        pg_dump,
        snapshot,
        ..
    } = source;
    // Otherwise it is that of the role's sessions, and the rows are read in the database's own.
    let encoding = &server.facts.encoding;
    let mut arguments: Vec<OsString> = vec![
        "--format=custom".into(),
        format!("--encoding={encoding}").into(),
        "--compress=0".into(),
        "--lock-wait-timeout=10s".into(),
        format!("--snapshot={}", snapshot.id).into(),
        format!("--exclude-schema={}", ledger::SCHEMA).into(),
        format!("--exclude-schema={}", follow::SCHEMA).into(),
    ];
    arguments.extend(request.narrowed_by().into_iter().map(OsString::from));
    let damage = source.damage.as_deref();
    let unreadable = damage.into_iter().flat_map(|map| &map.sequences);
    arguments.extend(unreadable.map(|sequence| {
        let pattern = salvage::pattern(sequence);
        OsString::from(format!("--exclude-table-data={pattern}"))
    }));
    let connection = server.child_environment();
    let toc = pg_dump
        .beginning_of(&arguments, &connection, |from| {
            Toc::read(from).map(Toc::of_the_database)
        })
        .await;
    let (mut toc, said) = match toc {
        Ok(found) => found?,
        Err(error) => return Err(explained(error.into(), server).await),
    };
    is_in(&toc, encoding)?;
    if let Some(map) = damage {
        toc = toc.without_large_objects(&map.large_objects);
    }
    let compression = match codec.algorithm {
        Algorithm::None => Compression::None,
        Algorithm::Gzip => Compression::Gzip,
        Algorithm::Lz4 => Compression::Lz4,
        Algorithm::Zstd => Compression::Zstd,
    };
    let toc = toc.into_directory(compression);
    let toc =
        toc.ok_or_else(|| Failure::defect(format!("an archive of {pg_dump} with {codec}")))?;
    Ok((toc, warnings_before_its_end(&said)))
}

/// Without what it says of being ended: that was our doing.
fn warnings_before_its_end(said: &[u8]) -> Vec<String> {
    let mut warnings = warnings(&String::from_utf8_lossy(said));
    warnings.retain(|text| text != "terminated by user" && !text.starts_with("error: "));
    warnings
}

/// Rows in another encoding than what the archive says would be read as what they are not.
fn is_in(toc: &Toc, encoding: &str) -> Result<(), Failure> {
    let named = toc.encoding();
    if named.as_deref() == Some(encoding) {
        return Ok(());
    }
    Err(Failure::defect(format!(
        "a table of contents in {}, and rows in {encoding}",
        named.as_deref().unwrap_or("no encoding")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SqlText;
    use crate::toc::Entry;
    use crate::toc::testing::{entry, toc};

    #[test]
    fn that_pg_dump_was_ended_is_no_warning() {
        let said = "pg_dump: warning: owner of table \"t\" appears to be invalid\n\
                    pg_dump: error: could not write to output file: Broken pipe\n\
                    pg_dump: terminated by user\n";
        assert_eq!(
            warnings_before_its_end(said.as_bytes()),
            ["owner of table \"t\" appears to be invalid"]
        );
    }

    #[test]
    fn names_and_rows_are_in_one_encoding() {
        let contents = toc(vec![Entry {
            defn: Some(SqlText::from("SET client_encoding = 'LATIN1';\n")),
            ..entry("ENCODING")
        }]);
        assert!(is_in(&contents, "LATIN1").is_ok());
        let refused = is_in(&contents, "UTF8").expect_err("in another one");
        assert!(
            refused.message.contains("in LATIN1, and rows in UTF8"),
            "{}",
            refused.message
        );
        assert!(is_in(&toc(Vec::new()), "UTF8").is_err());
    }
}
