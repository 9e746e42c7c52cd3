//! Logging in over a connection of ours, with `tokio_postgres`.

use std::time::Duration;

use pgconvoy::model::ServerError;
use pgconvoy::pg::connect_error::{ConnectError, OpenError};
use pgconvoy::pg::conninfo::{Conninfo, Environment, ServerState, TargetSessionAttrs};
use pgconvoy::pg::dial::{CancelKey, Dialer, Open};
use pgconvoy::pg::stream::{AlreadyNegotiated, Peer, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Logs in with `tokio_postgres` and asks the server who we are and what it is.
struct Login<'a> {
    dialer: &'a Dialer,
}

pub struct Session {
    pub client: tokio_postgres::Client,
    pub peer: Peer,
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
    if let Some(db) = error.as_db_error() {
        return OpenError::Server(Box::new(ServerError {
            severity: db.severity().to_owned(),
            code: db.code().code().to_owned(),
            message: db.message().to_owned(),
            ..ServerError::default()
        }));
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    OpenError::Other(text.into())
}

/// Everything that can go wrong, in one chain of words.
#[derive(Debug)]
pub struct Failure {
    pub connect: Option<ConnectError>,
    pub words: String,
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

pub async fn connect_in(text: &str, environment: &Environment) -> Result<Session, Failure> {
    let conninfo = Conninfo::resolve(text, environment).map_err(failure)?;
    let dialer = Dialer::new(conninfo).map_err(failure)?;
    let mut login = Login { dialer: &dialer };
    dialer.connect(&mut login).await.map_err(failure)
}

pub async fn connect(text: &str) -> Result<Session, Failure> {
    connect_in(text, &Environment::default().with_os_user("nobody")).await
}

pub async fn user(session: &Session) -> String {
    session
        .client
        .query_one("select session_user::text", &[])
        .await
        .expect("answers")
        .get(0)
}

#[track_caller]
pub fn is_about(result: Result<Session, Failure>, what: &str, parts: &[&str]) -> Failure {
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

/// Starts a long query, cancels it over a connection of its own, and sees it fail.
pub async fn cancel_one(text: &str) {
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
}

async fn message(stream: &mut Stream) -> (u8, Vec<u8>) {
    let kind = stream.read_u8().await.expect("a message");
    let length = stream.read_u32().await.expect("its length");
    let mut body = vec![0; usize::try_from(length).expect("fits") - 4];
    stream.read_exact(&mut body).await.expect("its body");
    (kind, body)
}
