-- How the planner's statistics of some tables ($1), and of the topmost partitioned tables above them, came about: whether every column
-- and every index over expressions has some, of how many rows and pages they were made, and how much has changed since.
with recursive above as (
    select i.inhparent as oid
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid and c.relispartition
    where c.oid = any ($1::oid[])
    union
    select i.inhparent
    from above a
    join pg_catalog.pg_class c on c.oid = a.oid and c.relispartition
    join pg_catalog.pg_inherits i on i.inhrelid = c.oid
), relation as (
    select c.oid, n.nspname, c.relname, c.relkind, c.reltuples, c.relpages
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid = any ($1::oid[])
       or (c.oid in (select a.oid from above a) and not c.relispartition)
), holder as (
    -- Who has statistics: the table itself, and its indexes over expressions.
    select r.oid as relation, r.nspname, r.relname, r.oid, r.relkind = 'p' as inherited, null::int2vector as indkey
    from relation r
    union all
    select r.oid, n.nspname, c.relname, c.oid, false, i.indkey
    from relation r
    join pg_catalog.pg_index i
      on i.indrelid = r.oid and i.indexprs is not null and i.indpred is null and i.indisvalid
    join pg_catalog.pg_class c on c.oid = i.indexrelid and c.relkind = 'i'
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
), attribute as (
    -- attgenerated came with version 12. On older servers the name finds what is beside the subquery instead.
    select h.relation, h.nspname, h.relname, h.inherited, a.attname
    from (select ''::"char" as attgenerated) before_12
    cross join holder h
    cross join lateral (
        select a.attname, a.attnum, attgenerated::text as generated
        from pg_catalog.pg_attribute a
        where a.attrelid = h.oid and a.attnum > 0 and not a.attisdropped and coalesce(a.attstattarget, -1) <> 0
    ) a
    where a.generated <> 'v' and (h.indkey is null or h.indkey[a.attnum - 1] = 0)
), bare as (
    select distinct a.relation
    from attribute a
    left join pg_catalog.pg_stats s
      on s.schemaname = a.nspname and s.tablename = a.relname and s.attname = a.attname and s.inherited = a.inherited
    where s.attname is null
)
select r.oid,
       r.nspname::text as schema,
       r.relname::text as name,
       r.relkind = 'p' as partitioned,
       exists (select from pg_catalog.pg_inherits i
               join pg_catalog.pg_class c on c.oid = i.inhrelid
               where i.inhparent = r.oid and c.relkind = 'p') as nested,
       greatest(r.reltuples, 0)::float8 as rows_then,
       greatest(r.relpages, 0)::int8 as pages_then,
       coalesce(pg_catalog.pg_relation_size(r.oid), 0) / current_setting('block_size')::int8 as pages,
       -- Changes are counted from an ANALYZE on. Who knows of none, as after a crash or on a standby, has not counted.
       case when coalesce(pg_catalog.pg_stat_get_last_analyze_time(r.oid),
                          pg_catalog.pg_stat_get_last_autoanalyze_time(r.oid)) is not null
            then coalesce(pg_catalog.pg_stat_get_mod_since_analyze(r.oid), 0) end as modified,
       r.oid not in (select b.relation from bare b) as complete,
       exists (select from pg_catalog.pg_statistic_ext x where x.stxrelid = r.oid) as extended
from relation r
order by r.oid
