-- Sessions of this database that are just being opened: a server process locks the database from before it reads what the database is
-- set to until it has said in pg_stat_activity that it is there.
select l.pid as pid
from pg_catalog.pg_locks l
join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
where l.locktype = 'object'
  and l.classid = 'pg_catalog.pg_database'::pg_catalog.regclass
  and l.objid = d.oid
  and l.mode = 'RowExclusiveLock'
  and l.granted
  and l.pid is not null
  and l.pid <> pg_catalog.pg_backend_pid()
order by l.pid
