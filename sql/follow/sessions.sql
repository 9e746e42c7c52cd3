-- Sessions of this database that are not ours, each by its process and by when it began: a process number may come again. Of those of
-- other roles that we may not look at, only that they are there is known.
select a.pid as pid,
       a.backend_start::text as began,
       coalesce(a.application_name, '') as application,
       coalesce(a.usename::text, '') as role,
       coalesce(a.xact_start is null and a.state = 'idle', false) as idle,
       extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::float8 as transaction_s
from pg_catalog.pg_stat_activity a
where a.datname = pg_catalog.current_database()
  and a.pid <> pg_catalog.pg_backend_pid()
  and (a.backend_type = 'client backend' and a.application_name !~ '^pgconvoy:'
       or a.backend_type is null and a.usesysid is not null)
order by a.pid
