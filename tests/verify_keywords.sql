-- Names that are keywords on newer servers, wherever a server prints them.
create table events (
    id int primary key, json jsonb not null, normalize int default 1, check (jsonb_typeof(json) = 'object'), check (normalize > 0)
);
insert into events values (1, '{"a": "json"}');
create index on events ((json ->> 'a'));
create index plain on events (json);
create unique index keyed on events (id, normalize) where json is not null;
alter table events alter normalize set statistics 50, alter json set storage external;
alter table events enable row level security;
create policy p on events using (json ->> 'u' = current_user and json ->> 'a' <> '"json"');
create statistics both_of_them on normalize, id from events;
create view recent as select id, json from events where json ? 'a';
create view aliased as select id, normalize as json_value, json_object(array['a', id::text]) as json from events;
create materialized view kept as select e.json ->> 'a' as json_query, e.json from events e;
create type fields as (json text, id int);
create view field as select (row('a', 1)::fields).json;
create table child (id int, json int unique, normalize int references child (json));
create rule r as on update to child where old.json <> new.json do also select new.normalize;
create trigger t before update of json on child for each row when (old.json <> new.json)
    execute procedure suppress_redundant_updates_trigger();
create type json_value as enum ('a', 'b');
create function f(json_value) returns json_value language sql as 'select $1';
comment on function f(json_value) is 'of a "json" and a json';
revoke execute on function f(json_value) from public;
create table typed (v json_value, list json_value[], check (v <> 'a'::json_value));
create extension citext;
create table added (json int, normalize json_value);
alter extension citext add table added;
create sequence json_scalar;
create function json_query(json_value) returns int language sql as 'select 1';
create text search configuration json (copy = simple);
create table named (
    id int default nextval('json_scalar'), body text,
    check ('json_scalar'::regclass <> id::oid and 'json_value[]'::regtype <> id::oid),
    check ('json_query'::regproc <> id::oid and 'json_query(json_value)'::regprocedure <> id::oid)
);
create index on named using gin (to_tsvector('json', body));
