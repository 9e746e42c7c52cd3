-- Ends another session.
select pg_catalog.pg_terminate_backend($1::int4) as told
