-- Whether a keeper's backend is still the one that was recorded.
-- $1: backend_pid, $2: backend_start, both as backend.sql has them
select true as alive
from pg_catalog.pg_stat_activity a
where a.pid = $1::pg_catalog.int4
  and a.backend_start::pg_catalog.text = $2::pg_catalog.text
  and a.application_name = 'pgconvoy:keeper';
