//! From a resolved connection string to an authenticated session: which hosts are tried, in which order, encrypted or not.
//!
//! ```text
//!   for each host                     (twice for prefer-standby)
//!     for each way to encrypt         disable: plain             allow: plain, then TLS
//!                                     prefer: TLS, then plain    require and up: TLS
//!       for each address: connect
//!       negotiate TLS
//!       open: authenticate            (the caller's; see Open)
//! ```
//!
//! As in libpq, the next *address* is tried if one cannot be reached; the next *way to encrypt* if TLS fails or the
//! server refuses the user for the way it connected (SQLSTATE 28000); the next *host* if a host cannot be reached, is
//! starting up or is not what `target_session_attrs` asks for. Everything else is final: a wrong password is not tried on
//! other servers.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::connect_error::{ConnectError, OpenError};
use super::conninfo::{
    ChannelBinding, Conninfo, HostTarget, LoadBalance, SslMode, SslNegotiation, TargetSessionAttrs,
};
use super::stream::{Peer, Stream};
use super::tls::{Tls, TlsError};
use super::transport;

/// Opens connections to the servers of one connection string.
#[derive(Clone)]
pub struct Dialer {
    conninfo: Conninfo,
    tls: Option<Tls>,
}

/// What the caller does with a fresh connection: start up, authenticate, and look at what the server is.
pub trait Open: Send {
    /// What comes of it.
    type Session: Send;

    /// Makes a session of a connection. `wanted` is what the server must be (never `prefer-standby`, which is asked for as
    /// `standby` first and `any` then); if it isn't that, [`OpenError::Unsuitable`].
    fn open(
        &mut self,
        stream: Stream,
        wanted: TargetSessionAttrs,
    ) -> impl Future<Output = Result<Self::Session, OpenError>> + Send;
}

/// What cancels a session's query: sent by the server in `BackendKeyData`.
#[derive(Clone, Copy)]
pub struct CancelKey {
    /// Process that serves the session.
    pub process_id: i32,
    /// What proves that we may.
    pub secret: i32,
}

impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelKey({}, [hidden])", self.process_id)
    }
}

/// How one attempt encrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    Plain,
    /// If the server offers it.
    IfOffered,
    /// Or not at all.
    Required,
}

/// One thing to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Where.
    pub host: HostTarget,
    /// How.
    pub encryption: Encryption,
}

/// `CancelRequest` of the protocol.
const CANCEL_REQUEST: i32 = 80_877_102;

/// SQLSTATE `invalid_authorization_specification`: no entry of `pg_hba.conf` lets this user in, the way it connected.
const NOT_THIS_WAY: &str = "28000";

/// SQLSTATE `cannot_connect_now`: the server is starting up or shutting down.
const NOT_NOW: &str = "57P03";

impl Dialer {
    /// Reads certificates and keys, and opens nothing yet.
    pub fn new(conninfo: Conninfo) -> Result<Self, TlsError> {
        let tls = Tls::prepare(&conninfo.tls)?;
        Ok(Self { conninfo, tls })
    }

    /// What was asked for.
    pub fn conninfo(&self) -> &Conninfo {
        &self.conninfo
    }

    /// The same, but only for the server at the other end of a connection: the sessions of a run must all be on the server
    /// that the first one found, by address, whatever a name means by then.
    #[must_use]
    pub fn pinned_to(&self, peer: &Peer) -> Self {
        Self {
            conninfo: self.conninfo.clone().pinned_to(&peer.pinned_host()),
            tls: self.tls.clone(),
        }
    }

    /// The configuration for `tokio_postgres` to authenticate with, over a [`Stream`] and with
    /// [`AlreadyNegotiated`](super::stream::AlreadyNegotiated).
    pub fn postgres_config(&self, host: &HostTarget) -> tokio_postgres::Config {
        use tokio_postgres::config;
        let mut config = tokio_postgres::Config::new();
        config
            .user(&self.conninfo.user)
            .dbname(&self.conninfo.database)
            // Direct negotiation is no negotiation: the connector gets the stream at once.
            .ssl_mode(config::SslMode::Require)
            .ssl_negotiation(config::SslNegotiation::Direct)
            .channel_binding(match self.conninfo.channel_binding {
                ChannelBinding::Disable => config::ChannelBinding::Disable,
                ChannelBinding::Prefer => config::ChannelBinding::Prefer,
                ChannelBinding::Require => config::ChannelBinding::Require,
            });
        if let Some(password) = &host.password {
            config.password(password.expose());
        }
        if let Some(name) = &self.conninfo.application_name {
            config.application_name(name);
        }
        if let Some(options) = &self.conninfo.options {
            config.options(options);
        }
        config
    }

