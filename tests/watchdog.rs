//! How a run watches over its connections and its jobs, on real servers.

mod support;

use pgconvoy::model::SqlText;
use pgconvoy::pg::cluster::ClusterOptions;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::{Connector, Query, Side};
use support::server::{Server, servers};

fn majors() -> Vec<u32> {
    let mut majors: Vec<u32> = servers()
        .iter()
        .map(|install| install.version.major())
        .collect();
    majors.dedup();
    majors
}

fn over_tcp(major: u32) -> Option<Server> {
    Server::start_with(major, |options| ClusterOptions {
        listen_tcp: true,
        ..options
    })
}

fn connector(conninfo: &str, side: Side) -> Connector {
    let environment = Environment::default().with_os_user("nobody");
    let conninfo = Conninfo::resolve(conninfo, &environment).expect("a connection string");
    Connector::new(conninfo, side).expect("no TLS")
}

/// What the server's end of a session's socket is set to; the limit for unacknowledged data from 12 on.
async fn watched(conninfo: &str) -> [String; 4] {
    const QUERY: Query = Query::new(
        "settings",
        "select current_setting('tcp_keepalives_idle') as idle, current_setting('tcp_keepalives_interval') as interval,
                current_setting('tcp_keepalives_count') as count,
                coalesce(current_setting('tcp_user_timeout', true), '-') as limit",
    );
    let connector = connector(conninfo, Side::Target);
    let session = connector.session("test").await.expect("a session");
    let rows = session.query(&QUERY, &[]).await.expect("an answer");
    let of_session = ["idle", "interval", "count", "limit"]
        .map(|name| rows[0].get::<String>(name).expect("a setting"));
    let mut wire = connector.wire("test").await.expect("a wire");
    let rows = wire.query(&SqlText::from(QUERY.sql)).await.expect("rows");
    let of_wire: Vec<String> = rows[0]
        .iter()
        .flatten()
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect();
    assert_eq!(of_wire, of_session, "sessions of both kinds are the same");
    of_session
}

#[tokio::test]
async fn every_server_watches_over_its_end_of_a_connection() {
    for major in majors() {
        let Some(server) = over_tcp(major) else {
            continue;
        };
        let conninfo = server.cluster.tcp_conninfo("postgres");
        let limit = |value: &str| if major < 12 { "-" } else { value }.to_owned();
        let found = watched(&conninfo).await;
        assert_eq!(found[..3], ["30", "10", "9"], "{major}");
        assert_eq!(found[3], limit("120000"), "{major}");

        let said = format!(
            "{conninfo} keepalives_idle=41 keepalives_interval=7 keepalives_count=5 tcp_user_timeout=9000"
        );
        let found = watched(&said).await;
        assert_eq!(found[..3], ["41", "7", "5"], "{major}");
        assert_eq!(found[3], limit("9000"), "{major}");

        let none = watched(&format!("{conninfo} keepalives=0")).await;
        assert_ne!(none[0], "30", "{major}: the system's");
        let socket = watched(&server.conninfo("postgres")).await;
        assert_eq!(socket[..3], ["0", "0", "0"], "{major}");
    }
}
