-- Replication slots of the server, and how much of the write-ahead log each keeps from being removed.
select s.slot_name::text as name,
       s.slot_type = 'logical' as logical,
       coalesce(s.database = pg_catalog.current_database(), false) as here,
       s.active as active,
       s.restart_lsn is not null as keeps_log,
       greatest(coalesce(pg_catalog.pg_wal_lsn_diff(case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
                                                         else pg_catalog.pg_current_wal_lsn() end,
                                                    s.restart_lsn), 0), 0)::int8 as kept_bytes
from pg_catalog.pg_replication_slots s
where not s.temporary
order by s.slot_name
