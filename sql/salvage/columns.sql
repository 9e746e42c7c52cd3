-- The columns of each table, whether they may be NULL, and the kind of their type. By way of JSON, because servers before 12
-- know no generated columns.
select a.attrelid as relation,
       a.attname::text as name,
       a.attnotnull as not_null,
       coalesce(pg_catalog.to_jsonb(a) ->> 'attgenerated', '') <> '' as generated,
       t.typcategory::text as category,
       t.typname::text as type_name,
       t.typtype = 'd' as is_domain
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_type t on t.oid = a.atttypid
where c.relkind in ('r', 'm')
  and c.relpersistence <> 't'
  and (n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow') or c.oid = 2613)
  and a.attnum > 0
  and not a.attisdropped
order by a.attrelid, a.attnum
