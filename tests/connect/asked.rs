//! What a server may ask for before a session begins, and what is not given to one: by both kinds of sessions.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;

use pgconvoy::pg::connect_error::ConnectError;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::{Connector, PgError, Side};

/// `AuthenticationRequest`: its number in the protocol, and what comes with it.
fn asks_for(kind: i32, with: &[u8]) -> Vec<u8> {
    let length = i32::try_from(with.len() + 8).expect("short");
    [
        &b"R"[..],
        &length.to_be_bytes()[..],
        &kind.to_be_bytes()[..],
        with,
    ]
    .concat()
}

/// Serves one connection: answers the start-up message so, and gives back what it is sent then.
fn serve(answer: Vec<u8>) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("an address").port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("set");
        let mut length = [0; 4];
        stream.read_exact(&mut length).expect("a length");
        let length = usize::try_from(u32::from_be_bytes(length)).expect("short");
        stream
            .read_exact(&mut vec![0; length - 4])
            .expect("a start-up message");
        stream.write_all(&answer).expect("taken");
        let mut sent = Vec::new();
        stream
            .read_to_end(&mut sent)
            .expect("the connection is closed");
        sent
    });
    (port, served)
}

/// Why neither kind of session begins if a server answers so. Nothing is sent to it.
async fn refused(answer: &[u8], settings: &str) -> [PgError; 2] {
    let mut refused = Vec::new();
    for is_wire in [false, true] {
        let (port, served) = serve(answer.to_vec());
        let text =
            format!("host=127.0.0.1 port={port} user=app dbname=shop sslmode=disable {settings}");
        let environment = Environment::default().with_os_user("nobody");
        let conninfo = Conninfo::resolve(&text, &environment).expect("resolves");
        let connector = Connector::new(conninfo, Side::Source).expect("is set up");
        let opened = if is_wire {
            connector.wire("test").await.map(drop)
        } else {
            connector.session("test").await.map(drop)
        };
        let sent = served.join().expect("served");
        assert!(sent.is_empty(), "{answer:?}: {sent:?}");
        refused.push(opened.expect_err("it is refused"));
    }
    refused.try_into().expect("two")
}

#[tokio::test]
async fn what_is_not_bound_is_refused_if_it_must_be() {
    let answers: [(Vec<u8>, &str); 5] = [
        (asks_for(0, b""), "the server lets us in without it"),
        (
            asks_for(3, b""),
            "the server asks for the password in clear",
        ),
        (asks_for(5, b"salt"), "an MD5 of the password"),
        (asks_for(10, b"SCRAM-SHA-256\0\0"), "not encrypted"),
        (
            asks_for(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
            "not encrypted",
        ),
    ];
    for (answer, instead) in answers {
        let both = refused(&answer, "password=secret channel_binding=require").await;
        for error in &both {
            let is_unbound = matches!(
                error,
                PgError::Connect(ConnectError::Login { why, .. })
                    if matches!(**why, PgError::Unbound { .. })
            );
            assert!(is_unbound && !error.may_pass(), "{answer:?}: {error:?}");
            let words = error.to_string();
            for part in ["cannot log in to 127.0.0.1", "channel binding is required"] {
                assert!(words.contains(part), "{words}");
            }
        }
        let [_, wire] = both;
        assert!(wire.to_string().contains(instead), "{wire}");
    }
}

#[tokio::test]
async fn what_we_have_or_know_nothing_of_does_not_pass() {
    let missing = "for a password for role \"app\", and none was given or found";
    let answers: [(Vec<u8>, &str, &str); 5] = [
        (asks_for(3, b""), "", missing),
        (asks_for(5, b"salt"), "", missing),
        (asks_for(10, b"SCRAM-SHA-256\0\0"), "", missing),
        (asks_for(7, b""), "password=secret", "GSSAPI"),
        (
            asks_for(10, b"OAUTHBEARER\0\0"),
            "password=secret",
            "SASL without SCRAM-SHA-256",
        ),
    ];
    for (answer, settings, part) in answers {
        for error in refused(&answer, settings).await {
            let words = error.to_string();
            assert!(words.contains("cannot log in to 127.0.0.1"), "{words}");
            assert!(words.contains(part), "{words}");
            assert!(!error.may_pass(), "{error:?}");
        }
    }
}
