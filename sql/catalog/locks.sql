-- Other people's locks of these modes ($1) on relations of this database: those they have, and those they wait for.
select
    n.nspname::text as schema,
    c.relname::text as relation,
    l.granted as granted,
    coalesce(l.pid, 0)::int4 as holder,
    a.application_name as application,
    a.usename::text as role,
    pg_catalog.host(a.client_addr) as address,
    a.backend_type as kind,
    a.state as state,
    coalesce(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.state_change), 0)::int8 as seconds,
    a.query as query,
    l.mode as held
from pg_catalog.pg_locks l
join pg_catalog.pg_class c on c.oid = l.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'relation'
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
  and l.mode = any ($1::text[])
  and l.pid is distinct from pg_catalog.pg_backend_pid()
  and c.relkind in ('r', 'p', 'm', 'v', 'f', 'S')
  and n.nspname !~ '^pg_'
order by l.granted desc, n.nspname, c.relname, l.pid;
