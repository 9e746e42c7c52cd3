-- The same for a role that may not see which origins take a place: all that there are.
select count(*) as taken,
       coalesce(pg_catalog.array_agg(f.subname::text) filter (where f.subname is not null), '{}') as follows
from pg_catalog.pg_replication_origin o
left join (select distinct subid, subname
           from pg_catalog.pg_stat_subscription
           where subname like 'pgconvoy\_%') f on o.roname = 'pg_' || f.subid
