//! With no more rights than it takes, over every kind of connection, and without a password where others can see it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pgconvoy::pg::cluster::ClusterOptions;

use crate::authority::{Authority, Wish};
use crate::support::binary::Pgconvoy;
use crate::support::moving::{
    RUN_DIR, assert_equal, assert_no_ledger, assert_proven, build, move_with, prepare,
};
use crate::support::server::{Server, servers};

/// Something that nothing else contains.
const SECRET: &str = "zT5-hush-q9W";

/// A shop with a bit of everything that an ordinary owner may make.
const SHOP: &str = "
    create schema shop;
    create table shop.products (id bigint generated always as identity primary key, name text not null unique, price numeric(8, 2) check (price > 0));
    create table shop.orders (id serial primary key, product bigint references shop.products, at timestamptz default now());
    create index on shop.orders (at);
    create view shop.cheap as select * from shop.products where price < 5;
    create materialized view shop.sold as select product, count(*) as n from shop.orders group by 1;
    create function shop.total() returns numeric language sql as 'select sum(price) from shop.products';
    create function shop.touch() returns trigger language plpgsql as 'begin return new; end';
    create trigger touch before update on shop.orders for each row execute procedure shop.touch();
    insert into shop.products (name, price) select 'product ' || i, 1 + i % 10 from generate_series(1, 3000) i;
    insert into shop.orders (product) select 1 + i % 3000 from generate_series(1, 10000) i;
    refresh materialized view shop.sold;
    select lo_from_bytea(0, 'large');
    analyze;
";

fn as_role(conninfo: &str, role: &str) -> String {
    format!("{conninfo} user={role}")
}

#[test]
fn an_ordinary_owner_moves_what_a_reader_may_read() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    source.psql("postgres", "create role reader login; create role seller");
    source.psql("postgres", "grant pg_read_all_data to reader");
    target.psql("postgres", "create role owner login");
    for (database, fixture) in [("shop", None), ("mastodon", Some("mastodon.sql"))] {
        let from = source.database(database);
        if let Some(fixture) = fixture {
            build(&source, database, fixture, "scale=0.005");
        } else {
            source.psql(database, SHOP);
            // A role that the target does not have is no obstacle when neither owners nor grants are moved; a large object
            // that belongs to somebody else would be.
            source.psql(
                database,
                "alter table shop.orders owner to seller; grant select on shop.products to seller;
                 select lo_unlink(oid) from pg_largeobject_metadata",
            );
        }
        let to = target.database(database);
        target.psql(
            "postgres",
            &format!("alter database {database} owner to owner"),
        );
        let run = move_with(
            &as_role(&from, "reader"),
            &as_role(&to, "owner"),
            &["--no-owner", "-x"],
        );
        assert_proven(&run);
        assert_no_ledger(&target, database);
        assert_equal(database, &from, &to, &["--no-owner", "--no-acl"]);
        let foreign = target.psql(
            database,
            "select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname in ('shop', 'public') and pg_get_userbyid(c.relowner) <> 'owner'",
        );
        assert_eq!(foreign, "", "not all belongs to the role that connected");
    }
    // pg_dump shows no subscription to a role that is no superuser.
    source.psql(
        "shop",
        "create subscription news connection 'dbname=nowhere' publication p with (connect = false)",
    );
    for server in [&source, &target] {
        server.psql(
            "shop",
            "create foreign data wrapper w; create server far foreign data wrapper w;
             create user mapping for public server far options (password 'hush')",
        );
    }
    let from = as_role(&source.conninfo("shop"), "reader");
    let to = as_role(&target.conninfo("shop"), "owner");
    let fixed = ["verify", "--source", &from, "--target", &to];
    let verify = |more: &[&str]| Pgconvoy::new(fixed.iter().chain(more)).run();
    let unseen = verify(&["--no-owner", "-x"]);
    assert_eq!(unseen.status, 1, "{unseen}");
    for what in ["subscription news", "user mapping public SERVER far"] {
        assert!(unseen.stderr.contains(what), "{what}: {unseen}");
    }
    for server in [&source, &target] {
        server.psql("shop", "drop foreign data wrapper w cascade");
    }
    let left_out = verify(&["--no-owner", "-x", "--no-subscriptions"]);
    assert_eq!(left_out.status, 0, "{left_out}");
}

