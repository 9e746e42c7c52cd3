//! What keeps a database from being created like the source's.

use super::support::server::Server;
use super::{assert_silent, assert_told, looked, remedy};

#[test]
fn a_database_that_cannot_be_created_is_foretold() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(16)) else {
        return;
    };
    let rules = ["target-createdb", "database-tablespace", "database-locale"];
    let mover = "create role mover login; create role owner_of_it; grant owner_of_it to mover;";
    source.psql("postgres", mover);
    target.psql("postgres", mover);
    let place = source.cluster.create_dir("fast").expect("made");
    source.psql(
        "postgres",
        &format!("create tablespace fast location '{}'", place.display()),
    );
    source.psql(
        "postgres",
        "create database shop template template0 tablespace fast lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8' owner owner_of_it",
    );
    // As on a machine that does not have it.
    target.psql(
        "postgres",
        "delete from pg_collation where collname ~* '^c\\.utf'",
    );
    let from = source.conninfo("shop");
    let to = target.conninfo("shop");
    let to = to.replace("user='postgres'", "user=mover");
    let options = ["--no-measure", "--create"];
    let check = looked(&from, &to, &options, 4);
    assert_told(&check, "blocker", &rules[..2]);
    assert_told(&check, "warning", &rules[2..]);

    let pasted = remedy(&check, rules[0]).split_once('\n');
    target.psql("postgres", pasted.expect("a statement").1);
    let place = target.cluster.create_dir("fast").expect("made");
    target.psql(
        "postgres",
        &format!(
            "create tablespace fast location '{}'; grant create on tablespace fast to mover, owner_of_it; \
             select pg_import_system_collations('pg_catalog')",
            place.display()
        ),
    );
    let check = looked(&from, &to, &options, 0);
    assert_silent(&check, &rules);
}
