-- How many sessions of this role in this database may want the snapshot. Keepers do not: two that were left alone would
-- keep each other alive.
select pg_catalog.count(*) as users
from pg_catalog.pg_stat_activity a
where a.datname = pg_catalog.current_database()
  and a.usename = session_user
  and a.application_name like 'pgconvoy:%'
  and a.application_name <> 'pgconvoy:keeper';
