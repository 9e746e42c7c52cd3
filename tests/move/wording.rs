//! Definitions that the target's server words otherwise than the source's, and that are the same: proven, also for whoever compares again
//! or brings the target over. What only looks alike is told apart.

use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{assert_proven, move_with};
use crate::support::server::Server;

/// Floating-point constants wherever a schema has some.
const FLOATS: &str = "
    create table fl (id int primary key, a float8 default '0.1', r real default '0.1', c float8 default '1e300' check (c > '0.3'::float8),
        d point default '(0.1,0.2)', l float8[] default '{0.1,0.2}', b box default '(0.1,0.2),(0.3,0.4)');
    create index on fl (a) where a > '0.1'::float8;
    create view flv as select a * '0.1'::float8 as x from fl where r < '0.7'::real;
    create function f(a float8 default '0.1') returns float8 language sql as 'select a';
    create function t() returns trigger language plpgsql as 'begin return new; end';
    create trigger t before update on fl for each row when (new.a > '0.7'::float8) execute procedure t();
    create domain share as float8 check (value between '0.1'::float8 and '0.9'::float8);
    create table p (a float8, t text) partition by range (a);
    create table p1 partition of p for values from ('0.1') to ('0.3');
    create table w (a float8, t text) partition by range (t, a);
    create table w1 partition of w for values from ('0.100000000000000006', '0.1') to ('b', '0.3');
    insert into fl (id) select generate_series(1, 100);
    insert into p values (0.1, 'first'), (0.2, 'second');
    insert into w values ('0.2', '0.2');
";

/// What the defaults and the bounds are, to the last bit.
const FLOATS_BY_BITS: &str = "
    insert into fl (id) values (1000);
    select float8send(a), float4send(r), float8send(c), point_send(d), array_send(l), box_send(b), float8send(f()) from fl where id = 1000;
    select tableoid::regclass, t from p order by t";

fn sides(command: &str, from: &str, to: &str) -> Finished {
    Pgconvoy::new([command, "--source", from, "--target", to]).run()
}

/// Changes the target, and has both compared: exit status 3, and what differs is named.
#[track_caller]
fn assert_told_apart((from, to): (&str, &str), target: &Server, change: &str, named: &str) {
    target.psql("db", change);
    let compared = sides("verify", from, to);
    assert_eq!(compared.status, 3, "{change}: {compared}");
    let named = format!("differs: {named}\n");
    assert!(compared.stderr.contains(&named), "{change}: {compared}");
    let count = compared.stderr.matches("differs: ").count();
    assert_eq!(count, 1, "{change}: {compared}");
}

#[test]
fn floats_of_11_are_the_same_on_18_in_fewer_digits() {
    let (Some(source), Some(target)) = (Server::start(11), Server::start(18)) else {
        return;
    };
    let (from, to) = (source.database("db"), target.database("db"));
    source.psql("db", FLOATS);
    assert_proven(&move_with(&from, &to, &[]));
    let compared = sides("verify", &from, &to);
    assert_eq!(compared.status, 0, "{compared}");

    let bits = source.psql("db", FLOATS_BY_BITS);
    assert_eq!(target.psql("db", FLOATS_BY_BITS), bits);
    source.psql(
        "db",
        "insert into fl (id) values (1001); delete from p where t = 'first'",
    );
    let synced = sides("sync", &from, &to);
    assert_eq!(synced.status, 0, "{synced}");
    let rows = "select count(*), max(id) from fl; select count(*) from p";
    assert_eq!(target.psql("db", rows), source.psql("db", rows), "{synced}");

    // The next number there is.
    assert_told_apart(
        (&from, &to),
        &target,
        "alter table fl alter a set default '0.10000000000000002'",
        "table public.fl",
    );
    target.psql("db", "alter table fl alter a set default '0.1'");
    // A text is what it says.
    assert_told_apart(
        (&from, &to),
        &target,
        "alter table w detach partition w1;
         alter table w attach partition w1 for values from ('0.1', '0.1') to ('b', '0.3')",
        "table attach public.w1",
    );
}

#[test]
fn bits_and_xml_of_10_are_the_same_on_18() {
    let (Some(source), Some(target)) = (Server::start(10), Server::start(18)) else {
        return;
    };
    let (from, to) = (source.database("db"), target.database("db"));
    source.psql(
        "db",
        "create table b (id int primary key, a bit(3) default B'101', v bit varying(5) default B'1', x xml, check (a <> B'111'));
         create index on b ((a & B'101'));
         create view bv as select B'1'::bit(1) as one, a = B'101' as is_it from b where a in (B'101', B'110');
         create table bp (a bit(3)) partition by list (a);
         create table bp1 partition of bp for values in ('101', '111');
         create view bx as select id, xmlserialize(content x as text) as x, v from b;
         insert into b (id) select generate_series(1, 10); insert into bp values ('111');",
    );
    assert_proven(&move_with(&from, &to, &[]));
    let synced = sides("sync", &from, &to);
    assert_eq!(synced.status, 0, "{synced}");
    let default = "insert into b (id) values (11) returning a, v; select * from bv; select tableoid::regclass, a from bp";
    assert_eq!(target.psql("db", default), source.psql("db", default));

    assert_told_apart(
        (&from, &to),
        &target,
        "create or replace view bx as select id, xmlserialize(content x as text indent) as x, v from b",
        "view public.bx",
    );
    target.psql(
        "db",
        "create or replace view bx as select id, xmlserialize(content x as text) as x, v from b",
    );
    assert_told_apart(
        (&from, &to),
        &target,
        "alter table b alter v set default B'0'",
        "table public.b",
    );
}
