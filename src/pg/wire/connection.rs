//! One connection on the raw wire: start-up, authentication, statements as bytes.
//!
//! A connection that was left in an unknown state (an I/O error, a COPY given up half-way) is marked broken and must be
//! thrown away; nothing tries to repair it, because the server rolls back what it was doing when the socket closes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postgres_protocol::authentication::{
    md5_hash,
    sasl::{self, ChannelBinding, ScramSha256},
};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::message::{Message, next_message};
use crate::fault;
use crate::model::{Rows, ServerError, ServerVersion, SqlText};
use crate::pg::PgError;
use crate::pg::conninfo::ChannelBinding as Binding;
use crate::pg::error::NOT_ENCRYPTED;
use crate::pg::stream::{Peer, Stream};

/// Notices kept per connection; what comes beyond is counted only.
const NOTICES_KEPT: usize = 200;

/// What a connection needs to introduce itself.
pub struct WireStart<'a> {
    /// Role.
    pub user: &'a str,
    /// Database.
    pub database: &'a str,
    /// Password, if one was found.
    pub password: Option<&'a str>,
    /// `application_name`, visible in `pg_stat_activity`.
    pub application_name: &'a str,
    /// `options`, as in libpq.
    pub options: Option<&'a str>,
    /// Whether SCRAM is bound to the server's certificate.
    pub channel_binding: Binding,
    /// Whether it speaks the replication protocol as well, in this database.
    pub replicates: bool,
}

/// Warnings and notices that the server sent.
#[derive(Debug, Default)]
pub struct Notices {
    kept: Vec<ServerError>,
}

impl Notices {
    pub(super) fn push(&mut self, message: &Message) {
        if self.kept.len() < NOTICES_KEPT {
            self.kept.push(message.to_server_error());
        }
    }

    /// Takes what has come since the last call.
    pub fn take(&mut self) -> Vec<ServerError> {
        std::mem::take(&mut self.kept)
    }
}

/// An authenticated connection.
pub struct Wire {
    pub(super) reader: ReadHalf<Stream>,
    pub(super) writer: WriteHalf<Stream>,
    pub(super) buffer: BytesMut,
    pub(super) broken: bool,
    peer: Peer,
    end_point: Option<Vec<u8>>,
    backend: (i32, i32),
    server_version: ServerVersion,
    /// What the server remarked.
    pub notices: Notices,
}

impl Wire {
    /// Introduces itself on a fresh stream and authenticates.
    pub async fn start(stream: Stream, start: &WireStart<'_>) -> Result<Self, PgError> {
        let (peer, end_point) = (stream.peer().clone(), stream.tls_server_end_point());
        let (reader, writer) = tokio::io::split(stream);
        let mut wire = Self {
            reader,
            writer,
            buffer: BytesMut::with_capacity(8 << 10),
            broken: false,
            peer,
            end_point,
            backend: (0, 0),
            server_version: ServerVersion(0),
            notices: Notices::default(),
        };
        let mut parameters = vec![
            ("user", start.user),
            ("database", start.database),
            ("application_name", start.application_name),
            ("client_encoding", "UTF8"),
        ];
        parameters.extend(start.options.map(|options| ("options", options)));
        parameters.extend(start.replicates.then_some(("replication", "database")));
        let mut message = BytesMut::new();
        frontend::startup_message(parameters, &mut message)
            .map_err(|source| wire.io("starting a session", source))?;
        wire.send(message, "starting a session").await?;
        wire.authenticate(start).await?;
        wire.await_ready().await?;
        Ok(wire)
    }

    /// Process id and secret key, for a cancel request.
    pub fn backend(&self) -> (i32, i32) {
        self.backend
    }

    /// The server's version, as it reports it at start-up.
    pub fn server_version(&self) -> ServerVersion {
        self.server_version
    }

    /// The server it is on.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether the connection must be thrown away.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Runs one statement, or several separated by `;`, and drops the rows it returns.
    pub async fn execute(&mut self, sql: &SqlText) -> Result<(), PgError> {
        self.query(sql).await.map(drop)
    }

