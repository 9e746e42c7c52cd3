//! Rows that would go where nobody has sent them: into a table above their partition, to another server, into a view; and a part that
//! would have everything dropped for it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scene::{anew, archives, assert_ends, our_dump, pg_dump, restore, scene, scratch};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::assert_proven;
use crate::support::server::Server;

/// Rows of the one are always loaded through it, since the hash of an enum differs between databases; of the other if that is asked for.
const PARTITIONED: &str = "
    create type letter as enum ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p');
    create table hashed (l letter, n int) partition by hash (l);
    create table h0 partition of hashed for values with (modulus 2, remainder 0);
    create table h1 partition of hashed for values with (modulus 2, remainder 1);
    insert into hashed select (enum_range(null::letter))[1 + i % 16], i from generate_series(0, 199) i;
    create table ranged (n int) partition by range (n);
    create table r0 partition of ranged for values from (0) to (100);
    create table r1 partition of ranged for values from (100) to (200);
    insert into ranged select i from generate_series(0, 199) i;
";

/// How many rows each table above has.
const COUNTS: &str = "select (select count(*) from hashed), (select count(*) from ranged)";

/// A server with these tables, and what stock `pg_dump` makes of all of them.
fn partitioned(dir: &Path) -> Option<(Server, PathBuf)> {
    let server = Server::start(18)?;
    server.database("parts");
    server.psql("parts", PARTITIONED);
    let archive = dir.join("stock");
    let through = ["-Fc", "--load-via-partition-root"];
    assert!(pg_dump(&server, "parts", (&through, &archive)));
    Some((server, archive))
}

/// Restores those lines of an archive's list that are wanted.
fn listed(archive: &Path, to: &str, wanted: impl Fn(&str) -> bool) -> Finished {
    let list = Pgconvoy::new(["list".as_ref(), archive.as_os_str()]).run();
    let kept = list.stdout.lines().filter(|line| wanted(line));
    let file = tempfile::NamedTempFile::new().expect("made");
    let text: Vec<&str> = kept.collect();
    fs::write(file.path(), text.join("\n")).expect("written");
    restore(archive, to, &["-L", file.path().to_str().expect("UTF-8")])
}

#[test]
fn rows_of_a_partition_do_not_go_into_a_table_that_nobody_has_named() {
    let dir = scratch();
    let Some((server, stock)) = partitioned(dir.path()) else {
        return;
    };
    let (ours, alone) = (dir.path().join("ours"), dir.path().join("alone"));
    our_dump(&server, "parts", (&["-Z", "none"], &ours));
    assert!(pg_dump(
        &server,
        "parts",
        (
            &["-Fc", "-t", "h0", "-t", "r0", "--load-via-partition-root"],
            &alone
        )
    ));
    let to = anew(&server, "live");
    server.psql("live", PARTITIONED);
    server.psql("live", "drop table h0, r0");
    let before = server.psql("live", COUNTS);
    for (archive, root, leaf) in [
        (&ours, "hashed", "h0"),
        (&stock, "hashed", "h0"),
        (&stock, "ranged", "r0"),
    ] {
        let said = format!("those of public.{leaf} into public.{root}");
        let said = ["[rows-elsewhere]", &said];
        assert_ends(&restore(archive, &to, &["-t", leaf]), 4, &said);
        let named = format!(" public {leaf} ");
        let of_leaf = listed(archive, &to, |line| line.contains(&named));
        assert_ends(&of_leaf, 4, &said);
    }
    // Everything that an archive has may be a part.
    let clean = restore(&alone, &to, &["--clean", "live", "--if-exists"]);
    assert_ends(&clean, 4, &["[rows-elsewhere]", "public.hashed"]);
    assert_eq!(server.psql("live", COUNTS), before);
    // A partition whose rows are its own is a part like any other.
    assert_proven(&restore(&ours, &to, &["-t", "r0"]));
    for archive in [&stock, &ours] {
        let to = anew(&server, "all");
        assert_proven(&restore(archive, &to, &["-n", "public"]));
        assert_eq!(server.psql("all", COUNTS), "200|200");
    }
}

