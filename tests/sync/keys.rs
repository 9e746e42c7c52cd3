//! Keys that rows cannot be told by in a statement, and columns that are called a key's and may be none.

use crate::scene::{Scene, figures, prepare, quiet};
use crate::support::binary::Pgconvoy;
use crate::support::moving::{RUN_DIR, assert_equal, assert_proven, move_with, report};

const SCHEMA: &str = "
    create extension ltree schema public;
    create table tree (path ltree primary key, v text);
    insert into tree select ('top.n' || g)::ltree, 'row ' || g from generate_series(1, 500) g;
    create table loose (k text, v text);
    insert into loose values ('a', 'one'), (null, 'two'), (null, 'three'), ('', 'four');
    create unique index on loose (k);
    alter table loose add constraint k_not_null not null k not valid;
    create table registered (tab regclass primary key, v text);
    insert into registered values ('tree', 'one'), ('loose', 'two');
    create type pair as (a int, b text);
    create table paired (p pair primary key, v text);
    insert into paired values ((1, ''), 'one'), ((2, 'x'), 'two');
    create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table cased (name text collate blind not null, v text);
    create unique index on cased (name collate \"C\");
    insert into cased values ('a', 'one'), ('A', 'two');
    create table priced (k numeric primary key, v text);
    insert into priced select g, 'row' from generate_series(1, 12000) g;
";
const CHANGES: &str = "
    update tree set v = 'another' where path = 'top.n7';
    update loose set v = 'changed' where k = '';
    update registered set v = 'changed' where tab = 'tree'::regclass;
    update paired set v = 'changed' where p = (1, '')::pair;
    update cased set v = 'changed' where name = 'a' collate \"C\";
    update priced set k = (k || '.0')::numeric where k <= 700;
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
    source.psql("keys", CHANGES);
    // Where the source has none at all, the target is given none, although it would take none from others.
    target.psql("keys", "delete from loose where v = 'three'");
    let ends = ["verify", "--source", from.as_str(), "--target", to.as_str()];
    let verified = Pgconvoy::new(ends.iter().chain(&["--run-dir", RUN_DIR])).run();
    assert_eq!(verified.status, 3, "{verified}");
    let said = report(&verified)["differences"].to_string();
    for told in ["tab = public.tree", "1 row has other values: p = "] {
        assert!(said.contains(told), "{told}: {verified}");
    }
    let synced = prepare(&from, &to, &[]).run();
    assert_eq!(synced.status, 0, "{synced}");
    assert_equal("after the sync", &scene.from(), &scene.to(), &[]);
    let done = &report(&synced)["synced"];
    for table in ["registered", "paired"] {
        assert_eq!(figures(done, table), Some((0, 1, 0, false)), "{synced}");
    }
    // What is unique by its bytes is no key to a column that tells no case from the other.
    assert_eq!(figures(done, "cased"), Some((1, 0, 1, false)), "{synced}");
    // Two ways to write one number.
    assert_eq!(
        figures(done, "priced"),
        Some((700, 0, 700, false)),
        "{synced}"
    );

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
