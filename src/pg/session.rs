//! Sessions for questions with answers, and the one place that pins what a session must not inherit.
//!
//! Settings that change how values print, or that filter or cut off what is read, are pinned on every session of both
//! sides, also after a reconnect, because every session is opened here.

use std::fmt::Write as _;
use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Row, SimpleQueryMessage};

use super::PgError;
use super::connector::in_snapshot;
use super::conninfo::TcpSettings;
use super::stream::{AlreadyNegotiated, Peer, Stream};
use crate::fault;
use crate::model::{Bytes, Oid, QualifiedName, Rows, ServerVersion, Side, quote_literal};

/// A query from a file in `sql/`: its name for messages, and its text.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// File name.
    pub name: &'static str,
    /// Text.
    pub sql: &'static str,
}

impl Query {
    /// From a file's name and content.
    pub const fn new(name: &'static str, sql: &'static str) -> Self {
        Self { name, sql }
    }
}

/// The value of a query's parameter, of a type that is known here. If the server had to be asked for it first, every question
/// would take two round trips.
pub trait Parameter: Sync {
    /// The value, and its type on the server.
    fn typed(&self) -> (&(dyn ToSql + Sync), Type);
}

macro_rules! parameters {
    ($($rust:ty = $sql:ident;)*) => {
        $(impl Parameter for $rust {
            fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
                (self, Type::$sql)
            }
        })*
    };
}

parameters! {
    bool = BOOL;
    i32 = INT4;
    Option<i32> = INT4;
    &[i32] = INT4_ARRAY;
    &[u32] = OID_ARRAY;
    Vec<u32> = OID_ARRAY;
    &str = TEXT;
    String = TEXT;
    Vec<String> = TEXT_ARRAY;
}

/// An open session. Questions that are asked at once are sent at once, and answered in the order in which they were asked: they
/// take one round trip together.
pub struct Session {
    client: Client,
    peer: Peer,
    version: ServerVersion,
}

impl Session {
    /// Starts a session on a stream; the settings are pinned by the caller, who knows the encoding.
    pub(super) async fn start(
        stream: Stream,
        config: &tokio_postgres::Config,
        peer: Peer,
        tls: AlreadyNegotiated,
    ) -> Result<Self, PgError> {
        let connected = config.connect_raw(stream, tls).await;
        let user = config.get_user().unwrap_or_default();
        let (client, connection) =
            connected.map_err(|error| PgError::from_login(user, peer.encrypted, error))?;
        // Reported at start-up, so that nothing has to be asked before the settings are pinned: a role may have a timeout
        // that cuts off even that.
        let version = connection
            .parameter("server_version")
            .map_or(ServerVersion(0), ServerVersion::reported);
        // Ends with the client; an error in it reaches whoever waits for an answer.
        tokio::spawn(connection);
        Ok(Self {
            client,
            peer,
            version,
        })
    }

    /// `server_version_num`.
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// The server it is on.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Runs a query from `sql/`.
    pub async fn query(
        &self,
        query: &Query,
        params: &[&dyn Parameter],
    ) -> Result<Vec<Answer>, PgError> {
        self.query_text(query.name, query.sql, params).await
    }

