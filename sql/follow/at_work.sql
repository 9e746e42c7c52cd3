-- Sessions of this database, other than this one, that hold an advisory lock on a pair of numbers ($1, $2): those of ours that turn this
-- database over, or back.
select l.pid as pid,
       pg_catalog.format('pid %s (%s)', l.pid, coalesce(a.application_name, '?')) as what
from pg_catalog.pg_locks l
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory'
  and l.granted
  and l.objsubid = 2
  and l.classid::int8 = $1::int4
  and l.objid::int8 = $2::int4
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
  and l.pid <> pg_catalog.pg_backend_pid()
order by l.pid
