//! Connecting to real servers: every way to authenticate, every `sslmode`, and every way it goes wrong.

#[path = "connect/authority.rs"]
mod authority;
#[path = "connect/server.rs"]
mod server;

use std::time::{Duration, Instant};

use authority::{Authority, Signed, Wish, self_signed, write_private};
use pgconvoy::model::ServerError;
use pgconvoy::pg::client_tools::{ChildEnvironment, Search};
use pgconvoy::pg::connect_error::{ConnectError, OpenError};
use pgconvoy::pg::conninfo::{Conninfo, Environment, ServerState, TargetSessionAttrs};
use pgconvoy::pg::dial::{CancelKey, Dialer, Open};
use pgconvoy::pg::stream::{AlreadyNegotiated, Peer, Stream};
use pgconvoy::pg::tls::TlsError;
use server::{Cluster, Server};

/// Logs in with `tokio_postgres` and asks the server who we are and what it is.
struct Login<'a> {
    dialer: &'a Dialer,
}

struct Session {
    client: tokio_postgres::Client,
    peer: Peer,
}

impl Open for Login<'_> {
    type Session = Session;

    async fn open(
        &mut self,
        stream: Stream,
        wanted: TargetSessionAttrs,
    ) -> Result<Session, OpenError> {
        let peer = stream.peer().clone();
        let config = self.dialer.postgres_config(&peer.host);
        let (client, connection) = config
            .connect_raw(stream, AlreadyNegotiated)
            .await
            .map_err(|error| open_error(&error))?;
        tokio::spawn(connection);
        let row = client
            .query_one(
                "select current_setting('default_transaction_read_only') = 'on', pg_is_in_recovery()",
                &[],
            )
            .await
            .map_err(|error| open_error(&error))?;
        let state = ServerState {
            read_only_by_default: row.get(0),
            in_recovery: row.get(1),
        };
        match wanted.accepts(state) {
            Ok(()) => Ok(Session { client, peer }),
            Err(because) => Err(OpenError::Unsuitable(because.to_owned())),
        }
    }
}

fn open_error(error: &tokio_postgres::Error) -> OpenError {
    match error.as_db_error() {
        Some(db) => OpenError::Server(Box::new(ServerError {
            severity: db.severity().to_owned(),
            code: db.code().code().to_owned(),
            message: db.message().to_owned(),
            ..ServerError::default()
        })),
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(error) = source {
                text = format!("{text}: {error}");
                source = error.source();
            }
            OpenError::Other(text.into())
        }
    }
}

/// Everything that can go wrong, in one chain of words.
#[derive(Debug)]
struct Failure {
    connect: Option<ConnectError>,
    words: String,
}

fn failure(error: impl std::error::Error + 'static) -> Failure {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    let error: Box<dyn std::any::Any> = Box::new(error);
    Failure {
        connect: error.downcast().ok().map(|error| *error),
        words,
    }
}

async fn connect_in(text: &str, environment: &Environment) -> Result<Session, Failure> {
    let conninfo = Conninfo::resolve(text, environment).map_err(failure)?;
    let dialer = Dialer::new(conninfo).map_err(failure)?;
    let mut login = Login { dialer: &dialer };
    dialer.connect(&mut login).await.map_err(failure)
}

async fn connect(text: &str) -> Result<Session, Failure> {
    connect_in(text, &Environment::default().with_os_user("nobody")).await
}

async fn user(session: &Session) -> String {
    session
        .client
        .query_one("select session_user::text", &[])
        .await
        .expect("answers")
        .get(0)
}

#[track_caller]
fn is_about(result: Result<Session, Failure>, what: &str, parts: &[&str]) -> Failure {
    match result {
        Ok(session) => panic!("{what}: connected to {}", session.peer),
        Err(failure) => {
            for part in parts {
                assert!(failure.words.contains(part), "{what}: {}", failure.words);
            }
            failure
        }
    }
}

const AUTHENTICATION: &str = "\
local all trusted trust
host all scram 127.0.0.1/32 scram-sha-256
host all md5 127.0.0.1/32 md5
host all plain 127.0.0.1/32 password
host all trusted 127.0.0.1/32 trust";