    /// Everything there is to try, in order. Attempts at the same host that follow each other are ways to encrypt.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.hosts_in_order()
            .into_iter()
            .flat_map(|host| {
                self.ways(&host)
                    .iter()
                    .map(|encryption| Attempt {
                        host: host.clone(),
                        encryption: *encryption,
                    })
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn ways(&self, host: &HostTarget) -> &'static [Encryption] {
        if host.socket_path().is_some() {
            return &[Encryption::Plain];
        }
        match self.conninfo.tls.mode {
            SslMode::Disable => &[Encryption::Plain],
            SslMode::Allow => &[Encryption::Plain, Encryption::Required],
            SslMode::Prefer => &[Encryption::IfOffered, Encryption::Plain],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Encryption::Required],
        }
    }

    fn hosts_in_order(&self) -> Vec<HostTarget> {
        let mut hosts = self.conninfo.hosts.clone();
        if self.conninfo.load_balance == LoadBalance::Random {
            // Random enough to spread load, and no dependency: every RandomState has its own keys.
            let order = RandomState::new();
            hosts.sort_by_cached_key(|host| order.hash_one(host.to_string()));
        }
        hosts
    }

    /// Connects and opens a session, on the first host that will do.
    pub async fn connect<O: Open>(&self, opener: &mut O) -> Result<O::Session, ConnectError> {
        let passes: &[TargetSessionAttrs] = match self.conninfo.target_session_attrs {
            TargetSessionAttrs::PreferStandby => {
                &[TargetSessionAttrs::Standby, TargetSessionAttrs::Any]
            }
            TargetSessionAttrs::Any => &[TargetSessionAttrs::Any],
            TargetSessionAttrs::ReadWrite => &[TargetSessionAttrs::ReadWrite],
            TargetSessionAttrs::ReadOnly => &[TargetSessionAttrs::ReadOnly],
            TargetSessionAttrs::Primary => &[TargetSessionAttrs::Primary],
            TargetSessionAttrs::Standby => &[TargetSessionAttrs::Standby],
        };
        let mut failures = Vec::new();
        for wanted in passes {
            failures.clear();
            for host in self.hosts_in_order() {
                match self.connect_host(&host, opener, *wanted).await {
                    Ok(session) => return Ok(session),
                    Err(mut errors) => {
                        let go_on = errors.last().is_some_and(may_try_next_host);
                        failures.append(&mut errors);
                        if !go_on {
                            return Err(ConnectError::of(failures));
                        }
                    }
                }
            }
        }
        Err(ConnectError::of(failures))
    }

    /// Tries the ways to encrypt, one after the other.
    async fn connect_host<O: Open>(
        &self,
        host: &HostTarget,
        opener: &mut O,
        wanted: TargetSessionAttrs,
    ) -> Result<O::Session, Vec<ConnectError>> {
        let mut errors = Vec::new();
        for encryption in self.ways(host) {
            let attempt = Attempt {
                host: host.clone(),
                encryption: *encryption,
            };
            let deadline = Deadline::starting_now(self.conninfo.connect_timeout);
            let (failure, encrypted) = match self.dial_by(&attempt, deadline).await {
                Ok((stream, deadline)) => {
                    let encrypted = stream.peer().encrypted;
                    match self.open(opener, stream, wanted, deadline).await {
                        Ok(session) => return Ok(session),
                        Err(failure) => (failure, encrypted),
                    }
                }
                Err(failure) => (failure, *encryption != Encryption::Plain),
            };
            // Where TLS was only hoped for and not to be had, the way without it has just been tried.
            let hopeless = *encryption == Encryption::IfOffered && !encrypted;
            let go_on = !hopeless && may_try_next_way(&failure);
            errors.push(failure);
            if !go_on {
                break;
            }
        }
        Err(errors)
    }

    async fn open<O: Open>(
        &self,
        opener: &mut O,
        stream: Stream,
        wanted: TargetSessionAttrs,
        deadline: Deadline,
    ) -> Result<O::Session, ConnectError> {
        let peer = stream.peer().clone();
        match deadline.limit(opener.open(stream, wanted)).await {
            Some(Ok(session)) => Ok(session),
            Some(Err(error)) => Err(ConnectError::opening(&peer, &self.conninfo, error)),
            None => Err(ConnectError::TimedOut {
                host: peer.host.to_string(),
                doing: "logging in",
                after: deadline.length,
            }),
        }
    }

    /// Makes one attempt: connects, tries every address, negotiates encryption. `connect_timeout` is for each address.
    pub async fn dial(&self, attempt: &Attempt) -> Result<Stream, ConnectError> {
        let deadline = Deadline::starting_now(self.conninfo.connect_timeout);
        let (stream, _) = self.dial_by(attempt, deadline).await?;
        Ok(stream)
    }

