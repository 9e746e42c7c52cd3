-- How far ANALYZE is on tables of this database.
select
    p.pid::int4 as pid,
    'analyzing: ' || p.phase as phase,
    p.sample_blks_scanned as done,
    p.sample_blks_total as total,
    'blocks' as unit
from pg_catalog.pg_stat_progress_analyze p
where p.datname = pg_catalog.current_database();
