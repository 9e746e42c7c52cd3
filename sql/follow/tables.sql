-- Tables of users with rows of their own: whether replication carries them, by what it finds their rows, what keeps their owner from
-- writing them, whether their rows may be in another partition on another server, and what their columns are.
with recursive ancestor as (
    select i.inhrelid as leaf, i.inhparent as relid, 1 as depth
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid and c.relispartition
    union all
    select a.leaf, i.inhparent, a.depth + 1
    from ancestor a
    join pg_catalog.pg_class c on c.oid = a.relid and c.relispartition
    join pg_catalog.pg_inherits i on i.inhrelid = a.relid
), root as (
    select distinct on (a.leaf) a.leaf, a.relid
    from ancestor a
    order by a.leaf, a.depth desc
), scattered as (
    -- The hash of an enum value depends on its OID. The operator class says so of expressions and domains as well.
    select distinct a.leaf
    from ancestor a
    join pg_catalog.pg_partitioned_table p on p.partrelid = a.relid and p.partstrat = 'h'
    join pg_catalog.pg_opclass o on o.oid = any (p.partclass)
    where o.opcintype = 'pg_catalog.anyenum'::pg_catalog.regtype
)
select n.nspname::text as schema,
       c.relname::text as name,
       c.relpersistence = 'p' as is_logged,
       c.relreplident::text as identity,
       (select pg_catalog.quote_ident(i.relname)
        from pg_catalog.pg_index x
        join pg_catalog.pg_class i on i.oid = x.indexrelid
        where x.indrelid = c.oid and x.indisreplident and c.relreplident = 'i') as identity_index,
       case c.relreplident::text
            when 'f' then true
            when 'n' then false
            when 'i' then exists (select from pg_catalog.pg_index x where x.indrelid = c.oid and x.indisreplident and x.indisvalid)
            else exists (select from pg_catalog.pg_index x where x.indrelid = c.oid and x.indisprimary and x.indisvalid)
       end as has_identity,
       c.relrowsecurity and c.relforcerowsecurity as forced_rls,
       o.rolsuper or o.rolbypassrls as owner_bypasses_rls,
       rn.nspname::text as scattered_schema,
       rc.relname::text as scattered_name,
       (select pg_catalog.md5(coalesce(pg_catalog.string_agg(
                   -- Which names of types need quotes depends on the server's version.
                   a.attname::text || ' ' || pg_catalog.replace(pg_catalog.format_type(a.atttypid, a.atttypmod), '"', '')
                       || ' ' || a.attnotnull::text,
                   ', ' order by a.attname), ''))
        from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_roles o on o.oid = c.relowner
left join scattered s on s.leaf = c.oid
left join root r on r.leaf = s.leaf
left join pg_catalog.pg_class rc on rc.oid = r.relid
left join pg_catalog.pg_namespace rn on rn.oid = rc.relnamespace
where c.relkind = 'r'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by n.nspname, c.relname