#[tokio::test]
async fn every_way_to_authenticate() {
    let cluster = Cluster::new(AUTHENTICATION);
    let server = cluster.start(&[]);
    server.sql("create role trusted login; create role scram login password 'it''s \\ secret'");
    server.sql("set password_encryption = md5; create role md5 login password 'm'; create role plain login password 'p'");
    let port = cluster.port;
    let socket = cluster.path().display();

    // Passwords in the string, in a URI, in the environment.
    let text = format!(
        r"host=127.0.0.1 port={port} dbname=postgres user=scram password='it\'s \\ secret'"
    );
    assert_eq!(user(&connect(&text).await.expect("scram")).await, "scram");
    let text = format!("postgres://scram:it's%20%5C%20secret@localhost:{port}/postgres");
    assert_eq!(user(&connect(&text).await.expect("URI")).await, "scram");
    let environment = Environment::new([
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", &port.to_string()),
        ("PGUSER", "md5"),
        ("PGPASSWORD", "m"),
    ]);
    let session = connect_in("postgres", &environment).await.expect("md5");
    assert_eq!(user(&session).await, "md5");
    let text = format!("postgres://plain:p@127.0.0.1:{port}/postgres");
    assert_eq!(
        user(&connect(&text).await.expect("password")).await,
        "plain"
    );

    // The Unix socket, by directory, in both notations, and by requirepeer.
    let owner = if nix::unistd::geteuid().is_root() {
        "postgres".to_owned()
    } else {
        nix::unistd::User::from_uid(nix::unistd::geteuid())
            .expect("read")
            .expect("is there")
            .name
    };
    for text in [
        format!("host={socket} port={port} dbname=postgres user=trusted requirepeer={owner}"),
        format!("postgres://trusted@/postgres?host={socket}&port={port}"),
        format!(
            "postgres://trusted@{}:{port}/postgres",
            socket.to_string().replace('/', "%2F")
        ),
        // sslmode says nothing about Unix sockets, as in libpq.
        format!("host={socket} port={port} dbname=postgres user=trusted sslmode=require"),
    ] {
        let session = connect(&text).await.expect(&text);
        assert_eq!(user(&session).await, "trusted");
        assert!(!session.peer.encrypted && session.peer.address.is_none());
    }
    let text = format!("host={socket} port={port} dbname=postgres user=trusted requirepeer=daemon");
    is_about(
        connect(&text).await,
        "requirepeer",
        &["requirepeer says \"daemon\"", &owner],
    );

    // Refused, for the server's reasons, which are final: no other host is asked.
    let text =
        format!("host=127.0.0.1,127.0.0.1 port={port} dbname=postgres user=scram password=wrong");
    let refused = is_about(
        connect(&text).await,
        "wrong",
        &["127.0.0.1", "\"scram\"", "password authentication failed"],
    );
    assert!(
        matches!(refused.connect, Some(ConnectError::Refused { ref error, .. }) if error.code == "28P01"),
        "{refused:?}"
    );
    assert!(!refused.words.contains("wrong"), "{}", refused.words);
    let text = format!("host=127.0.0.1 port={port} dbname=nowhere user=trusted");
    is_about(
        connect(&text).await,
        "no database",
        &["\"nowhere\" does not exist"],
    );
    let text = format!("host=127.0.0.1 port={port} dbname=postgres user=scram");
    is_about(connect(&text).await, "no password", &["password missing"]);
    let text = format!("host=127.0.0.1 port={port} dbname=postgres user=stranger");
    let stranger = is_about(connect(&text).await, "no entry", &["no pg_hba.conf entry"]);
    assert_eq!(
        stranger
            .connect
            .as_ref()
            .and_then(ConnectError::server_error)
            .map(|error| error.code.as_str()),
        Some("28000")
    );
}

