//! A TCP proxy that counts round trips: how many times a client waited for an answer.
//!
//! It lets no answer pass before the client has had nothing to say for a moment, and counts that as one round trip if
//! the client had said anything since the last. So what a client sends without waiting costs one, however much it is, and
//! whatever the server has answered meanwhile. On a busy machine a client is slow now and then, and counts for one
//! or two more: a bound has to leave room for that.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who has not said anything for so long is waiting.
const SILENCE: Duration = Duration::from_millis(20);

/// How often it is looked.
const POLL: Duration = Duration::from_millis(2);

/// A running proxy. It ends with the process.
#[derive(Debug)]
pub struct Tally {
    port: u16,
    round_trips: Arc<AtomicU64>,
}

/// What the client of a connection said last, and whether it has had an answer to it.
#[derive(Debug)]
struct Said {
    at: Instant,
    unanswered: bool,
}

impl Tally {
    /// To a server on this machine. Connections of clients that introduce themselves by `not` are let through uncounted.
    pub fn start(server_port: u16, not: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let round_trips = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&round_trips);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                // A server that is away refuses, and so do we.
                let _ = connect(client, server_port, (not, count));
            }
        });
        Self { port, round_trips }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many there were since the last call.
    pub fn take(&self) -> u64 {
        self.round_trips.swap(0, Ordering::Relaxed)
    }
}

fn connect(
    client: TcpStream,
    server_port: u16,
    (not, count): (&'static str, Arc<AtomicU64>),
) -> std::io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let said = Arc::new(Mutex::new(Said {
        at: Instant::now(),
        unanswered: false,
    }));
    let connection_count = Arc::new(AtomicU64::new(0));
    let (heard, its_count) = (Arc::clone(&said), Arc::clone(&connection_count));
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        let mut introduced = false;
        let mut is_counted = true;
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..read];
            if !introduced && read > 8 {
                introduced = true;
                is_counted = !bytes.windows(not.len()).any(|at| at == not.as_bytes());
            }
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = Said {
                at: Instant::now(),
                unanswered: true,
            };
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
        if is_counted {
            count.fetch_add(its_count.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    });
    std::thread::spawn(move || {
        // Either end may go at any time: that is what a proxy is for.
        let _ = hold_back(&server, &client, (&said, &connection_count));
        let _ = client.shutdown(Shutdown::Both);
    });
    Ok(())
}

fn hold_back(
    mut server: &TcpStream,
    mut client: &TcpStream,
    (said, count): (&Mutex<Said>, &AtomicU64),
) -> std::io::Result<()> {
    server.set_read_timeout(Some(POLL))?;
    let mut buffer = vec![0; 64 << 10];
    let mut held = Vec::new();
    loop {
        let ended = match server.read(&mut buffer) {
            Ok(read) => {
                held.extend_from_slice(&buffer[..read]);
                read == 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                false
            }
            Err(error) => return Err(error),
        };
        let mut last = said.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.is_empty() && (ended || last.at.elapsed() > SILENCE) {
            count.fetch_add(u64::from(last.unanswered), Ordering::Relaxed);
            last.unanswered = false;
            drop(last);
            client.write_all(&held)?;
            held.clear();
        }
        if ended {
            return Ok(());
        }
    }
}
