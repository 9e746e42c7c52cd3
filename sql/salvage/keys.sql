-- Primary keys, unique constraints, foreign keys and unique indexes of tables, with their columns: what may not hold when rows are lost.
select k.conname::text as name,
       k.contype::text as kind,
       n.nspname::text as schema,
       c.relname::text as table_name,
       (select pg_catalog.array_agg(a.attname::text order by o.place)
        from pg_catalog.unnest(k.conkey) with ordinality o(number, place)
        join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = o.number) as columns,
       rn.nspname::text as referenced_schema,
       rc.relname::text as referenced_name,
       coalesce((select pg_catalog.array_agg(a.attname::text order by o.place)
        from pg_catalog.unnest(k.confkey) with ordinality o(number, place)
        join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = o.number), '{}') as referenced_columns,
       pg_catalog.pg_get_constraintdef(k.oid) as definition,
       k.oid as oid
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_class rc on rc.oid = k.confrelid
left join pg_catalog.pg_namespace rn on rn.oid = rc.relnamespace
where k.contype in ('p', 'u', 'f')
  and c.relkind in ('r', 'p')
  and coalesce((pg_catalog.to_jsonb(k) ->> 'conparentid'), '0') = '0'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
union all
-- Those that are no constraints, as far as they are on columns, and on all rows.
select i.relname::text, 'i', n.nspname::text, c.relname::text,
       (select pg_catalog.array_agg(a.attname::text order by o.place)
        from pg_catalog.unnest(x.indkey) with ordinality o(number, place)
        join pg_catalog.pg_attribute a on a.attrelid = x.indrelid and a.attnum = o.number
        where o.place <= coalesce((pg_catalog.to_jsonb(x) ->> 'indnkeyatts')::int8, x.indnatts)),
       null, null, '{}', pg_catalog.pg_get_indexdef(x.indexrelid), x.indexrelid
from pg_catalog.pg_index x
join pg_catalog.pg_class i on i.oid = x.indexrelid
join pg_catalog.pg_class c on c.oid = x.indrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where x.indisunique
  and x.indisvalid
  and x.indpred is null
  and x.indexprs is null
  and c.relkind = 'r'
  and not exists (select from pg_catalog.pg_constraint k where k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x'))
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
order by 2 desc, 10
