//! Opens the sessions of one side, with everything pinned that must not differ between them.

use super::claim;
use super::connect_error::{ConnectError, OpenError};
use super::conninfo::{Conninfo, Password, ServerState, TargetSessionAttrs, TcpSettings};
use super::dial::{CancelKey, Dialer, Open};
use super::session::pinned_settings;
use super::stream::{AlreadyNegotiated, Peer, Stream};
use super::tls::TlsError;
use super::wire::{Wire, WireStart};
use super::{PgError, Query, Session};
use crate::model::{Endpoint, ServerVersion, Side, SqlText, quote_literal};

const SERVER_STATE: Query = Query::new(
    "the state of the server",
    "select current_setting('default_transaction_read_only')::bool as read_only, pg_catalog.pg_is_in_recovery() as in_recovery",
);

/// `query_canceled`.
const CANCELLED: &str = "57014";
/// How often a session is begun whose settings could not be pinned in time.
const MOST_ATTEMPTS: u32 = 10;

/// Opens sessions. All sessions of a run come from one connector a side, pinned to one server.
#[derive(Clone)]
pub struct Connector {
    dialer: Dialer,
    side: Side,
    client_encoding: String,
    /// What every session does first of all.
    opening: Option<String>,
}

impl Connector {
    /// For a connection string; opens nothing yet.
    pub fn new(conninfo: Conninfo, side: Side) -> Result<Self, TlsError> {
        Ok(Self {
            dialer: Dialer::new(conninfo)?,
            side,
            client_encoding: "UTF8".to_owned(),
            opening: None,
        })
    }

    /// The connection string.
    pub fn conninfo(&self) -> &Conninfo {
        self.dialer.conninfo()
    }

    /// Whose sessions it opens.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The same for one server: all sessions of a run must be where the first one was.
    #[must_use]
    pub fn pinned_to(&self, peer: &Peer) -> Self {
        Self {
            dialer: self.dialer.pinned_to(peer),
            ..self.clone()
        }
    }

    /// The same with another client encoding for wires. Sessions for questions always speak UTF-8.
    #[must_use]
    pub fn with_encoding(&self, client_encoding: &str) -> Self {
        Self {
            client_encoding: client_encoding.to_owned(),
            ..self.clone()
        }
    }

    /// The same with statements that every session runs when its settings are pinned.
    #[must_use]
    pub fn with_opening(&self, sql: &str) -> Self {
        Self {
            opening: Some(sql.to_owned()),
            ..self.clone()
        }
    }

    /// What a session runs before anybody is given it.
    fn first_statements(&self, version: ServerVersion, encoding: &str, peer: &Peer) -> String {
        let mut sql = pinned_settings(self.side, version, encoding, self.watched(peer));
        if let Some(opening) = &self.opening {
            sql.push_str("; ");
            sql.push_str(opening);
        }
        sql
    }

    /// What a person is shown.
    pub fn endpoint(&self, peer: &Peer, version: Option<ServerVersion>) -> Endpoint {
        Endpoint {
            version,
            ..self.conninfo().endpoint(&peer.host)
        }
    }

    /// A session for questions. `purpose` is shown in `pg_stat_activity`.
    pub async fn session(&self, purpose: &str) -> Result<Session, PgError> {
        self.connect(&mut SessionOpener {
            connector: self,
            purpose,
        })
        .await
    }

    /// A session for statements as bytes, and for COPY.
    pub async fn wire(&self, purpose: &str) -> Result<Wire, PgError> {
        self.connect(&mut WireOpener {
            connector: self,
            purpose,
            snapshot: None,
            replicates: false,
            entered: Ok(()),
        })
        .await
    }

    /// A session that may make a replication slot, and export the snapshot at which it begins. Its role must be allowed to replicate.
    pub(super) async fn replication_wire(&self, purpose: &str) -> Result<Wire, PgError> {
        self.connect(&mut WireOpener {
            connector: self,
            purpose,
            snapshot: None,
            replicates: true,
            entered: Ok(()),
        })
        .await
    }

    /// A wire whose transaction sees a snapshot.
    pub async fn wire_in(&self, snapshot: &str, purpose: &str) -> Result<Wire, PgError> {
        let mut opener = WireOpener {
            connector: self,
            purpose,
            snapshot: Some(snapshot),
            replicates: false,
            entered: Ok(()),
        };
        let wire = self.connect(&mut opener).await?;
        opener.entered.map(|()| wire)
    }

