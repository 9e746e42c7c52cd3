-- Ends the session of a keeper whose process cannot be told to, and of nobody else who may have its number by now.
-- $1: backend_pid, $2: backend_start, both as backend.sql has them
select pg_catalog.pg_terminate_backend(a.pid) as told
from pg_catalog.pg_stat_activity a
where a.pid = $1::pg_catalog.int4
  and a.backend_start::pg_catalog.text = $2::pg_catalog.text
  and a.application_name = 'pgconvoy:keeper';