    /// Runs a query from `sql/`, and makes something of each row as it arrives. A database may have as many as it has objects, and a row is
    /// larger than what is made of it.
    pub async fn query_each<T>(
        &self,
        query: &Query,
        params: &[&dyn Parameter],
        mut make: impl FnMut(&Answer) -> Result<T, PgError>,
    ) -> Result<Vec<T>, PgError> {
        let failed = |error| PgError::from_client(query.sql, error);
        let params: Vec<_> = params.iter().map(|value| value.typed()).collect();
        let rows = self.client.query_typed_raw(query.sql, params).await;
        let mut rows = pin!(rows.map_err(failed)?);
        let mut all = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let query = query.name;
            all.push(make(&Answer { query, row })?);
        }
        all.shrink_to_fit();
        Ok(all)
    }

    /// Runs a query built around identifiers; `name` is for messages.
    pub async fn query_text(
        &self,
        name: &'static str,
        sql: &str,
        params: &[&dyn Parameter],
    ) -> Result<Vec<Answer>, PgError> {
        let params: Vec<_> = params.iter().map(|value| value.typed()).collect();
        let rows = self
            .client
            .query_typed(sql, &params)
            .await
            .map_err(|error| PgError::from_client(sql, error))?;
        Ok(rows
            .into_iter()
            .map(|row| Answer { query: name, row })
            .collect())
    }

    /// Runs statements that return nothing.
    pub async fn execute(&self, sql: &str) -> Result<(), PgError> {
        self.client
            .batch_execute(sql)
            .await
            .map_err(|error| PgError::from_client(sql, error))
    }

    /// How many parameters a statement has. The server is given the text by itself, and refuses one that is not exactly one
    /// statement.
    pub async fn parameters_of(&self, sql: &str) -> Result<usize, PgError> {
        let prepared = self.client.prepare(sql).await;
        let prepared = prepared.map_err(|error| PgError::from_client(sql, error))?;
        Ok(prepared.params().len())
    }

    /// The first column of each row of an answer, as text. What is asked is sent as it is, without a place for parameters; if
    /// it were several statements, all of them would be run.
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>, PgError> {
        let answer = self.client.simple_query(sql).await;
        let answer = answer.map_err(|error| PgError::from_client(sql, error))?;
        let rows = answer.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Begins a transaction that sees a snapshot.
    pub(super) async fn enter(&self, snapshot: &str) -> Result<(), PgError> {
        self.execute(&in_snapshot(snapshot)).await
    }

    /// Whether the connection is known to have ended; nothing is asked.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Checks that a query can be prepared on this server.
    pub async fn prepare(&self, query: &Query) -> Result<(), PgError> {
        self.client
            .prepare(query.sql)
            .await
            .map(drop)
            .map_err(|error| PgError::from_client(query.sql, error))
    }
}

/// A row of an answer; every column is asked for by name, and a column that is not what we expect is an error.
pub struct Answer {
    query: &'static str,
    row: Row,
}

impl Answer {
    /// The value of a column.
    pub fn get<'a, T: FromSql<'a>>(&'a self, column: &str) -> Result<T, PgError> {
        self.row.try_get(column).map_err(|error| PgError::Answer {
            query: self.query,
            what: format!("column {column}: {error}"),
        })
    }

    /// An OID.
    pub fn oid(&self, column: &str) -> Result<Oid, PgError> {
        self.get(column).map(Oid)
    }

    /// An OID, or NULL.
    pub fn optional_oid(&self, column: &str) -> Result<Option<Oid>, PgError> {
        Ok(self.get::<Option<u32>>(column)?.map(Oid))
    }

    /// An array of OIDs.
    pub fn oids(&self, column: &str) -> Result<Vec<Oid>, PgError> {
        Ok(self.get::<Vec<u32>>(column)?.into_iter().map(Oid).collect())
    }

    /// A name made of two columns.
    pub fn name(&self, schema: &str, name: &str) -> Result<QualifiedName, PgError> {
        Ok(QualifiedName::new(
            self.get::<String>(schema)?,
            self.get::<String>(name)?,
        ))
    }

    /// A count (`int8`); a negative one is 0.
    pub fn count(&self, column: &str) -> Result<u64, PgError> {
        Ok(u64::try_from(self.get::<i64>(column)?).unwrap_or(0))
    }

    /// A size in bytes (`int8`).
    pub fn bytes(&self, column: &str) -> Result<Bytes, PgError> {
        self.count(column).map(Bytes)
    }

    /// An estimated number of rows (`float8`).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, clamped to what fits"
    )]
    pub fn estimate(&self, column: &str) -> Result<Rows, PgError> {
        Ok(Rows(self.get::<f64>(column)?.max(0.0) as u64))
    }

    /// The only character of a text column.
    pub fn char(&self, column: &str) -> Result<char, PgError> {
        let found = self.optional_char(column)?;
        found.ok_or_else(|| PgError::Answer {
            query: self.query,
            what: format!("column {column} is empty"),
        })
    }

    /// The first character of a text column, or NULL.
    pub fn optional_char(&self, column: &str) -> Result<Option<char>, PgError> {
        Ok(self
            .get::<Option<String>>(column)?
            .and_then(|text| text.chars().next()))
    }
}

