-- What has a name like a table's and is no plain one, and what it is instead.
select n.nspname::text as schema,
       c.relname::text as name,
       case c.relkind
           when 'p' then 'a partitioned table'
           when 'v' then 'a view'
           when 'm' then 'a materialized view'
           when 'f' then 'a foreign table'
           else 'a sequence'
       end::text as kind
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('p', 'v', 'm', 'f', 'S')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
order by c.oid
