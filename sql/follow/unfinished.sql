-- Transactions of any database of the server that have begun to write and have not ended: a slot begins when they have. Only those that
-- have been open for so many seconds ($1); since when, one may not know of other roles' sessions.
select pg_catalog.format('pid %s (%s), role %s, database %s, transaction open for %s s',
                         a.pid, a.application_name, a.usename, a.datname,
                         pg_catalog.round(extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::numeric)) as what
from pg_catalog.pg_stat_activity a
where a.backend_xid is not null
  and a.pid <> pg_catalog.pg_backend_pid()
  and coalesce(extract(epoch from pg_catalog.clock_timestamp() - a.xact_start), 0) >= $1::int4
union all
select pg_catalog.format('prepared transaction %L of role %s, database %s', p.gid, p.owner, p.database)
from pg_catalog.pg_prepared_xacts p
where extract(epoch from pg_catalog.clock_timestamp() - p.prepared) >= $1::int4
order by 1