#[test]
fn rows_alone_go_through_a_table_only_if_all_of_it_is_free() {
    let dir = scratch();
    let Some((server, stock)) = partitioned(dir.path()) else {
        return;
    };
    let to = anew(&server, "live");
    server.psql("live", PARTITIONED);
    server.psql("live", "truncate h0");
    let before = server.psql("live", COUNTS);
    let part = ["--data-only", "-t", "h0"];
    let said = ["[partitions-not-empty]", "public.h1"];
    assert_ends(&restore(&stock, &to, &part), 4, &said);
    // What is not restored is not emptied either.
    let emptying = [&part[..], &["--overwrite", "live"]].concat();
    assert_ends(&restore(&stock, &to, &emptying), 4, &said);
    assert_eq!(server.psql("live", COUNTS), before);
    // Wherever they belong here.
    server.psql("live", "truncate hashed");
    assert_proven(&restore(&stock, &to, &part));
    let rows = server.psql("parts", "select count(*) from h0");
    assert_eq!(server.psql("live", "select count(*) from hashed"), rows);

    // Partitions with other bounds.
    let to = anew(&server, "other");
    server.psql("other", &PARTITIONED.replace("(100)", "(50)"));
    let all = ["--data-only", "--overwrite", "other"];
    assert_proven(&restore(&stock, &to, &all));
    assert_eq!(server.psql("other", COUNTS), "200|200");
    assert_eq!(server.psql("other", "select count(*) from r0"), "50");
    server.psql("other", "alter table ranged detach partition r0");
    let refused = restore(&stock, &to, &all);
    let said = "public.r0 is not a partition of public.ranged";
    assert_ends(&refused, 4, &["[tables-of-another-kind]", said]);
    assert_eq!(server.psql("other", "select count(*) from r0"), "50");
}

/// The other server may be the very one that they were read from.
#[test]
fn rows_of_foreign_tables_are_not_written_to_their_server() {
    let Some(server) = Server::start(18) else {
        return;
    };
    server.database("far");
    server.psql(
        "far",
        "create table t (a int); insert into t values (1), (2)",
    );
    let options = server.psql(
        "postgres",
        "select format('host %L, port %L, dbname ''far''', current_setting('unix_socket_directories'), current_setting('port'))",
    );
    server.database("near");
    server.psql(
        "near",
        &format!(
            "create extension postgres_fdw; create server there foreign data wrapper postgres_fdw options ({});
             create user mapping for postgres server there options (user 'postgres');
             create foreign table far (a int) server there options (table_name 't');
             create table own (a int); insert into own values (7)",
            options.trim()
        ),
    );
    let dir = scratch();
    let archive = dir.path().join("archive");
    let with_foreign = ["-Fc", "--include-foreign-data=there"];
    assert!(pg_dump(&server, "near", (&with_foreign, &archive)));
    let to = anew(&server, "copy");
    let rows = || server.psql("far", "select count(*) from t");
    let made = "select to_regclass('own')";
    for more in [&[][..], &["--data-only"], &["-n", "public"]] {
        let refused = restore(&archive, &to, more);
        assert_ends(&refused, 2, &["rows of foreign tables", "public.far", "-L"]);
        assert_eq!(rows(), "2", "{refused}");
        assert_eq!(server.psql("copy", made), "", "{refused}");
    }
    // As it says.
    let without = listed(&archive, &to, |line| {
        !line.contains(" TABLE DATA public far ")
    });
    assert_proven(&without);
    assert_eq!(rows(), "2", "{without}");
    assert_eq!(server.psql("copy", "select a from own"), "7");
}

#[test]
fn what_has_the_name_of_a_table_is_called_what_it_is() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let [archive, _] = archives(&server, dir.path());
    let to = anew(&server, "rows");
    assert_proven(&restore(&archive, &to, &["--schema-only"]));
    server.psql(
        "rows",
        "drop table app.self, app.empty;
         create table app.self (id int, up int) partition by range (id);
         create table app.self_all partition of app.self default;
         create view app.empty as select 1 as a",
    );
    let refused = restore(&archive, &to, &["--data-only"]);
    let said = [
        "[tables-of-another-kind]",
        "app.self is a partitioned table",
        "app.empty is a view",
    ];
    assert_ends(&refused, 4, &said);
    assert!(!refused.stderr.contains("tables-missing"), "{refused}");
    let loaded = "select count(*) from app.parent";
    assert_eq!(server.psql("rows", loaded), "0", "{refused}");
}

#[test]
fn nothing_but_a_part_is_emptied_for_a_part() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let [archive, _] = archives(&server, dir.path());
    let to = anew(&server, "full");
    assert_proven(&restore(&archive, &to, &[]));
    server.psql("full", "create table public.mine (a int)");
    for part in [["-t", "self"], ["-n", "app"], ["-N", "public"]] {
        let refused = restore(
            &archive,
            &to,
            &[&part[..], &["--overwrite", "full"]].concat(),
        );
        assert_ends(
            &refused,
            2,
            &["drops everything", "--clean full --if-exists"],
        );
    }
    // As it says.
    server.psql("full", "truncate app.self");
    let clean = ["-t", "self", "--clean", "full", "--if-exists"];
    assert_proven(&restore(&archive, &to, &clean));
    let kept = "select to_regclass('mine') is not null, count(*) from app.self";
    assert_eq!(server.psql("full", kept), "t|300");
}
