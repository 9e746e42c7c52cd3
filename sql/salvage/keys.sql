-- Primary keys, unique and exclusion constraints, foreign keys, unique indexes and checks of tables, with their columns: what may not hold
-- when rows are lost, or when damage has made other values of theirs.
select k.conname::text as name,
       k.contype::text as kind,
       n.nspname::text as schema,
       c.relname::text as table_name,
       coalesce((select pg_catalog.array_agg(a.attname::text order by o.place)
        from pg_catalog.unnest(k.conkey) with ordinality o(number, place)
        join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = o.number), '{}') as columns,
       rn.nspname::text as referenced_schema,
       rc.relname::text as referenced_name,
       coalesce((select pg_catalog.array_agg(a.attname::text order by o.place)
        from pg_catalog.unnest(k.confkey) with ordinality o(number, place)
        join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = o.number), '{}') as referenced_columns,
       pg_catalog.pg_get_constraintdef(k.oid) as definition,
       coalesce((select pg_catalog.array_agg(pg_catalog.pg_get_indexdef(k.conindid, place, false) order by place)
        from pg_catalog.generate_subscripts(k.conexclop, 1) place), '{}') as terms,
       coalesce((select pg_catalog.array_agg(pg_catalog.format('operator(%I.%s)', p.nspname, o.oprname) order by x.place)
        from pg_catalog.unnest(k.conexclop) with ordinality x(oid, place)
        join pg_catalog.pg_operator o on o.oid = x.oid
        join pg_catalog.pg_namespace p on p.oid = o.oprnamespace), '{}') as operators,
       case when k.contype = 'x' then (select pg_catalog.pg_get_expr(x.indpred, x.indrelid) from pg_catalog.pg_index x
                                       where x.indexrelid = k.conindid) end as predicate,
       k.oid as oid
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_class rc on rc.oid = k.confrelid
left join pg_catalog.pg_namespace rn on rn.oid = rc.relnamespace
where k.contype in ('p', 'u', 'x', 'f')
  and c.relkind in ('r', 'p')
  and coalesce((pg_catalog.to_jsonb(k) ->> 'conparentid'), '0') = '0'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
union all
-- Indexes that are no constraints, also on expressions, and on a part of the rows.
select i.relname::text, 'i', n.nspname::text, c.relname::text,
       coalesce((select pg_catalog.array_agg(a.attname::text order by o.place)
        from pg_catalog.unnest(x.indkey) with ordinality o(number, place)
        join pg_catalog.pg_attribute a on a.attrelid = x.indrelid and a.attnum = o.number
        where o.place <= coalesce((pg_catalog.to_jsonb(x) ->> 'indnkeyatts')::int8, x.indnatts)), '{}'),
       null, null, '{}', pg_catalog.pg_get_indexdef(x.indexrelid),
       (select pg_catalog.array_agg(pg_catalog.pg_get_indexdef(x.indexrelid, place, false) order by place)
        from pg_catalog.generate_series(1, coalesce((pg_catalog.to_jsonb(x) ->> 'indnkeyatts')::int4, x.indnatts)) place),
       '{}', pg_catalog.pg_get_expr(x.indpred, x.indrelid), x.indexrelid
from pg_catalog.pg_index x
join pg_catalog.pg_class i on i.oid = x.indexrelid
join pg_catalog.pg_class c on c.oid = x.indrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where x.indisunique
  and x.indisvalid
  and c.relkind = 'r'
  and not exists (select from pg_catalog.pg_constraint k where k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x'))
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
union all
-- Checks of tables that have no part in inheritance, and without a comment: those that can be set aside and put back as they were.
select k.conname::text, 'c', n.nspname::text, c.relname::text,
       coalesce((select pg_catalog.array_agg(a.attname::text order by a.attnum)
        from pg_catalog.pg_attribute a
        where a.attrelid = k.conrelid and a.attnum = any (k.conkey)), '{}'),
       null, null, '{}', pg_catalog.pg_get_constraintdef(k.oid), '{}', '{}', pg_catalog.pg_get_expr(k.conbin, k.conrelid), k.oid
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where k.contype = 'c'
  and k.convalidated
  and c.relkind = 'r'
  and not exists (select from pg_catalog.pg_inherits h where c.oid in (h.inhrelid, h.inhparent))
  and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')
  and pg_catalog.obj_description(k.oid, 'pg_constraint') is null
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
order by 2 desc, 13
