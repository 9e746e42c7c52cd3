-- Constraints of user tables, with the state that a dump hides. Servers of version 10, which know no
-- constraints inherited from a partitioned parent.
select k.oid,
       n.nspname::text as schema,
       c.relname::text as table_name,
       k.conrelid as relation,
       k.conname::text as name,
       k.contype::text as kind,
       k.convalidated as validated,
       coalesce((pg_catalog.to_jsonb(k) ->> 'conenforced')::bool, true) as enforced,
       c.relkind = 'p' as on_partitioned,
       false as inherited,
       fn.nspname::text as referenced_schema,
       fc.relname::text as referenced_name,
       coalesce(fc.relkind = 'p', false) as references_partitioned,
       null::text as over_time
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_class fc on fc.oid = k.confrelid
left join pg_catalog.pg_namespace fn on fn.oid = fc.relnamespace
where n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and c.relpersistence <> 't'
  and k.contype in ('c', 'f', 'p', 'u', 'x')
order by k.oid