    async fn dial_by(
        &self,
        attempt: &Attempt,
        deadline: Deadline,
    ) -> Result<(Stream, Deadline), ConnectError> {
        let host = &attempt.host;
        if let Some(path) = host.socket_path() {
            let stream = transport::unix(host, &path, &self.conninfo, deadline).await?;
            return Ok((stream, deadline));
        }
        let (tcp, address, deadline) = transport::tcp(host, &self.conninfo.tcp, deadline).await?;
        let encrypt = self.encrypt(tcp, address, attempt);
        match deadline.limit(encrypt).await {
            Some(result) => Ok((result?, deadline)),
            None => Err(ConnectError::TimedOut {
                host: host.to_string(),
                doing: "negotiating encryption",
                after: deadline.length,
            }),
        }
    }

    async fn encrypt(
        &self,
        mut tcp: tokio::net::TcpStream,
        address: std::net::IpAddr,
        attempt: &Attempt,
    ) -> Result<Stream, ConnectError> {
        let host = &attempt.host;
        let peer = |encrypted| Peer {
            host: host.clone(),
            address: Some(address),
            encrypted,
            listener: None,
        };
        let (Some(tls), Encryption::IfOffered | Encryption::Required) =
            (&self.tls, attempt.encryption)
        else {
            return Ok(Stream::tcp(tcp, peer(false)));
        };
        let direct = self.conninfo.tls.negotiation == SslNegotiation::Direct;
        if !direct && !transport::tls_is_offered(&mut tcp, host).await? {
            return match attempt.encryption {
                Encryption::Required => Err(ConnectError::NoTls {
                    host: host.to_string(),
                    mode: self.conninfo.tls.mode,
                }),
                Encryption::IfOffered | Encryption::Plain => Ok(Stream::tcp(tcp, peer(false))),
            };
        }
        let failed = |source| ConnectError::Tls {
            host: host.to_string(),
            source,
        };
        let stream = tls.handshake(tcp, host).await.map_err(failed)?;
        Ok(Stream::tls(stream, peer(true)))
    }

    /// Asks the server to cancel what a session is doing, over TLS if the session is. The server does not say whether it
    /// did: the session itself does, by failing with SQLSTATE 57014.
    pub async fn cancel(&self, peer: &Peer, key: CancelKey) -> Result<(), ConnectError> {
        let attempt = Attempt {
            host: peer.pinned_host(),
            encryption: if peer.encrypted {
                Encryption::Required
            } else {
                Encryption::Plain
            },
        };
        let deadline = Deadline::starting_now(self.conninfo.connect_timeout);
        let (mut stream, deadline) = self.dial_by(&attempt, deadline).await?;
        let mut request = [0; 16];
        for (field, value) in
            request
                .chunks_exact_mut(4)
                .zip([16, CANCEL_REQUEST, key.process_id, key.secret])
        {
            field.copy_from_slice(&value.to_be_bytes());
        }
        let send = async {
            stream.write_all(&request).await?;
            stream.flush().await?;
            // The server closes the connection when it has passed the signal on. A broken one is closed, too.
            let _ = stream.read(&mut [0]).await;
            Ok(())
        };
        match deadline.limit(send).await {
            Some(Ok(())) => Ok(()),
            Some(Err(source)) => Err(ConnectError::Broken {
                host: peer.host.to_string(),
                source: Box::<std::io::Error>::new(source),
            }),
            None => Err(ConnectError::TimedOut {
                host: peer.host.to_string(),
                doing: "sending a cancel request",
                after: deadline.length,
            }),
        }
    }
}

fn may_try_next_way(failure: &ConnectError) -> bool {
    match failure {
        ConnectError::Tls { .. } | ConnectError::OddAnswer { .. } => true,
        ConnectError::Refused { error, .. } => error.code == NOT_THIS_WAY,
        _ => false,
    }
}

fn may_try_next_host(failure: &ConnectError) -> bool {
    match failure {
        ConnectError::Unreachable { .. }
        | ConnectError::UnknownHost { .. }
        | ConnectError::TimedOut { .. }
        | ConnectError::Unsuitable { .. } => true,
        ConnectError::Refused { error, .. } => error.code == NOT_NOW,
        _ => false,
    }
}

/// When to give up on one address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    /// Zero if there is none.
    pub(super) length: Duration,
    at: Option<Instant>,
}

impl Deadline {
    fn starting_now(timeout: Option<Duration>) -> Self {
        Self {
            length: timeout.unwrap_or_default(),
            at: timeout.map(|timeout| Instant::now() + timeout),
        }
    }

    /// The same length of time, from now.
    pub(super) fn renewed(self) -> Self {
        Self::starting_now(self.at.map(|_| self.length))
    }

    /// What comes of a future, or `None` if it takes too long.
    pub(super) async fn limit<T>(self, future: impl Future<Output = T>) -> Option<T> {
        match self.at {
            Some(at) => tokio::time::timeout_at(at, future).await.ok(),
            None => Some(future.await),
        }
    }
}
