-- What all large objects take on disk; no catalog says it of one.
select pg_catalog.pg_table_size('pg_catalog.pg_largeobject'::regclass)::int8 as bytes