#[tokio::test]
async fn passwords_and_services_from_files() {
    let cluster = Cluster::new(AUTHENTICATION);
    let server = cluster.start(&[]);
    server.sql("create role scram login password 'from the file'");
    let port = cluster.port;
    let home = tempfile::tempdir().expect("a directory");
    write_private(
        home.path(),
        ".pgpass",
        &format!("127.0.0.1:1:*:*:wrong port\n127.0.0.1:{port}:postgres:scram:from the file\n"),
    );
    write_private(
        home.path(),
        ".pg_service.conf",
        &format!(
            "[here]\nhost=127.0.0.1\nport={port}\nuser=scram\ndbname=postgres\nconnect_timeout=5\n"
        ),
    );
    let environment = Environment::default().with_home(home.path());
    for text in [
        format!("host=127.0.0.1 port={port} dbname=postgres user=scram"),
        "service=here".to_owned(),
        "postgres://?service=here".to_owned(),
    ] {
        let session = connect_in(&text, &environment).await.expect(&text);
        assert_eq!(user(&session).await, "scram");
    }
    // A client program finds the same server with nothing but its environment.
    let conninfo = Conninfo::resolve("service=here", &environment).expect("resolves");
    let session = connect_in("service=here", &environment)
        .await
        .expect("connects");
    let child = ChildEnvironment::new(&conninfo, &session.peer);
    let search = Search::run("pg_dump", &Environment::of_process()).await;
    let tool = search
        .newest_for(pgconvoy::model::ServerVersion(150_000))
        .expect("pg_dump is installed");
    let output = tool
        .run(&["--schema-only".into(), "--verbose".into()], Some(&child))
        .await
        .expect("dumps");
    assert!(String::from_utf8_lossy(&output.stdout).contains("PostgreSQL database dump complete"));
    assert!(output.stderr.contains("reading"), "{}", output.stderr);
    // And without them is asked for a password that nobody types.
    let refused =
        Conninfo::resolve("service=here passfile=/dev/null", &environment).expect("resolves");
    let mut peer = session.peer.clone();
    peer.host.password = None;
    let child = ChildEnvironment::new(&refused, &peer);
    let said = tool
        .run(&[], Some(&child))
        .await
        .expect_err("has no password")
        .to_string();
    assert!(said.contains("no password supplied"), "{said}");
}

#[tokio::test]
async fn a_query_is_cancelled() {
    let cluster = Cluster::new(AUTHENTICATION);
    let server = cluster.start(&[]);
    server.sql("create role trusted login");
    for host in [cluster.path().display().to_string(), "127.0.0.1".to_owned()] {
        cancel_one(&format!(
            "host={host} port={} dbname=postgres user=trusted",
            cluster.port
        ))
        .await;
    }
}

