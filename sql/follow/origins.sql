-- Origins that take a place, and follows whose origin is one of them: one row. An origin takes a place when it is first used, and gives it
-- back when it is dropped.
select count(*) as taken,
       coalesce(pg_catalog.array_agg(f.subname::text) filter (where f.subname is not null), '{}') as follows
from pg_catalog.pg_show_replication_origin_status() o
-- Of pg_subscription, before 14, a role that is no superuser may not read the OID.
left join (select distinct subid, subname
           from pg_catalog.pg_stat_subscription
           where subname like 'pgconvoy\_%') f on o.external_id = 'pg_' || f.subid
