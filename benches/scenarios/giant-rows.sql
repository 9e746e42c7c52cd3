-- Every :parts-th row of the giant, from :part on. Each depends on its number alone.
\set ON_ERROR_STOP on
set synchronous_commit = off;
set timezone = 'UTC';

-- mix(i, salt): 31 well-stirred bits.
create function pg_temp.mix(i bigint, salt bigint) returns bigint language sql immutable as
  $$ select (((($1 * 1103515245 + $2 * 362437) & 2147483647) * 747796405) >> 17) & 2147483647 $$;

insert into public.events
select i,
       pg_temp.mix(i, 1) % greatest(100, (20000 * :scale)::int),
       timestamp with time zone '2024-01-01 00:00:00+00' + i * interval '5 seconds' + pg_temp.mix(i, 2) % 1000 * interval '1 ms',
       (array ['view', 'click', 'search', 'buy', 'return', 'login', 'logout', 'error'])[1 + pg_temp.mix(i, 3) % 8],
       '/' || md5((pg_temp.mix(i, 4) % 100000)::text) || '/' || pg_temp.mix(i, 5) % 1000,
       case when pg_temp.mix(i, 6) % 5 > 0 then pg_temp.mix(i, 7) % 10000 end,
       case when pg_temp.mix(i, 8) % 3 = 0 then (pg_temp.mix(i, 9) % 10000000)::numeric / 100 end,
       array ['tag' || pg_temp.mix(i, 10) % 300, 'tag' || pg_temp.mix(i, 11) % 5000, 'tag' || pg_temp.mix(i, 12) % 20],
       case when pg_temp.mix(i, 13) % 4 > 0 then 'détail ' || md5(i::text) || ' ' || md5((i * 7)::text) end
from generate_series(:part, greatest(1000, (5500000 * :scale)::bigint) - 1, :parts) i;