/// Starts a long query, cancels it over a connection of its own, and sees it fail.
async fn cancel_one(text: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let environment = Environment::default().with_os_user("nobody");
    let conninfo = Conninfo::resolve(text, &environment).expect("resolves");
    let dialer = Dialer::new(conninfo).expect("is set up");
    let attempt = dialer.attempts().remove(0);
    // By hand, because tokio_postgres keeps the cancel key to itself.
    let mut stream = dialer.dial(&attempt).await.expect("connects");
    let peer = stream.peer().clone();
    let mut startup = vec![0, 0, 0, 0, 0, 3, 0, 0];
    startup.extend_from_slice(b"user\0trusted\0database\0postgres\0\0");
    startup[3] = u8::try_from(startup.len()).expect("is short");
    stream.write_all(&startup).await.expect("sent");
    let mut key = None;
    loop {
        let (kind, body) = message(&mut stream).await;
        match kind {
            b'K' => {
                let number =
                    |at: usize| i32::from_be_bytes(body[at..at + 4].try_into().expect("4 bytes"));
                key = Some(CancelKey {
                    process_id: number(0),
                    secret: number(4),
                });
            }
            b'Z' => break,
            b'E' => panic!("{}", String::from_utf8_lossy(&body)),
            _ => {}
        }
    }
    let key = key.expect("the server sends a key");
    stream
        .write_all(b"Q\0\0\0\x18select pg_sleep(60)\0")
        .await
        .expect("sent");
    tokio::time::sleep(Duration::from_millis(200)).await;
    dialer.cancel(&peer, key).await.expect("is sent");
    let failed = async {
        loop {
            let (kind, body) = message(&mut stream).await;
            if kind == b'E' {
                return String::from_utf8_lossy(&body).into_owned();
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(10), failed)
        .await
        .expect("the query fails long before it ends");
    assert!(error.contains("57014"), "{error}");

    async fn message(stream: &mut Stream) -> (u8, Vec<u8>) {
        let kind = stream.read_u8().await.expect("a message");
        let length = stream.read_u32().await.expect("its length");
        let mut body = vec![0; usize::try_from(length).expect("fits") - 4];
        stream.read_exact(&mut body).await.expect("its body");
        (kind, body)
    }
}

#[tokio::test]
async fn several_hosts() {
    let cluster = Cluster::new(AUTHENTICATION);
    let server = cluster.start(&[]);
    server.sql("create role trusted login");
    let writable = cluster.port;
    let other = Cluster::new(AUTHENTICATION);
    let second = other.start(&[("default_transaction_read_only", "on")]);
    second.sql("begin read write; create role trusted login; commit");
    let read_only = other.port;
    let port_of = |result: Result<Session, Failure>| {
        result
            .map(|session| session.peer.host.port)
            .map_err(|failure| failure.words)
    };

    // 1 is a port where nobody listens.
    let text = |ports: &str, attrs: &str| {
        format!(
            "host=127.0.0.1,127.0.0.1,127.0.0.1 port={ports} dbname=postgres user=trusted target_session_attrs={attrs}"
        )
    };
    let ports = format!("1,{read_only},{writable}");
    for (attrs, expected) in [
        ("any", read_only),
        ("read-write", writable),
        ("read-only", read_only),
        ("primary", read_only),
        // Nobody is a standby, so anybody will do.
        ("prefer-standby", read_only),
    ] {
        assert_eq!(
            port_of(connect(&text(&ports, attrs)).await),
            Ok(expected),
            "{attrs}"
        );
    }
    let failed = is_about(
        connect(&text(&ports, "standby")).await,
        "standby",
        &[
            "all of 3 attempts failed",
            "127.0.0.1:1",
            "Connection refused",
            &format!("127.0.0.1:{writable} is not what target_session_attrs asks for"),
        ],
    );
    assert_eq!(failed.connect.map(|error| error.each().len()), Some(3));
    // Random order: both are found sooner or later.
    let text = format!(
        "host=127.0.0.1,127.0.0.1 port={read_only},{writable} dbname=postgres user=trusted load_balance_hosts=random"
    );
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        seen.insert(port_of(connect(&text).await).expect("connects"));
    }
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    // Takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let port = silent.local_addr().expect("an address").port();
    for (sslmode, doing) in [
        ("disable", "logging in"),
        ("require", "negotiating encryption"),
    ] {
        let text = format!("host=127.0.0.1 port={port} user=u connect_timeout=1 sslmode={sslmode}");
        let begin = Instant::now();
        is_about(
            connect(&text).await,
            sslmode,
            &[
                &format!("127.0.0.1:{port}"),
                "within 1 s",
                doing,
                "connect_timeout",
            ],
        );
        let took = begin.elapsed();
        assert!(
            (Duration::from_millis(900)..Duration::from_secs(3)).contains(&took),
            "{took:?}"
        );
    }
    drop(silent);
    is_about(
        connect(&format!("host=127.0.0.1 port={port} user=u")).await,
        "refused",
        &["cannot reach", "127.0.0.1: Connection refused"],
    );
    let begin = Instant::now();
    is_about(
        connect("host=no-such-host.invalid user=u").await,
        "name",
        &["no-such-host.invalid:5432", "looked up"],
    );
    assert!(begin.elapsed() < Duration::from_secs(16));
    is_about(
        connect("host=/nonexistent user=u").await,
        "socket",
        &["/nonexistent/.s.PGSQL.5432", "No such file"],
    );
}

#[tokio::test]
async fn who_is_no_server_is_found_out() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for (answer, part) in [
        (&b"HTTP/1.1 400"[..], "0x48"),
        (b"E", "sent an error"),
        (b"", "closed the connection"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 8]).await;
                let _ = stream.write_all(answer).await;
            }
        });
        let text = format!("host=127.0.0.1 port={port} user=u sslmode=require");
        is_about(
            connect(&text).await,
            part,
            &["does not answer like a PostgreSQL server", part],
        );
    }
}

/// Certificates, and a home for each kind of root.
struct Certificates {
    good: Authority,
    wrong: Authority,
    files: tempfile::TempDir,
}

impl Certificates {
    fn new() -> Self {
        let certificates = Self {
            good: Authority::new("good authority"),
            wrong: Authority::new("wrong authority"),
            files: tempfile::tempdir().expect("a directory"),
        };
        certificates.file("good.crt", &certificates.good.pem);
        certificates.file("wrong.crt", &certificates.wrong.pem);
        certificates
    }

    fn file(&self, name: &str, content: &str) -> String {
        write_private(self.files.path(), name, content)
            .display()
            .to_string()
    }

    fn path(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// The server's own, for `localhost` and 127.0.0.1.
    fn server(&self) -> Signed {
        self.good.sign(&Wish {
            common_name: "server",
            alternative_names: &["localhost", "127.0.0.1"],
            serial: 42,
            ..Wish::default()
        })
    }

    fn start<'a>(&self, cluster: &'a Cluster, signed: &Signed) -> Server<'a> {
        let path = |name, content| cluster.write(name, content).display().to_string();
        cluster.start(&[
            ("ssl", "on"),
            ("ssl_cert_file", &path("server.crt", &signed.certificate)),
            ("ssl_key_file", &path("server.key", &signed.key)),
            ("ssl_ca_file", &path("ca.crt", &self.good.pem)),
        ])
    }
}