/// Owners come with each object, and grants at the end: who owns what lies in somebody else's schema may create nothing there in between.
#[test]
fn an_owner_that_may_create_nothing_in_the_schema_is_told_of_before() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(16)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    for server in [&source, &target] {
        server.psql("postgres", "create role billing; create role app");
    }
    source.psql(
        "shop",
        "create schema billing authorization billing;
         grant usage, create on schema billing to app;
         grant create on schema public to app;
         create table billing.invoices (id int primary key);
         create table items (id int primary key);
         insert into billing.invoices select generate_series(1, 10);
         alter table billing.invoices owner to app;
         alter table items owner to app",
    );
    target.psql(
        "shop",
        "create role mover login; grant billing, app to mover; alter database shop owner to mover",
    );
    let to_as_mover = as_role(&to, "mover");
    let is_told_to = |role: &str| {
        let to = as_role(&to, role);
        let ends = ["--source", &from, "--target", &to];
        let run = Pgconvoy::new([&["check", "--json", "--no-measure"][..], &ends].concat()).run();
        run.stdout.contains("owners-without-create")
    };
    assert!(!is_told_to("postgres"), "a superuser gives to everybody");
    let both = |what: &str, in_billing: &str, app: &str| {
        target.psql("shop", &format!("{what} create on schema public {app}"));
        target.psql("shop", &format!("{what} {in_billing} {app}"));
    };
    both("grant", "billing", "to app");
    assert!(!is_told_to("mover"), "it may create in both");
    both("revoke", "billing", "from app");
    let refused = move_with(&from, &to_as_mover, &[]);
    assert_eq!(refused.status, 4, "{refused}");
    let said: Vec<&str> = refused.stderr.split_whitespace().collect();
    let both_named = "in the objects' schema: \"app\" in \"billing\" and \"app\" in \"public\"";
    assert!(said.join(" ").contains(both_named), "{refused}");

    // What it foretells happens, and what it says to do then works.
    let passing_over = ["--skip-check", "owners-without-create"];
    let failed = move_with(&from, &to_as_mover, &passing_over);
    assert_eq!(failed.status, 1, "{failed}");
    for schema in ["billing", "public"] {
        let error = format!("permission denied for schema {schema}");
        assert!(failed.stderr.contains(&error), "{error}: {failed}");
    }
    both("grant", "create on schema billing", "to app");
    let run_dir = failed.path(RUN_DIR).display().to_string();
    let resumed = Pgconvoy::new(["resume", &run_dir, "--retry-failed"]).run();
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_equal("shop", &from, &to, &[]);
}

/// A server with scram on every road, TLS, and the certificate of an authority.
fn scram_server(major: u32, authority: &Authority) -> Option<Server> {
    let server = Server::start_with(major, |options| ClusterOptions {
        password: Some(SECRET.to_owned()),
        auth_method: "scram-sha-256".to_owned(),
        listen_tcp: true,
        ..options
    })?;
    let signed = authority.sign(&Wish {
        common_name: "the server",
        alternative_names: &["localhost"],
        serial: 7,
        ..Wish::default()
    });
    let cluster = &server.cluster;
    cluster
        .write_data_file("server.crt", signed.certificate.as_bytes())
        .expect("written");
    cluster
        .write_data_file("server.key", signed.key.as_bytes())
        .expect("written");
    cluster
        .write_data_file(
            "pg_hba.conf",
            b"local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
        )
        .expect("written");
    cluster
        .configure(&[("ssl".to_owned(), "on".to_owned())])
        .expect("configured");
    cluster.reload().expect("reloaded");
    // The server says nothing when it is done; until then it refuses, and we wait.
    server.psql("postgres", "select pg_sleep(0.5)");
    Some(server)
}

