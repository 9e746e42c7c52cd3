//! Sockets: looking names up, connecting, and asking a server whether it speaks TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::connect_error::{ConnectError, Tried};
use super::conninfo::{Conninfo, HostTarget, Place, TcpSettings};
use super::dial::Deadline;
use super::stream::{Peer, Stream};

/// `SSLRequest` of the protocol: its length, then its code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Connects to the first address that answers; each has its own deadline, and that of the one that answered is returned.
pub(super) async fn tcp(
    host: &HostTarget,
    settings: &TcpSettings,
    deadline: Deadline,
) -> Result<(TcpStream, IpAddr, Deadline), ConnectError> {
    let mut tried = Vec::new();
    for address in look_up(host, deadline).await? {
        let deadline = deadline.renewed();
        let error = match deadline.limit(connect(address, settings)).await {
            Some(Ok(stream)) => return Ok((stream, address.ip(), deadline)),
            Some(Err(error)) => Some(error),
            None => None,
        };
        tried.push(Tried {
            address: address.ip().to_string(),
            error,
            limit: deadline.length,
        });
    }
    Err(ConnectError::Unreachable {
        host: host.to_string(),
        tried,
    })
}

async fn look_up(host: &HostTarget, deadline: Deadline) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Place::Tcp {
        address: Some(address),
        ..
    } = host.place
    {
        return Ok(vec![SocketAddr::new(address, host.port)]);
    }
    let name = host.name();
    let unknown = |source| ConnectError::UnknownHost {
        host: host.to_string(),
        source,
    };
    let found = deadline
        .limit(tokio::net::lookup_host((name.as_str(), host.port)))
        .await
        .ok_or_else(|| ConnectError::TimedOut {
            host: host.to_string(),
            doing: "looking its name up",
            after: deadline.length,
        })?
        .map_err(unknown)?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(unknown(io::Error::other("the name has no address")));
    }
    Ok(addresses)
}

async fn connect(address: SocketAddr, settings: &TcpSettings) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_nodelay(true)?;
    let options = SockRef::from(&socket);
    if settings.keepalives {
        let mut keepalive = TcpKeepalive::new();
        if let Some(idle) = settings.idle {
            keepalive = keepalive.with_time(idle);
        }
        if let Some(interval) = settings.interval {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(count) = settings.count {
            keepalive = keepalive.with_retries(count);
        }
        options.set_tcp_keepalive(&keepalive)?;
    }
    if settings.user_timeout.is_some() {
        options.set_tcp_user_timeout(settings.user_timeout)?;
    }
    socket.connect(address).await
}

/// Connects to a Unix socket and looks at who listens there.
pub(super) async fn unix(
    host: &HostTarget,
    path: &Path,
    conninfo: &Conninfo,
    deadline: Deadline,
) -> Result<Stream, ConnectError> {
    let unreachable = |error| ConnectError::Unreachable {
        host: host.to_string(),
        tried: vec![Tried {
            address: path.display().to_string(),
            error,
            limit: deadline.length,
        }],
    };
    // An abstract name begins with a null byte, which is written as "@".
    let name = match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => format!("\0{name}").into(),
        None => path.to_owned(),
    };
    let stream = match deadline.limit(UnixStream::connect(name)).await {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return Err(unreachable(Some(error))),
        None => return Err(unreachable(None)),
    };
    if let Some(wanted) = &conninfo.require_peer {
        let credentials = stream
            .peer_cred()
            .map_err(|error| unreachable(Some(error)))?;
        let uid = nix::unistd::Uid::from_raw(credentials.uid());
        let found = match nix::unistd::User::from_uid(uid) {
            Ok(Some(user)) => user.name,
            Ok(None) | Err(_) => format!("user id {uid}"),
        };
        if found != *wanted {
            return Err(ConnectError::WrongPeer {
                host: host.to_string(),
                wanted: wanted.clone(),
                found,
            });
        }
    }
    let listener = stream.peer_cred().ok().and_then(|process| process.pid());
    let peer = Peer {
        host: host.clone(),
        address: None,
        encrypted: false,
        listener: listener.filter(|number| *number > 0),
    };
    Ok(Stream::unix(stream, peer))
}

/// Sends `SSLRequest` and reads the one byte that answers it: no more, so that nothing sent in clear behind it can be taken
/// for something sent over TLS (CVE-2021-23222).
pub(super) async fn tls_is_offered(
    stream: &mut TcpStream,
    host: &HostTarget,
) -> Result<bool, ConnectError> {
    let odd = |answer: String| ConnectError::OddAnswer {
        host: host.to_string(),
        answer,
        hung_up: false,
    };
    let mut answer = [0];
    let exchange = async {
        stream.write_all(&SSL_REQUEST).await?;
        stream.read_exact(&mut answer).await
    };
    if let Err(error) = exchange.await {
        return Err(ConnectError::OddAnswer {
            host: host.to_string(),
            answer: format!("asked for TLS, it closed the connection ({error})"),
            hung_up: true,
        });
    }
    match answer[0] {
        b'S' => Ok(true),
        b'N' => Ok(false),
        // Its text is not authenticated, so it is not shown (CVE-2024-10977).
        b'E' => Err(odd(
            "asked for TLS, it sent an error; its log says why (too many connections?)".to_owned(),
        )),
        other => Err(odd(format!(
            "asked for TLS, it sent the byte 0x{other:02x}"
        ))),
    }
}
