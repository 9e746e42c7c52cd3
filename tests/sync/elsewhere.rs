//! Partitions that are foreign tables: what other servers hold is not written.

use crate::scene::{prepare, quiet};
use crate::support::binary::Pgconvoy;
use crate::support::moving::{RUN_DIR, report};
use crate::support::server::Server;

const MOOD: &str = "
    create type mood as enum ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l');
";
/// In which partition of the two a mood is depends on its OID: the tree is brought over as a whole.
const MOODS: &str = "
    create table moods (m mood, id int) partition by hash (m);
    create table moods_0 partition of moods for values with (modulus 2, remainder 0);
    create extension postgres_fdw schema public;
";
const ROWS: &str = "
    do $$
      declare
        one mood;
      begin
        for one in select unnest(enum_range(null::mood)) loop
            begin
                insert into moods_0 values (one, 1);
            exception when check_violation then null;
            end;
        end loop;
      end
    $$
";

/// The server to which one of the partitions belongs.
fn far(server: &Server) -> String {
    let of_server = |what: &str| server.psql("postgres", &format!("select {what}"));
    let host = of_server("current_setting('unix_socket_directories')");
    let (port, user) = (
        of_server("current_setting('port')"),
        of_server("current_user"),
    );
    format!(
        "create server far foreign data wrapper postgres_fdw options (host '{host}', port '{port}', dbname 'far');
         create user mapping for current_user server far options (user '{user}');
         create foreign table moods_1 partition of moods for values with (modulus 2, remainder 1) server far options (table_name 'moods_1')"
    )
}

#[test]
fn what_a_third_server_holds_is_not_written_over() {
    let (Some(source), Some(target)) = (quiet(18), quiet(18)) else {
        return;
    };
    source.database("far");
    source.psql("far", MOOD);
    source.psql(
        "far",
        "create table moods_1 (m mood, id int); insert into moods_1 select m, 7 from unnest(enum_range(null::mood)) m",
    );
    let there = || {
        source.psql(
            "far",
            "select count(*), min(xmin::text), max(xmin::text) from moods_1",
        )
    };
    let before = there();
    let (from, to) = (source.database("near"), target.database("near"));
    for server in [&source, &target] {
        let script = [MOOD, MOODS, far(&source).as_str()].concat();
        server.psql("near", &script);
    }
    source.psql("near", ROWS);
    for more in [&[][..], &["--dry-run"]] {
        let run = prepare(&from, &to, more).run();
        assert_eq!(run.status, 4, "{run}");
        for said in [
            "public.moods differs",
            "partitions of it are foreign tables",
            "--exclude-table-and-children",
        ] {
            assert!(run.stderr.contains(said), "{said}: {run}");
        }
    }
    let ends = ["verify", "--source", from.as_str(), "--target", to.as_str()];
    let files = ["--run-dir", RUN_DIR, "--repair", "repair.sql"];
    let verified = Pgconvoy::new(ends.iter().chain(&files)).run();
    let repair = std::fs::read_to_string(verified.path("repair.sql")).expect("a repair");
    let said = "rows that are written to it may be sent to other servers";
    assert!(repair.contains(said), "{repair}");
    target.psql("near", &repair);
    assert_eq!(there(), before, "{repair}");
    assert_eq!(target.psql("near", "select count(*) from moods_0"), "0");

    // Where nothing is to be written, it is said whose rows were compared.
    source.psql("near", "truncate only moods_0");
    let run = prepare(&from, &to, &[]).run();
    assert_eq!(run.status, 0, "{run}");
    let said = "partitions of public.moods are foreign tables";
    assert!(report(&run).to_string().contains(said), "{run}");
}