    /// Connects, and pins the settings. The statement that lifts a timeout is itself subject to it: a role whose
    /// `statement_timeout` is a few milliseconds may need more than one attempt on a busy server.
    async fn connect<O: Open>(&self, opener: &mut O) -> Result<O::Session, PgError> {
        let mut attempts = 1;
        loop {
            match self.dialer.connect(opener).await {
                Err(ConnectError::Refused { error, .. })
                    if error.code == CANCELLED && attempts < MOST_ATTEMPTS =>
                {
                    attempts += 1;
                }
                Err(error) if error.server_error().is_some_and(claim::is_lost) => {
                    return Err(PgError::ClaimLost);
                }
                connected => return Ok(connected?),
            }
        }
    }

    /// How the server is to watch over its end: as we do over ours, unless somebody wants no watch at all.
    fn watched(&self, peer: &Peer) -> Option<TcpSettings> {
        let tcp = self.conninfo().tcp;
        (peer.address.is_some() && tcp.keepalives).then_some(tcp)
    }

    /// Asks the server to cancel what a wire is doing. Best effort, as the protocol has it: the server does not answer.
    pub async fn cancel(&self, peer: &Peer, (process_id, secret): (i32, i32)) {
        let _ = self
            .dialer
            .cancel(peer, CancelKey { process_id, secret })
            .await;
    }
}

pub(super) fn in_snapshot(snapshot: &str) -> String {
    format!(
        "begin transaction isolation level repeatable read, read only; set transaction snapshot {}",
        quote_literal(snapshot)
    )
}

fn application_name(purpose: &str) -> String {
    format!("pgconvoy:{purpose}")
}

struct SessionOpener<'a> {
    connector: &'a Connector,
    purpose: &'a str,
}

impl Open for SessionOpener<'_> {
    type Session = Session;

    async fn open(
        &mut self,
        stream: Stream,
        wanted: TargetSessionAttrs,
    ) -> Result<Session, OpenError> {
        let peer = stream.peer().clone();
        let mut config = self.connector.dialer.postgres_config(&peer.host);
        config.application_name(application_name(self.purpose));
        let session = Session::start(stream, &config, peer, AlreadyNegotiated)
            .await
            .map_err(open_error)?;
        if wanted != TargetSessionAttrs::Any {
            let rows = session
                .query(&SERVER_STATE, &[])
                .await
                .map_err(open_error)?;
            let state = |column| rows.first().map(|row| row.get::<bool>(column)).transpose();
            let state = ServerState {
                read_only_by_default: state("read_only").map_err(open_error)?.unwrap_or(false),
                in_recovery: state("in_recovery").map_err(open_error)?.unwrap_or(false),
            };
            wanted
                .accepts(state)
                .map_err(|because| OpenError::Unsuitable(because.to_owned()))?;
        }
        let settings = self
            .connector
            .first_statements(session.version(), "UTF8", session.peer());
        session.execute(&settings).await.map_err(open_error)?;
        Ok(session)
    }
}

struct WireOpener<'a> {
    connector: &'a Connector,
    purpose: &'a str,
    /// What its transaction is to see.
    snapshot: Option<&'a str>,
    /// It speaks the replication protocol as well.
    replicates: bool,
    /// Whether it does: no other way to connect, and no other server, would change that.
    entered: Result<(), PgError>,
}

impl Open for WireOpener<'_> {
    type Session = Wire;

    async fn open(
        &mut self,
        stream: Stream,
        _wanted: TargetSessionAttrs,
    ) -> Result<Wire, OpenError> {
        // The first session of a side is one for questions, and found the server that is wanted; we are pinned to it.
        let conninfo = self.connector.conninfo();
        let peer = stream.peer().clone();
        let start = WireStart {
            user: &conninfo.user,
            database: &conninfo.database,
            password: peer.host.password.as_ref().map(Password::expose),
            application_name: &application_name(self.purpose),
            options: conninfo.options.as_deref(),
            channel_binding: conninfo.channel_binding,
            replicates: self.replicates,
        };
        let mut wire = Wire::start(stream, &start).await.map_err(open_error)?;
        let settings = self.connector.first_statements(
            wire.server_version(),
            &self.connector.client_encoding,
            wire.peer(),
        );
        // Sent at once, and done one after the other.
        let mut statements = vec![SqlText::from(settings)];
        statements.extend(self.snapshot.map(in_snapshot).map(SqlText::from));
        self.entered = match wire.execute_all(&statements).await {
            Ok(()) => Ok(()),
            Err((0, error)) => return Err(open_error(error)),
            Err((_, error)) => Err(error),
        };
        Ok(wire)
    }
}

fn open_error(error: PgError) -> OpenError {
    match error {
        PgError::Server { error, .. } => OpenError::Server(error),
        login if login.is_about_login() => OpenError::Login(Box::new(login)),
        other => OpenError::Other(Box::new(other)),
    }
}
