-- How far tables of this database are rewritten.
select
    p.pid::int4 as pid,
    'rewriting: ' || p.phase as phase,
    p.heap_blks_scanned as done,
    p.heap_blks_total as total,
    'blocks' as unit
from pg_catalog.pg_stat_progress_cluster p
where p.datname = pg_catalog.current_database();
