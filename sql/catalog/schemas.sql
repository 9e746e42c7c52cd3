-- Names of all schemas that are not the system's.
select nspname::text as name
from pg_catalog.pg_namespace
where nspname !~ '^pg_'
  and nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
order by nspname
