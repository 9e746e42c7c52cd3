-- Tables and sequences that a standby has no rows of: what is not logged is not sent there, and whoever asks for it is refused.
select n.nspname::text as schema,
       c.relname::text as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where pg_catalog.pg_is_in_recovery()
  and c.relpersistence = 'u'
  and c.relkind in ('r', 'S')
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
order by n.nspname, c.relname
