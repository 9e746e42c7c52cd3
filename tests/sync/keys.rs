//! Keys that rows cannot be told by in a statement, and columns that are called a key's and may be none.

use crate::scene::{Scene, prepare, quiet};
use crate::support::moving::{assert_equal, assert_proven, move_with};

const SCHEMA: &str = "
    create extension ltree schema public;
    create table tree (path ltree primary key, v text);
    insert into tree select ('top.n' || g)::ltree, 'row ' || g from generate_series(1, 500) g;
    create table loose (k text, v text);
    insert into loose values ('a', 'one'), (null, 'two'), (null, 'three'), ('', 'four');
    create unique index on loose (k);
    alter table loose add constraint k_not_null not null k not valid;
";

#[test]
fn a_key_that_is_none_or_cannot_be_named_is_no_obstacle() {
    let (Some(source), Some(target)) = (quiet(18), quiet(18)) else {
        return;
    };
    let scene = Scene {
        source: &source,
        target: &target,
        database: "keys",
    };
    let (from, to) = (source.database("keys"), target.database("keys"));
    source.psql("keys", SCHEMA);
    assert_proven(&move_with(&from, &to, &[]));
    // An empty key is another one than none at all, of which there are two.
    source.psql(
        "keys",
        "update tree set v = 'another' where path = 'top.n7'; update loose set v = 'changed' where k = ''",
    );
    let synced = prepare(&from, &to, &[]).run();
    assert_eq!(synced.status, 0, "{synced}");
    assert_equal("after the sync", &scene.from(), &scene.to(), &[]);

    // What an extension writes down for itself stops nobody, and stays where it is.
    for server in [&source, &target] {
        let kept = "create table kept (v int); alter extension ltree add table kept";
        server.psql("keys", kept);
    }
    source.psql(
        "keys",
        "insert into kept values (1); delete from tree where path = 'top.n7'",
    );
    let synced = prepare(&from, &to, &[]).run();
    assert_eq!(synced.status, 0, "{synced}");
    let left = "select (select count(*) from tree), (select count(*) from kept)";
    assert_eq!(target.psql("keys", left), "499|0", "{synced}");
}
