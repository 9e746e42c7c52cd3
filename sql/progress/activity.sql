-- What the servers of our own sessions in this database are doing: one row each. A pooler in between has numbers of its own,
-- which do not appear here.
select
    a.pid::int4 as pid,
    coalesce(a.state, 'unknown') as state,
    a.wait_event_type as wait_type,
    a.wait_event as wait_event,
    coalesce(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.query_start), 0)::int8 as seconds
from pg_catalog.pg_stat_activity a
where a.datname = pg_catalog.current_database()
  and a.application_name like 'pgconvoy:%';
