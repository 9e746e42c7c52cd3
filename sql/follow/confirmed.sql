-- Whether the reader of a slot ($1) has confirmed a position of the write-ahead log ($2).
select s.confirmed_flush_lsn >= $2::text::pg_catalog.pg_lsn as confirmed,
       s.active as active
from pg_catalog.pg_replication_slots s
where s.slot_name = $1::text
