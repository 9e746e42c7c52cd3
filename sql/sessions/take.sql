-- Takes an advisory lock of this database for the life of this session, if nobody has it.
select pg_catalog.pg_try_advisory_lock($1::int4, $2::int4) as taken
