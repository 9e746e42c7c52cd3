//! By what replication finds the rows that are changed: tables by which it would find none are named before they are published, what is said
//! of them helps, and what a table had is given back, whatever else has become of it.

use std::time::Duration;

use crate::scene::{DATABASE, SCHEMA, Scene, named, schema, start};
use crate::support::binary::Pgconvoy;
use crate::support::moving::{RUN_DIR, assert_proven};

/// Of none of these does replication find the rows, or of none of them by a full replica identity.
const UNFOUND: &str = "
    create table public.deferred (id int4 primary key deferrable initially deferred, v text);
    create table public.keyed (id int4 not null, v text, g int4 generated always as (id) stored primary key);
    create table public.told (id int4, v json);
    create table public.stored (id int4, v text, g int4 generated always as (id) stored);
    create table public.plain (id int4, v text);
    create table public.chosen (id int4 not null constraint ax unique, v text);
    alter table public.chosen replica identity using index ax;
    insert into public.deferred values (1, 'old');
    insert into public.keyed values (1, 'old');
    insert into public.told values (1, '\"old\"');
    insert into public.stored values (1, 'old');
    insert into public.plain values (1, 'old');
    insert into public.chosen values (1, 'old');
";

/// As it is said of them. Of `deferred`, a flag does.
const FOUND: &str = "
    alter table public.keyed add unique (id);
    alter table public.keyed replica identity using index keyed_id_key;
    alter table public.told add primary key (id);
";

const VALUES: &str = "
    select concat_ws(' ', (select v from public.deferred), (select v from public.keyed), (select v::text from public.told),
        (select v from public.stored), (select v from public.chosen))";

const WRITES: &str = "
    update public.deferred set v = v || 'er';
    update public.keyed set v = v || 'er';
    update public.told set v = '\"older\"';
    update public.stored set v = v || 'er';
    update public.chosen set v = v || 'er';
";

fn flags<'a>(tables: &[&'a str]) -> Vec<&'a str> {
    let flags = tables
        .iter()
        .map(|&table| ["--replica-identity-full", table]);
    flags.flatten().collect()
}

/// The same on both sides, of which one is closed.
fn on_both(scene: &Scene<'_>, sql: &str) {
    for server in [scene.source, scene.target] {
        let sql = format!("set default_transaction_read_only = off; {sql}");
        server.psql(DATABASE, &sql);
    }
}

#[test]
fn tables_whose_rows_would_not_be_found_are_named_and_what_is_said_helps() {
    let (Some(source), Some(target)) = (start(16), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, &format!("{SCHEMA} {UNFOUND}"));
    let before = Scene::traces(&source);
    let full = [
        "public.told",
        "public.stored",
        "public.plain",
        "public.chosen",
    ];
    let refused = scene.follow(&flags(&full)).run();
    assert_eq!(refused.status, 4, "{refused}");
    assert_eq!(
        named(&refused.stderr),
        ["follow-replica-identity"; 3],
        "{refused}"
    );
    for said in [
        "DEFERRABLE, by which replication finds no rows, and once they are published, UPDATE and DELETE of them would fail on the source: \
         public.deferred",
        "or --replica-identity-full public.deferred",
        "a generated column in their key, which replication does not carry, and the first UPDATE or DELETE of them on the source would stop \
         replication for good: public.keyed",
        "of types that have no equality, and the first UPDATE or DELETE of them on the source would stop replication for good: public.told (v)",
    ] {
        assert!(refused.stderr.contains(said), "{said}: {refused}");
    }
    // It would not do.
    assert!(
        !refused
            .stderr
            .contains("--replica-identity-full public.keyed"),
        "{refused}"
    );
    assert_eq!(Scene::traces(&source), before, "{refused}");

    source.psql(DATABASE, FOUND);
    let before = Scene::traces(&source);
    let full = [&full[..], &["public.deferred"]].concat();
    let moved = scene.follow(&flags(&full)).run();
    assert_proven(&moved);
    assert_eq!(
        named(&moved.stderr),
        [
            "follow-not-carried",
            "follow-log-kept",
            "follow-no-way-back"
        ],
        "{moved}"
    );
    let lacks =
        "publishes no tables with a full replica identity and generated columns: public.stored";
    assert!(moved.stderr.contains(lacks), "{moved}");
    source.psql(DATABASE, WRITES);
    scene.await_same(VALUES);

    over_and_back(&scene);
    part(&scene, &before);
}

