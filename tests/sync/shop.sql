-- A database with everything that makes bringing it over hard.
create schema shop;
create table shop.customers (
    id serial primary key,
    email text not null unique,
    name text,
    parent int references shop.customers on delete cascade
);
insert into shop.customers (email, name, parent)
    select 'c' || g || '@example.org', 'customer ' || g, case when g % 10 = 0 then g - 1 end from generate_series(1, 2000) g;
create table shop.orders (
    gone int,
    id bigint generated always as identity primary key,
    customer int not null references shop.customers on delete cascade on update cascade,
    note text,
    total numeric(10, 2),
    doubled numeric generated always as (total * 2) stored
);
alter table shop.orders drop column gone;
insert into shop.orders (customer, note, total) select 1 + g % 2000, 'order ' || g, g * 1.10 from generate_series(1, 20000) g;

-- Every change writes a line; on the target none of these may be written by us.
create table shop.audit (id bigserial primary key, what text, line text);
create function shop.note() returns trigger language plpgsql as $$
  begin
    insert into shop.audit (what, line) values (tg_table_name || ' ' || tg_op, coalesce(new::text, old::text));
    return null;
  end
$$;
create trigger noted after insert or update or delete on shop.orders for each row execute function shop.note();
create trigger always_noted after insert or update or delete on shop.customers for each row execute function shop.note();
alter table shop.customers enable always trigger always_noted;
create rule kept as on delete to shop.orders where old.note = 'keep' do instead nothing;

-- Unique values that are swapped.
create table shop.slots (id int primary key, place int not null unique, label text unique deferrable initially deferred);
insert into shop.slots select g, g, 'l' || g from generate_series(1, 3000) g;

-- Keys of several columns, and of a type with an order of its own.
create table shop.tags (a text collate "C", b text, note text, primary key (a, b));
insert into shop.tags select 'a' || g % 100, 'b''' || g, null from generate_series(1, 12000) g;
create table shop.docs (id uuid primary key, body text);
insert into shop.docs select md5(g::text)::uuid, repeat('x', g % 300) from generate_series(1, 12000) g;

-- No key: rows that are there several times. A publication wants an identity of them.
create table shop.log (line text, n int, real float8);
insert into shop.log select 'line ' || g % 50, g % 3, case when g % 7 = 0 then '-0'::float8 else 0 end from generate_series(1, 15000) g;
create table shop.nothing ();
insert into shop.nothing select from generate_series(1, 5);
create publication everything for all tables;

-- Partitions, by range and, so that they differ between servers, by hash of an enum.
create table shop.events (id int, day date not null, what text, primary key (id, day)) partition by range (day);
create table shop.events_1 partition of shop.events for values from ('2024-01-01') to ('2024-07-01');
create table shop.events_2 partition of shop.events for values from ('2024-07-01') to ('2025-01-01');
create table shop.events_rest partition of shop.events default;
create trigger part_noted after insert or update or delete on shop.events for each row execute function shop.note();
insert into shop.events select g, date '2024-01-01' + g % 400, 'e' || g from generate_series(1, 4000) g;
create table shop.about_events (id int primary key, event int, day date, foreign key (event, day) references shop.events);
insert into shop.about_events select id, id, day from shop.events where id <= 100;
create type shop.mood as enum ('good', 'bad', 'ugly');
create table shop.moods (m shop.mood, id int) partition by hash (m);
create table shop.moods_0 partition of shop.moods for values with (modulus 2, remainder 0);
create table shop.moods_1 partition of shop.moods for values with (modulus 2, remainder 1);
insert into shop.moods select m, g from generate_series(1, 20) g, unnest(enum_range(null::shop.mood)) m;

create table shop.parent (id int primary key, t text);
create table shop.child (extra int, primary key (id)) inherits (shop.parent);
insert into shop.parent select g, 'p' from generate_series(1, 20) g;
insert into shop.child select g, 'c', g from generate_series(1, 20) g;

create materialized view shop.totals as select customer, sum(total) as total from shop.orders group by customer;
create materialized view shop.grand_total as select sum(total) as total from shop.totals;
create materialized view shop.untouched as select count(*) as n from shop.parent;

select lo_from_bytea(700001, 'one'), lo_from_bytea(700002, 'two'), lo_from_bytea(700003, 'three'), lo_from_bytea(700004, 'four');
comment on large object 700003 is 'a comment';