const OVER_TLS: &str = "\
hostssl all only_tls 127.0.0.1/32 trust
hostnossl all only_plain 127.0.0.1/32 trust
host all anybody 127.0.0.1/32 trust
host all scram 127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 cert";

/// What is expected of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Encrypted,
    Plain,
    Certificate,
    MissingRoot,
    NoTls,
    Refused,
}

async fn outcome(text: &str) -> (Option<Expect>, String) {
    match connect(text).await {
        Ok(session) if session.peer.encrypted => {
            (Some(Expect::Encrypted), session.peer.to_string())
        }
        Ok(session) => (Some(Expect::Plain), session.peer.to_string()),
        Err(failure) => {
            let kind = match &failure.connect {
                Some(ConnectError::Tls {
                    source: TlsError::Certificate { .. },
                    ..
                }) => Some(Expect::Certificate),
                Some(ConnectError::NoTls { .. }) => Some(Expect::NoTls),
                Some(ConnectError::Refused { .. }) => Some(Expect::Refused),
                None if failure.words.contains("root certificate file")
                    && failure.words.contains("does not exist") =>
                {
                    Some(Expect::MissingRoot)
                }
                _ => None,
            };
            (kind, failure.words)
        }
    }
}

#[tokio::test]
async fn every_sslmode_checks_what_it_says() {
    let certificates = Certificates::new();
    let cluster = Cluster::new(OVER_TLS);
    let server = certificates.start(&cluster, &certificates.server());
    server.sql("create role anybody login");
    // The root, then what comes of it for the right name and for a wrong one.
    let matrix = [
        (
            "disable",
            [
                ("missing", Expect::Plain, Expect::Plain),
                ("good", Expect::Plain, Expect::Plain),
                ("wrong", Expect::Plain, Expect::Plain),
            ],
        ),
        (
            "allow",
            [
                ("missing", Expect::Plain, Expect::Plain),
                ("good", Expect::Plain, Expect::Plain),
                ("wrong", Expect::Plain, Expect::Plain),
            ],
        ),
        // A certificate that is refused is, to prefer, TLS that is not to be had.
        (
            "prefer",
            [
                ("missing", Expect::Encrypted, Expect::Encrypted),
                ("good", Expect::Encrypted, Expect::Encrypted),
                ("wrong", Expect::Plain, Expect::Plain),
            ],
        ),
        (
            "require",
            [
                ("absent", Expect::Encrypted, Expect::Encrypted),
                ("good", Expect::Encrypted, Expect::Encrypted),
                ("wrong", Expect::Certificate, Expect::Certificate),
            ],
        ),
        (
            "verify-ca",
            [
                ("missing", Expect::MissingRoot, Expect::MissingRoot),
                ("good", Expect::Encrypted, Expect::Encrypted),
                ("wrong", Expect::Certificate, Expect::Certificate),
            ],
        ),
        (
            "verify-full",
            [
                ("missing", Expect::MissingRoot, Expect::MissingRoot),
                ("good", Expect::Encrypted, Expect::Certificate),
                ("wrong", Expect::Certificate, Expect::Certificate),
            ],
        ),
    ];
    let port = cluster.port;
    for (mode, rows) in matrix {
        for (root, right, wrong) in rows {
            for (host, expected) in [("localhost", right), ("other.example", wrong)] {
                let mut text = format!(
                    "host={host} hostaddr=127.0.0.1 port={port} user=anybody dbname=postgres sslmode={mode}"
                );
                if root != "absent" {
                    text = format!(
                        "{text} sslrootcert={}",
                        certificates.path(&format!("{root}.crt"))
                    );
                }
                let (found, words) = outcome(&text).await;
                assert_eq!(
                    found,
                    Some(expected),
                    "{mode}, {root} root, {host}: {words}"
                );
            }
        }
    }
    // An address in the certificate is as good as a name.
    let good = certificates.path("good.crt");
    let base =
        format!("port={port} user=anybody dbname=postgres sslmode=verify-full sslrootcert={good}");
    assert_eq!(
        outcome(&format!("host=127.0.0.1 {base}")).await.0,
        Some(Expect::Encrypted)
    );
    // What a refusal says.
    let wrong_name = outcome(&format!("host=other.example hostaddr=127.0.0.1 {base}"))
        .await
        .1;
    for part in ["other.example", "but for", "localhost", &good] {
        assert!(wrong_name.contains(part), "{wrong_name}");
    }
    let wrong = format!(
        "host=localhost port={port} user=anybody sslmode=verify-full sslrootcert={}",
        certificates.path("wrong.crt")
    );
    let wrong_root = outcome(&wrong).await.1;
    for part in ["none of the root certificates has signed it", "wrong.crt"] {
        assert!(wrong_root.contains(part), "{wrong_root}");
    }
    // The system's roots don't know a test's authority.
    let system = outcome(&format!(
        "host=localhost port={port} user=anybody sslrootcert=system"
    ))
    .await;
    assert!(
        system.0 == Some(Expect::Certificate)
            || system.1.contains("no root certificate of this system"),
        "{}",
        system.1
    );
    // The version that is allowed is the version that is spoken.
    for (limits, version) in [
        ("ssl_max_protocol_version=TLSv1.2", "TLSv1.2"),
        ("ssl_min_protocol_version=TLSv1.3", "TLSv1.3"),
    ] {
        let session = connect(&format!("host=localhost {base} {limits}"))
            .await
            .expect(limits);
        let row = session
            .client
            .query_one(
                "select version from pg_stat_ssl where pid = pg_backend_pid()",
                &[],
            )
            .await
            .expect("answers");
        assert_eq!(row.get::<_, String>(0), version);
    }
}

