//! What is set aside while rows are changed, and put back as it was.

use crate::scene::{Scene, figures, prepare, quiet};
use crate::support::moving::{assert_proven, move_with, report};
use crate::support::server::Server;

const OF_A_SUPERUSER: &str = "
    create table par (id int primary key, v text);
    create table ch (id int primary key, par int references par on delete cascade);
    insert into par select g, 'x' from generate_series(1, 10) g;
    insert into ch select g, g from generate_series(1, 10) g;
    create table odd (id int primary key, v int);
    insert into odd select g, case when g % 2 = 0 then g else -g end from generate_series(1, 2400) g;
    alter table odd add constraint positive check (v > 0) not valid;
    comment on constraint positive on odd is 'from now on';
    create domain small as int;
    create table smalls (v small);
    insert into smalls values (1), (-1);
    alter domain small add constraint positive check (value > 0) not valid;
    select lo_from_bytea(700001, 'one');
";
const ON_BOTH: &str = "
    do $$
      declare
        t name;
      begin
        for t in select tgname from pg_trigger where tgrelid = 'par'::regclass loop
            execute format('alter table par enable always trigger %I', t);
        end loop;
      end
    $$;
    alter default privileges grant select on large objects to public;
";

/// Foreign keys that cascade even in replication, checks that the source's own rows do not satisfy, and what is granted by default.
#[test]
fn what_fires_in_replication_and_what_old_rows_need_not_satisfy_is_set_aside() {
    let (Some(source), Some(target)) = (quiet(18), quiet(18)) else {
        return;
    };
    let scene = Scene {
        source: &source,
        target: &target,
        database: "aside",
    };
    let (from, to) = (source.database("aside"), target.database("aside"));
    source.psql("aside", OF_A_SUPERUSER);
    assert_proven(&move_with(&from, &to, &[]));
    for server in [&source, &target] {
        server.psql("aside", ON_BOTH);
    }
    source.psql(
        "aside",
        "update par set v = 'y' where id in (3, 4); update ch set par = 5 where id = 9;
         update odd set v = v + 2 where v > 0; select lo_put(700001, 0, 'two')",
    );
    target.psql("aside", "delete from smalls where v < 0");
    let done = scene.bring_over();
    assert_eq!(figures(&done, "par"), Some((0, 2, 0, false)), "{done}");
    assert!(
        figures(&done, "odd").is_some_and(|(.., anew)| anew),
        "{done}"
    );
    assert_eq!(figures(&done, "smalls"), Some((1, 0, 0, false)), "{done}");
    let children = "select count(*) from ch";
    assert_eq!(target.psql("aside", children), "10");
    let states =
        "select string_agg(tgenabled::text, '') from pg_trigger where tgrelid = 'par'::regclass";
    assert_eq!(target.psql("aside", states), "AA");
    let checks = "select count(*), count(obj_description(oid, 'pg_constraint')) from pg_constraint
                  where conname = 'positive' and not convalidated";
    assert_eq!(target.psql("aside", checks), "2|1");
}

const OF_AN_OWNER: &str = "
    set role owner;
    create table audit (line text);
    create function note() returns trigger language plpgsql as
        $$ begin insert into public.audit values (tg_name || ' ' || new.id); return null; end $$;
    create table par (id int primary key);
    create table pp (id int, d int) partition by range (d);
    create table pp1 (id int, d int, constraint own_name foreign key (id) references par);
    comment on constraint own_name on pp1 is 'its own';
    alter table pp add constraint top foreign key (id) references par;
    alter table pp attach partition pp1 for values from (0) to (100);
    create trigger noted after insert on pp for each row execute function note();
    create constraint trigger checked after insert on pp for each row execute function note();
    insert into par select generate_series(1, 20);
    insert into pp select g, g from generate_series(1, 10) g;
";

const POINTED: &str = "
    set role owner;
    create table pointed (id int primary key) partition by range (id);
    create table pointed1 partition of pointed for values from (0) to (10);
    create table pointing (r int constraint to_pointed references pointed);
    insert into pointed values (1), (2);
    reset role;
    do $$
      declare
        t name;
      begin
        for t in select tgname from pg_trigger where tgrelid = 'pointed1'::regclass loop
            execute format('alter table pointed1 enable always trigger %I', t);
        end loop;
      end
    $$;
";

