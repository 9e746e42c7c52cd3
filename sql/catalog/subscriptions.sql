-- Subscriptions of the connected database.
select s.subname::text as name
from pg_catalog.pg_subscription s
join pg_catalog.pg_database d on d.oid = s.subdbid
where d.datname = pg_catalog.current_database()
order by s.subname
