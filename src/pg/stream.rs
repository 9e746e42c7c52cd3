//! One connection to a server, whatever it runs over.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream as PostgresTlsStream};

use super::certificate;
use super::conninfo::{HostTarget, Place};
use super::tls::{Encrypted, explain_alert};

/// A connection, encrypted or not, on which the start-up message has not been sent yet.
pub struct Stream {
    transport: Transport,
    peer: Peer,
}

enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Encrypted>),
}

/// Who is at the other end: enough to reach the same server again, to cancel a query or to start a client tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The host of the connection string that was connected to.
    pub host: HostTarget,
    /// The address, over TCP.
    pub address: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// The process that listens at the Unix socket, by the number that it has for us: the server's, or whoever passes on to it. `None`
    /// over TCP, and for one that cannot be seen from here, as out of a container.
    pub listener: Option<i32>,
}

impl Peer {
    /// The host with the address that was connected to, so that a name need not be looked up again: it might mean another
    /// server by then.
    pub fn pinned_host(&self) -> HostTarget {
        let mut host = self.host.clone();
        if let (Place::Tcp { address, .. }, Some(_)) = (&mut host.place, self.address) {
            *address = self.address;
        }
        host
    }
}

/// `db.example.com:5432 (192.0.2.7), TLS`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        match self.address {
            Some(address) if address.to_string() != self.host.name() => write!(f, " ({address})")?,
            _ => {}
        }
        f.write_str(if self.encrypted { ", TLS" } else { "" })
    }
}

impl Stream {
    pub(super) fn tcp(stream: TcpStream, peer: Peer) -> Self {
        Self {
            transport: Transport::Tcp(stream),
            peer,
        }
    }

    pub(super) fn unix(stream: UnixStream, peer: Peer) -> Self {
        Self {
            transport: Transport::Unix(stream),
            peer,
        }
    }

    pub(super) fn tls(stream: Encrypted, peer: Peer) -> Self {
        Self {
            transport: Transport::Tls(Box::new(stream)),
            peer,
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What SCRAM-SHA-256-PLUS binds to: the `tls-server-end-point` data of the server's certificate. `None` without TLS, and
    /// where the certificate's signature algorithm defines no hash.
    pub fn tls_server_end_point(&self) -> Option<Vec<u8>> {
        match &self.transport {
            Transport::Tls(stream) => {
                let (_, session) = stream.get_ref();
                certificate::end_point(session.peer_certificates()?.first()?)
            }
            Transport::Tcp(_) | Transport::Unix(_) => None,
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.peer).finish()
    }
}

/// Puts an alert of the server into words; the error's kind stays.
fn in_words<T>(result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    result.map_err(|error| match explain_alert(&error) {
        Some(words) => io::Error::new(error.kind(), words),
        None => error,
    })
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => in_words(Pin::new(stream.as_mut()).poll_read(cx, buffer)),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => in_words(Pin::new(stream.as_mut()).poll_write(cx, bytes)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Transport::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Transport::Tls(stream) => {
                in_words(Pin::new(stream.as_mut()).poll_write_vectored(cx, slices))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Tcp(stream) => stream.is_write_vectored(),
            Transport::Unix(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => in_words(Pin::new(stream.as_mut()).poll_flush(cx)),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => in_words(Pin::new(stream.as_mut()).poll_shutdown(cx)),
        }
    }
}

impl PostgresTlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        self.tls_server_end_point()
            .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// The TLS "connector" for `tokio_postgres::Config::connect_raw` over a [`Stream`]: encryption is negotiated already, so it
/// hands the stream on, and with it what SCRAM binds to. To be used with a config from
/// [`Dialer::postgres_config`](super::dial::Dialer::postgres_config).
#[derive(Debug, Clone, Copy)]
pub struct AlreadyNegotiated;

impl TlsConnect<Stream> for AlreadyNegotiated {
    type Stream = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn connect(self, stream: Stream) -> Self::Future {
        ready(Ok(stream))
    }
}
