-- B-tree indexes that hold an entry for every row of their table: neither partial nor on expressions. Not those of which a damaged catalog
-- does not know all columns.
select i.indrelid as relation,
       i.indexrelid as oid,
       n.nspname::text as schema,
       c.relname::text as name,
       pg_catalog.pg_relation_filepath(i.indexrelid) as path,
       i.indisprimary as is_primary,
       i.indisunique as is_unique,
       a.names as columns,
       a.types as types,
       a.lengths as lengths,
       a.alignments as alignments
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class r on r.oid = i.indrelid
join pg_catalog.pg_am am on am.oid = c.relam
cross join lateral (
  select pg_catalog.array_agg(t.attname::text order by a.attnum) as names,
         pg_catalog.array_agg(a.atttypid order by a.attnum) as types,
         pg_catalog.array_agg(a.attlen::int4 order by a.attnum) as lengths,
         pg_catalog.array_agg(a.attalign::text order by a.attnum) as alignments
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_attribute t on t.attrelid = i.indrelid and t.attnum = i.indkey[a.attnum - 1]
  where a.attrelid = i.indexrelid and a.attnum > 0
) a
where am.amname = 'btree'
  and c.relkind = 'i'
  and r.relkind in ('r', 'm')
  and r.relpersistence <> 't'
  and (r.relpersistence <> 'u' or not pg_catalog.pg_is_in_recovery())
  and i.indisvalid
  and i.indisready
  and i.indpred is null
  and i.indexprs is null
  and pg_catalog.cardinality(a.names) = i.indnatts
  and (n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow') or r.oid = 2613
       or n.nspname = 'pg_catalog' and r.oid < 16384 and not r.relisshared and r.relname not in ('pg_statistic', 'pg_statistic_ext_data'))
order by i.indrelid, not i.indisprimary, not i.indisunique, i.indnatts, i.indexrelid
