-- Columns that take their values from a sequence: identities, and integer columns whose default is nextval() and nothing more.
-- Only those whose largest value an index tells at once, and that the connected role may read: about others nothing is said.
-- The last value is the one beyond which the sequence, or the column's type, does not go.
-- Partitions are looked at by way of their parent, children of another kind by themselves.
with feed as (
    select d.objid as sequence, d.refobjid as relation, d.refobjsubid as number
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_class'::regclass
      and d.refclassid = 'pg_catalog.pg_class'::regclass
      and d.refobjsubid > 0
      and d.deptype = 'i'
    union
    select d.refobjid, f.adrelid, f.adnum
    from pg_catalog.pg_depend d
    join pg_catalog.pg_attrdef f on f.oid = d.objid
    where d.classid = 'pg_catalog.pg_attrdef'::regclass
      and d.refclassid = 'pg_catalog.pg_class'::regclass
      and pg_catalog.pg_get_expr(f.adbin, f.adrelid) ~ '^\(?nextval\(''[^'']*''::regclass\)\)?(::(smallint|integer|bigint))?$'
)
select sn.nspname::text as sequence_schema,
       sc.relname::text as sequence_name,
       n.nspname::text as schema,
       c.relname::text as name,
       a.attname::text as column_name,
       c.relkind = 'p' as partitioned,
       s.seqincrement as increment,
       case when s.seqincrement < 0
            then greatest(s.seqmin, case a.atttypid when 'int2'::regtype then -32768
                                                    when 'int4'::regtype then -2147483648
                                                    else '-9223372036854775808'::int8 end)
            else least(s.seqmax, case a.atttypid when 'int2'::regtype then 32767
                                                 when 'int4'::regtype then 2147483647
                                                 else 9223372036854775807 end)
       end as last
from feed f
join pg_catalog.pg_class sc on sc.oid = f.sequence and sc.relkind = 'S' and sc.relpersistence <> 't'
join pg_catalog.pg_namespace sn on sn.oid = sc.relnamespace
join pg_catalog.pg_sequence s on s.seqrelid = sc.oid and not s.seqcycle
join pg_catalog.pg_class c on c.oid = f.relation and c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = f.number
where a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  and pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')
  and not pg_catalog.row_security_active(c.oid)
  and exists (select
              from pg_catalog.pg_index i
              join pg_catalog.pg_class ic on ic.oid = i.indexrelid
              join pg_catalog.pg_am m on m.oid = ic.relam
              where i.indrelid = c.oid and i.indkey[0] = a.attnum and i.indpred is null and i.indisvalid and m.amname = 'btree')
order by 1, 2, 3, 4, 5