/// Before 15, a partition's triggers count as the server's own: this server lets their owner disable them all the same.
#[test]
fn triggers_and_foreign_keys_of_partitions_are_set_aside_by_an_ordinary_owner() {
    let (Some(source), Some(target)) = (quiet(13), quiet(13)) else {
        return;
    };
    for server in [&source, &target] {
        server.psql("postgres", "create role owner login");
        server.psql(
            "postgres",
            "create database parts owner owner template template0",
        );
        server.psql("parts", OF_AN_OWNER);
    }
    source.psql(
        "parts",
        "insert into pp select g, g from generate_series(11, 15) g",
    );
    let to = format!("{} user=owner", target.conninfo("parts"));
    let run = prepare(&source.conninfo("parts"), &to, &[]).run();
    assert_eq!(run.status, 0, "{run}");
    let done = &report(&run)["synced"];
    assert_eq!(figures(done, "pp1"), Some((5, 0, 0, false)), "{run}");
    // Two lines for each row, all from the source.
    assert_eq!(figures(done, "audit"), Some((10, 0, 0, false)), "{run}");
    assert_eq!(target.psql("parts", "select count(*) from audit"), "30");
    let states =
        "select string_agg(tgname || ' ' || tgenabled::text, ', ' order by tgname) from pg_trigger
                  where tgrelid = 'pp1'::regclass and tgname in ('noted', 'checked')";
    assert_eq!(target.psql("parts", states), "checked O, noted O");
    let keys = "select conname, obj_description(oid, 'pg_constraint') from pg_constraint
                where conrelid = 'pp1'::regclass and contype = 'f'";
    assert_eq!(target.psql("parts", keys), "own_name|its own", "{run}");
    unusual_triggers_of_a_pointed_partition_are_not_reset(&source, &target);
}

/// What points to a partitioned table has triggers on each partition of it.
fn unusual_triggers_of_a_pointed_partition_are_not_reset(source: &Server, target: &Server) {
    for server in [source, target] {
        server.psql("parts", POINTED);
    }
    source.psql("parts", "insert into pointing values (2)");
    let states = "select string_agg(tgenabled::text, '') from pg_trigger where tgrelid = 'pointed1'::regclass";
    let to = format!("{} user=owner", target.conninfo("parts"));
    let run = prepare(&source.conninfo("parts"), &to, &[]).run();
    assert_eq!(run.status, 4, "{run}");
    let said =
        "the triggers of foreign key to_pointed of public.pointing are not in their usual state";
    assert!(run.stderr.contains(said), "{run}");
    assert_eq!(target.psql("parts", states), "AA");
}

const UNVIOLATED: &str = "
    create table tree (id int primary key, v int) partition by range (id);
    create table leaf partition of tree for values from (0) to (10);
    create table other partition of tree for values from (10) to (20);
    alter table tree add constraint positive check (v > 0) not valid;
    create table lost (id int not null, v text);
    create unique index identity on lost (id);
    insert into lost values (1, 'x'), (2, 'x');
    create publication everything for all tables;
    alter table lost replica identity using index identity;
    drop index identity;
    create function object() returns event_trigger language plpgsql as
        $$ begin raise exception 'nothing is to be altered'; end $$;
    create event trigger object on ddl_command_start when tag in ('ALTER TABLE') execute function object();
    alter event trigger object enable always;
";

/// What stands in nobody's way is not altered; and what is gone cannot be put back.
#[test]
fn what_is_in_nobodys_way_stays_and_what_is_gone_is_named() {
    let (Some(source), Some(target)) = (quiet(18), quiet(18)) else {
        return;
    };
    let scene = Scene {
        source: &source,
        target: &target,
        database: "stays",
    };
    for server in [&source, &target] {
        server.database("stays");
        server.psql("stays", UNVIOLATED);
    }
    source.psql(
        "stays",
        "insert into tree values (1, 1); insert into lost values (3, 'x')",
    );
    let run = scene.sync(&[]);
    assert_eq!(run.status, 0, "{run}");
    let rows = "select (select count(*) from leaf), (select count(*) from lost)";
    assert_eq!(target.psql("stays", rows), "1|3");

    // The server refuses it there as well, as long as that is published.
    source.psql(
        "stays",
        "drop publication everything; delete from lost where id = 2; create publication everything for all tables",
    );
    let run = scene.sync(&[]);
    assert_eq!(run.status, 4, "{run}");
    for said in [
        "rows of public.lost are to be deleted",
        "REPLICA IDENTITY FULL",
    ] {
        assert!(run.stderr.contains(said), "{said}: {run}");
    }
    assert_eq!(target.psql("stays", rows), "1|3");

    // Nobody refuses it where the publications are of other tables.
    for server in [&source, &target] {
        server.psql(
            "stays",
            "drop publication everything; create publication another for table other",
        );
    }
    let run = scene.sync(&[]);
    assert_eq!(run.status, 0, "{run}");
    assert_eq!(target.psql("stays", rows), "1|2");
}
