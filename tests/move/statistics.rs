//! What the planner of the target knows when a move is done: what it knew on the source, or what it learned anew.

use crate::support::moving::{assert_equal, assert_proven, move_with};
use crate::support::server::Server;

/// Tables that are large enough for their statistics to be taken over, and one that is not. The wide ones are large enough to be
/// loaded with FREEZE as well.
const SHOP: &str = r#"
    create schema "a b";
    create table "a b"."it's" (id bigint primary key, name text, kind int, at timestamptz, tags text[], doc jsonb, nothing float8);
    create index on "a b"."it's" (lower(name));
    create index shut on "a b"."it's" ((kind * 2), id, (lower(name))) where kind > 3;
    insert into "a b"."it's"
        select i, case i % 3 when 0 then E'it''s \\ "' || i % 50 else 'n' || i end, i % 7, timestamptz '2020-01-01' + i * interval '1 s',
               array['x' || i % 3, 'y,'], jsonb_build_object('a', i % 20)
        from generate_series(1, 20000) i;
    create table bare (a int, b text);
    insert into bare select i, rpad('row ' || i % 10, 150) from generate_series(1, 20000) i;
    create table small (a int primary key);
    insert into small select generate_series(1, 100);
    create table parts (a int, b text) partition by range (a);
    create table parts_1 partition of parts for values from (0) to (15000);
    create table parts_2 partition of parts for values from (15000) to (100000);
    insert into parts select i, rpad('row ' || i % 5, 150) from generate_series(1, 30000) i;
    create table stale (a int, b text);
    insert into stale select i, 'row ' || i from generate_series(1, 20000) i;
    create table extended (a int, b int, c text);
    insert into extended select i % 10, i % 10, 'row ' || i from generate_series(1, 20000) i;
    create statistics both_columns on a, b from extended;
    create table never (a int, b text);
    insert into never select i, 'row ' || i from generate_series(1, 20000) i;
    create table parent (a int, b text);
    create table child () inherits (parent);
    insert into parent select i, 'row ' || i from generate_series(1, 20000) i;
    insert into child select i, 'row ' || i from generate_series(1, 20000) i;
    -- Large enough to be kept from autovacuum while it is loaded.
    create table long (a int, b text);
    insert into long select i, rpad('row ' || i, 1900) from generate_series(1, 40000) i;
    -- Where autovacuum is off, CREATE INDEX counts nothing.
    create table shut_off (a int primary key, b text) with (autovacuum_enabled = off);
    insert into shut_off select i, rpad('row ' || i, 150) from generate_series(1, 20000) i;
"#;

/// In a session of its own: what a session wrote is only counted when it ends, and would count as written since.
const ANALYZE: &str = r#"
    vacuum;
    analyze "a b"."it's"; analyze bare; analyze long; analyze small; analyze parts; analyze stale; analyze extended; analyze parent; analyze child;
    analyze shut_off;
    update stale set b = 'other' where a < 6000;
"#;

/// Everything that is known of the columns of some tables and of their indexes; numbers as they are, for old servers round them.
const KNOWN: &str = r"
    select s.schemaname, s.tablename, s.attname, s.inherited, float4send(s.null_frac), s.avg_width, float4send(s.n_distinct),
           s.most_common_vals, array_send(s.most_common_freqs), s.histogram_bounds, float4send(s.correlation),
           s.most_common_elems, array_send(s.most_common_elem_freqs), array_send(s.elem_count_histogram)
    from pg_stats s
    where s.tablename in ('it''s', 'it''s_lower_idx', 'shut', 'bare', 'parts', 'parts_1', 'parts_2', 'shut_off')
    order by 1, 2, 3, 4
";

/// Tables that the target analyzed itself.
const ANALYZED: &str = "
    select string_agg(relname, ' ' order by relname) from pg_stat_user_tables
    where coalesce(last_analyze, last_autoanalyze) is not null";

fn start(source: u32) -> Option<(Server, Server)> {
    let quiet = |server: Server| {
        let setting = ("autovacuum_naptime".to_owned(), "1d".to_owned());
        server.cluster.configure(&[setting]).expect("configured");
        server.cluster.reload().expect("reloaded");
        server
    };
    Some((quiet(Server::start(source)?), quiet(Server::start(18)?)))
}

