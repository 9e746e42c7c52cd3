-- Sessions of this database, other than this one, that hold an advisory lock on a pair of numbers. Of other roles' sessions
-- one may not know everything.
select
    activity.pid,
    coalesce(activity.application_name, '')::text as application_name,
    coalesce(activity.usename, '?')::text as role,
    pg_catalog.host(activity.client_addr)::text as client,
    extract(epoch from activity.backend_start)::float8 as since
from pg_catalog.pg_locks as locks
join pg_catalog.pg_stat_activity as activity on activity.pid = locks.pid
where locks.locktype = 'advisory'
    and locks.granted
    and locks.objsubid = 2
    and locks.classid::int8 = $1::int4
    and locks.objid::int8 = $2::int4
    and locks.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
    and locks.pid <> pg_catalog.pg_backend_pid()
order by activity.backend_start, activity.pid
