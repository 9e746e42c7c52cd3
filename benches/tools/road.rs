//! A long road to a server: a proxy that delays every byte by the same time, and can be narrow.
//!
//! It is a delay line, not a throttle: what was sent together arrives together, later, so that whoever sends without
//! waiting for answers loses nothing but the first trip. It runs on threads of the benchmark, whose CPU time nobody counts
//! (but which need the same cores as everybody).
//!
//! ```text
//!   tool ──▶ read ──▶ [ bytes, when they may arrive ] ──▶ write ──▶ server       and the same on the way back
//! ```

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

const CHUNK_BYTES: usize = 64 << 10;

/// What may be under way on a connection, in chunks: as much as TCP's window grows to on a fast road that is 20 ms long. On a
/// narrow one, more would only be a queue in front of it.
const UNDER_WAY_FAST: usize = 256;
const UNDER_WAY_NARROW: usize = 16;

/// What kind of road it is.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// How long a byte takes in either direction.
    pub one_way: Duration,
    /// How much passes in each direction, of all connections together; `None`: whatever is sent.
    pub bytes_per_second: Option<u64>,
}

/// A road that is open. It ends with this value.
#[derive(Debug)]
pub struct Road {
    port: u16,
    _runtime: Runtime,
}

/// One direction: all connections pass through the same bottleneck, in the order in which they come to it.
#[derive(Debug)]
struct Lane {
    kind: Kind,
    free_from: Mutex<Instant>,
}

impl Road {
    /// Opens a road to a server on this machine.
    pub fn open(kind: Kind, server_port: u16) -> Result<Self, String> {
        let explain = |error: std::io::Error| format!("a road to port {server_port}: {error}");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("road")
            .enable_all()
            .build()
            .map_err(explain)?;
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .map_err(explain)?;
        let port = listener.local_addr().map_err(explain)?.port();
        runtime.spawn(accept(listener, kind, server_port));
        Ok(Self {
            port,
            _runtime: runtime,
        })
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }
}

async fn accept(listener: TcpListener, kind: Kind, server_port: u16) {
    let there = Arc::new(Lane::new(kind));
    let back = Arc::new(Lane::new(kind));
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connect(
            client,
            server_port,
            Arc::clone(&there),
            Arc::clone(&back),
        ));
    }
}

/// Either end may go at any time; then the other end is told, and that is all there is to do.
async fn connect(client: TcpStream, server_port: u16, there: Arc<Lane>, back: Arc<Lane>) {
    // The client was let in at once: the round trip that a connection takes comes before its first byte.
    sleep(there.kind.one_way * 2).await;
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port)).await else {
        return;
    };
    let _slower_at_worst = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    pass(from_client, to_server, there);
    pass(from_server, to_client, back);
}

fn pass(from: OwnedReadHalf, to: OwnedWriteHalf, lane: Arc<Lane>) {
    let under_way = match lane.kind.bytes_per_second {
        None => UNDER_WAY_FAST,
        Some(_) => UNDER_WAY_NARROW,
    };
    let (departures, arrivals) = mpsc::channel(under_way);
    tokio::spawn(depart(from, departures, lane));
    tokio::spawn(arrive(arrivals, to));
}

async fn depart(
    mut from: OwnedReadHalf,
    departures: mpsc::Sender<(Instant, Bytes)>,
    lane: Arc<Lane>,
) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK_BYTES);
        match from.read_buf(&mut buffer).await {
            Ok(1..) => {
                let bytes = buffer.split().freeze();
                let arrival = lane.arrival_of(bytes.len());
                if departures.send((arrival, bytes)).await.is_err() {
                    return;
                }
            }
            Ok(0) | Err(_) => return,
        }
    }
}

async fn arrive(mut arrivals: mpsc::Receiver<(Instant, Bytes)>, mut to: OwnedWriteHalf) {
    while let Some((arrival, bytes)) = arrivals.recv().await {
        if arrival > Instant::now() {
            sleep_until(arrival).await;
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // Nothing more comes; dropping the half tells the other end.
}

impl Lane {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            free_from: Mutex::new(Instant::now()),
        }
    }

    /// When bytes that are sent now arrive.
    fn arrival_of(&self, length_bytes: usize) -> Instant {
        let now = Instant::now();
        let Some(rate) = self.kind.bytes_per_second else {
            return now + self.kind.one_way;
        };
        let mut free_from = self
            .free_from
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let passage = Duration::from_secs_f64(length_bytes as f64 / rate as f64);
        *free_from = (*free_from).max(now) + passage;
        *free_from + self.kind.one_way
    }
}
