//! Every `sslmode`, with every certificate.

use std::time::Duration;

use pgconvoy::pg::connect_error::ConnectError;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::dial::Dialer;
use pgconvoy::pg::tls::TlsError;
use pgconvoy::pg::{Connector, PgError, Side};

use crate::authority::{Authority, Signed, Wish, self_signed, write_private};
use crate::login::{cancel_one, connect, connect_in, is_about, user};
use crate::server::{Cluster, Server};

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

    /// A connection string with one of our roots.
    fn text(&self, cluster: &Cluster, host: &str, root: &str, more: &str) -> String {
        format!(
            "host={host} hostaddr=127.0.0.1 port={} user=anybody dbname=postgres sslrootcert={} {more}",
            cluster.port,
            self.path(root)
        )
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

fn create_role(certificates: &Certificates, cluster: &Cluster) {
    let server = certificates.start(cluster, &certificates.server());
    server.sql("create role anybody login");
    // It is stopped at once, and without this loses what was committed last.
    server.sql("checkpoint");
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

/// A root, and what comes of it for the right name and for a wrong one.
type Row = (&'static str, Expect, Expect);

/// `sslmode`; the root, and what comes of it for the right name and for a wrong one.
const MATRIX: [(&str, [Row; 3]); 6] = {
    use Expect::{Certificate, Encrypted, MissingRoot, Plain};
    let never = [
        ("missing", Plain, Plain),
        ("good", Plain, Plain),
        ("wrong", Plain, Plain),
    ];
    [
        ("disable", never),
        ("allow", never),
        // A certificate that is refused is, to prefer, TLS that is not to be had.
        (
            "prefer",
            [
                ("missing", Encrypted, Encrypted),
                ("good", Encrypted, Encrypted),
                ("wrong", Plain, Plain),
            ],
        ),
        (
            "require",
            [
                ("absent", Encrypted, Encrypted),
                ("good", Encrypted, Encrypted),
                ("wrong", Certificate, Certificate),
            ],
        ),
        (
            "verify-ca",
            [
                ("missing", MissingRoot, MissingRoot),
                ("good", Encrypted, Encrypted),
                ("wrong", Certificate, Certificate),
            ],
        ),
        (
            "verify-full",
            [
                ("missing", MissingRoot, MissingRoot),
                ("good", Encrypted, Certificate),
                ("wrong", Certificate, Certificate),
            ],
        ),
    ]
};

#[tokio::test]
async fn every_sslmode_checks_what_it_says() {
    let certificates = Certificates::new();
    let cluster = Cluster::new(OVER_TLS);
    let server = certificates.start(&cluster, &certificates.server());
    server.sql("create role anybody login");
    let port = cluster.port;
    for (mode, rows) in MATRIX {
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
}

#[tokio::test]
async fn what_is_refused_is_explained() {
    let certificates = Certificates::new();
    let cluster = Cluster::new(OVER_TLS);
    let server = certificates.start(&cluster, &certificates.server());
    server.sql("create role anybody login");
    let port = cluster.port;
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

/// Opens a session of the other kind.
async fn wire(text: &str) -> Result<(), PgError> {
    let environment = Environment::default().with_os_user("nobody");
    let conninfo = Conninfo::resolve(text, &environment).expect("resolves");
    let connector = Connector::new(conninfo, Side::Source).expect("is set up");
    connector.wire("test").await.map(drop)
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
        let more = format!("sslmode=require channel_binding={binding}");
        let text = text("scram", &more);
        let session = connect(&text).await.expect(binding);
        assert!(session.peer.encrypted);
        wire(&text).await.expect(binding);
    }
    // Nothing to bind to, and no SCRAM at all.
    for (text, instead) in [
        (
            text("scram", "sslmode=disable channel_binding=require"),
            "the connection is not encrypted",
        ),
        (
            text("anybody", "sslmode=require channel_binding=require"),
            "the server lets us in without it",
        ),
    ] {
        is_about(connect(&text).await, "binding", &["channel binding"]);
        let refused = wire(&text).await.expect_err(instead).to_string();
        assert!(refused.contains(instead), "{refused}");
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
async fn a_certificate_that_is_its_own_root() {
    let certificates = Certificates::new();
    let cluster = Cluster::new(OVER_TLS);
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
        let (found, words) =
            outcome(&certificates.text(&cluster, host, root, &format!("sslmode={mode}"))).await;
        assert_eq!(found, Some(expected), "{host} {root} {mode}: {words}");
    }
}

#[tokio::test]
async fn common_names() {
    let certificates = Certificates::new();
    let cluster = Cluster::new(OVER_TLS);
    create_role(&certificates, &cluster);
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
        let (found, words) =
            outcome(&certificates.text(&cluster, host, "good.crt", "sslmode=verify-full")).await;
        assert_eq!(
            found,
            Some(expected),
            "{common_name} {names:?} for {host}: {words}"
        );
    }
}

#[tokio::test]
async fn an_expired_certificate() {
    let certificates = Certificates::new();
    let cluster = Cluster::new(OVER_TLS);
    let expired = certificates.good.sign(&Wish {
        common_name: "x",
        alternative_names: &["localhost"],
        serial: 4,
        expired: true,
    });
    let _server = certificates.start(&cluster, &expired);
    is_about(
        connect(&certificates.text(&cluster, "localhost", "good.crt", "sslmode=verify-ca")).await,
        "expired",
        &["expired on 2020-01-01", "clock"],
    );
}

#[tokio::test]
async fn revoked_certificates() {
    let certificates = Certificates::new();
    let cluster = Cluster::new(OVER_TLS);
    create_role(&certificates, &cluster);
    let _server = certificates.start(&cluster, &certificates.server());
    let text = |host: &str, root: &str, more: &str| certificates.text(&cluster, host, root, more);
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
        &["it cannot be known whether it has been revoked"],
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

/// No server with TLS of version 17 or newer is at hand, so this is only the handshake.
#[tokio::test]
async fn direct_negotiation_begins_with_tls_and_says_what_it_speaks() {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificates = Certificates::new();
    let signed = certificates.server();
    let chain = vec![CertificateDer::from_pem_slice(signed.certificate.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).expect("PEM");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let port = listener.local_addr().expect("an address").port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let stream = acceptor.accept(stream).await.expect("TLS at once");
        stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
    });
    let text = format!(
        "host=localhost hostaddr=127.0.0.1 port={port} user=u sslmode=verify-full sslnegotiation=direct sslrootcert={}",
        certificates.path("good.crt")
    );
    let conninfo = Conninfo::resolve(&text, &Environment::default()).expect("resolves");
    let dialer = Dialer::new(conninfo).expect("is set up");
    let stream = dialer
        .dial(&dialer.attempts()[0])
        .await
        .expect("TLS is negotiated");
    assert!(stream.peer().encrypted);
    assert_eq!(
        server.await.expect("no panic"),
        Some(b"postgresql".to_vec())
    );
}
