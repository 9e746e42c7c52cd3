//! Parts of a table that wait for each other, and a source without room for as many sessions as there are workers.

use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::ClusterOptions;

use crate::store::{Store, address};
use crate::support::binary::Pgconvoy;
use crate::support::moving::RUN_DIR;
use crate::support::proxy::Proxy;
use crate::support::server::Server;

/// Five parts, of eight rows each. The first fits into memory; the next three are more than is held there.
const WIDE: &str = "
    create table wide (id int primary key, v bytea, pad text);
    alter table wide alter v set storage external, alter pad set storage plain;
    insert into wide
    select i, convert_to(repeat(chr(64 + i), case when i <= 8 then 1500000 when i <= 32 then 2400000 else 300000 end), 'UTF8'),
           repeat('y', 3000)
    from generate_series(1, 40) i;
    create role reader login connection limit 4;
    grant pg_read_all_data to reader;
    analyze;
";

/// Two can read at a time. The first part loses its session; whoever gets that in its place waits for the first part, and so does the
/// second, as soon as their memory is full.
#[test]
fn a_part_that_waits_for_others_gives_them_its_session() {
    let source = Server::start_with(18, |options| ClusterOptions {
        listen_tcp: true,
        ..options
    });
    let Some(source) = source else { return };
    source.database("mixed");
    source.psql("mixed", WIDE);
    let store = Store::start();
    let proxy = Proxy::start(source.cluster.port());
    proxy.slow_down(16 << 20);
    let from = source.cluster.tcp_conninfo("mixed");
    let from = format!("{from} user=reader port={}", proxy.port());
    let archive = address("scarce");
    let run = Pgconvoy::new([
        "dump",
        "--source",
        &from,
        "--archive",
        &archive,
        "--run-dir",
        RUN_DIR,
        "-Z",
        "none",
        "-j4",
        "--no-keeper",
    ]);
    let run = run.timeout(Duration::from_secs(180));
    let mut run = Store::tell(run, store.port()).start();
    let lose = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                where usename = 'reader' and state = 'active' and query like '%ctid >= ''(0,0)''%'
                  and (select count(*) from pg_stat_activity where usename = 'reader' and query ~ '^copy') >= 2";
    let began = Instant::now();
    while run.is_running() && source.psql("mixed", lose) == "0" {
        if began.elapsed() > Duration::from_secs(120) {
            proxy.slow_down(0);
            panic!("the first part is never read: {}", run.finish());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    proxy.slow_down(0);
    let run = run.finish();
    assert_eq!(run.status, 0, "{run}");
    // Whether the server's word comes through a road that is slow, or only the end of it.
    let is_lost = ["57P01", "the server closed the connection"].map(|how| run.stderr.contains(how));
    assert!(is_lost.contains(&true), "it was not broken off: {run}");
}
