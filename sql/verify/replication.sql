-- Subscriptions of the connected database, and publications that pgconvoy has made in it so that another one follows it (not enabled nor
-- disabled). Only columns that everybody may read.
select s.subname::text as name,
       s.subenabled as enabled
from pg_catalog.pg_subscription s
join pg_catalog.pg_database d on d.oid = s.subdbid
where d.datname = pg_catalog.current_database()
union all
select p.pubname::text, null::bool
from pg_catalog.pg_publication p
where p.pubname like 'pgconvoy\_%'
order by 1, 2
