-- One table that is nearly the whole database: 5,500,000 rows at scale 1, more than 1 GB of them. This makes it, without
-- its rows (giant-rows.sql) and without its indexes (giant-indexes.sql).
\set ON_ERROR_STOP on
set synchronous_commit = off;

create table public.accounts (
    id int primary key,
    name text not null
);
insert into public.accounts
select n, 'account ' || md5(n::text)
from generate_series(0, greatest(100, (20000 * :scale)::int) - 1) n;

create table public.events (
    id bigint not null,
    account_id int not null,
    happened_at timestamp with time zone not null,
    kind text not null,
    path text not null,
    duration_ms int,
    amount numeric(12, 2),
    tags text[] not null,
    detail text
);
