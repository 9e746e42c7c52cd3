-- Planner statistics of tables, materialized views, partitioned tables and indexes over expressions: whether there are any, of
-- how many rows and pages they were made, and how much has changed since. Only what the connected role may read: of other
-- tables it is not told whether there are any.
with statistic as (
    select s.schemaname, s.tablename, bool_or(not s.inherited) as own, bool_or(s.inherited) as whole
    from pg_catalog.pg_stats s
    where s.schemaname !~ '^pg_'
    group by s.schemaname, s.tablename
), attribute as (
    -- attgenerated came with version 12. On older servers the name finds what is beside the subquery instead.
    select a.*
    from (select ''::"char" as attgenerated) before_12
    cross join lateral (
        select a.attrelid, attgenerated::text as generated
        from pg_catalog.pg_attribute a
        where a.attnum > 0 and not a.attisdropped and coalesce(a.attstattarget, -1) <> 0
    ) a
), relation as (
    select c.oid, n.nspname, c.relname, c.relkind, c.reltuples, c.relpages
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm')
      and c.relpersistence <> 't'
      and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
      and pg_catalog.has_table_privilege(c.oid, 'SELECT')
      and not pg_catalog.row_security_active(c.oid)
      and exists (select from attribute a where a.attrelid = c.oid and a.generated <> 'v')
)
select r.nspname::text as schema,
       r.relname::text as name,
       null::text as index_name,
       r.relkind = 'p' as partitioned,
       coalesce(case r.relkind when 'p' then s.whole else s.own end, false) as analyzed,
       r.reltuples::float8 as rows_then,
       r.relpages::int8 as pages_then,
       coalesce(pg_catalog.pg_relation_size(r.oid), 0) / current_setting('block_size')::int8 as pages,
       -- Changes are counted from an ANALYZE on. Where there was none and there are statistics all the same (18+ can be given
       -- some), what was written before counts as well, and says nothing.
       case when coalesce(pg_catalog.pg_stat_get_last_analyze_time(r.oid),
                          pg_catalog.pg_stat_get_last_autoanalyze_time(r.oid)) is not null
            then coalesce(pg_catalog.pg_stat_get_mod_since_analyze(r.oid), 0) else 0 end as modified
from relation r
left join statistic s on s.schemaname = r.nspname and s.tablename = r.relname
union all
select r.nspname::text,
       r.relname::text,
       c.relname::text,
       false,
       coalesce(s.own, false),
       c.reltuples::float8,
       c.relpages::int8,
       coalesce(pg_catalog.pg_relation_size(r.oid), 0) / current_setting('block_size')::int8,
       0
from relation r
join pg_catalog.pg_index i on i.indrelid = r.oid and i.indexprs is not null and i.indpred is null and i.indisvalid
join pg_catalog.pg_class c on c.oid = i.indexrelid and c.relkind = 'i'
left join statistic s on s.schemaname = r.nspname and s.tablename = c.relname
where exists (select
              from pg_catalog.pg_attribute a
              where a.attrelid = c.oid and i.indkey[a.attnum - 1] = 0 and coalesce(a.attstattarget, -1) <> 0)
order by 1, 2, 3 nulls first