#[tokio::test]
async fn a_server_without_tls() {
    let cluster = Cluster::new(OVER_TLS);
    let server = cluster.start(&[]);
    server.sql("create role anybody login; create role only_tls login");
    let certificates = Certificates::new();
    for (mode, expected) in [
        ("disable", Expect::Plain),
        ("allow", Expect::Plain),
        ("prefer", Expect::Plain),
        ("require", Expect::NoTls),
        ("verify-ca", Expect::NoTls),
        ("verify-full", Expect::NoTls),
    ] {
        let text = format!(
            "host=localhost port={} user=anybody dbname=postgres sslmode={mode} sslrootcert={}",
            cluster.port,
            certificates.path("good.crt")
        );
        let (found, words) = outcome(&text).await;
        assert_eq!(found, Some(expected), "{mode}: {words}");
    }
    // A refusal is not tried again without TLS when there was none.
    let text = format!(
        "host=localhost port={} user=only_tls dbname=postgres sslmode=prefer",
        cluster.port
    );
    let (found, words) = outcome(&text).await;
    assert_eq!(found, Some(Expect::Refused), "{words}");
}

#[tokio::test]
async fn the_other_way_is_tried_if_the_server_wants_it() {
    let certificates = Certificates::new();
    let cluster = Cluster::new(OVER_TLS);
    let server = certificates.start(&cluster, &certificates.server());
    server.sql("create role only_tls login; create role only_plain login; create role scram login password 's'");
    let port = cluster.port;
    for (user, mode, expected) in [
        ("only_tls", "disable", Some(Expect::Refused)),
        ("only_tls", "allow", Some(Expect::Encrypted)),
        ("only_tls", "prefer", Some(Expect::Encrypted)),
        ("only_tls", "require", Some(Expect::Encrypted)),
        ("only_plain", "disable", Some(Expect::Plain)),
        ("only_plain", "allow", Some(Expect::Plain)),
        ("only_plain", "prefer", Some(Expect::Plain)),
        ("only_plain", "require", Some(Expect::Refused)),
    ] {
        let text = format!("host=127.0.0.1 port={port} user={user} dbname=postgres sslmode={mode}");
        let (found, words) = outcome(&text).await;
        assert_eq!(found, expected, "{user} {mode}: {words}");
    }
    // A stranger is refused both ways, and both refusals are shown.
    let stranger = format!("host=127.0.0.1 port={port} user=stranger dbname=postgres");
    is_about(
        connect(&stranger).await,
        "stranger",
        &[
            "all of 2 attempts",
            "over TLS: no pg_hba.conf entry",
            "no encryption",
        ],
    );
    // A wrong password is a wrong password: once is enough.
    let wrong = format!("host=127.0.0.1 port={port} user=scram password=x dbname=postgres");
    let wrong = is_about(
        connect(&wrong).await,
        "wrong",
        &["password authentication failed"],
    );
    assert_eq!(wrong.connect.map(|error| error.each().len()), Some(1));
    assert_eq!(
        server
            .log()
            .matches("password authentication failed")
            .count(),
        1
    );
}

