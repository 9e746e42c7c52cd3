//! The database itself: what it was created with, and what there is to empty it of.

use serde::{Deserialize, Serialize};

use super::ledger_schema::{self, ledger_schema};
use super::queries;
use super::read::{ask, names};
use crate::pg::{Answer, PgError, Session};

/// Who compares text in a database (`pg_database.datlocprovider`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocaleProvider {
    /// The operating system's C library; the only one before 15.
    Libc,
    /// ICU, since 15.
    Icu,
    /// The server itself, since 17.
    Builtin,
}

/// What a database was created with, and what was set on it since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// Encoding, as `pg_encoding_to_char` names it.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub lc_collate: String,
    /// `LC_CTYPE`.
    pub lc_ctype: String,
    /// Who compares text.
    pub provider: LocaleProvider,
    /// The provider's locale; none for libc.
    pub locale: Option<String>,
    /// Rules that change ICU's.
    pub icu_rules: Option<String>,
    /// Its default tablespace.
    pub tablespace: String,
    /// How many may connect; -1 for any number.
    pub connection_limit: i32,
    /// Its comment.
    pub comment: Option<String>,
    /// Its privileges, in the order of its list, when they are not the default.
    pub grants: Option<Vec<DatabaseGrant>>,
    /// Settings of the database, and of roles in it.
    pub settings: Vec<DatabaseSetting>,
    /// Security labels: provider and label.
    pub labels: Vec<(String, String)>,
}

/// One privilege on a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseGrant {
    /// Who granted it.
    pub grantor: String,
    /// The role, or `None` for `PUBLIC`.
    pub grantee: Option<String>,
    /// `CREATE`, `CONNECT` or `TEMPORARY`.
    pub privilege: String,
    /// With grant option.
    pub grantable: bool,
}

/// `ALTER DATABASE … SET` or `ALTER ROLE … IN DATABASE … SET`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSetting {
    /// The role it is for, or `None` for all.
    pub role: Option<String>,
    /// The setting.
    pub name: String,
    /// Its value as the catalog stores it: the elements of a list are already quoted.
    pub value: String,
}

/// Something that emptying a database drops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Droppable {
    /// `table`, `function`, …
    pub kind: String,
    /// Its name, quoted.
    pub name: String,
    /// Whether the connected role may.
    pub may_drop: bool,
    /// The statement that drops it, and does nothing when it is gone already.
    pub statement: String,
}

/// Something that every new database has, and how to get it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingDefault {
    /// What, in a few words.
    pub what: String,
    /// The statement that makes it.
    pub statement: String,
}

/// What the connected database was created with, and what was set on it since.
pub async fn database_facts(session: &Session) -> Result<DatabaseFacts, PgError> {
    let (rows, settings, labels) = tokio::try_join!(
        biased;
        ask(session, &queries::DATABASE, &[]),
        settings(session),
        database_labels(session),
    )?;
    let unexpected = |what: String| PgError::Answer {
        query: queries::DATABASE.newest.name,
        what,
    };
    let row = rows
        .first()
        .ok_or_else(|| unexpected("no row; is the database gone?".into()))?;
    let provider = match row.char("provider")? {
        'c' => LocaleProvider::Libc,
        'i' => LocaleProvider::Icu,
        'b' => LocaleProvider::Builtin,
        other => return Err(unexpected(format!("locale provider {other:?} is unknown"))),
    };
    let has_grants: bool = row.get("has_grants")?;
    Ok(DatabaseFacts {
        name: row.get("name")?,
        owner: row.get("owner")?,
        encoding: row.get("encoding")?,
        lc_collate: row.get("lc_collate")?,
        lc_ctype: row.get("lc_ctype")?,
        provider,
        locale: row.get("locale")?,
        icu_rules: row.get("icu_rules")?,
        tablespace: row.get("tablespace")?,
        connection_limit: row.get("connection_limit")?,
        comment: row.get("comment")?,
        grants: if has_grants {
            Some(database_grants(session).await?)
        } else {
            None
        },
        settings,
        labels,
    })
}

async fn database_grants(session: &Session) -> Result<Vec<DatabaseGrant>, PgError> {
    let rows = ask(session, &queries::DATABASE_GRANTS, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(DatabaseGrant {
                grantor: row.get("grantor")?,
                grantee: row.get("grantee")?,
                privilege: row.get("privilege")?,
                grantable: row.get("grantable")?,
            })
        })
        .collect()
}

async fn settings(session: &Session) -> Result<Vec<DatabaseSetting>, PgError> {
    let rows = ask(session, &queries::DATABASE_SETTINGS, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(DatabaseSetting {
                role: row.get("role")?,
                name: row.get("name")?,
                value: row.get("value")?,
            })
        })
        .collect()
}

async fn database_labels(session: &Session) -> Result<Vec<(String, String)>, PgError> {
    let rows = ask(session, &queries::DATABASE_LABELS, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.get("provider")?, row.get("label")?)))
        .collect()
}

/// What emptying the connected database drops, in an order that works. A schema pgconvoy of somebody's own is left out.
pub async fn droppable(session: &Session) -> Result<Vec<Droppable>, PgError> {
    let kind = ledger_schema::kind(ledger_schema(session).await?);
    let query = queries::DROPPABLE.for_server(session.version());
    let item = |row: &Answer| {
        Ok(Droppable {
            kind: row.get("kind")?,
            name: row.get("name")?,
            may_drop: row.get("may_drop")?,
            statement: row.get("statement")?,
        })
    };
    session.query_each(query, &[&kind], item).await
}

/// What a new database has that is missing or changed in the connected one.
pub async fn missing_defaults(session: &Session) -> Result<Vec<MissingDefault>, PgError> {
    let rows = ask(session, &queries::NEW_DATABASE, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(MissingDefault {
                what: row.get("what")?,
                statement: row.get("statement")?,
            })
        })
        .collect()
}

/// Names of the connected database's subscriptions.
pub async fn subscriptions(session: &Session) -> Result<Vec<String>, PgError> {
    names(session, &queries::SUBSCRIPTIONS).await
}
