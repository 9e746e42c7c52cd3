//! Parts of a database: what arrives is what the stock tools bring with the same options.

use std::fs;
use std::process::Command;

use crate::support::moving::{independent_check, move_with};
use crate::support::server::Server;

const DATABASE: &str = "
    create role sel_owner; create role sel_reader;
    create table public.customers (id int primary key, name text);
    create table public.orders (id serial primary key, customer int references public.customers, note text);
    create index orders_note on public.orders (note);
    comment on table public.orders is 'orders';
    create table public.log_2020 (at date); create table public.log_2021 (at date);
    create table public.measured (at date, v int) partition by range (at);
    create table public.measured_old partition of public.measured for values from (minvalue) to ('2020-01-01');
    create table public.measured_new partition of public.measured default;
    create view public.both as select c.name, o.note from public.customers c join public.orders o on o.customer = c.id;
    create materialized view public.busiest as select customer, count(*) from public.orders group by 1;
    create function public.f() returns int language sql return 1;
    create extension hstore;
    create schema archive;
    create type archive.state as enum ('old', 'older');
    create table archive.things (id int generated always as identity primary key, s archive.state);
    create table archive.parts (thing int references archive.things) tablespace sel_space;
    alter schema archive owner to sel_owner;
    alter table archive.things owner to sel_owner; grant select on archive.things to sel_reader;
    alter default privileges for role sel_owner grant select on tables to sel_reader;
    create policy own on archive.things to sel_reader using (id > 0);
    comment on schema archive is 'old things';
    create publication sel_publication for table public.customers;
    create publication sel_all for all tables;
    create subscription sel_subscription connection 'host=/nowhere' publication p with (connect = false, slot_name = none);
    create table public.\"Odd Name\" (a int);
    insert into public.customers select i, 'c' || i from generate_series(1, 100) i;
    insert into public.orders (customer, note) select 1 + i % 100, md5(i::text) from generate_series(1, 1000) i;
    insert into public.log_2020 values ('2020-02-02'); insert into public.log_2021 values ('2021-02-02');
    insert into public.measured select '2019-12-01'::date + i, i from generate_series(1, 60) i;
    insert into archive.things (s) values ('old'), ('older'); insert into archive.parts values (1), (2);
    insert into public.\"Odd Name\" values (1);
    refresh materialized view public.busiest;
    select lo_from_bytea(4711, 'a large object');
";

/// Options that choose: `pg_dump`'s. Options that leave out: `pg_restore`'s as well. `FILE` is the filter file.
const SELECTIONS: [(&[&str], &[&str]); 12] = [
    (&["-n", "archive"], &[]),
    (&["-N", "archive"], &[]),
    (&["-N", "arch*", "-T", "public.log_*"], &["--no-comments"]),
    (
        &[
            "-t",
            "customers",
            "-t",
            "public.orders",
            "-t",
            "\"Odd Name\"",
        ],
        &[],
    ),
    (&["--table-and-children", "measured"], &[]),
    (
        &[
            "--exclude-table-data",
            "log_202?",
            "--exclude-table-data",
            "archive.parts",
        ],
        &[],
    ),
    (
        &["--exclude-table-data-and-children", "measured"],
        &["--no-publications"],
    ),
    (&["--filter", "FILE"], &["--no-subscriptions"]),
    (&["--exclude-extension", "hstore"], &["--no-owner"]),
    (&[], &["-x", "--no-security-labels"]),
    (
        &[],
        &[
            "--no-tablespaces",
            "--no-comments",
            "--no-publications",
            "--no-subscriptions",
        ],
    ),
    (
        &["-n", "public", "--exclude-table-and-children", "measured"],
        &["--no-owner", "--no-acl"],
    ),
];

const FILTER: &str = "# what is kept\nexclude table_data log_2020\nexclude table measured_new\nexclude schema \"archive\" # gone\n";

/// With `-n public`, the stock tools also want to create a schema that every database has.
fn restores(command: &mut Command) {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    let only_public = said.contains("schema \"public\" already exists")
        && said.contains("errors ignored on restore: 1");
    assert!(
        output.status.success() || only_public,
        "{command:?}: {said}"
    );
}

#[test]
fn what_arrives_is_what_the_stock_tools_bring() {
    let Some(server) = Server::start_with(18, |options| options.setting("wal_level", "logical"))
    else {
        return;
    };
    let place = server.cluster.create_dir("space").expect("a directory");
    server.psql(
        "postgres",
        &format!("create tablespace sel_space location '{}'", place.display()),
    );
    let from = server.database("source");
    server.psql("source", DATABASE);
    let files = tempfile::tempdir().expect("a directory");
    let filter = files.path().join("filter");
    fs::write(&filter, FILTER).expect("written");
    let filter = filter.display().to_string();
    let archive = files.path().join("archive");

    let mut wrong = Vec::new();
    for (number, (choose, leave_out)) in SELECTIONS.iter().enumerate() {
        let choose: Vec<&str> = choose
            .iter()
            .map(|option| {
                if *option == "FILE" {
                    filter.as_str()
                } else {
                    *option
                }
            })
            .collect();
        println!("{choose:?} {leave_out:?}");
        let (ours, stock) = (
            server.database(&format!("ours{number}")),
            server.database(&format!("stock{number}")),
        );
        let dump = server
            .tool("pg_dump")
            .args(["-Fc", "-f"])
            .arg(&archive)
            .args(&choose)
            .args(["-d", &from])
            .output()
            .expect("pg_dump starts");
        assert!(
            dump.status.success(),
            "{}",
            String::from_utf8_lossy(&dump.stderr)
        );
        restores(
            server
                .tool("pg_restore")
                .args(*leave_out)
                .args(["-d", &stock])
                .arg(&archive),
        );
        let options = [&choose[..], leave_out].concat();
        let run = move_with(&from, &ours, &options);
        let (equal, said) = independent_check(&stock, &ours, &[]);
        if run.status != 0 || !equal {
            wrong.push(format!("{options:?}: {run}\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
