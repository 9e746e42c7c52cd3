-- What needs an index that a damaged catalog does not describe any more: constraints, and indexes of partitioned tables that lack the part of
-- a partition. pg_dump cannot tell of the former, and the latter are not valid without it.
with recursive described as (
    select i.indexrelid as index
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
), lacking as (
    select h.inhparent as index
    from pg_catalog.pg_inherits h
    join pg_catalog.pg_class p on p.oid = h.inhparent and p.relkind = 'I'
    where not exists (select from described d where d.index = h.inhrelid)
    union
    select h.inhparent
    from lacking l
    join pg_catalog.pg_inherits h on h.inhrelid = l.index
)
select k.contype::text as kind,
       n.nspname::text as schema,
       c.relname::text as relation,
       k.conname::text as name
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where k.contype in ('p', 'u', 'x', 'f')
  and k.conindid <> 0
  and not exists (select from described d where d.index = k.conindid)
union all
select 'I', n.nspname::text, c.relname::text, c.relname::text
from lacking l
join pg_catalog.pg_class c on c.oid = l.index
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by kind, schema, relation, name