    /// Runs one statement and returns its rows, each column as text.
    pub async fn query(&mut self, sql: &SqlText) -> Result<Vec<Vec<Option<Bytes>>>, PgError> {
        self.send_query(sql).await?;
        fault::point_of("query-sent", || sql.to_string());
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            let message = match self.receive("running a statement").await {
                Ok(message) => message,
                // A FATAL error is followed by the end of the connection: the error is the news, not the end.
                Err(error) => {
                    return Err(failure.map_or(error, |fatal| PgError::server(sql, fatal)));
                }
            };
            match message.tag {
                b'D' => rows.push(message.to_columns()?),
                b'E' => failure = failure.or(Some(message.to_server_error())),
                b'Z' => break,
                b'G' => return Err(self.lost("the server asked for data outside of a COPY")),
                _ => {}
            }
        }
        match failure {
            None => Ok(rows),
            Some(error) => Err(PgError::server(sql, error)),
        }
    }

    /// Runs a `SELECT count(*)`.
    pub async fn count(&mut self, sql: &SqlText) -> Result<Rows, PgError> {
        let rows = self.query(sql).await?;
        let text = rows.first().and_then(|row| row.first()?.as_deref());
        let count = text.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        count.map(Rows).ok_or_else(|| PgError::Answer {
            query: "count(*)",
            what: "no number".into(),
        })
    }

    /// Sends many statements at once and reads the answers as they come: one round trip for all of them.
    ///
    /// Each statement is a query of its own. On failure, says which one was the first to fail; inside a transaction
    /// block those after it had no effect, and the caller rolls back.
    pub async fn execute_all(&mut self, statements: &[SqlText]) -> Result<(), (usize, PgError)> {
        let Self {
            reader,
            writer,
            buffer,
            notices,
            ..
        } = self;
        let doing = "running a batch of statements";
        let request = queries(statements.iter());
        let send = async {
            let sent = send_all(writer, &request, doing).await;
            sent.map_err(|error| (0, error))?;
            fault::point_of("batch-sent", || {
                statements.first().map_or(String::new(), SqlText::to_string)
            });
            Ok::<(), (usize, PgError)>(())
        };
        let mut failure = None;
        let receive = async {
            for (index, sql) in statements.iter().enumerate() {
                loop {
                    let message = next_message(reader, buffer, doing).await;
                    let message = message.map_err(|error| (index, error))?;
                    match message.tag {
                        b'E' if failure.is_none() => {
                            failure =
                                Some((index, PgError::server(sql, message.to_server_error())));
                        }
                        b'N' => notices.push(&message),
                        b'Z' => break,
                        _ => {}
                    }
                }
            }
            Ok::<(), (usize, PgError)>(())
        };
        // What a server said before it hung up is the news, not that it hung up: it is listened to first.
        let lost = tokio::try_join!(biased; receive, send).err();
        self.broken |= lost.is_some();
        failure.or(lost).map_or(Ok(()), Err)
    }

    /// Says goodbye, so that the server does not log a lost connection.
    pub async fn close(mut self) {
        let mut message = BytesMut::new();
        frontend::terminate(&mut message);
        if self.writer.write_all(&message).await.is_ok() {
            let _ = self.writer.shutdown().await;
        }
    }

    /// From where the statement lies: one that makes a ledger can be as large as the plan in it.
    pub(super) async fn send_query(&mut self, sql: &SqlText) -> Result<(), PgError> {
        let head = query_head(sql);
        let message = head.as_slice().chain(sql.as_bytes()).chain(QUERY_END);
        self.send(message, "sending a statement").await
    }

    async fn send(&mut self, mut message: impl Buf, doing: &str) -> Result<(), PgError> {
        let sent = async {
            self.writer.write_all_buf(&mut message).await?;
            self.writer.flush().await
        };
        match sent.await {
            Ok(()) => Ok(()),
            // The server may have said why before it closed the connection; that is worth more than "broken pipe".
            Err(source) => match self.receive(doing).await {
                Ok(message) if message.tag == b'E' => Err(PgError::server(
                    &SqlText::default(),
                    message.to_server_error(),
                )),
                _ => Err(self.io(doing, source)),
            },
        }
    }

    /// The next message that is not a remark in passing.
    pub(super) async fn receive(&mut self, doing: &str) -> Result<Message, PgError> {
        loop {
            let message = match next_message(&mut self.reader, &mut self.buffer, doing).await {
                Ok(message) => message,
                Err(error) => {
                    self.broken = true;
                    return Err(error);
                }
            };
            match message.tag {
                b'N' => self.notices.push(&message),
                b'S' => self.note_parameter(&message.body),
                b'A' => {}
                _ => return Ok(message),
            }
        }
    }

    /// Reads on to `ReadyForQuery`; an error on the way is returned once the server is ready again.
    pub(super) async fn await_ready(&mut self) -> Result<(), PgError> {
        let mut failure = None;
        loop {
            let message = self.receive("waiting for the server").await;
            match message {
                Ok(message) => match message.tag {
                    b'Z' => break,
                    b'K' => self.note_backend(&message.body),
                    b'E' => {
                        failure = failure.or(Some(PgError::server(
                            &SqlText::default(),
                            message.to_server_error(),
                        )));
                    }
                    _ => {}
                },
                // A FATAL error is followed by the end of the connection: the error is the news, not the end.
                Err(error) => return Err(failure.unwrap_or(error)),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    pub(super) fn lost(&mut self, what: &str) -> PgError {
        self.broken = true;
        PgError::Protocol {
            what: what.to_owned(),
        }
    }

    fn io(&mut self, doing: &str, source: std::io::Error) -> PgError {
        self.broken = true;
        PgError::Io {
            doing: doing.to_owned(),
            source,
        }
    }

    fn note_parameter(&mut self, body: &[u8]) {
        let mut parts = body.split(|&byte| byte == 0);
        if parts.next() == Some(b"server_version") {
            self.server_version =
                ServerVersion::reported(&String::from_utf8_lossy(parts.next().unwrap_or_default()));
        }
    }

    fn note_backend(&mut self, body: &[u8]) {
        if let (Some(pid), Some(key)) = (body.first_chunk::<4>(), body.last_chunk::<4>()) {
            self.backend = (i32::from_be_bytes(*pid), i32::from_be_bytes(*key));
        }
    }

    async fn authenticate(&mut self, start: &WireStart<'_>) -> Result<(), PgError> {
        let must_be_bound = start.channel_binding == Binding::Require;
        let mut is_bound = false;
        loop {
            let message = self.receive("authenticating").await?;
            match (
                message.tag,
                message
                    .body
                    .first_chunk::<4>()
                    .map(|kind| i32::from_be_bytes(*kind)),
            ) {
                // As libpq: nothing is sent by which whoever answers could pretend to be us.
                (b'R', Some(0)) if must_be_bound && !is_bound => {
                    return Err(unbound("the server lets us in without it"));
                }
                (b'R', Some(3)) if must_be_bound => {
                    return Err(unbound("the server asks for the password in clear"));
                }
                (b'R', Some(5)) if must_be_bound => {
                    return Err(unbound("the server asks for an MD5 of the password"));
                }
                (b'R', Some(0)) => return Ok(()),
                (b'R', Some(3)) => self.send_password(required(start)?.as_bytes()).await?,
                (b'R', Some(5)) => {
                    let salt = message.body[4..]
                        .first_chunk::<4>()
                        .copied()
                        .unwrap_or_default();
                    let hash = md5_hash(start.user.as_bytes(), required(start)?.as_bytes(), salt);
                    self.send_password(hash.as_bytes()).await?;
                }
                (b'R', Some(10)) => is_bound = self.scram(start, &message.body[4..]).await?,
                (b'R', Some(kind)) => return Err(PgError::authentication_method(kind)),
                (b'E', _) => {
                    return Err(PgError::server(
                        &SqlText::default(),
                        message.to_server_error(),
                    ));
                }
                _ => return Err(self.lost("the server does not speak the PostgreSQL protocol")),
            }
        }
    }

    async fn send_password(&mut self, password: &[u8]) -> Result<(), PgError> {
        let mut message = BytesMut::new();
        frontend::password_message(password, &mut message)
            .map_err(|source| self.io("authenticating", source))?;
        self.send(message, "authenticating").await
    }

    /// Whether it is bound to the server's certificate.
    async fn scram(&mut self, start: &WireStart<'_>, mechanisms: &[u8]) -> Result<bool, PgError> {
        let password = required(start)?;
        let doing = "authenticating with SCRAM-SHA-256";
        let (mechanism, binding) = self.choose_mechanism(start.channel_binding, mechanisms)?;
        let mut scram = ScramSha256::new(password.as_bytes(), binding);
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut out)
            .map_err(|source| self.io(doing, source))?;
        self.send(out.split(), doing).await?;
        let server_first = self.sasl_step(11).await?;
        scram
            .update(&server_first)
            .map_err(|source| self.io(doing, source))?;
        frontend::sasl_response(scram.message(), &mut out)
            .map_err(|source| self.io(doing, source))?;
        self.send(out, doing).await?;
        let server_final = self.sasl_step(12).await?;
        scram
            .finish(&server_final)
            .map_err(|source| self.io(doing, source))?;
        Ok(mechanism == sasl::SCRAM_SHA_256_PLUS)
    }

    /// As libpq: bound to the server's certificate where both sides can, unless that is forbidden; refused where it is
    /// required and cannot be had.
    fn choose_mechanism(
        &self,
        wanted: Binding,
        offered: &[u8],
    ) -> Result<(&'static str, ChannelBinding), PgError> {
        let is_offered = |name: &str| {
            offered
                .split(|&byte| byte == 0)
                .any(|offered| offered == name.as_bytes())
        };
        let bound = self
            .end_point
            .clone()
            .filter(|_| wanted != Binding::Disable && is_offered(sasl::SCRAM_SHA_256_PLUS));
        if let Some(end_point) = bound {
            return Ok((
                sasl::SCRAM_SHA_256_PLUS,
                ChannelBinding::tls_server_end_point(end_point),
            ));
        }
        if wanted == Binding::Require {
            return Err(unbound(match (&self.end_point, self.peer.encrypted) {
                (Some(_), _) => "the server does not offer it",
                (None, true) => "the server's certificate has a signature that defines none",
                (None, false) => NOT_ENCRYPTED,
            }));
        }
        if !is_offered(sasl::SCRAM_SHA_256) {
            return Err(PgError::AuthenticationMethod {
                method: "SASL without SCRAM-SHA-256".to_owned(),
            });
        }
        // Who could bind, and is told that the server cannot, says so: a server that can would know that somebody is in between.
        let binding = if self.end_point.is_some() && wanted != Binding::Disable {
            ChannelBinding::unrequested()
        } else {
            ChannelBinding::unsupported()
        };
        Ok((sasl::SCRAM_SHA_256, binding))
    }

    async fn sasl_step(&mut self, expected: i32) -> Result<Bytes, PgError> {
        let message = self.receive("authenticating").await?;
        match (message.tag, message.body.first_chunk::<4>()) {
            (b'R', Some(kind)) if i32::from_be_bytes(*kind) == expected => {
                Ok(message.body.slice(4..))
            }
            (b'E', _) => Err(PgError::server(
                &SqlText::default(),
                message.to_server_error(),
            )),
            _ => Err(self.lost("the server broke off the SCRAM exchange")),
        }
    }
}

fn unbound(instead: &'static str) -> PgError {
    PgError::Unbound { instead }
}

fn required<'a>(start: &WireStart<'a>) -> Result<&'a str, PgError> {
    start.password.ok_or_else(|| PgError::PasswordMissing {
        user: start.user.to_owned(),
    })
}

