-- How far COPY is on tables of this database: how many rows there will be, the server does not know.
select
    p.pid::int4 as pid,
    'copying' as phase,
    p.tuples_processed as done,
    0::int8 as total,
    'rows' as unit
from pg_catalog.pg_stat_progress_copy p
where p.datname = pg_catalog.current_database();
