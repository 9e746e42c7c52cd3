//! Texts that are bytes in some encoding, as the server decodes them: it knows every encoding that a dump can be in.

use std::fmt::Write as _;

use super::queries;
use super::read::ask;
use crate::pg::{PgError, Session};

/// Names that are bytes in the database's encoding, such as `pg_dump` writes them.
pub async fn decoded_names(
    session: &Session,
    names: impl Iterator<Item = &[u8]>,
) -> Result<Vec<String>, PgError> {
    let digits: Vec<String> = names.map(in_digits).collect();
    let rows = ask(session, &queries::DECODED_NAMES, &[&digits]).await?;
    rows.iter().map(|row| row.get("name")).collect()
}

/// Texts that are bytes in another encoding, such as those of an archive.
pub async fn decoded_texts(
    session: &Session,
    texts: impl Iterator<Item = &[u8]>,
    encoding: &str,
) -> Result<Vec<String>, PgError> {
    let digits: Vec<String> = texts.map(in_digits).collect();
    let rows = ask(session, &queries::DECODED_TEXTS, &[&digits, &encoding]).await?;
    rows.iter().map(|row| row.get("text")).collect()
}

fn in_digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _infallible = write!(digits, "{byte:02x}");
        digits
    })
}
