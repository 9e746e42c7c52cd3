-- Collations of the system, the only encoding that each is for (null if it is for all), and what uses it: a table (also by an index), a
-- view or a type. A row for each use, or one without any.
select c.collname::text as name,
       case when c.collencoding <> -1 then pg_catalog.pg_encoding_to_char(c.collencoding)::text end as encoding,
       u.schema as schema,
       u.object as object
from pg_catalog.pg_collation c
left join (select a.attcollation as collation, n.nspname::text as schema, t.relname::text as object
           from pg_catalog.pg_attribute a
           join pg_catalog.pg_class r on r.oid = a.attrelid
           left join pg_catalog.pg_index i on i.indexrelid = r.oid
           join pg_catalog.pg_class t on t.oid = coalesce(i.indrelid, r.oid)
           join pg_catalog.pg_namespace n on n.oid = t.relnamespace
           where a.attnum > 0
             and not a.attisdropped
           union
           select t.typcollation, n.nspname::text, t.typname::text
           from pg_catalog.pg_type t
           join pg_catalog.pg_namespace n on n.oid = t.typnamespace) u
       on u.collation = c.oid and u.schema !~ '^pg_' and u.schema <> 'information_schema'
where c.collnamespace = 'pg_catalog'::regnamespace
  -- The database's own is there in every database.
  and c.collprovider <> 'd'
order by 1, 2, 3, 4
