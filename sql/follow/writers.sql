-- Sessions of this database that are not ours and were opened before a moment ($1, as the server writes it): they may still write.
-- Of those of other roles that we may not look at, only that they are there is known: each of them may write.
select a.pid as pid,
       coalesce(a.application_name, '') as application,
       coalesce(a.usename::text, '') as role,
       coalesce(a.state, '') as state,
       coalesce(a.xact_start is null and a.state = 'idle', false) as idle,
       extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::float8 as transaction_s
from pg_catalog.pg_stat_activity a
where a.datname = pg_catalog.current_database()
  and a.pid <> pg_catalog.pg_backend_pid()
  and (a.backend_type = 'client backend'
         and a.application_name !~ '^pgconvoy:'
         and a.backend_start <= $1::text::timestamptz
       or a.backend_type is null and a.usesysid is not null)
order by a.pid
