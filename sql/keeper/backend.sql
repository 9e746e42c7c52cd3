-- Who serves this session: enough to find the same backend again, and no later one that has its number.
select
    a.pid::int4 as backend_pid,
    a.backend_start::pg_catalog.text as backend_start
from pg_catalog.pg_stat_activity a
where a.pid = pg_catalog.pg_backend_pid();
