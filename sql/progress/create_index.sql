-- How far index builds of this database are.
select
    p.pid::int4 as pid,
    p.phase as phase,
    case when p.phase like '%tuples%' then p.tuples_done else p.blocks_done end as done,
    case when p.phase like '%tuples%' then p.tuples_total else p.blocks_total end as total,
    case when p.phase like '%tuples%' then 'rows' else 'blocks' end as unit
from pg_catalog.pg_stat_progress_create_index p
where p.datname = pg_catalog.current_database();
