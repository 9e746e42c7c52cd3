-- Constraints of user tables, with the state that a dump hides. A foreign key to a partitioned table is one constraint for
-- each of that table's partitions, too, under names that the server makes up; these are not listed.
select k.oid,
       n.nspname::text as schema,
       c.relname::text as table_name,
       k.conrelid as relation,
       k.conname::text as name,
       k.contype::text as kind,
       k.convalidated as validated,
       coalesce((pg_catalog.to_jsonb(k) ->> 'conenforced')::bool, true) as enforced,
       c.relkind = 'p' as on_partitioned,
       k.conparentid <> 0 as inherited,
       fn.nspname::text as referenced_schema,
       fc.relname::text as referenced_name,
       coalesce(fc.relkind = 'p', false) as references_partitioned,
       -- Of a foreign key over periods of time (18+): what adds it, in force.
       case when k.contype = 'f' and (pg_catalog.to_jsonb(k) ->> 'conperiod')::bool
            then pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT (VALID|ENFORCED)$', '') end as over_time
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_class fc on fc.oid = k.confrelid
left join pg_catalog.pg_namespace fn on fn.oid = fc.relnamespace
where n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and c.relpersistence <> 't'
  and k.contype in ('c', 'f', 'p', 'u', 'x')
  and not exists (select from pg_catalog.pg_constraint p where p.oid = k.conparentid and p.conrelid = k.conrelid)
order by k.oid
