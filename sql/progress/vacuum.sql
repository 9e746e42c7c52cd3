-- How far VACUUM is on tables of this database.
select
    p.pid::int4 as pid,
    'vacuuming: ' || p.phase as phase,
    case when p.phase = 'vacuuming heap' then p.heap_blks_vacuumed else p.heap_blks_scanned end as done,
    p.heap_blks_total as total,
    'blocks' as unit
from pg_catalog.pg_stat_progress_vacuum p
where p.datname = pg_catalog.current_database();