fn moves_statistics_from(major: u32) {
    let Some((source, target)) = start(major) else {
        return;
    };
    let from = source.database("shop");
    source.psql("shop", SHOP);
    source.psql("shop", ANALYZE);
    // The counters are behind by up to half a second, before 15.
    source.psql("shop", "select pg_sleep(1)");
    let to = target.database("shop");
    let run = move_with(&from, &to, &[]);
    let report = assert_proven(&run);
    assert_equal("shop", &from, &to, &[]);
    let findings = &report["findings"];
    assert!(!findings.to_string().contains("statistics"), "{findings}");
    let notes = report["notes"].to_string();
    assert!(notes.contains("planner statistics of"), "{notes}");

    // Before 14 no partitioned table knows how many rows it has, so nobody can say whether what is known of them is still true.
    let rooted = major >= 14;
    let taken = if rooted {
        KNOWN.to_owned()
    } else {
        KNOWN.replace("'parts', ", "")
    };
    let known = source.psql("shop", &taken);
    assert!(known.lines().count() > 15, "{known}");
    assert_eq!(target.psql("shop", &taken), known);
    let root = if rooted { "" } else { " parts" };
    // Not the child, which is not analyzed with its parent either.
    assert_eq!(
        target.psql("shop", ANALYZED),
        format!("extended never parent{root} small stale")
    );
    // How many rows there are is known as well, and autovacuum finds nothing to do in the large one.
    let counted = "select n_live_tup, n_mod_since_analyze, n_ins_since_vacuum, reltuples
                   from pg_stat_user_tables join pg_class c on c.oid = relid where c.relname = 'long'";
    assert_eq!(target.psql("shop", counted), "40000|0|0|40000");
    // COPY with FREEZE leaves a few pages out of the visibility map, which CREATE INDEX sees.
    let untrue = "select relname, relpages, relallvisible from pg_class
                  where relname in ('it''s', 'bare', 'shut_off', 'parts_1')
                    and (relpages <> pg_relation_size(oid) / 8192 or relallvisible < relpages * 0.9)";
    assert_eq!(target.psql("shop", untrue), "");
    assert_eq!(
        target.psql(
            "shop",
            "select count(*) from pg_class where relname in ('it''s', 'bare', 'shut_off', 'shut_off_pkey') and reltuples = 20000"
        ),
        "4"
    );
}

#[test]
fn the_sources_statistics_are_taken_over_from_10() {
    moves_statistics_from(10);
}

#[test]
fn the_sources_statistics_are_taken_over_from_15() {
    moves_statistics_from(15);
}

#[test]
fn the_sources_statistics_are_taken_over_from_18() {
    moves_statistics_from(18);
}

#[test]
fn what_the_target_does_not_take_is_analyzed() {
    let Some((source, target)) = start(18) else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create table bare (a int, b text);
         insert into bare select i, rpad('row ' || i % 10, 150) from generate_series(1, 20000) i;
         create table good (a int);
         insert into good select generate_series(1, 20000)",
    );
    source.psql(
        "shop",
        "analyze;
         -- Twice as many values as frequencies are no statistics.
         update pg_statistic set stanumbers1 = '{0.5}', stakind1 = 1, stavalues1 = array_in('{x,y}', 25, -1)
         where starelid = 'bare'::regclass and staattnum = 2",
    );
    let to = target.database("shop");
    target.psql("postgres", "create role owner login");
    target.psql("postgres", "alter database shop owner to owner");
    let run = move_with(&from, &format!("{to} user=owner"), &["--no-owner"]);
    let report = assert_proven(&run);
    let findings = &report["findings"];
    assert!(!findings.to_string().contains("statistics"), "{findings}");
    assert_eq!(target.psql("shop", ANALYZED), "bare");
    let values = "select count(*) from pg_stats where tablename = 'bare' and attname = 'b' and cardinality(most_common_freqs) = 10";
    assert_eq!(target.psql("shop", values), "1");
}

/// A `"char"` may be any byte, and in a database without an encoding so may any text. Such a table is analyzed, and no other.
#[test]
fn values_that_are_no_text_keep_nothing_from_being_moved() {
    let Some((source, target)) = start(10) else {
        return;
    };
    for (encoding, analyzed) in [
        ("UTF8", "bytes several"),
        ("SQL_ASCII", "bytes good several"),
    ] {
        for server in [&source, &target] {
            let create = format!(
                "create database {encoding} template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"
            );
            server.psql("postgres", &create);
        }
        let database = encoding.to_lowercase();
        // Of a character, a "char" has the first byte.
        let byte = "E'\\xc3\\xa9'";
        let text = if encoding == "UTF8" { "é" } else { "\\xe9" };
        source.psql(
            &database,
            &format!(
                "create table bytes (a int primary key, b \"char\", c text);
                 insert into bytes select i, {byte}::\"char\", E'{text}' from generate_series(1, 20000) i;
                 create table several (a int, b \"char\"[]);
                 insert into several select i, array[{byte}, 'b']::\"char\"[] from generate_series(1, 20000) i;
                 create table good (a int primary key, b \"char\");
                 insert into good select i, 'b' from generate_series(1, 20000) i"
            ),
        );
        source.psql(&database, "analyze");
        let (from, to) = (source.conninfo(&database), target.conninfo(&database));
        let report = assert_proven(&move_with(&from, &to, &[]));
        let findings = report["findings"].to_string();
        assert!(!findings.contains("statistics"), "{findings}");
        assert_eq!(target.psql(&database, ANALYZED), analyzed, "{encoding}");
        let of_the_table = "select string_agg(attname, ' ' order by attname) from pg_stats where tablename = 'bytes'";
        assert_eq!(target.psql(&database, of_the_table), "a b c", "{encoding}");
    }
}
