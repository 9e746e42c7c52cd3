-- A slot of this database ($1) that is as it was made: nobody has read from it beyond where it began ($2), and the log it needs is there.
select s.slot_name::text as name
from pg_catalog.pg_replication_slots s
where s.slot_name = $1::text
  and s.database = pg_catalog.current_database()
  and s.plugin = 'pgoutput'
  and s.restart_lsn is not null
  and s.confirmed_flush_lsn = $2::text::pg_catalog.pg_lsn
  and pg_catalog.to_jsonb(s) ->> 'wal_status' is distinct from 'lost'