#[test]
fn over_tls_with_the_password_in_pgpass_alone() {
    let authority = Authority::new("an authority");
    let (Some(source), Some(target)) = (scram_server(15, &authority), scram_server(15, &authority))
    else {
        return;
    };
    source.database("shop");
    source.psql("shop", SHOP);
    target.database("shop");
    let conninfo = |server: &Server, root: &Path| {
        format!(
            "host=localhost hostaddr=127.0.0.1 port={} user=postgres dbname=shop sslmode=verify-full sslrootcert={}",
            server.cluster.port(),
            root.display()
        )
    };
    let files = tempfile::tempdir().expect("a directory");
    let root = files.path().join("root.crt");
    fs::write(&root, &authority.pem).expect("written");
    let pgpass = files.path().join("pgpass");
    let line = |server: &Server| {
        format!(
            "localhost:{}:shop:postgres:{SECRET}\n",
            server.cluster.port()
        )
    };
    fs::write(&pgpass, line(&source) + &line(&target)).expect("written");
    fs::set_permissions(&pgpass, fs::Permissions::from_mode(0o600)).expect("changed");

    let (from, to) = (conninfo(&source, &root), conninfo(&target, &root));
    let without = move_with(&from, &to, &[]);
    assert_eq!(without.status, 2, "{without}");

    let stranger = files.path().join("stranger.crt");
    fs::write(&stranger, Authority::new("a stranger").pem).expect("written");
    let unknown = prepare(&from, &conninfo(&target, &stranger), &[])
        .env("PGPASSFILE", &pgpass)
        .run();
    assert_eq!(unknown.status, 2, "{unknown}");

    let mut run = prepare(&from, &to, &["-v"])
        .env("PGPASSFILE", &pgpass)
        .env("PGCONVOY_PG_BIN", distribution_tools())
        .start();
    let seen = watch_processes(&mut run);
    let run = run.finish();
    assert_proven(&run);
    assert_equal(
        "shop",
        &source.conninfo("shop"),
        &target.conninfo("shop"),
        &[],
    );
    assert!(seen.iter().any(|line| line.contains("pg_dump")), "{seen:?}");
    assert!(!seen.iter().any(|line| line.contains(SECRET)), "{seen:?}");
    assert!(!run.stdout.contains(SECRET) && !run.stderr.contains(SECRET));
    assert_not_in_files(&run.path(RUN_DIR));
}

#[test]
fn a_password_in_the_connection_string_shows_nowhere() {
    let authority = Authority::new("an authority");
    let (Some(source), Some(target)) = (scram_server(15, &authority), scram_server(15, &authority))
    else {
        return;
    };
    source.database("shop");
    source.psql("shop", SHOP);
    target.database("shop");
    let uri = |server: &Server| {
        format!(
            "postgresql://postgres:{SECRET}@127.0.0.1:{}/shop?sslmode=require",
            server.cluster.port()
        )
    };
    let mut run = prepare(&uri(&source), &uri(&target), &["-v", "--json"])
        .env("PGCONVOY_PG_BIN", distribution_tools())
        .start();
    // It has been there for a moment, and then never again.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let seen = watch_processes(&mut run);
    let run = run.finish();
    assert_proven(&run);
    assert!(!seen.is_empty());
    assert!(!seen.iter().any(|line| line.contains(SECRET)), "{seen:?}");
    assert!(!run.stdout.contains(SECRET) && !run.stderr.contains(SECRET));
    assert_not_in_files(&run.path(RUN_DIR));

    // Nor in what it says when it is wrong.
    let wrong = uri(&target).replace(SECRET, &format!("{SECRET}-not"));
    let refused = move_with(&uri(&source), &wrong, &["--overwrite", "shop"]);
    assert_eq!(refused.status, 2, "{refused}");
    assert!(!refused.stdout.contains(SECRET) && !refused.stderr.contains(SECRET));
}

/// Client tools that know TLS: the newest ones of the tests, which come from elsewhere, don't.
fn distribution_tools() -> String {
    let found = servers()
        .into_iter()
        .find(|install| install.bin_dir.starts_with("/usr") && install.has_client_tools());
    let install = found.expect("the distribution's server and its tools (make test installs them)");
    install.bin_dir.display().to_string()
}

/// The arguments of the run and its children, as long as it runs: what `ps` shows to everybody.
fn watch_processes(run: &mut crate::support::binary::Running) -> Vec<String> {
    let mut seen = Vec::new();
    while run.is_running() {
        for pid in family(run.pid()) {
            let Ok(arguments) = fs::read(format!("/proc/{pid}/cmdline")) else {
                continue;
            };
            let line = String::from_utf8_lossy(&arguments).replace('\0', " ");
            if !line.is_empty() && !seen.contains(&line) {
                seen.push(line);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    seen
}

fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    for task in tasks {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        family.extend(
            children
                .split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    family
}

fn assert_not_in_files(directory: &Path) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        if entry.path().is_dir() {
            assert_not_in_files(&entry.path());
        } else {
            let bytes = fs::read(entry.path()).expect("readable");
            let found = bytes
                .windows(SECRET.len())
                .any(|window| window == SECRET.as_bytes());
            assert!(!found, "the password is in {}", entry.path().display());
        }
    }
}
