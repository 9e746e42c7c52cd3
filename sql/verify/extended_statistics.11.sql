-- Extended statistics, and whether they have been built. Up to version 11 their values are where they are defined.
select n.nspname::text as schema,
       s.stxname::text as name,
       tn.nspname::text as table_schema,
       c.relname::text as table_name,
       s.stxndistinct is not null or s.stxdependencies is not null as built
from pg_catalog.pg_statistic_ext s
join pg_catalog.pg_namespace n on n.oid = s.stxnamespace
join pg_catalog.pg_class c on c.oid = s.stxrelid
join pg_catalog.pg_namespace tn on tn.oid = c.relnamespace
order by 1, 2
