-- Which of our own sessions waits for which lock, and who is in its way: one row for each session that is. The number 0 is a
-- transaction that was prepared and has no session. Of another role's session a role without pg_read_all_stats sees little.
select
    w.pid::int4 as pid,
    l.locktype as lock_type,
    l.mode as mode,
    n.nspname::text as schema,
    c.relname::text as relation,
    b.pid::int4 as holder,
    h.application_name as application,
    h.usename::text as role,
    pg_catalog.host(h.client_addr) as address,
    h.backend_type as kind,
    h.state as state,
    coalesce(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - h.state_change), 0)::int8 as seconds,
    h.query as query,
    (select pg_catalog.string_agg(distinct held.mode, ', ')
     from pg_catalog.pg_locks held
     where held.pid = b.pid and held.granted and held.relation = l.relation and held.database = l.database) as held
from pg_catalog.pg_stat_activity w
cross join lateral pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) as b(pid)
left join pg_catalog.pg_locks l on l.pid = w.pid and not l.granted
left join pg_catalog.pg_class c on c.oid = l.relation
left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_stat_activity h on h.pid = b.pid
where w.datname = pg_catalog.current_database()
  and w.application_name like 'pgconvoy:%'
  and w.wait_event_type = 'Lock'
order by w.pid, b.pid;
