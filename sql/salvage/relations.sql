-- Ordinary tables and materialized views of users, the table of large objects, and the catalog of this database but for what it says of
-- statistics, with their files and those of their TOAST, and how each attribute is stored, also those of dropped columns.
select c.oid as oid,
       n.nspname::text as schema,
       c.relname::text as name,
       case when c.oid = 2613 then 'L' when n.nspname = 'pg_catalog' then 'C' else c.relkind::text end as kind,
       pg_catalog.pg_relation_filepath(c.oid) as path,
       greatest(c.relpages, 0)::int8 as pages,
       greatest(c.reltuples, 0)::int8 as rows,
       pg_catalog.pg_relation_filepath(t.oid) as toast_path,
       (select pg_catalog.pg_relation_filepath(x.indexrelid) from pg_catalog.pg_index x
        where x.indrelid = t.oid and x.indisvalid order by x.indexrelid limit 1) as toast_index_path,
       greatest(coalesce(t.relpages, 0), 0)::int8 as toast_pages,
       coalesce(a.lengths, '{}') as lengths,
       coalesce(a.alignments, '{}') as alignments
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_class t on t.oid = c.reltoastrelid
cross join lateral (
  select pg_catalog.array_agg(a.attlen::int4 order by a.attnum) as lengths,
         pg_catalog.array_agg(a.attalign::text order by a.attnum) as alignments
  from pg_catalog.pg_attribute a
  where a.attrelid = c.oid and a.attnum > 0
) a
where (c.relkind = 'r' or c.relkind = 'm' and c.relispopulated)
  and c.relpersistence <> 't'
  -- A standby has nothing of what is not logged.
  and (c.relpersistence <> 'u' or not pg_catalog.pg_is_in_recovery())
  and (n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow') or c.oid = 2613
       or n.nspname = 'pg_catalog' and c.oid < 16384 and not c.relisshared and c.relname not in ('pg_statistic', 'pg_statistic_ext_data'))
order by c.oid