/// Statements as they are sent at once, each a query of its own.
pub(super) fn queries<'a>(statements: impl Iterator<Item = &'a SqlText>) -> BytesMut {
    let mut request = BytesMut::new();
    for sql in statements {
        put_query(sql, &mut request);
    }
    request
}

/// Sends statements. Their answers are to be read meanwhile: a server takes no further statement while it cannot get rid of what
/// it answers.
pub(super) async fn send_all(
    writer: &mut (impl AsyncWrite + Unpin),
    queries: &[u8],
    doing: &str,
) -> Result<(), PgError> {
    let sent = async {
        writer.write_all(queries).await?;
        writer.flush().await
    };
    sent.await.map_err(|source| PgError::Io {
        doing: doing.to_owned(),
        source,
    })
}

/// A `Query` message.
pub(super) fn put_query(sql: &SqlText, out: &mut BytesMut) {
    out.put_slice(&query_head(sql));
    out.put_slice(sql.as_bytes());
    out.put_slice(QUERY_END);
}

/// What stands before the statement in a `Query` message.
fn query_head(sql: &SqlText) -> [u8; 5] {
    let length = u32::try_from(sql.as_bytes().len() + 5).unwrap_or(u32::MAX);
    let [a, b, c, d] = length.to_be_bytes();
    [b'Q', a, b, c, d]
}

/// And what behind it.
const QUERY_END: &[u8] = b"\0";