#[tokio::test]
async fn scram_is_bound_to_the_certificate() {
    let certificates = Certificates::new();
    let cluster = Cluster::new(OVER_TLS);
    let server = certificates.start(&cluster, &certificates.server());
    server.sql("create role scram login password 's'; create role anybody login");
    let text = |user: &str, more: &str| {
        format!(
            "host=localhost port={} dbname=postgres user={user} password=s {more}",
            cluster.port
        )
    };
    for binding in ["require", "prefer", "disable"] {
        let session = connect(&text(
            "scram",
            &format!("sslmode=require channel_binding={binding}"),
        ))
        .await
        .expect(binding);
        assert!(session.peer.encrypted);
    }
    // Nothing to bind to, and no SCRAM at all.
    for text in [
        text("scram", "sslmode=disable channel_binding=require"),
        text("anybody", "sslmode=require channel_binding=require"),
    ] {
        is_about(connect(&text).await, "binding", &["channel binding"]);
    }
    // A query is cancelled over TLS, too.
    drop(server);
    let server = certificates.start(&cluster, &certificates.server());
    server.sql("create role trusted login; create role only_tls login");
    std::fs::write(
        cluster.path().join("data/pg_hba.conf"),
        "local all postgres trust\nhostssl all trusted 127.0.0.1/32 trust",
    )
    .expect("written");
    server.sql("select pg_reload_conf()");
    tokio::time::sleep(Duration::from_millis(300)).await;
    cancel_one(&format!(
        "host=127.0.0.1 port={} dbname=postgres user=trusted sslmode=require",
        cluster.port
    ))
    .await;
}

