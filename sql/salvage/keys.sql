-- Primary keys, unique and exclusion constraints, unique indexes and checks of tables, with their columns: what may not hold when damage
-- has made other values of theirs. Foreign keys are in sql/preflight/foreign_keys.sql.
with unknown as (
    -- What a damaged catalog does not know all columns of: the server cannot say anything of it.
    select k.oid as relation
    from pg_catalog.pg_class k
    left join (select a.attrelid, pg_catalog.count(*) as columns
               from pg_catalog.pg_attribute a
               where a.attnum > 0
               group by 1) found on found.attrelid = k.oid
    where k.relnatts <> coalesce(found.columns, 0)
)
select coalesce(k.conname, i.relname)::text as name,
       coalesce(k.contype, 'i')::text as kind,
       n.nspname::text as schema,
       c.relname::text as table_name,
       c.relkind = 'p' as partitioned,
       coalesce((select pg_catalog.array_agg(a.attname::text order by o.place)
        from pg_catalog.unnest(x.indkey) with ordinality o(number, place)
        join pg_catalog.pg_attribute a on a.attrelid = x.indrelid and a.attnum = o.number
        where o.place <= on_rows.terms), '{}') as columns,
       case when k.oid is null then pg_catalog.pg_get_indexdef(x.indexrelid) else pg_catalog.pg_get_constraintdef(k.oid) end as definition,
       -- Also expressions, each with the collation that the index compares it in.
       (select pg_catalog.array_agg(pg_catalog.pg_get_indexdef(x.indexrelid, o.place::int4, false)
                                    || case when co.oid is null then '' else pg_catalog.format(' collate %I.%I', cn.nspname, co.collname) end
                                    order by o.place)
        from pg_catalog.unnest(x.indcollation) with ordinality o(oid, place)
        left join pg_catalog.pg_collation co on co.oid = o.oid
        left join pg_catalog.pg_namespace cn on cn.oid = co.collnamespace) as terms,
       -- Of an exclusion constraint, and of a key over periods of time, they are named; of a B-tree it is the third.
       coalesce((select pg_catalog.array_agg(pg_catalog.format('operator(%I.%s)', pn.nspname, p.oprname) order by o.place)
        from rows from (pg_catalog.unnest(x.indclass), pg_catalog.unnest(k.conexclop)) with ordinality o(opclass, named, place)
        join pg_catalog.pg_opclass oc on oc.oid = o.opclass
        join pg_catalog.pg_am am on am.oid = oc.opcmethod
        left join pg_catalog.pg_amop ao on am.amname = 'btree' and ao.amopfamily = oc.opcfamily and ao.amopstrategy = 3
                                       and ao.amoplefttype = oc.opcintype and ao.amoprighttype = oc.opcintype
        join pg_catalog.pg_operator p on p.oid = coalesce(o.named, ao.amopopr)
        join pg_catalog.pg_namespace pn on pn.oid = p.oprnamespace), '{}') as operators,
       coalesce((pg_catalog.to_jsonb(x) ->> 'indnullsnotdistinct')::bool, false) as nulls_alike,
       pg_catalog.pg_get_expr(x.indpred, x.indrelid) as predicate,
       coalesce(k.oid, x.indexrelid) as oid
from pg_catalog.pg_index x
join pg_catalog.pg_class i on i.oid = x.indexrelid
join pg_catalog.pg_class c on c.oid = x.indrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
-- Not those that are only kept with the others.
cross join lateral (select coalesce((pg_catalog.to_jsonb(x) ->> 'indnkeyatts')::int8, x.indnatts) as terms) on_rows
left join pg_catalog.pg_constraint k on k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x')
where case when k.oid is null then x.indisunique and x.indisvalid and c.relkind = 'r'
           else c.relkind in ('r', 'p') and coalesce(pg_catalog.to_jsonb(k) ->> 'conparentid', '0') = '0' end
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and i.oid <> all (array(select m.relation from unknown m))
  and c.oid <> all (array(select m.relation from unknown m))
union all
-- Checks of tables that have no part in inheritance, and without a comment: those that can be set aside and put back as they were.
select k.conname::text, 'c', n.nspname::text, c.relname::text, false,
       coalesce((select pg_catalog.array_agg(a.attname::text order by a.attnum)
        from pg_catalog.pg_attribute a
        where a.attrelid = k.conrelid and a.attnum = any (k.conkey)), '{}'),
       pg_catalog.pg_get_constraintdef(k.oid), '{}', '{}', false, pg_catalog.pg_get_expr(k.conbin, k.conrelid), k.oid
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where k.contype = 'c'
  and k.convalidated
  and c.relkind = 'r'
  and not exists (select from pg_catalog.pg_inherits h where c.oid in (h.inhrelid, h.inhparent))
  and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')
  and pg_catalog.obj_description(k.oid, 'pg_constraint') is null
  and c.oid <> all (array(select m.relation from unknown m))
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
order by kind desc, oid
