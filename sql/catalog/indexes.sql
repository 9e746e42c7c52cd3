-- Indexes of user tables and materialized views, with the constraint they serve, if any.
with unknown as (
    -- What a damaged catalog does not know all columns of: the server cannot open it (pg_dump tells).
    select k.oid as relation
    from pg_catalog.pg_class k
    left join (select a.attrelid, pg_catalog.count(*) as columns
               from pg_catalog.pg_attribute a
               where a.attnum > 0
               group by 1) found on found.attrelid = k.oid
    where k.relnatts <> coalesce(found.columns, 0)
)
select i.indexrelid as oid,
       n.nspname::text as schema,
       ic.relname::text as name,
       tn.nspname::text as table_schema,
       tc.relname::text as table_name,
       i.indrelid as relation,
       am.amname::text as method,
       ic.relkind = 'I' as partitioned,
       i.indisvalid as valid,
       i.indisready as ready,
       coalesce(pg_catalog.pg_relation_size(i.indexrelid), 0) as bytes,
       greatest(ic.reltuples, 0)::float8 as entries,
       -- As bytes: in a SQL_ASCII database it need not be text in any encoding.
       pg_catalog.convert_to(pg_catalog.pg_get_indexdef(i.indexrelid),
                             case pg_catalog.getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end) as definition,
       k.conname::text as constraint_name,
       k.contype::text as constraint_kind,
       coalesce(k.condeferrable, false) as deferrable,
       coalesce(k.condeferred, false) as deferred
from pg_catalog.pg_index i
join pg_catalog.pg_class ic on ic.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = ic.relnamespace
join pg_catalog.pg_class tc on tc.oid = i.indrelid
join pg_catalog.pg_namespace tn on tn.oid = tc.relnamespace
join pg_catalog.pg_am am on am.oid = ic.relam
left join pg_catalog.pg_constraint k on k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')
where n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and tc.relpersistence <> 't'
  and ic.oid <> all (array(select m.relation from unknown m))
  and tc.oid <> all (array(select m.relation from unknown m))
order by i.indexrelid
