-- Sessions of this database that, as long as their transactions are open, keep somebody from locking a table against writers, or from
-- doing a materialized view or an unlogged table anew. They need not have written anything: one may have read such a view, or be a VACUUM.
select distinct l.pid as pid
from pg_catalog.pg_locks l
join pg_catalog.pg_class c on c.oid = l.relation
where l.locktype = 'relation'
  and l.granted
  and l.pid is not null
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
  and c.relkind in ('r', 'p', 'm')
  and c.relpersistence <> 't'
  and c.relnamespace <> 'pg_catalog'::pg_catalog.regnamespace
  and (c.relkind = 'm' or c.relpersistence = 'u' or l.mode not in ('AccessShareLock', 'RowShareLock'))
order by 1
