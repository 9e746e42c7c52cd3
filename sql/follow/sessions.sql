-- Sessions of this database that are not ours, each by its process and by when it began: a process number may come again. Of those of
-- other roles that we may not look at, only that they are there is known. Background workers of extensions write as well; between two
-- transactions they are as idle as a client. Of the server's own, 10 tells only by their names, and of an apply worker by nothing that is
-- here.
select a.pid as pid,
       a.backend_start::text as began,
       coalesce(a.application_name, '') as application,
       coalesce(a.usename::text, '') as role,
       coalesce(a.xact_start is null and (a.state = 'idle' or a.backend_type <> 'client backend'), false) as idle,
       extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::float8 as transaction_s,
       a.backend_xid is not null as has_written,
       r.rolsuper
         or coalesce(not o.rolsuper
                     and (pg_catalog.pg_has_role(o.oid, 'usage') or pg_catalog.pg_has_role('pg_signal_backend', 'usage')), false) as may_end
from pg_catalog.pg_stat_activity a
join pg_catalog.pg_roles r on r.rolname = current_user
left join pg_catalog.pg_roles o on o.oid = a.usesysid
where a.datname = pg_catalog.current_database()
  and a.pid <> pg_catalog.pg_backend_pid()
  and not exists (select from pg_catalog.pg_stat_subscription w where w.pid = a.pid)
  and (a.backend_type !~ '^(autovacuum|logical replication|parallel worker|slotsync|walsender)'
       and a.application_name !~ '^pgconvoy:'
       and not (a.backend_type = 'background worker' and a.application_name ~ '^(logical replication|parallel worker)')
       or a.backend_type is null and a.usesysid is not null)
order by a.pid