/// What only the target would not publish is refused at the turn, and what has another name by now keeps nobody from it.
fn over_and_back(scene: &Scene<'_>) {
    on_both(
        scene,
        "create function public.f() returns trigger language plpgsql as 'begin return new; end';
         create trigger loud after insert on public.told for each row execute function public.f();
         alter table public.told enable always trigger loud;",
    );
    let refused = scene.command("cutover", &[]).run();
    assert_eq!(refused.status, 4, "{refused}");
    assert_eq!(
        named(&refused.stderr),
        ["turn-firing-triggers", "turn-replica-identity"],
        "{refused}"
    );
    for said in [
        "for every row that comes back: loud on public.told",
        "and once the target is in service, UPDATE and DELETE of them would fail there: public.stored",
    ] {
        assert!(refused.stderr.contains(said), "{said}: {refused}");
    }
    assert!(
        !refused.stderr.contains("REPLICA IDENTITY FULL"),
        "{refused}"
    );
    on_both(
        scene,
        "drop function public.f() cascade;
         alter table public.stored add primary key (id);
         alter table public.stored replica identity default;
         alter table public.plain rename to renamed;
         alter table public.chosen drop constraint ax;",
    );
    scene.run("cutover", &[]);
    scene.target.psql(DATABASE, WRITES);
    scene
        .target
        .psql(DATABASE, "update public.renamed set v = 'new'");
    scene.await_same(VALUES);
    scene.await_same("select v from public.renamed");
    scene.run("fallback", &[]);
}

/// What is not there any more is named, and everything else is as it was.
fn part(scene: &Scene<'_>, before: &str) {
    let parted = scene.run("unfollow", &[]);
    for said in [
        "public.plain is not there any more: if it has another name now",
        "public.chosen: index ax, its replica identity before, is not there any more",
    ] {
        assert!(parted.stderr.contains(said), "{said}: {parted}");
    }
    let now = before
        .replace("identity|choseni", "identity|chosend")
        .replace("identity|plaind", "identity|renamedf");
    assert_ne!(now, before);
    assert_eq!(Scene::traces(scene.source), now, "{parted}");
    // Nothing keeps the source's log any more.
    let slots = "select count(*) from pg_replication_slots";
    assert_eq!(scene.source.psql(DATABASE, slots), "0", "{parted}");
}

#[test]
fn a_table_keeps_its_replica_identity_as_long_as_anybody_follows_it() {
    let (Some(source), Some(target)) = (start(18), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, SCHEMA);
    let before = Scene::traces(&source);
    assert_proven(&scene.follow(&[]).run());
    let (from, other) = (scene.from(), target.database("other"));
    let second = Pgconvoy::new([
        "move",
        "--source",
        &from,
        "--target",
        &other,
        "--run-dir",
        RUN_DIR,
        "--follow",
        "--allow-source-objects",
        "--replica-identity-full",
        "public.bare",
    ]);
    // It is full already: only the first one has written down what was before.
    assert_proven(&second.run());
    scene.run("cutover", &[]);
    scene.run("unfollow", &[]);
    // The source is open again, and the second one follows it.
    source.psql(
        DATABASE,
        "insert into public.bare values (1, 1); update public.bare set n = 2; delete from public.bare",
    );
    let identity = "select relreplident from pg_class where oid = 'public.bare'::regclass";
    assert_eq!(source.psql(DATABASE, identity), "f");
    let parted = Pgconvoy::new(["unfollow", "--target", &other]).run();
    assert_eq!(parted.status, 0, "{parted}");
    assert_eq!(Scene::traces(&source), before, "{parted}");
}

#[test]
fn a_truncate_does_not_stop_the_way_back_to_a_server_that_knows_none() {
    let (Some(source), Some(target)) = (start(10), start(18)) else {
        return;
    };
    let scene = Scene::filled(&source, &target, &schema(10));
    assert_proven(&scene.follow(&[]).run());
    let turned = scene.run("cutover", &[]);
    let told = "which takes no TRUNCATE by replication";
    assert!(turned.stderr.contains(told), "{turned}");
    // A row with a key that is there still stops it, and what is said of that helps.
    target.psql(
        DATABASE,
        "truncate aside.few; insert into aside.few values (1, 'new'); insert into public.bare values (8, 8)",
    );
    std::thread::sleep(Duration::from_secs(1));
    let come = "select count(*) from public.bare";
    assert_eq!(source.psql(DATABASE, come), "0", "it stands");
    source.psql(DATABASE, "begin read write; truncate aside.few; commit");
    scene.await_same("select what from aside.few");

    target.psql(
        DATABASE,
        "truncate aside.few; insert into public.bare values (9, 9)",
    );
    scene.await_same(come);
    let rows = "select count(*) from aside.few";
    assert_eq!(source.psql(DATABASE, rows), "1", "it has come");
    // It is brought over, and named: the two differed in what replication carries.
    let returned = scene.command("fallback", &[]).run();
    assert_eq!(returned.status, 6, "{returned}");
    assert!(returned.stderr.contains("aside.few"), "{returned}");
    assert_eq!(source.psql(DATABASE, rows), "0", "{returned}");
    assert_eq!(scene.open(), (true, false), "{returned}");
}
