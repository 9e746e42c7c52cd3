//! A TCP proxy between the binary and a server: it can be cut, frozen, slowed down, be far away, and cut just before or after a
//! COMMIT, for good or not.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

/// Small enough that a slow road is slow from the first row on.
const BUFFER: usize = 64 << 10;

/// What a server has seen it shall do, before it notices that nobody is there any more.
const UNTIL_COMMITTED: Duration = Duration::from_millis(300);

/// Where a connection is cut around a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Around {
    /// The server has not seen it.
    Before,
    /// The server has seen it, the client will not see the answer.
    After,
}

/// A cut that waits for its COMMIT.
#[derive(Debug)]
struct Trap {
    around: Around,
    /// What is sent before it, on the same connection.
    words: String,
    what: Cut,
}

/// What is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// All connections.
    All,
    /// That one alone, and nobody else is let through.
    OneAndBlock,
}

/// How far away servers are, and when something was on the road to or from any of them.
#[derive(Debug)]
pub struct Distance {
    one_way: Duration,
    /// When something set out, and when it arrived.
    on_the_road: Mutex<Vec<(Instant, Instant)>>,
}

impl Distance {
    /// Servers that a question and its answer take so long to and from.
    pub fn of_round_trip(round_trip: Duration) -> Arc<Self> {
        Arc::new(Self {
            one_way: round_trip / 2,
            on_the_road: Mutex::default(),
        })
    }

    /// For how many round trips something was on the road: what was on it at the same time counts once, and what a server or
    /// the client computed meanwhile does not count.
    pub fn round_trips(&self) -> f64 {
        let mut roads = held(&self.on_the_road).clone();
        roads.sort_unstable();
        let mut total = Duration::ZERO;
        let mut until: Option<Instant> = None;
        for (from, to) in roads {
            let from = until.map_or(from, |until| from.max(until));
            total += to.saturating_duration_since(from);
            until = until.max(Some(to));
        }
        total.as_secs_f64() / (2 * self.one_way).as_secs_f64()
    }

    /// When something that sets out now arrives; nothing sets out before `open`, when the connection is there.
    fn arrival(&self, open: Instant) -> Instant {
        let now = Instant::now();
        let arrival = now.max(open) + self.one_way;
        held(&self.on_the_road).push((now, arrival));
        arrival
    }
}

/// A running proxy. It ends with the process.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    road: Arc<Road>,
}

#[derive(Debug, Default)]
struct Road {
    server_port: u16,
    frozen: Mutex<bool>,
    thawed: Condvar,
    /// 0: as fast as it gets.
    bytes_per_second: AtomicU64,
    /// Ends of connections. Who has gone is closed: nobody else keeps hold of it, or a server would wait for ever to be listened to.
    open: Mutex<Vec<Weak<TcpStream>>>,
    /// Connections that send these words are remembered: both ends of each.
    wanted: Mutex<Option<String>>,
    found: Mutex<Vec<Weak<TcpStream>>>,
    trap: Mutex<Option<Trap>>,
    sprung: AtomicBool,
    /// Nobody gets through.
    blocked: AtomicBool,
    /// Whatever passes arrives later, in the order in which it set out.
    distance: OnceLock<Arc<Distance>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// To a server on this machine.
    pub fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let road = Arc::new(Road {
            server_port,
            ..Road::default()
        });
        let accepting = Arc::clone(&road);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is away refuses, and so do we.
                let _ = accepting.connect(client);
            }
        });
        Self { port, road }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends all connections, at both ends. New ones are let through.
    pub fn cut(&self) {
        self.road.cut();
    }

    /// Remembers connections that send these words from now on.
    pub fn remember(&self, words: &str) {
        *held(&self.road.wanted) = Some(words.to_owned());
    }

    /// Ends those that were remembered, at both ends; others stay.
    pub fn cut_remembered(&self) {
        cut(&mut held(&self.road.found));
    }

    /// Ends all connections, and lets nobody through until it is mended.
    pub fn block(&self) {
        self.road.blocked.store(true, Ordering::SeqCst);
        self.road.cut();
    }

    /// Lets everybody through again.
    pub fn mend(&self) {
        self.road.blocked.store(false, Ordering::SeqCst);
    }

    /// Nothing passes any more, in either direction, and nobody is told.
    pub fn freeze(&self) {
        *held(&self.road.frozen) = true;
    }

    /// Everything passes again.
    pub fn thaw(&self) {
        *held(&self.road.frozen) = false;
        self.road.thawed.notify_all();
    }

    /// So much passes in a second, of each connection in each direction.
    pub fn slow_down(&self, bytes_per_second: u64) {
        let rate = &self.road.bytes_per_second;
        rate.store(bytes_per_second, Ordering::Relaxed);
    }

    /// The server is as far away as that. Nothing else can be done to such a road.
    pub fn be_far(&self, distance: &Arc<Distance>) {
        let _only_once = self.road.distance.set(Arc::clone(distance));
    }

    /// Cuts all connections around the first COMMIT that is sent after these words.
    pub fn cut_at_commit(&self, around: Around, words: &str) {
        self.road.set_trap(around, words, Cut::All);
    }

    /// Cuts the connection that sends the first COMMIT after these words, when the server has seen that; others stay, and nobody
    /// else is let through until it is mended.
    pub fn block_after_commit(&self, words: &str) {
        self.road.set_trap(Around::After, words, Cut::OneAndBlock);
    }

    /// Whether that COMMIT came.
    pub fn has_cut_at_commit(&self) -> bool {
        self.road.sprung.load(Ordering::Relaxed)
    }
}

