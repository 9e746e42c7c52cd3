-- Whoever keeps tables of this database from being locked against writers: sessions of others with a lock that conflicts.
select n.nspname::text as schema,
       c.relname::text as name,
       l.mode::text as mode,
       l.pid::int4 as pid,
       coalesce(a.application_name, '')::text as application,
       coalesce(a.usename::text, '')::text as role,
       coalesce(a.state, '')::text as state,
       coalesce(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.xact_start), 0)::int8 as seconds
from pg_catalog.pg_locks l
join pg_catalog.pg_class c on c.oid = l.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'relation'
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
  and l.granted
  and l.mode in ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                 'AccessExclusiveLock')
  and c.relkind in ('r', 'p')
  and n.nspname !~ '^pg_'
  and l.pid is not null
  and l.pid <> pg_catalog.pg_backend_pid()
  and coalesce(a.application_name, '') !~ '^pgconvoy:'
order by n.nspname, c.relname, l.pid
limit 20
