-- A slot of this database ($1): how far its reader is, in bytes and seconds, and what it keeps of the write-ahead log.
with now as (
    select case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
                else pg_catalog.pg_current_wal_lsn() end as lsn
)
select s.active as active,
       s.active_pid as active_pid,
       coalesce(pg_catalog.to_jsonb(s) ->> 'wal_status', case when s.restart_lsn is null then 'lost' else 'reserved' end) as wal_status,
       s.confirmed_flush_lsn::text as confirmed,
       greatest(coalesce(pg_catalog.pg_wal_lsn_diff(n.lsn, s.restart_lsn), 0), 0)::int8 as retained_bytes,
       greatest(coalesce(pg_catalog.pg_wal_lsn_diff(n.lsn, s.confirmed_flush_lsn), 0), 0)::int8 as behind_bytes,
       extract(epoch from r.replay_lag)::float8 as replay_lag_s
from pg_catalog.pg_replication_slots s
cross join now n
left join pg_catalog.pg_stat_replication r on r.pid = s.active_pid
where s.slot_name = $1::text
  and s.database = pg_catalog.current_database()