impl Road {
    fn set_trap(&self, around: Around, words: &str, what: Cut) {
        *held(&self.trap) = Some(Trap {
            around,
            words: words.to_owned(),
            what,
        });
    }

    fn connect(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        if self.blocked.load(Ordering::SeqCst) {
            return Ok(());
        }
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server_port))?;
        if self.bytes_per_second.load(Ordering::Relaxed) > 0 {
            // A road that is narrow holds little, too.
            socket2::SockRef::from(&client).set_recv_buffer_size(BUFFER)?;
        }
        let [client, server] = [client, server].map(Arc::new);
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            held(&self.open).push(Arc::downgrade(stream));
        }
        for (from, to, is_request) in [
            (Arc::clone(&client), Arc::clone(&server), true),
            (server, client, false),
        ] {
            let road = Arc::clone(self);
            std::thread::spawn(move || {
                // Either end may go at any time: that is what a proxy is for.
                let _ = match road.distance.get() {
                    Some(distance) => pass_late(&from, &to, distance),
                    None => road.pass(&from, &to, is_request),
                };
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            });
        }
        Ok(())
    }

    fn pass(
        &self,
        one: &Arc<TcpStream>,
        other: &Arc<TcpStream>,
        is_request: bool,
    ) -> std::io::Result<()> {
        let (mut from, mut to) = (&**one, &**other);
        let mut buffer = vec![0; BUFFER];
        let mut words_seen = false;
        loop {
            let read = from.read(&mut buffer)?;
            self.wait_until_thawed();
            if read == 0 {
                return Ok(());
            }
            let bytes = &buffer[..read];
            if is_request {
                self.remember(bytes, [one, other]);
            }
            let sprung = is_request.then(|| self.sprung_by(bytes, &mut words_seen));
            match sprung.flatten() {
                None => to.write_all(bytes)?,
                Some(Trap { around, what, .. }) => {
                    // No answer passes any more.
                    *held(&self.frozen) = true;
                    to.write_all(&bytes[..end_of_what_passes(bytes, around)])?;
                    std::thread::sleep(UNTIL_COMMITTED);
                    match what {
                        Cut::All => self.cut(),
                        Cut::OneAndBlock => {
                            self.blocked.store(true, Ordering::SeqCst);
                            for end in [from, to] {
                                end.shutdown(Shutdown::Both)?;
                            }
                        }
                    }
                    *held(&self.frozen) = false;
                    self.thawed.notify_all();
                    return Ok(());
                }
            }
            let rate = self.bytes_per_second.load(Ordering::Relaxed);
            if let Some(millis) = (read as u64 * 1000).checked_div(rate) {
                std::thread::sleep(Duration::from_millis(millis));
            }
        }
    }

    /// The trap that these bytes spring; it springs once. The words may have come before them.
    fn sprung_by(&self, bytes: &[u8], words_seen: &mut bool) -> Option<Trap> {
        let mut trap = held(&self.trap);
        let waiting = trap.as_ref()?;
        *words_seen |= position(bytes, waiting.words.as_bytes()).is_some();
        if !*words_seen || position(bytes, COMMIT).is_none() {
            return None;
        }
        self.sprung.store(true, Ordering::Relaxed);
        trap.take()
    }

    fn wait_until_thawed(&self) {
        let mut frozen = held(&self.frozen);
        while *frozen {
            frozen = self
                .thawed
                .wait(frozen)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn remember(&self, bytes: &[u8], ends: [&Arc<TcpStream>; 2]) {
        let wanted = held(&self.wanted);
        let sends = |words: &String| position(bytes, words.as_bytes()).is_some();
        if wanted.as_ref().is_some_and(sends) {
            held(&self.found).extend(ends.map(Arc::downgrade));
        }
    }

    fn cut(&self) {
        cut(&mut held(&self.open));
    }
}

fn cut(streams: &mut Vec<Weak<TcpStream>>) {
    for stream in streams.drain(..).filter_map(|stream| stream.upgrade()) {
        // It may be gone already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// A delay line: what has set out is on its way whatever sets out after it.
fn pass_late(mut from: &TcpStream, mut to: &TcpStream, distance: &Distance) -> std::io::Result<()> {
    // A connection is there after a round trip.
    let open = distance.arrival(Instant::now()) + distance.one_way;
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    std::thread::scope(|scope| {
        let arriving = scope.spawn(move || {
            for (arrival, bytes) in receiver {
                std::thread::sleep(arrival.saturating_duration_since(Instant::now()));
                to.write_all(&bytes)?;
            }
            Ok(())
        });
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = from.read(&mut buffer)?;
            let sent = sender.send((distance.arrival(open), buffer[..read].to_vec()));
            if read == 0 || sent.is_err() {
                break;
            }
        }
        drop(sender);
        arriving.join().unwrap_or(Ok(()))
    })
}

const COMMIT: &[u8] = b"commit\0";

/// A statement begins with a tag and a length; half of one does nothing.
fn end_of_what_passes(bytes: &[u8], around: Around) -> usize {
    match around {
        Around::Before => position(bytes, COMMIT).map_or(0, |at| at.saturating_sub(5)),
        Around::After => bytes.len(),
    }
}

fn position(bytes: &[u8], words: &[u8]) -> Option<usize> {
    bytes.windows(words.len().max(1)).position(|at| at == words)
}
