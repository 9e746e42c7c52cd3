-- The planner's statistics of some tables ($1) and of their indexes over expressions, column by column, as arguments of
-- pg_restore_attribute_stats (18). A partitioned table's are those of all its partitions together.
-- The arguments come as bytes: a "char" may be any byte, which servers before 16 print as it is, and then they are no text.
with holder as (
    select t.oid as relation, t.oid as holder
    from unnest($1::oid[]) t (oid)
    union all
    select i.indrelid, i.indexrelid
    from pg_catalog.pg_index i
    where i.indrelid = any ($1::oid[]) and i.indexprs is not null and i.indisvalid
)
select h.relation,
       n.nspname::text as schema,
       c.relname::text as name,
       s.attname::text as column_name,
       -- An index's columns have names that a server makes up.
       case when c.relkind in ('i', 'I') then a.attnum end as number,
       s.inherited,
       pg_catalog.textsend(pg_catalog.concat_ws(
           ', ',
           '''null_frac'', ' || pg_catalog.quote_literal(s.null_frac) || '::real',
           '''avg_width'', ' || pg_catalog.quote_literal(s.avg_width) || '::integer',
           '''n_distinct'', ' || pg_catalog.quote_literal(s.n_distinct) || '::real',
           '''most_common_vals'', ' || pg_catalog.quote_literal(s.most_common_vals::text) || '::text',
           '''most_common_freqs'', ' || pg_catalog.quote_literal(s.most_common_freqs::text) || '::real[]',
           '''histogram_bounds'', ' || pg_catalog.quote_literal(s.histogram_bounds::text) || '::text',
           '''correlation'', ' || pg_catalog.quote_literal(s.correlation) || '::real',
           '''most_common_elems'', ' || pg_catalog.quote_literal(s.most_common_elems::text) || '::text',
           '''most_common_elem_freqs'', ' || pg_catalog.quote_literal(s.most_common_elem_freqs::text) || '::real[]',
           '''elem_count_histogram'', ' || pg_catalog.quote_literal(s.elem_count_histogram::text) || '::real[]',
           '''range_length_histogram'', ' || pg_catalog.quote_literal(s.range_lengths) || '::text',
           '''range_empty_frac'', ' || pg_catalog.quote_literal(s.range_empty) || '::real',
           '''range_bounds_histogram'', ' || pg_catalog.quote_literal(s.range_bounds) || '::text')) as arguments
from holder h
join pg_catalog.pg_class c on c.oid = h.holder
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
-- What is known of ranges came with version 17. On older servers the names find what is beside the subquery instead.
cross join (select null::text as range_length_histogram,
                   null::real as range_empty_frac,
                   null::text as range_bounds_histogram) before_17
cross join lateral (
    select s.*,
           range_length_histogram::text as range_lengths,
           range_empty_frac as range_empty,
           range_bounds_histogram::text as range_bounds
    from pg_catalog.pg_stats s
    where s.schemaname = n.nspname and s.tablename = c.relname and s.inherited = (c.relkind = 'p')
      -- In other encodings not every byte is text in UTF8, which these are read in, and in SQL_ASCII none has a meaning. Nothing is
      -- known then.
      and pg_catalog.getdatabaseencoding() in ('UTF8', 'LATIN1', 'LATIN2', 'LATIN5', 'LATIN9', 'KOI8R')
) s
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = s.attname and a.attnum > 0 and not a.attisdropped
order by h.relation, c.relname, a.attnum
