-- B-tree indexes that can be looked at: those of users, of TOAST, and of the catalog.
select i.indexrelid as oid,
       n.nspname::text as schema,
       c.relname::text as name
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_am am on am.oid = c.relam
where am.amname = 'btree'
  and c.relkind = 'i'
  and c.relpersistence <> 't'
  and i.indisvalid
  and i.indisready
  and n.nspname not in ('pgconvoy', 'pgconvoy_follow')
order by i.indexrelid
