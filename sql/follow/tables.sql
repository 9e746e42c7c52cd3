-- Tables of users with rows of their own: whether replication carries them, by what it finds their rows, what keeps their owner from
-- writing them, whether their rows may be in another partition on another server, and what their columns are. What a server takes for a
-- key is in relcache.c (RelationGetIndexList); what a subscriber finds whole rows by, in execReplication.c (tuples_equal).
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
), attribute as (
    -- attgenerated came with version 12. On older servers the name finds what is beside the subquery instead.
    select a.*
    from (select ''::"char" as attgenerated) before_12
    cross join lateral (
        select a.attrelid, a.attnum, a.attname, a.atttypid, a.attnotnull, attgenerated::text <> '' as is_generated
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_class c on c.oid = a.attrelid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind = 'r' and n.nspname !~ '^pg_' and a.attnum > 0 and not a.attisdropped
    ) a
), made_of as (
    -- The types of columns, and what they are made of, down to what can be sorted or hashed by itself.
    select a.atttypid as type, a.atttypid as part
    from attribute a
    union
    select m.type, p.part
    from made_of m
    join pg_catalog.pg_type t on t.oid = m.part
    cross join lateral (
        select t.typbasetype as part where t.typtype = 'd'
        union all
        select t.typelem where t.typtype = 'b' and t.typelem <> 0 and t.typlen = -1
        union all
        select a.atttypid
        from pg_catalog.pg_attribute a
        where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    ) p
    where not exists (select from pg_catalog.pg_opclass o where o.opcintype = m.part and o.opcdefault)
), unequal as (
    select distinct m.type
    from made_of m
    join pg_catalog.pg_type t on t.oid = m.part
    where t.typtype = 'b'
      and not (t.typelem <> 0 and t.typlen = -1)
      and not exists (
          select
          from pg_catalog.pg_opclass o
          join pg_catalog.pg_am m on m.oid = o.opcmethod and m.amname in ('btree', 'hash')
          where o.opcdefault
            and (o.opcintype = t.oid
                 or exists (select from pg_catalog.pg_cast k
                            where k.castsource = t.oid and k.casttarget = o.opcintype
                              and k.castmethod = 'b' and k.castcontext = 'i')))
), columns as (
    select a.attrelid,
           pg_catalog.bool_or(a.is_generated) as has_generated,
           pg_catalog.array_agg(a.attname::text order by a.attnum)
               filter (where u.type is not null and not a.is_generated) as unequal
    from attribute a
    left join unequal u on u.type = a.atttypid
    group by a.attrelid
), index as (
    -- indnkeyatts came with version 11.
    select x.*
    from (select null::int2 as indnkeyatts) before_11
    cross join lateral (
        select x.indexrelid, x.indrelid, x.indkey, x.indisprimary, x.indisreplident, x.indisunique, x.indisvalid, x.indimmediate,
               x.indpred is null and x.indexprs is null as is_plain,
               coalesce(indnkeyatts, x.indnatts) as key_columns
        from pg_catalog.pg_index x
    ) x
), key as (
    select x.indrelid, x.indisprimary, x.indisreplident,
           i.relname::text as name,
           case when not x.indimmediate then 'deferrable'
                when pg_catalog.bool_or(a.is_generated) then 'generated'
                else 'sound'
           end as kind,
           x.indimmediate and pg_catalog.bool_and(a.attnotnull) as can_be_identity
    from index x
    join pg_catalog.pg_class i on i.oid = x.indexrelid
    cross join lateral pg_catalog.unnest(x.indkey::int2[]) with ordinality as k (attnum, place)
    join attribute a on a.attrelid = x.indrelid and a.attnum = k.attnum
    where x.indisunique and x.indisvalid and x.is_plain and k.place <= x.key_columns
    group by x.indrelid, x.indexrelid, x.indisprimary, x.indisreplident, x.indimmediate, i.relname
), keys as (
    select k.indrelid,
           pg_catalog.max(k.kind) filter (where k.indisprimary) as primary_key,
           pg_catalog.max(k.kind) filter (where k.indisreplident) as replica_key,
           pg_catalog.max(k.name) filter (where k.indisreplident) as replica_index,
           pg_catalog.array_agg(k.name order by k.name) filter (where k.can_be_identity) as identity_indexes
    from key k
    group by k.indrelid
)
select n.nspname::text as schema,
       c.relname::text as name,
       c.relpersistence = 'p' as is_logged,
       c.relreplident::text as identity,
       case when c.relreplident = 'i' then k.replica_index end as identity_index,
       case c.relreplident::text when 'i' then k.replica_key when 'd' then k.primary_key end as identity_key,
       k.primary_key,
       coalesce(k.identity_indexes, '{}') as identity_indexes,
       coalesce(l.has_generated, false) as has_generated,
       coalesce(l.unequal, '{}') as unequal,
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
left join columns l on l.attrelid = c.oid
left join keys k on k.indrelid = c.oid
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
