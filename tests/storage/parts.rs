//! The parts in which the file of a large table is sent.

use std::fs::File;

use crate::store::Store;
use crate::support::server::Server;
use crate::whole::dump;

/// Forty megabytes, in many blocks.
const WIDE: &str = "
    create table wide (id int primary key, v text, pad text);
    alter table wide alter v set storage external, alter pad set storage plain;
    insert into wide select i, repeat('x', 1000000), repeat('y', 3000) from generate_series(1, 40) i;
    analyze;
";

/// The table claims to have fifty gigabytes: what holds its values has a further file, which is empty, takes no room, and is looked
/// into by nobody, as the one before it is not full.
fn claims_to_be_large(source: &Server) {
    let path = "select pg_relation_filepath(reltoastrelid) from pg_class where relname = 'wide'";
    let path = format!("{}.1", source.psql("mixed", path));
    let file = File::create(source.cluster.data_dir().join(path)).expect("a file");
    file.set_len(50 << 30).expect("it takes no room");
}

/// Some stores take no others. A part is a 4,000th of what the table has on the source, in whole megabytes.
#[test]
fn the_parts_of_a_large_table_have_one_size() {
    const SIZE: u64 = 13 << 20;
    let Some(source) = Server::start(18) else {
        return;
    };
    source.database("mixed");
    source.psql("mixed", WIDE);
    claims_to_be_large(&source);
    let store = Store::start();
    // Read whole, and in pieces.
    for (prefix, workers) in [("whole", "-j1"), ("pieces", "-j2")] {
        let run = dump(&source, prefix, &["-Z", "none", workers]);
        let run = Store::tell(run, store.port()).run();
        assert_eq!(run.status, 0, "{run}");
        let parts = store.parts(prefix);
        let [first, second, last] = parts[..] else {
            panic!("{prefix}: {parts:?}: {run}");
        };
        assert_eq!([first, second], [SIZE, SIZE], "{prefix}: {run}");
        assert!((1..=SIZE).contains(&last), "{prefix}: {last}: {run}");
    }
}
