//! Connecting to real servers: every way to authenticate, every `sslmode`, and every way it goes wrong.

#[path = "connect/asked.rs"]
mod asked;
#[path = "connect/authority.rs"]
mod authority;
#[path = "connect/encryption.rs"]
mod encryption;
#[path = "connect/login.rs"]
mod login;
#[path = "connect/server.rs"]
mod server;
mod support;

use std::time::{Duration, Instant};

use authority::write_private;
use login::{Failure, Session, cancel_one, connect, connect_in, is_about, user};
use pgconvoy::pg::client_tools::{ChildEnvironment, Search};
use pgconvoy::pg::connect_error::ConnectError;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use server::Cluster;

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
            (Duration::from_millis(900)..Duration::from_secs(10)).contains(&took),
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
        let failed = is_about(
            connect(&text).await,
            part,
            &["does not answer like a PostgreSQL server", part],
        );
        // Whoever hangs up may be a load balancer before a server that comes back.
        let may_pass = failed.connect.is_some_and(|error| error.may_pass());
        assert_eq!(may_pass, answer.is_empty(), "{part}");
    }
}