#[tokio::test]
async fn client_certificates() {
    let certificates = Certificates::new();
    let cluster = Cluster::new(OVER_TLS);
    let server = certificates.start(&cluster, &certificates.server());
    server.sql("create role certified login");
    let wish = Wish {
        common_name: "certified",
        serial: 5,
        ..Wish::default()
    };
    let own = certificates.good.sign(&wish);
    let foreign = certificates.wrong.sign(&wish);
    let certificate = certificates.file("own.crt", &own.certificate);
    let key = certificates.file("own.key", &own.key);
    let foreign_certificate = certificates.file("foreign.crt", &foreign.certificate);
    let foreign_key = certificates.file("foreign.key", &foreign.key);
    let base = format!(
        "host=localhost port={} dbname=postgres user=certified sslmode=verify-full sslrootcert={}",
        cluster.port,
        certificates.path("good.crt")
    );

    let session = connect(&format!("{base} sslcert={certificate} sslkey={key}"))
        .await
        .expect("is let in");
    assert_eq!(user(&session).await, "certified");
    // From the home directory, without being named.
    let home = tempfile::tempdir().expect("a directory");
    let dot = home.path().join(".postgresql");
    std::fs::create_dir(&dot).expect("made");
    for (name, content) in [
        ("root.crt", &certificates.good.pem),
        ("postgresql.crt", &own.certificate),
        ("postgresql.key", &own.key),
    ] {
        write_private(&dot, name, content);
    }
    let environment = Environment::default().with_home(home.path());
    let short = format!(
        "host=localhost port={} dbname=postgres user=certified sslmode=verify-full",
        cluster.port
    );
    connect_in(&short, &environment).await.expect("is let in");
    is_about(
        connect_in(&format!("{short} sslcertmode=disable"), &environment).await,
        "disabled",
        &["valid client certificate"],
    );

    is_about(
        connect(&base).await,
        "none",
        &["connection requires a valid client certificate"],
    );
    is_about(
        connect(&format!(
            "{base} sslcert={foreign_certificate} sslkey={foreign_key}"
        ))
        .await,
        "foreign",
        &["does not accept our client certificate"],
    );
    is_about(
        connect(&format!(
            "{base} sslcert={certificate} sslkey={foreign_key}"
        ))
        .await,
        "mixed up",
        &["does not go with its key"],
    );
    is_about(
        connect(&format!("{base} sslcert={certificate} sslkey=/nonexistent")).await,
        "no key",
        &["key of the client certificate \"/nonexistent\" does not exist"],
    );
    is_about(
        connect(&format!("{base} sslcert=/nonexistent")).await,
        "no certificate",
        &["client certificate \"/nonexistent\" does not exist"],
    );
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("changed");
    is_about(
        connect(&format!("{base} sslcert={certificate} sslkey={key}")).await,
        "loose",
        &["0644", "chmod 0600"],
    );
    let encrypted = certificates.file(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    is_about(
        connect(&format!("{base} sslcert={certificate} sslkey={encrypted}")).await,
        "encrypted",
        &["is encrypted", "openssl pkey"],
    );
    let empty = certificates.file("empty.crt", "nothing\n");
    is_about(
        connect(&format!("{base} sslcert={empty} sslkey={key}")).await,
        "empty",
        &["no PEM certificate in it"],
    );
}

#[tokio::test]
async fn certificates_with_a_flaw_or_a_history() {
    let certificates = Certificates::new();
    let cluster = Cluster::new(OVER_TLS);
    let port = cluster.port;
    let text = |host: &str, root: &str, more: &str| {
        format!(
            "host={host} hostaddr=127.0.0.1 port={port} user=anybody dbname=postgres sslrootcert={} {more}",
            certificates.path(root)
        )
    };

    // As the manual's "Creating Certificates" makes it: signed by itself, with a common name only.
    let own = self_signed("db.example");
    certificates.file("own.crt", &own.certificate);
    let server = certificates.start(&cluster, &own);
    server.sql("create role anybody login");
    for (host, root, mode, expected) in [
        ("db.example", "own.crt", "verify-full", Expect::Encrypted),
        ("DB.example", "own.crt", "verify-full", Expect::Encrypted),
        (
            "other.example",
            "own.crt",
            "verify-full",
            Expect::Certificate,
        ),
        ("other.example", "own.crt", "verify-ca", Expect::Encrypted),
        ("db.example", "good.crt", "verify-ca", Expect::Certificate),
    ] {
        let (found, words) = outcome(&text(host, root, &format!("sslmode={mode}"))).await;
        assert_eq!(found, Some(expected), "{host} {root} {mode}: {words}");
    }
    drop(server);

    // A common name counts only where there is no alternative name.
    for (common_name, names, host, expected) in [
        ("*.db.example", &[][..], "a.db.example", Expect::Encrypted),
        ("*.db.example", &[], "a.b.db.example", Expect::Certificate),
        ("*.db.example", &[], "db.example", Expect::Certificate),
        ("a.example", &["b.example"], "b.example", Expect::Encrypted),
        (
            "a.example",
            &["b.example"],
            "a.example",
            Expect::Certificate,
        ),
        ("a", &["*.c.example"], "x.c.example", Expect::Encrypted),
    ] {
        let signed = certificates.good.sign(&Wish {
            common_name,
            alternative_names: names,
            serial: 3,
            ..Wish::default()
        });
        let _server = certificates.start(&cluster, &signed);
        let (found, words) = outcome(&text(host, "good.crt", "sslmode=verify-full")).await;
        assert_eq!(
            found,
            Some(expected),
            "{common_name} {names:?} for {host}: {words}"
        );
    }

    let expired = certificates.good.sign(&Wish {
        common_name: "x",
        alternative_names: &["localhost"],
        serial: 4,
        expired: true,
    });
    let server = certificates.start(&cluster, &expired);
    is_about(
        connect(&text("localhost", "good.crt", "sslmode=verify-ca")).await,
        "expired",
        &["expired on 2020-01-01", "clock"],
    );
    drop(server);

    let _server = certificates.start(&cluster, &certificates.server());
    let crl = |name: &str, content: String| {
        format!(
            "sslmode=verify-full sslcrl={}",
            certificates.file(name, &content)
        )
    };
    let innocent = crl("innocent.crl", certificates.good.revoke(&[41]));
    connect(&text("localhost", "good.crt", &innocent))
        .await
        .expect("is not on the list");
    let revoked = crl("revoked.crl", certificates.good.revoke(&[41, 42]));
    is_about(
        connect(&text("localhost", "good.crt", &revoked)).await,
        "revoked",
        &["has been revoked"],
    );
    let others = crl("others.crl", certificates.wrong.revoke(&[]));
    is_about(
        connect(&text("localhost", "good.crt", &others)).await,
        "unknown",
        &["nobody knows whether it has been revoked"],
    );
    is_about(
        connect(&text(
            "localhost",
            "good.crt",
            "sslmode=verify-full sslcrl=/nonexistent",
        ))
        .await,
        "missing",
        &["revocation list \"/nonexistent\" does not exist"],
    );
    let directory = tempfile::tempdir().expect("a directory");
    write_private(directory.path(), "0.r0", &certificates.good.revoke(&[42]));
    let more = format!(
        "sslmode=verify-full sslcrldir={}",
        directory.path().display()
    );
    is_about(
        connect(&text("localhost", "good.crt", &more)).await,
        "directory",
        &["has been revoked"],
    );
}
