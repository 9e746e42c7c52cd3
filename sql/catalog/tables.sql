-- Tables whose rows can be copied, with what they weigh: ordinary tables, leaf partitions and configuration tables of
-- extensions. Rows of some partitions must be loaded through the root, because the hash of an enum value depends on
-- its OID (pg_dump calls such partitioning unsafe).
with recursive ancestor as (
    select i.inhrelid as leaf, i.inhparent as relid, 1 as depth
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid
    where c.relispartition
    union all
    select a.leaf, i.inhparent, a.depth + 1
    from ancestor a
    join pg_catalog.pg_class c on c.oid = a.relid and c.relispartition
    join pg_catalog.pg_inherits i on i.inhrelid = a.relid
), root as (
    select distinct on (a.leaf) a.leaf, a.relid
    from ancestor a
    order by a.leaf, a.depth desc
), above_foreign as (
    -- What ANALYZE of a parent reaches is read from the foreign server.
    select i.inhparent as relid
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid and c.relkind = 'f'
    union
    select i.inhparent
    from above_foreign a
    join pg_catalog.pg_inherits i on i.inhrelid = a.relid
), unsafe as (
    select distinct a.leaf
    from ancestor a
    join pg_catalog.pg_partitioned_table p on p.partrelid = a.relid and p.partstrat = 'h'
    -- It says so of expressions and domains as well.
    join pg_catalog.pg_opclass o on o.oid = any (p.partclass) and o.opcintype = 'pg_catalog.anyenum'::pg_catalog.regtype
), configuration as (
    select e.extname::text as extension, u.relid, u.condition
    from pg_catalog.pg_extension e
    cross join lateral unnest(e.extconfig, e.extcondition) as u (relid, condition)
), unknown as (
    -- What a damaged catalog does not know all columns of: the server cannot open it (pg_dump tells).
    select k.oid as relation
    from pg_catalog.pg_class k
    left join (select a.attrelid, pg_catalog.count(*) as columns
               from pg_catalog.pg_attribute a
               where a.attnum > 0
               group by 1) found on found.attrelid = k.oid
    where k.relnatts <> coalesce(found.columns, 0)
)
select c.oid,
       n.nspname::text as schema,
       c.relname::text as name,
       c.relpersistence = 'u' as unlogged,
       c.relhassubclass as has_children,
       coalesce(pg_catalog.pg_relation_size(c.oid), 0) as heap_bytes,
       coalesce(pg_catalog.pg_table_size(c.oid), 0) as total_bytes,
       greatest(c.reltuples, 0)::float8 as row_estimate,
       x.extension,
       x.condition as extension_condition,
       rn.nspname::text as root_schema,
       rc.relname::text as root_name,
       -- One such partition makes it all of them: the root is loaded, and compared, as a whole.
       r.relid is not null and bool_or(u.leaf is not null) over (partition by r.relid) as load_via_root,
       exists (select from above_foreign a where a.relid in (c.oid, r.relid)) as reaches_foreign
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join configuration x on x.relid = c.oid
left join unsafe u on u.leaf = c.oid
left join root r on r.leaf = c.oid
left join pg_catalog.pg_class rc on rc.oid = r.relid
left join pg_catalog.pg_namespace rn on rn.oid = rc.relnamespace
where c.relkind = 'r'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and (x.relid is not null
       or not exists (select from pg_catalog.pg_depend d
                      where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'))
  and c.oid <> all (array(select m.relation from unknown m))
order by c.oid
