-- Before version 11, an index had no columns besides its key, and no collation took for the same what is not.
--
-- By which columns the rows of each table can be told from one another: valid unique indexes on columns that cannot be
-- NULL, without expression or condition; the primary key first, then the shortest. What is unique in such an index must be so for `=` as
-- well.
select n.nspname::text as schema,
       c.relname::text as name,
       key.columns
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
cross join lateral (
    select array_agg(a.attname::text order by k.place) as columns,
           bool_and(a.attnotnull) as never_null,
           bool_and(o.opcdefault
                    or exists (select
                               from pg_catalog.pg_amop mine
                               join pg_catalog.pg_amop usual on usual.amopopr = mine.amopopr and usual.amopstrategy = 3
                               join pg_catalog.pg_opclass d on d.opcfamily = usual.amopfamily and d.opcmethod = o.opcmethod
                               where mine.amopfamily = o.opcfamily and mine.amopstrategy = 3
                                 and mine.amoplefttype = o.opcintype and mine.amoprighttype = o.opcintype
                                 and d.opcdefault and d.opcintype = o.opcintype)) as told_by_equality
    from unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    join pg_catalog.pg_opclass o on o.oid = i.indclass[k.place::int4 - 1]
    where k.place <= i.indnatts
) key
where c.relkind = 'r'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and i.indisunique
  and i.indisvalid
  and i.indpred is null
  and i.indexprs is null
  and key.never_null
  and key.told_by_equality
order by n.nspname, c.relname, i.indisprimary desc, array_length(key.columns, 1), i.indexrelid
