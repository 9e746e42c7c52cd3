-- Columns that are GENERATED ALWAYS AS IDENTITY: an insert that brings its own value has to say that it means it.
select n.nspname::text as schema,
       c.relname::text as name,
       a.attname::text as column_name
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where a.attidentity = 'a'
  and not a.attisdropped
  and c.relkind in ('r', 'p')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
order by n.nspname, c.relname, a.attnum
