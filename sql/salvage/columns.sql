-- The columns of each table, whether they may be NULL, and the kind of their type; the type is named where a server may show of a damaged
-- value what none takes back. By way of JSON, because servers before 12 know no generated columns.
select a.attrelid as relation,
       a.attname::text as name,
       a.attnum::int4 as number,
       a.attnotnull as not_null,
       coalesce(pg_catalog.to_jsonb(a) ->> 'attgenerated', '') <> '' as generated,
       t.typcategory::text as category,
       t.typname::text as type_name,
       t.typtype = 'd' as is_domain,
       case when t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
             and t.typname in ('date', 'time', 'timetz', 'interval', 'inet', 'cidr', 'json')
            then t.typname::text end as taken_back
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
