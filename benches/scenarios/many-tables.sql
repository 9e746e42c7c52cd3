-- Every :parts-th table, from :part on; each has a key, an index and 100 rows. One transaction for each table, so that no server runs
-- out of locks.
\set ON_ERROR_STOP on
set synchronous_commit = off;
set client_min_messages = warning;
set timezone = 'UTC';

select format('create table public.%1$I (
                   id int primary key,
                   other int,
                   name text not null default %2$L,
                   state public.state not null,
                   made_at timestamp with time zone not null,
                   value numeric(10, 2)
               );
               insert into public.%1$I
               select n, n, %2$L || md5((n * %3$s)::text), (array [''new'', ''open'', ''done''])[1 + n %% 3]::public.state,
                      timestamp with time zone ''2024-01-01 00:00:00+00'' + n * interval ''1 hour'', n * 1.25
               from generate_series(1, %4$s) n;
               create index %5$I on public.%1$I (name);',
              'table_' || i, 'name ' || i || ' ', i, 100, 'index_' || i)
from generate_series(1 + :part, greatest(30, (3000 * :scale)::int), :parts) i
order by i
\gexec
