//! An S3 server over a directory, with one key pair; it can go away, and come back.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::RUN_DIR;

pub const KEY: &str = "AKIDPGCONVOYTESTS";
pub const SECRET: &str = "a-s3cret-that-n0body-may-see";
pub const BUCKET: &str = "backups";

/// A running server. It ends with the value.
pub struct Store {
    root: tempfile::TempDir,
    port: u16,
    road: Arc<Road>,
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct Road {
    away: AtomicBool,
    cut: Notify,
    /// No manifest is taken.
    lacks_manifests: AtomicBool,
    /// Nothing may be removed.
    keeps: AtomicBool,
    /// The rows of tables are not given away.
    withholds: AtomicBool,
    /// So many requests are yet to be refused.
    refusals: AtomicUsize,
    /// Of which directory the largest file with this ending is lost, when its table of contents comes.
    loses: Mutex<Option<(PathBuf, &'static str)>>,
    /// Requests about large objects so far, now, and at most at the same time.
    objects: [AtomicUsize; 3],
    /// The lengths of parts that were sent, by object and number.
    parts: Mutex<BTreeMap<(String, u32), u64>>,
}

impl Road {
    fn lose(&self) {
        let lost = self.loses.lock().expect("nobody panics with it").take();
        let Some((directory, ending)) = lost else {
            return;
        };
        let entries = std::fs::read_dir(directory).expect("a directory");
        let files = entries.map(|entry| entry.expect("an entry"));
        let files = files.filter(|file| file.file_name().to_string_lossy().ends_with(ending));
        let largest = files.max_by_key(|file| file.metadata().expect("there").len());
        std::fs::remove_file(largest.expect("there is one").path()).expect("removed");
    }
}

/// Everybody who has the key pair is let in, unless the store is busy.
struct Gate(Arc<Road>);

impl Gate {
    async fn admit(&self, key: Option<String>, (signed, method): (bool, String)) -> S3Result<()> {
        let is_manifest = |key: &String| key.ends_with("pgconvoy.manifest.json");
        let writes = method == "PUT";
        let lacks_it = writes && self.0.lacks_manifests.load(Ordering::SeqCst);
        let keeps_it = method == "DELETE" && self.0.keeps.load(Ordering::SeqCst);
        let is_rows = |key: &String| key.contains(".dat") && !key.ends_with("toc.dat");
        let withheld = method == "GET" && self.0.withholds.load(Ordering::SeqCst);
        let withheld = withheld && key.as_ref().is_some_and(is_rows);
        if !signed || keeps_it || withheld || (lacks_it && key.as_ref().is_some_and(is_manifest)) {
            return Err(s3_error!(AccessDenied));
        }
        let one_less = |left: usize| left.checked_sub(1);
        let refusals = &self.0.refusals;
        let refused = refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        if refused.is_ok() {
            return Err(s3_error!(SlowDown, "not so fast"));
        }
        if writes && key.as_ref().is_some_and(|key| key.ends_with("toc.dat")) {
            self.0.lose();
        }
        if key.as_ref().is_some_and(|key| key.contains("blob_")) {
            let [all, now, most] = &self.0.objects;
            all.fetch_add(1, Ordering::SeqCst);
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            now.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl S3Access for Gate {
    // As the attribute of the trait has it.
    fn check<'gate, 'asked, 'within, 'verdict>(
        &'gate self,
        asked: &'asked mut S3AccessContext<'within>,
    ) -> Pin<Box<dyn Future<Output = S3Result<()>> + Send + 'verdict>>
    where
        'gate: 'verdict,
        'asked: 'verdict,
        'within: 'verdict,
        Self: 'verdict,
    {
        if let Some((part, length)) = part(asked) {
            let mut parts = self.0.parts.lock().expect("nobody panics with it");
            parts.insert(part, length);
        }
        let object = asked.s3_path().as_object();
        let key = object.map(|(_, key)| key.to_owned());
        let how = (asked.credentials().is_some(), asked.method().to_string());
        Box::pin(self.admit(key, how))
    }
}

/// The part of an object that is sent, and its length.
fn part(asked: &S3AccessContext<'_>) -> Option<((String, u32), u64)> {
    let (_, key) = asked.s3_path().as_object()?;
    let mut settings = asked.uri().query()?.split('&');
    let number = settings.find_map(|setting| setting.strip_prefix("partNumber="))?;
    let length = asked.headers().get("content-length")?.to_str().ok()?;
    let part = (key.to_owned(), number.parse().ok()?);
    Some((part, length.parse().ok()?))
}

impl Store {
    /// With an empty bucket.
    pub fn start() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(root.path().join(BUCKET)).expect("a bucket");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("it has an address").port();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let road = Arc::new(Road::default());
        let files = FileSystem::new(root.path()).expect("a file system");
        runtime.spawn(serve(listener, files, Arc::clone(&road)));
        Self {
            root,
            port,
            road,
            runtime: Some(runtime),
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends all connections, and takes no new ones.
    pub fn go_away(&self) {
        self.road.away.store(true, Ordering::SeqCst);
        self.road.cut.notify_waiters();
    }

    /// Refuses so many requests, as a store does that has too much to do.
    pub fn is_busy_for(&self, requests: usize) {
        self.road.refusals.store(requests, Ordering::SeqCst);
    }

    /// Takes no manifest, or takes them again.
    pub fn take_manifests(&self, take: bool) {
        self.road.lacks_manifests.store(!take, Ordering::SeqCst);
    }

    /// Has nothing removed from now on, as where an account may only add.
    pub fn keeps(&self) {
        self.road.keeps.store(true, Ordering::SeqCst);
    }

    /// Gives no rows of tables away from now on, as where a key expires, or objects were put into cold storage; or does again.
    pub fn withhold_rows(&self, withhold: bool) {
        self.road.withholds.store(withhold, Ordering::SeqCst);
    }

    /// Loses the largest object with this ending below a prefix as soon as a table of contents comes, which is when all others are
    /// complete.
    pub fn loses(&self, prefix: &str, ending: &'static str) {
        let lost = (self.objects(prefix), ending);
        *self.road.loses.lock().expect("nobody panics with it") = Some(lost);
    }

    /// Requests about large objects since this was asked the last time, and how many of them there were at the same time.
    pub fn requests_for_objects(&self) -> (usize, usize) {
        let [all, _, most] = &self.road.objects;
        (
            all.swap(0, Ordering::SeqCst),
            most.swap(0, Ordering::SeqCst),
        )
    }

    /// Takes connections again.
    pub fn come_back(&self) {
        self.road.away.store(false, Ordering::SeqCst);
    }

    /// The objects below a prefix, as files.
    pub fn objects(&self, prefix: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(prefix)
    }

    /// The lengths of the parts in which objects below a prefix were sent, one object after the other.
    pub fn parts(&self, prefix: &str) -> Vec<u64> {
        let parts = self.road.parts.lock().expect("nobody panics with it");
        let below = parts.iter().filter(|((key, _), _)| key.starts_with(prefix));
        below.map(|(_, length)| *length).collect()
    }

    /// Files of uploads that are not completed.
    pub fn of_uploads(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.root.path()).expect("a directory");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(".upload")
            })
            .collect()
    }

    /// Lets a run find it, by way of this port.
    pub fn tell(run: Pgconvoy, port: u16) -> Pgconvoy {
        run.env("AWS_ENDPOINT", format!("http://127.0.0.1:{port}"))
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_REGION", "us-east-1")
    }

    /// Runs with these arguments.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Finished {
        let run = Self::tell(Pgconvoy::new(arguments), self.port).run();
        assert_no_secret(&run);
        run
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: TcpListener, files: FileSystem, road: Arc<Road>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    service.set_access(Gate(Arc::clone(&road)));
    let service = service.build().into_shared();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        if road.away.load(Ordering::SeqCst) {
            continue;
        }
        let (service, road) = (service.clone(), Arc::clone(&road));
        tokio::spawn(async move {
            let server = Builder::new(TokioExecutor::new());
            let connection = server.serve_connection(TokioIo::new(socket), service);
            tokio::select! {
                _ = connection => {}
                () = road.cut.notified() => {}
            }
        });
    }
}

/// The address of a prefix.
pub fn address(prefix: &str) -> String {
    format!("s3://{BUCKET}/{prefix}")
}

/// In nothing that a run has said or written.
pub fn assert_no_secret(run: &Finished) {
    assert!(!run.stdout.contains(SECRET), "on stdout: {run}");
    assert!(!run.stderr.contains(SECRET), "on stderr: {run}");
    none_below(&run.path(RUN_DIR));
}

fn none_below(path: &Path) {
    let Ok(entries) = std::fs::read_dir(path) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            none_below(&path);
        } else {
            let text = std::fs::read(&path).expect("read");
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains(SECRET), "in {}", path.display());
        }
    }
}
