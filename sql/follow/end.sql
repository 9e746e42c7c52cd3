-- Ends a session ($1).
select pg_catalog.pg_terminate_backend($1::int4) as ended