/// What decides how values print, the same in every session.
pub const VALUE_SETTINGS: [(&str, &str); 7] = [
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("xmloption", "content"),
    ("lc_monetary", "C"),
];

/// Begins a transaction whose commit is on the target's disk when it returns, unlike others of a run. Standbys are not waited for: one that
/// is away would keep a run from its first step.
pub const BEGIN_DURABLY: &str = "begin; set local synchronous_commit = local";

/// Under these a server passes over damage: a page that is none reads as an empty one, and one with a wrong checksum as it stands. That
/// it has done so is a warning, which a copy of the rows does not carry.
pub const PASSING_OVER_DAMAGE: [&str; 2] = ["zero_damaged_pages", "ignore_checksum_failure"];

/// The statement that gives a session other ones than these, until [`pin_values`].
pub fn set_values(settings: &[(String, String)]) -> String {
    let set = |(name, value): &(String, String)| format!("set {name} = {}", quote_literal(value));
    let all: Vec<String> = settings.iter().map(set).collect();
    all.join("; ")
}

/// The statement that gives a session these again.
pub fn pin_values() -> String {
    set_values(&VALUE_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

/// The statement that pins a session's settings. `encoding` is the client encoding: the source database's own where
/// rows travel, so that both servers convert from the same bytes, and UTF-8 where questions are asked.
/// `watched` says how the server's end of the socket is to be watched over, if that is a TCP socket.
pub(super) fn pinned_settings(
    side: Side,
    version: ServerVersion,
    encoding: &str,
    watched: Option<TcpSettings>,
) -> String {
    const BOTH_SIDES: [(&str, &str); 11] = [
        ("search_path", ""),
        ("row_security", "off"),
        ("synchronize_seqscans", "off"),
        ("standard_conforming_strings", "on"),
        ("quote_all_identifiers", "off"),
        ("array_nulls", "on"),
        ("transform_null_equals", "off"),
        ("default_transaction_isolation", "read committed"),
        ("default_transaction_deferrable", "off"),
        ("check_function_bodies", "off"),
        ("idle_in_transaction_session_timeout", "0"),
    ];
    // Timeouts first: what follows may take longer than they allow.
    let mut sql = String::from("set statement_timeout = 0");
    if version.major() >= 17 {
        sql.push_str("; set transaction_timeout = 0");
    }
    let _ = write!(sql, "; set client_encoding = {}", quote_literal(encoding));
    for (name, value) in VALUE_SETTINGS.into_iter().chain(BOTH_SIDES) {
        let _ = write!(sql, "; set {name} = {}", quote_literal(value));
    }
    if version.major() >= 11 {
        // Our questions to the catalogs look expensive to the planner: compiling one took a second, answering it two
        // thousandths.
        sql.push_str("; set jit = off");
    }
    if version.major() >= 14 {
        sql.push_str("; set idle_session_timeout = 0");
        // A session that computes or waits for a lock would otherwise not notice for as long that we are gone. Servers on
        // other systems may refuse the setting.
        sql.push_str(
            "; select pg_catalog.set_config('client_connection_check_interval', '2s', false) \
             where pg_catalog.version() ~ 'linux'",
        );
    }
    if let Some(tcp) = watched {
        sql.push_str("; ");
        sql.push_str(&tcp_watch(version, tcp));
    }
    sql.push_str("; ");
    sql.push_str(&stop_at_damage());
    match side {
        // Somebody's DDL that waits for the locks of our snapshot makes every later reader wait behind it: ours, which the
        // snapshot waits for, and the application's. Nobody would ever give way, so we do.
        Side::Source => {
            let patience = if fault::strikes("hasty-readers") {
                "2s"
            } else {
                "10s"
            };
            let _ = write!(sql, "; set lock_timeout = '{patience}'");
            sql.push_str("; set default_transaction_read_only = on");
        }
        // Work and its ledger line travel in one transaction: a crash loses both or neither. The end of a run commits
        // once with it on, which flushes everything before. VACUUM and ANALYZE make room for nobody.
        Side::Target => {
            sql.push_str("; set lock_timeout = 0; set default_transaction_read_only = off; set synchronous_commit = off; set vacuum_cost_delay = 0");
        }
    }
    sql
}

/// Only where they are on: hardly any role may set them. Whoever wants them says so behind this.
fn stop_at_damage() -> String {
    let names = PASSING_OVER_DAMAGE.map(|name| format!("('{name}')"));
    format!(
        "select pg_catalog.set_config(s.name, 'off', false) from (values {}) as s(name) \
         where pg_catalog.current_setting(s.name) = 'on'",
        names.join(", ")
    )
}

/// Has the server notice as well that we are gone: a backend whose client has vanished holds its locks, and a snapshot,
/// for as long as its system waits, which is two hours. 0 is the system's default. Elsewhere than on Linux, the server
/// writes into its log what it cannot do.
fn tcp_watch(version: ServerVersion, tcp: TcpSettings) -> String {
    let seconds = |length: Option<Duration>| length.unwrap_or_default().as_secs();
    let mut settings = vec![
        ("tcp_keepalives_idle", seconds(tcp.idle).to_string()),
        ("tcp_keepalives_interval", seconds(tcp.interval).to_string()),
        (
            "tcp_keepalives_count",
            tcp.count.unwrap_or_default().to_string(),
        ),
    ];
    if version.major() >= 12 {
        let limit = tcp.user_timeout.unwrap_or_default().as_millis();
        settings.push(("tcp_user_timeout", limit.to_string()));
    }
    let settings: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("('{name}', '{value}')"))
        .collect();
    format!(
        "select pg_catalog.set_config(s.name, s.value, false) from (values {}) as s(name, value) \
         where pg_catalog.version() ~ 'linux'",
        settings.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_watches_over_tcp_as_we_do() {
        let tcp = TcpSettings {
            count: None,
            ..TcpSettings::default()
        };
        let new = pinned_settings(Side::Source, ServerVersion(120_000), "UTF8", Some(tcp));
        for setting in [
            "('tcp_keepalives_idle', '30')",
            "('tcp_keepalives_interval', '10')",
            "('tcp_keepalives_count', '0')",
            "('tcp_user_timeout', '120000')",
        ] {
            assert!(new.contains(setting), "{setting}: {new}");
        }
        let old = pinned_settings(Side::Source, ServerVersion(110_000), "UTF8", Some(tcp));
        assert!(old.contains("tcp_keepalives_idle") && !old.contains("tcp_user_timeout"));
        let socket = pinned_settings(Side::Source, ServerVersion(180_000), "UTF8", None);
        assert!(!socket.contains("tcp_"));
    }

    #[test]
    fn damage_is_passed_over_on_neither_side() {
        for side in [Side::Source, Side::Target] {
            let sql = pinned_settings(side, ServerVersion(100_023), "UTF8", None);
            for name in PASSING_OVER_DAMAGE {
                assert!(sql.contains(&format!("('{name}')")), "{sql}");
                assert!(!sql.contains(&format!("set {name}")), "{sql}");
            }
        }
    }

    #[test]
    fn the_source_is_read_only_and_new_settings_are_not_sent_to_old_servers() {
        let old = pinned_settings(Side::Source, ServerVersion(100_023), "LATIN1", None);
        assert!(
            old.contains("default_transaction_read_only = on")
                && old.contains("client_encoding = 'LATIN1'")
        );
        assert!(
            !old.contains("transaction_timeout = 0; ")
                && !old.contains("; set transaction_timeout")
                && !old.contains("jit")
        );
        assert!(
            pinned_settings(Side::Target, ServerVersion(180_000), "UTF8", None)
                .contains("; set transaction_timeout = 0")
        );
    }
}
